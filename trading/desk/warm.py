"""Seats that a worker keeps from bar to bar, so that a desk it had last is not read again.

A seat is put aside when its bar ended as it should, and taken up again when the lease is: under the token that comes
right after the seat's own, with the same figures in the row. Another worker, a resize, or anybody else who may change
what a desk remembers raises the token, so what is in memory is then what is in the database. Everything that others
change without it (status, weights of voices, bankroll, end) is read anew with one query; limits, leverage and modes are
read at every bar anyway. Whatever does not fit is read from the database, as by a worker that never saw the desk.

A seat is gone while it is worked: after an error or a lost lease nobody puts it back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from fundops.core.bulk import run
from trading.desk.seat import Seat
from trading.models.deployments import UNSETTLED, CyclePhase

_KEPT = 1_000

#: Of the run: what a bar moves. Compared, so that a row that somebody wrote by hand is read again.
_FIGURES = (
    "next_bar_ms",
    "bars",
    "cycles",
    "fills",
    "reports_seen",
    "cash",
    "equity",
    "day_open_equity",
    "peak_equity",
)
#: Of the deployment: what the database lets people and policies change.
_CHANGING = (
    "name", "status", "bankroll", "slippage_cap_frac", "end_ms", "speed", "running_since", "flatten", "stop_reason",
)  # fmt: skip
_NOW = f"""
SELECT r.deployment_id, d.opened_at, {", ".join(f"r.{name}" for name in _FIGURES)},
       {", ".join(f"d.{name}" for name in _CHANGING)},
       ARRAY(SELECT v.weight FROM trading_councilvoice v WHERE v.deployment_id = d.id ORDER BY v.number)
  FROM trading_deskrun r JOIN trading_deployment d ON d.id = r.deployment_id
 WHERE r.deployment_id = ANY (%s::bigint[])
"""  # noqa: S608

_kept: OrderedDict[int, Seat] = OrderedDict()


def put_aside(seats: Iterable[Seat]) -> None:
    """Keeps seats whose bars are done; one with anything unsettled is not kept."""
    for seat in seats:
        settled = seat.cycle is None or seat.cycle.phase == CyclePhase.DONE
        if seat.finished or not settled or any(order.status in UNSETTLED for order in seat.orders.values()):
            continue
        _kept[seat.desk.deployment.pk] = seat
        _kept.move_to_end(seat.desk.deployment.pk)
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)


def take_up(tokens: Mapping[int, int]) -> list[Seat]:
    """The kept seats of these leases that are as the database has them, under their new tokens."""
    mine = {}
    for pk, token in tokens.items():
        seat = _kept.pop(pk, None)
        if seat is not None and seat.token + 1 == token:
            mine[pk] = seat
    if not mine:
        return []
    found = []
    for pk, opened_at, *values in run(_NOW, [list(mine)]):
        seat = mine[pk]
        deployment = seat.desk.deployment
        figures, changing, weights = values[: len(_FIGURES)], values[len(_FIGURES) : -1], values[-1]
        if deployment.opened_at == opened_at and _is_current(seat, figures, weights):
            for name, value in zip(_CHANGING, changing, strict=True):
                setattr(deployment, name, value)
            for voice, weight in zip(seat.desk.voices, weights, strict=True):
                voice.row.weight = weight
            seat.token = tokens[pk]
            seat.cycle = None
            if deployment.is_worked:
                found.append(seat)
    return found


def _is_current(seat: Seat, figures: Iterable[Any], weights: list[Any]) -> bool:
    remembered = [getattr(seat.run, name) for name in _FIGURES]
    return remembered == list(figures) and len(weights) == len(seat.desk.voices)


def forget_all() -> None:
    """As a process that has just begun."""
    _kept.clear()
