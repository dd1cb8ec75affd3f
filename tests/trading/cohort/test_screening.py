"""Closed days are looked at once; agents on both sides of a bar are counted as by hand, and noted by the policy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest

from compliance.models import AuditEvent, ScreeningFlag
from compliance.screening.policy import MomentumIgnition, ScreeningRules, SelfCrossing
from tests.gate import by_gate
from trading.actions.cohort_drive import drive_cohort
from trading.actions.screening import screen_closed_days, screen_day
from trading.cohorts.catalog import open_catalog
from trading.marketdata.loader import load_candles
from trading.models.cohort import Cohort, CohortDay, CohortFill
from trading.models.screening import DayScreening

pytestmark = pytest.mark.usefixtures("ruled_world")


@pytest.fixture
def finished(launched: Callable[..., Cohort]) -> Cohort:
    """It traded under rules that were off: what is flagged here, the closed days have shown."""
    off = {"self_crossing": {"enabled": False}, "momentum_ignition": {"enabled": False}}
    by_gate("compliance.set_screening_policy", {"rules": off})
    cohort = launched(agent_count=12)
    drive_cohort(cohort_id=cohort.pk)
    cohort.refresh_from_db()
    return cohort


def by_hand(day: CohortDay) -> tuple[Decimal, Decimal, int]:
    """Notional, crossed notional and bars with agents on both sides, fill by fill."""
    net: dict[tuple[str, object], dict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for fill in CohortFill.objects.filter(cohort=day.cohort_id):
        if fill.at.date() == day.date:
            sign = 1 if fill.side == "buy" else -1
            net[fill.symbol, fill.at][fill.agent_id] += sign * fill.quantity * fill.price
    notional = crossed = Decimal(0)
    bars = 0
    for agents in net.values():
        bought = sum((x for x in agents.values() if x > 0), Decimal(0))
        sold = -sum((x for x in agents.values() if x < 0), Decimal(0))
        notional += bought + sold
        crossed += 2 * min(bought, sold)
        bars += min(bought, sold) > 0
    return notional, crossed, bars


@pytest.mark.django_db
def test_every_closed_day_is_looked_at_once(finished: Cohort) -> None:
    assert [s.cohort_day.day for s in screen_closed_days()] == [1, 2, 3]
    assert screen_closed_days() == []
    assert AuditEvent.objects.filter(kind="trading.day.screened").count() == 3
    for screening in DayScreening.objects.select_related("cohort_day"):
        notional, crossed, bars = by_hand(screening.cohort_day)
        assert notional > 0
        assert abs(screening.notional - notional) < Decimal("1e-9")
        assert abs(screening.crossed_notional - crossed) < Decimal("1e-9")
        assert screening.crossed_bars == bars


@pytest.mark.django_db
def test_crossing_above_the_policy_is_flagged_with_its_bars(finished: Cohort) -> None:
    day = next(d for d in finished.cohort_days.all() if by_hand(d)[2])
    share = by_hand(day)[1] / by_hand(day)[0]
    rules = ScreeningRules(self_crossing=SelfCrossing(noted_from_frac=share * Decimal("0.999")))
    assert screen_day(day, rules=rules, version=3).flagged
    flag = ScreeningFlag.objects.get()
    assert flag.rule == "self_crossing"
    assert flag.evidence["policy_version"] == 3
    largest = flag.evidence["largest"]
    assert len(largest[0]["agents"]) >= 2
    assert min(Decimal(largest[0]["bought"]), Decimal(largest[0]["sold"])) >= min(
        Decimal(largest[-1]["bought"]), Decimal(largest[-1]["sold"])
    )


@pytest.mark.django_db
@pytest.mark.parametrize("rule", [{"noted_from_frac": Decimal(1)}, {"enabled": False}])
def test_crossing_below_the_policy_is_kept_without_a_flag(finished: Cohort, rule: dict[str, object]) -> None:
    day = finished.cohort_days.get(day=1)
    rules = ScreeningRules(self_crossing=SelfCrossing.model_validate(rule))
    assert not screen_day(day, rules=rules, version=0).flagged
    assert not ScreeningFlag.objects.exists()


# --- Bursts ----------------------------------------------------------------------------------------------------
BURSTS = MomentumIgnition.model_validate(
    {"min_orders": 2, "market_share_frac": "0.000000001", "move_bps": "0.0000001", "window_s": 30}
)


def bursts_by_hand(day: CohortDay) -> int:
    """Sides of bars in which two agents or more went the market's way, bar by bar."""
    cohort = day.cohort
    opens = datetime.combine(day.date, time.min, tzinfo=UTC)
    frame = load_candles(
        open_catalog(), cohort.venue, cohort.symbols, cohort.interval, opens, opens + timedelta(days=1)
    )
    net: dict[tuple[str, datetime], dict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for fill in CohortFill.objects.filter(cohort=cohort):
        if fill.at.date() == day.date:
            net[fill.symbol, fill.at][fill.agent_id] += fill.quantity * (1 if fill.side == "buy" else -1)
    found = 0
    for (symbol, at), agents in net.items():
        row, column = int((at - opens).total_seconds()) // 60, cohort.symbols.index(symbol)
        rose = frame.close[row, column] - frame.open[row, column]
        for side in (1, -1):
            found += sum(x * side > 0 for x in agents.values()) >= 2 and rose * side > 0
    return found


@pytest.mark.django_db
def test_bars_in_which_agents_moved_the_market_together_are_flagged(finished: Cohort) -> None:
    day = max(finished.cohort_days.all(), key=bursts_by_hand)
    expected = bursts_by_hand(day)
    assert expected > 0
    rules = ScreeningRules(self_crossing=SelfCrossing(enabled=False), momentum_ignition=BURSTS)
    kept = screen_day(day, rules=rules, version=4)
    assert (kept.bursts, kept.flagged) == (expected, True)
    flag = ScreeningFlag.objects.get()
    assert (flag.rule, flag.severity) == ("momentum_ignition", "note")
    largest = flag.evidence["largest"]
    shares = [burst["market_share_frac"] for burst in largest]
    assert shares == sorted(shares, reverse=True)
    assert all(burst["move_bps"] > 0 and burst["burst"] for burst in largest)
    assert len(largest) == min(expected, 20)


@pytest.mark.django_db
@pytest.mark.parametrize("rule", [{"enabled": False}, {"min_orders": 10_000}, {"market_share_frac": "1"}])
def test_bursts_within_the_policy_are_not_flagged(finished: Cohort, rule: dict[str, object]) -> None:
    rules = ScreeningRules(
        self_crossing=SelfCrossing(enabled=False),
        momentum_ignition=MomentumIgnition.model_validate(BURSTS.model_dump() | rule),
    )
    kept = screen_day(finished.cohort_days.get(day=1), rules=rules, version=0)
    assert (kept.bursts, kept.flagged) == (0, False)
    assert not ScreeningFlag.objects.exists()
