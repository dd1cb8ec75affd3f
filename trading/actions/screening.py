"""Looking at cohorts for agents that trade against each other, and for bursts that move a market together.

Agents of one cohort are blind to each other, and a paper fill meets no counterparty, so what is found is noted unless
the policy has it denied: a manager who takes the cohort live learns how much of its turnover would have been the fund's
own, and where its agents together would have been the move they traded on. Layering takes orders that rest and are
pulled; agents have none.

A stretch is looked at as it is kept (`screen_stretch`), with what was known as its orders met the market; a day once
more when it has closed (`screen_day`), with all its candles, and its figures are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from compliance.actions.screening import raise_flag
from compliance.models.screening import FlagSeverity, ScreeningRule
from compliance.screening.policy import InCohorts, ScreeningRules
from compliance.screening.tactics import Finding
from compliance.selectors_screening import rules_in_force
from fundops.core.clock import from_ms
from fundops.core.events import publish
from trading.cohorts.bursts import bursts_of, evidence_of
from trading.cohorts.order_levels import Traded
from trading.cohorts.tactics import DENIALS, Burst, bursts_in, rules_of
from trading.models.cohort import CohortDay
from trading.models.screening import DayScreening
from trading.quant.engine.market import HOUR_MS, Market

#: The largest crossings kept as evidence.
MOST_EXAMPLES = 20
#: Days looked at in one call.
MOST_DAYS = 50


@dataclass(frozen=True, slots=True)
class Crossing:
    """Agents on both sides of one market in one bar; `crossed` is twice the smaller side, in the quote asset."""

    symbol: str
    at: datetime
    bought: Decimal
    sold: Decimal
    agents: tuple[int, ...]

    @property
    def crossed(self) -> Decimal:
        return 2 * min(self.bought, self.sold)


# Each agent counts with what it bought less what it sold in a bar: who turns a position over crosses nobody.
_CROSSINGS = """
WITH own AS (
    SELECT f.symbol, f.at, a.number AS agent,
           SUM(CASE WHEN f.side = 'buy' THEN 1 ELSE -1 END * f.quantity * f.price) AS net
      FROM trading_cohortfill f JOIN trading_cohortagent a ON a.id = f.agent_id
     WHERE f.cohort_id = %(cohort)s AND (f.at AT TIME ZONE 'UTC')::date = %(date)s
     GROUP BY f.symbol, f.at, a.number)
SELECT symbol, at, COALESCE(SUM(net) FILTER (WHERE net > 0), 0), COALESCE(-SUM(net) FILTER (WHERE net < 0), 0),
       array_agg(agent ORDER BY agent)
  FROM own GROUP BY symbol, at
"""


# --- A stretch ----------------------------------------------------------------------------------------------------
def screen_stretch(traded: Traded, day: int, taken: Mapping[str, Any] | None) -> None:
    """Flags what the stretch of that day shows, by the rules that judged it; in the transaction that keeps it.

    Orders denied raise a flag for each rule and stretch. Bursts that were let through are noted at once, crossings when
    an hour has closed, by the day so far: one flag for each rule and day, which says what was found then. The day's own
    figures are kept when it has closed.
    """
    rules = rules_of(taken)
    if taken is None or rules is None:
        return
    _flag_denials(traded, day, version=taken["version"])
    if taken["momentum_ignition"] == InCohorts.NOTE:
        bursts = bursts_in(traded, rules.momentum_ignition)
        if bursts:
            _flag_stretch(traded, day, bursts, version=taken["version"])
    if taken["self_crossing"] == InCohorts.NOTE and _closes_an_hour(traded.bars):
        so_far = CohortDay.objects.select_related("cohort__book").get(cohort=traded.cohort, day=day)
        met, share = _crossings(_bars(so_far))
        if met and share >= rules.self_crossing.noted_from_frac:
            _flag(so_far, met, share=share, version=taken["version"])


def _closes_an_hour(bars: Market) -> bool:
    return bars.end_ms // HOUR_MS > int(bars.ts_ms[0]) // HOUR_MS


def _flag_denials(traded: Traded, day: int, *, version: int) -> None:
    rows = traded.outcome.rejections
    cohort = traded.cohort
    for reason, rule in DENIALS.items():
        denied = rows[rows["reason"] == reason]
        if not len(denied):
            continue
        orders = "one order" if len(denied) == 1 else f"{len(denied):,} orders"
        since = from_ms(int(denied["ts_ms"][0]))
        raise_flag(
            key=f"cohort:{cohort.pk}:bars:{int(traded.bars.ts_ms[0])}:{rule}:denied",
            rule=rule,
            severity=FlagSeverity.DENIED,
            subject=f"{cohort}, day {day}",
            book_path=cohort.book.path if cohort.book else "",
            venue=cohort.venue,
            finding=f"{_WHY[rule]} The agents were denied {orders} from {since:%H:%M} UTC on.",
            evidence={
                "cohort": cohort.pk,
                "day": day,
                "policy_version": version,
                "denied_orders": len(denied),
                "first": [
                    {
                        "agent": traded.agents[int(row["agent"])].number,
                        "symbol": traded.bars.symbols[int(row["symbol"])],
                        "at": from_ms(int(row["ts_ms"])).isoformat(),
                        "side": "buy" if row["side"] > 0 else "sell",
                        "wanted": float(row["wanted"]),
                        "permitted": float(row["permitted"]),
                    }
                    for row in denied[:MOST_EXAMPLES]
                ],
            },
        )


_WHY = {
    ScreeningRule.SELF_CROSSING: "They would have traded against other agents of the bar.",
    ScreeningRule.MOMENTUM_IGNITION: "They would have completed bursts that move a market.",
}


def _flag_stretch(traded: Traded, day: int, bursts: Sequence[Burst], *, version: int) -> None:
    largest = sorted(bursts, key=lambda b: -b.share if b.share == b.share else 0.0)
    cohort = traded.cohort
    bars = "one bar" if len(bursts) == 1 else f"{len(bursts):,} bars"
    raise_flag(
        key=_day_key(cohort.pk, day, ScreeningRule.MOMENTUM_IGNITION),
        rule=ScreeningRule.MOMENTUM_IGNITION,
        severity=FlagSeverity.NOTE,
        subject=f"{cohort}, day {day}",
        book_path=cohort.book.path if cohort.book else "",
        finding=f"Agents moved a market together in {bars}. The largest: {largest[0].words}"[:400],
        evidence={
            "cohort": cohort.pk,
            "day": day,
            "policy_version": version,
            "largest": [burst.as_evidence() for burst in largest[:MOST_EXAMPLES]],
        },
    )


def _day_key(cohort_id: int, day: int, rule: ScreeningRule) -> str:
    return f"cohort:{cohort_id}:day:{day}:{rule}"


# --- A closed day -------------------------------------------------------------------------------------------------
def screen_closed_days() -> list[DayScreening]:
    """Looks once at every complete day of every cohort that nobody has looked at; the oldest first."""
    waiting = (
        CohortDay.objects.filter(complete=True, screening=None)
        .select_related("cohort__book")
        .order_by("pk")[:MOST_DAYS]
    )
    version, rules = rules_in_force()
    return [screen_day(day, rules=rules, version=version) for day in waiting]


def screen_day(day: CohortDay, *, rules: ScreeningRules, version: int) -> DayScreening:
    """Keeps what was seen; flags agents that met each other for more than the policy allows, and bursts."""
    seen = _bars(day)
    met, share = _crossings(seen)
    notional = sum((c.bought + c.sold for c in seen), Decimal(0))
    crossed = sum((c.crossed for c in met), Decimal(0))
    crossing = rules.self_crossing.enabled and bool(met) and share >= rules.self_crossing.noted_from_frac
    bursts = bursts_of(day, rules.momentum_ignition) if rules.momentum_ignition.enabled else []
    flagged = crossing or bool(bursts)
    with transaction.atomic():
        kept, made = DayScreening.objects.get_or_create(
            cohort_day=day,
            defaults={
                "policy_version": version,
                "notional": notional,
                "crossed_notional": crossed,
                "crossed_bars": len(met),
                "bursts": len(bursts),
                "flagged": flagged,
            },
        )
        if made:
            publish(
                "trading.day.screened",
                actor=None,
                obj=kept,
                payload={
                    "cohort": day.cohort_id,
                    "day": day.day,
                    "notional": notional,
                    "crossed_notional": crossed,
                    "bursts": len(bursts),
                    "flagged": flagged,
                    "policy_version": version,
                },
            )
        if made and crossing:
            _flag(day, met, share=share, version=version)
        if made and bursts:
            _flag_bursts(day, bursts, version=version)
    return kept


def _bars(day: CohortDay) -> list[Crossing]:
    with connection.cursor() as cursor:
        cursor.execute(_CROSSINGS, {"cohort": day.cohort_id, "date": day.date})
        return [Crossing(symbol, at, bought, sold, tuple(agents)) for symbol, at, bought, sold, agents in cursor]


def _crossings(seen: Sequence[Crossing]) -> tuple[list[Crossing], Decimal]:
    """The bars with agents on both sides, the largest first, and their share of all that was traded."""
    met = sorted((c for c in seen if c.crossed > 0), key=lambda c: (-c.crossed, c.at, c.symbol))
    notional = sum((c.bought + c.sold for c in seen), Decimal(0))
    return met, sum((c.crossed for c in met), Decimal(0)) / notional if notional else Decimal(0)


def _flag(day: CohortDay, met: Sequence[Crossing], *, share: Decimal, version: int) -> None:
    raise_flag(
        key=_day_key(day.cohort_id, day.day, ScreeningRule.SELF_CROSSING),
        rule=ScreeningRule.SELF_CROSSING,
        severity=FlagSeverity.NOTE,
        subject=f"{day.cohort}, day {day.day}",
        book_path=day.cohort.book.path if day.cohort.book else "",
        finding=f"Agents were on both sides of a market in {len(met):,} bars, {share:.1%} of the day's turnover.",
        evidence={
            "cohort": day.cohort_id,
            "day": day.day,
            "policy_version": version,
            "largest": [
                {
                    "symbol": c.symbol,
                    "at": c.at.isoformat(),
                    "bought": c.bought,
                    "sold": c.sold,
                    "agents": list(c.agents),
                }
                for c in met[:MOST_EXAMPLES]
            ],
        },
    )


def _flag_bursts(day: CohortDay, bursts: Sequence[Finding], *, version: int) -> None:
    largest = sorted(bursts, key=lambda f: -float(f.evidence.get("market_share_frac", 0.0)))
    bars = "one bar" if len(bursts) == 1 else f"{len(bursts):,} bars"
    raise_flag(
        key=_day_key(day.cohort_id, day.day, ScreeningRule.MOMENTUM_IGNITION),
        rule=ScreeningRule.MOMENTUM_IGNITION,
        severity=FlagSeverity.NOTE,
        subject=f"{day.cohort}, day {day.day}",
        book_path=day.cohort.book.path if day.cohort.book else "",
        finding=f"Agents moved a market together in {bars}. The largest: {largest[0].text}"[:400],
        evidence={
            "cohort": day.cohort_id,
            "day": day.day,
            "policy_version": version,
            "largest": [evidence_of(f, most=MOST_EXAMPLES) for f in largest[:MOST_EXAMPLES]],
        },
    )
