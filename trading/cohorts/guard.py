"""What a cohort's orders are judged by: effective limits of its Book and its agents' Books, and the trading mode.

What was in force is written down as plain data with the run, from which bar on; the engine's limits are made of that
record alone, so that a run can be computed again whatever becomes of the limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fundops.core import clock
from risk.leverage import decided_leverage
from risk.models import RiskLimit
from risk.quant.metrics import Metric, describe
from risk.quant.pretrade import Limit, LimitSet, TradingMode
from risk.selectors import EffectiveLimit, effective_limits
from risk.switches import modes_now
from trading.cohorts.elsewhere import less_elsewhere
from trading.cohorts.modes import modes_in
from trading.cohorts.tactics import engine_tactics, take_tactics
from trading.models.cohort import Cohort
from trading.quant import engine
from trading.quant.engine.codes import LimitReason, limit_reason
from trading.unit_risk import TAILS, unit_tails
from treasury.models import Book

#: One stretch of a run with the same limits: `from_ms`, `taken_at`, and the rest, which the orders were judged by.
Record = dict[str, Any]
_WHEN = ("from_ms", "taken_at")
_IN_WORDS = {
    "mode_reducing": "denied: trading is REDUCING, positions may only be closed",
    "mode_halted": "denied: trading is HALTED",
    "mode_unknown": "denied: the trading mode was not known",
    "unpriced": "denied: no price was known to judge the limits by",
    "self_crossing": "denied: another agent traded the other side in the same bar",
    "momentum_ignition": "denied: it would complete a burst of the agents that moves the market",
}


# --- Taking ---------------------------------------------------------------------------------------------------
def take_limits(
    *,
    book: Book,
    venue: str,
    symbols: Sequence[str],
    from_ms: int,
    agent_books: Mapping[int, int] | None = None,
    beside_others: bool = False,
    at: datetime | None = None,
) -> Record:
    """What binds orders under `book` from the bar that opens at `from_ms` on; `agent_books` gives Books by number.

    `beside_others`: amounts that Books above are limited to are less what others hold of them now.

    Reads the trading mode from Redis, so it is called outside of transactions.
    """
    moment = at or clock.now()
    modes = modes_in(modes_now(), book_id=book.pk, venue=venue, agent_books=agent_books or {})
    shared = _lines(effective_limits(book, at=moment), symbols, venue)
    if beside_others:
        shared = less_elsewhere(shared, book=book, at=moment, from_ms=from_ms)
    agents = _agents_with_their_own(agent_books or {}, moment)
    own = {str(n): _lines(effective_limits(b, at=moment), symbols, venue) for n, b in sorted(agents.items())}
    every = [*shared, *(line for lines in own.values() for line in lines)]
    return {
        "from_ms": from_ms,
        "taken_at": moment.isoformat(),
        **modes,
        "tactics": take_tactics(),
        "limits": shared,
        "agents": own,
        "unit_risk": unit_tails(symbols, from_ms) if any(_needs_tails(line) for line in every) else {},
    }


def binds_otherwise(record: Record, before: Record | None) -> bool:
    """Whether a record says something else than the one before, times apart."""
    if before is None:
        return True
    return any(record[key] != before.get(key) for key in record if key not in _WHEN)


def _lines(limits: Iterable[EffectiveLimit], symbols: Sequence[str], venue: str) -> list[dict[str, Any]]:
    """Those limits that an order of this cohort can meet."""
    return [
        {
            "metric": str(x.metric),
            "symbol": x.symbol,
            "venue": x.venue,
            "soft": x.soft if x.soft is not None and math.isfinite(x.soft) else None,
            "hard": x.hard if x.hard is not None and math.isfinite(x.hard) else None,
            "name": x.as_limit().name,
            "book": x.hard_book_id or x.soft_book_id,
            "soft_limit": x.soft_limit_id,
            "soft_book": x.soft_book_id,
        }
        for x in limits
        if x.symbol in ("", *symbols) and x.venue in ("", venue)
    ]


def _agents_with_their_own(books: Mapping[int, int], at: datetime) -> dict[int, Book]:
    """The Books of those agents on which somebody has set something."""
    ids = list(books.values())
    if not ids:
        return {}
    found = set(RiskLimit.objects.in_force(at).filter(book__in=ids).values_list("book_id", flat=True))
    found |= set(decided_leverage(ids, at=at))
    rows = Book.objects.in_bulk(found)
    return {number: rows[pk] for number, pk in books.items() if pk in rows}


def _needs_tails(line: Mapping[str, Any]) -> bool:
    return line["metric"] in TAILS and line["hard"] is not None


# --- Using ----------------------------------------------------------------------------------------------------
def order_limits(record: Record | None, venue: str) -> engine.OrderLimits | None:
    """The engine's limits of a record; None without one."""
    if record is None:
        return None
    return engine.OrderLimits(
        cohort=_limit_set(record["limits"]),
        agents={int(number) - 1: _limit_set(lines) for number, lines in record["agents"].items()},
        mode=_mode(record["mode"]),
        agent_modes={int(number) - 1: _mode(mode) for number, mode in record.get("agent_modes", {}).items()},
        venue=venue,
        unit_risk={
            symbol: engine.UnitRisk(*(math.nan if x is None else x for x in numbers))
            for symbol, numbers in record["unit_risk"].items()
        },
        tactics=engine_tactics(record.get("tactics")),
    )


def _mode(name: str | None) -> TradingMode | None:
    return None if name is None else TradingMode(name)


def _limit_set(lines: Iterable[Mapping[str, Any]]) -> LimitSet:
    return LimitSet(
        Limit(Metric(x["metric"]), x["hard"], None, x["symbol"], x["venue"], x["name"])
        for x in lines
        if x["hard"] is not None
    )


# --- Telling --------------------------------------------------------------------------------------------------
def record_at(cohort: Cohort, at_ms: int) -> Record | None:
    """The record that judged the orders of a bar."""
    run = getattr(cohort, "run", None)
    records: list[Record] = run.provenance.get("limits", []) if run else []
    return next((record for record in reversed(records) if record["from_ms"] <= at_ms), None)


def limits_in_words(record: Record | None) -> list[dict[str, Any]]:
    """The lines of a record for a page: what, on what, its levels, whence, and which agents' own it is (None: all)."""
    if record is None:
        return []
    lines: list[tuple[int | None, Mapping[str, Any]]] = [(None, line) for line in record["limits"]]
    lines += [
        (int(number), line) for number, own in record["agents"].items() for line in own if line not in record["limits"]
    ]
    return [
        {
            "agent": number,
            "what": describe(Metric(line["metric"])),
            "scope": ", ".join(x for x in (line["symbol"], line["venue"]) if x),
            "soft": None if line["soft"] is None else f"{line['soft']:,.6g}",
            "hard": None if line["hard"] is None else f"{line['hard']:,.6g}",
            "name": line["name"],
            "book": line["book"],
        }
        for number, line in lines
    ]


def explain_reason(cohort: Cohort, reason: str, *, at_ms: int, symbol: str, number: int) -> str | None:
    """A denial as a person reads it, with the limit named; None for what the engine's own rules refused."""
    if reason in _IN_WORDS:
        return _IN_WORDS[reason]
    found = limit_reason(reason)
    if found is None:
        return None
    whose = "its own book" if found.own else "the cohort's book"
    what = describe(found.metric)
    what = what[0].lower() + what[1:]
    line = _line_behind(record_at(cohort, at_ms), found, symbol, number)
    named = f" ({line['name']}: {line['hard']:,.6g})" if line else ""
    if not found.known:
        return f"denied: {what} of {whose} is not known{named}"
    return f"denied: {what} of {whose}{named}"


def _line_behind(record: Record | None, reason: LimitReason, symbol: str, number: int) -> Mapping[str, Any] | None:
    """The tightest hard limit of that metric that spoke about the symbol."""
    if record is None:
        return None
    lines = record["agents"].get(str(number), record["limits"]) if reason.own else record["limits"]
    spoke = [x for x in lines if x["metric"] == reason.metric and x["symbol"] in ("", symbol) and x["hard"] is not None]
    if reason.metric is Metric.COOLDOWN_S:
        return max(spoke, key=lambda x: float(x["hard"]), default=None)
    return min(spoke, key=lambda x: float(x["hard"]), default=None)
