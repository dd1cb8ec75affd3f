"""The trading mode over a cohort's Books as plain data: asked before a stretch is computed, again before it is kept.

A stretch takes its time, and a stop may come meanwhile. So the answer that judged it is held against a newer one twice:
against what an order would be told now, when it has been computed, and against the database itself, as the last
statement of the transaction that keeps it. What has tightened, or is not known, has the stretch computed again under
the tightest that was said; nothing of it was kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from risk.models.switches import SEVERITY
from risk.quant.pretrade import TradingMode
from risk.switches import Modes, mode_of

#: `mode` of the cohort's Book and `agent_modes` of those agents (by number) whose Books have another one; None is not
#: known. Part of the record that judged a stretch.
ModesTaken = dict[str, Any]
_UNKNOWN = max(SEVERITY.values()) + 1


def modes_in(modes: Modes | None, *, book_id: int, venue: str, agent_books: Mapping[int, int]) -> ModesTaken:
    """What a reading of the switches says about a cohort's Book and its agents' (`agent_books` by number)."""
    mode = mode_of(modes, book_id=book_id, venue=venue)
    if modes is None:
        return {"mode": None, "agent_modes": {}}
    stopped = {book for book, _ in modes.stopped}
    own = {n: mode_of(modes, book_id=pk, venue=venue) for n, pk in sorted(agent_books.items()) if pk in stopped}
    return {"mode": _name(mode), "agent_modes": {str(n): _name(m) for n, m in own.items() if m is not mode}}


def has_tightened(now: Mapping[str, Any], judged_by: Mapping[str, Any]) -> bool:
    """Whether some Book may do less than by the modes that a stretch was judged by."""
    return any(_severity(_of(now, n)) > _severity(_of(judged_by, n)) for n in _named(now, judged_by))


def tightest(a: Mapping[str, Any], b: Mapping[str, Any]) -> ModesTaken:
    """Of each Book the tighter of two answers."""
    said = {n: max(_of(a, n), _of(b, n), key=_severity) for n in _named(a, b)}
    mode = said.pop(None)
    return {"mode": mode, "agent_modes": {n: m for n, m in sorted(said.items(), key=_by_number) if m != mode}}


def _named(*taken: Mapping[str, Any]) -> set[str | None]:
    """The cohort (None) and the agents that any of them speaks of."""
    return {None, *(n for one in taken for n in one.get("agent_modes", {}))}


def _of(taken: Mapping[str, Any], number: str | None) -> str | None:
    mode: str | None = taken["mode"]
    return mode if number is None else taken.get("agent_modes", {}).get(number, mode)


def _severity(mode: str | None) -> int:
    return _UNKNOWN if mode is None else SEVERITY[TradingMode(mode)]


def _name(mode: TradingMode | None) -> str | None:
    return None if mode is None else mode.value


def _by_number(named: tuple[str | None, str | None]) -> int:
    return int(named[0] or 0)
