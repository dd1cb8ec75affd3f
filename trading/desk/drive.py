"""Finding the desks that have something to do, leasing them, and working their bars in order. What the workers call."""

from __future__ import annotations

import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
from django.db import OperationalError, transaction

from fundops.core import clock
from fundops.core.bulk import run
from fundops.core.errors import FundopsError
from fundops.core.events import publish
from trading.actions.deployments import finish_deployment, stop_deployment
from trading.cohorts.catalog import open_catalog
from trading.cohorts.setup import DAY_MS, market_of
from trading.desk import heartbeats, lease, voices, warm
from trading.desk.cycle import settle, work_bar
from trading.desk.loaded import Desk, load_desks
from trading.desk.records import load_seats
from trading.desk.seat import Seat
from trading.gateways.base import Gateway
from trading.gateways.installed import gateway_of
from trading.marketdata.loader import load_candles
from trading.models.cohort import INTERVAL_MINUTES
from trading.models.deployments import (
    WORKED_STATUSES,
    Deployment,
    DeploymentStatus,
    DeskRun,
    TradingCycle,
)
from trading.quant.engine.market import Market
from trading.risk_signals import desk_failed
from trading.selectors.candle_feeds import Supply, supply_of

logger = logging.getLogger(__name__)

#: Desks that one worker takes at a time; the next worker takes the next ones.
SHARE = 25
#: Bars that a desk which is behind works before its lease is given back, so that others get their turn.
BARS_A_TURN = 240
#: Nor does it work longer than this: whoever is behind most comes next, also desks whose worker died.
TURN_S = 1.0
#: How far back the strategies look before the first bar, as a cohort's do.
LOOKBACK_DAYS = 7

_Group = tuple[str, tuple[str, ...], int, str]

#: What is stored of the markets of desks: of each venue, markets and step the series, and until when all of them are.
Known = dict[tuple[str, tuple[str, ...], int], tuple[list[Supply], int]]

_WATCHED = """
SELECT d.id, d.status, d.venue, d.symbols, d.interval, d.start_ms, d.end_ms, d.speed, d.running_since, r.next_bar_ms,
       EXISTS (SELECT FROM trading_tradingcycle c
                WHERE c.deployment_id = d.id AND c.number = r.cycles AND c.phase = 'decided')
  FROM trading_deployment d JOIN trading_deskrun r ON r.deployment_id = d.id
 WHERE d.status = ANY (%s::text[])
 ORDER BY d.id
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """The columns that tell whether a desk is due."""

    pk: int
    status: str
    venue: str
    symbols: list[str]
    interval: str
    start_ms: int
    end_ms: int | None
    speed: float
    running_since: datetime | None
    next_bar_ms: int
    is_unsettled: bool

    @property
    def interval_ms(self) -> int:
        return INTERVAL_MINUTES[self.interval] * 60_000

    @property
    def ends_at_once(self) -> bool:
        """A stopping desk that no bar will come for any more, at its window's end, or that never ran."""
        return self.status == DeploymentStatus.STOPPING and self.running_since is None


def run_desks(due: Mapping[int, int] | None = None, *, share: int = SHARE, lease_s: float = lease.LEASE_S) -> int:
    """Works everything that is due and that nobody else is working; returns the number of bars worked.

    Safe to call at any time, any number of times, from anywhere. ``due`` is what the caller has just found to be due
    (`due_desks`), so that it is not looked for twice: a bar that is known stays known, and what the desk may do with it
    is read under its lease.
    """
    worked = 0
    until = due_desks() if due is None else due
    while until:
        tokens = lease.take(list(until), limit=share, lease_s=lease_s)
        if not tokens:
            break
        try:
            worked += _work_turn(tokens, until)
            heartbeats.beat(tokens)
        finally:
            lease.release(tokens)
        if not lease.is_any_free([pk for pk in until if pk not in tokens]):
            break
        until = due_desks()
    return worked


def due_desks() -> dict[int, int]:
    """Deployments with something to do, and until where (opening time of the first bar that may not be worked)."""
    known: Known = {}
    due = {}
    for row in run(_WATCHED, [[str(status) for status in WORKED_STATUSES]]):
        watched = Watched(*row)
        until = bars_known_until(watched, watched, known)
        new = watched.status == DeploymentStatus.DEPLOYING
        if new or watched.next_bar_ms < until or watched.ends_at_once:
            due[watched.pk] = until
        elif watched.is_unsettled:
            due[watched.pk] = watched.next_bar_ms
    return due


def bars_known_until(deployment: Deployment | Watched, run: DeskRun | Watched, known: Known) -> int:
    """Opening time of the first bar that this deployment may not work yet, epoch ms; ``known`` keeps what was read."""
    step = deployment.interval_ms
    key = deployment.venue, tuple(deployment.symbols), step
    if key not in known:
        supplies = [supply_of(deployment.venue, symbol, step) for symbol in deployment.symbols]
        known[key] = supplies, min(supply.stored_until_ms for supply in supplies)
    supplies, delivered = known[key]
    last = deployment.end_ms if deployment.end_ms is not None else 2**62
    if deployment.speed == 0.0:
        return min(delivered, last)
    now_ms = clock.now_ms()
    if deployment.speed != 1.0:
        since = deployment.running_since
        elapsed = now_ms - clock.to_ms(since) if since is not None else 0
        simulated = deployment.start_ms + int(elapsed * deployment.speed)
        return min(simulated - simulated % step, delivered, last)
    closed = now_ms - now_ms % step
    given = min(supply.tradable_until(run.next_bar_ms, now_ms) for supply in supplies)
    return max(run.next_bar_ms, min(closed, given, last))


# --- One turn -----------------------------------------------------------------------------------------------------
def _work_turn(tokens: Mapping[int, int], until: Mapping[int, int]) -> int:
    groups: dict[_Group, list[Seat]] = defaultdict(list)
    for seat in warm.take_up(tokens):
        groups[_group_of(seat.desk.deployment)].append(seat)
    known = {seat.desk.deployment.pk for seats in groups.values() for seat in seats}
    for group, desks in _strangers([pk for pk in tokens if pk not in known]).items():
        groups[group] += _ready(desks, tokens, gateway_of(group[3]))
    for seats in groups.values():
        seats.sort(key=lambda seat: seat.desk.deployment.pk)  # kept or not, they are judged in the same order
    return sum(_work_group(group, seats, until, gateway_of(group[3])) for group, seats in groups.items())


def _strangers(deployment_ids: Sequence[int]) -> Mapping[_Group, list[Desk]]:
    """Desks that this worker did not have last, from the database."""
    groups: dict[_Group, list[Desk]] = defaultdict(list)
    if deployment_ids:
        rows = Deployment.objects.filter(pk__in=deployment_ids).select_related("book", "fund").order_by("pk")
        for desk in load_desks(list(rows)):
            groups[_group_of(desk.deployment)].append(desk)
    return groups


def _group_of(deployment: Deployment) -> _Group:
    return deployment.venue, tuple(deployment.symbols), deployment.interval_ms, deployment.gateway


def _ready(desks: Sequence[Desk], tokens: Mapping[int, int], gateway: Gateway) -> list[Seat]:
    """The seats of a group, new ones opened, unsettled ones settled; those that must wait left out."""
    for desk in desks:
        if desk.deployment.status == DeploymentStatus.DEPLOYING:
            _alone(desk, partial(_start, desk, tokens[desk.deployment.pk], gateway))
    seats = load_seats(
        [desk for desk in desks if desk.deployment.is_worked and desk.deployment.running_since is not None], tokens
    )
    never_ran = [
        d for d in desks if d.deployment.status == DeploymentStatus.STOPPING and not d.deployment.running_since
    ]
    for desk in never_ran:
        with transaction.atomic():
            if lease.hold({desk.deployment.pk: tokens[desk.deployment.pk]}):
                on = clock.from_ms(desk.deployment.start_ms - desk.deployment.interval_ms).date()
                finish_deployment(deployment=desk.deployment, on=on)
    unsettled = [seat for seat in seats if seat.cycle is not None]
    settled = settle(unsettled, gateway) if unsettled else []
    return [seat for seat in seats if seat not in unsettled or seat in settled]


def _work_group(group: _Group, seats: list[Seat], until: Mapping[int, int], gateway: Gateway) -> int:
    """Bars in time order; at each, the desks that stand at it together."""
    ends = {id(seat): _end_of(seat.desk.deployment, until) for seat in seats}
    waiting = [seat for seat in seats if seat.run.next_bar_ms < ends[id(seat)]]
    if not waiting:
        warm.put_aside(seats)
        return 0
    venue, symbols, step, _ = group
    first = min(seat.run.next_bar_ms for seat in waiting)
    last = min(max(ends[id(seat)] for seat in waiting), first + BARS_A_TURN * step)
    market = load_market(venue, symbols, step, first, last)
    worked, began = 0, time.monotonic()
    for row, ts in enumerate(market.ts_ms.tolist()):
        here = [seat for seat in waiting if seat.run.next_bar_ms == ts and ts < ends[id(seat)]]
        if not here:
            continue
        count, going_on = _work_together(here, market.slice(row, row + 1), gateway)
        worked += count
        waiting = [seat for seat in waiting if seat not in here or (seat in going_on and not seat.finished)]
        if not waiting or time.monotonic() - began > TURN_S:
            break
    warm.put_aside(waiting)
    return worked


def _end_of(deployment: Deployment, until: Mapping[int, int]) -> int:
    """Opening time of the first bar that it may not work; its own end may have come nearer since it was found due."""
    known = until.get(deployment.pk, 0)
    return known if deployment.end_ms is None else min(known, deployment.end_ms)


def _work_together(seats: list[Seat], bar: Market, gateway: Gateway) -> tuple[int, list[Seat]]:
    """How many desks worked the bar, and which of them may go on.

    All at once; when that is refused, one by one, so that one desk's trouble is its own.
    """
    try:
        return len(seats), work_bar(seats, bar, gateway)
    except OperationalError:
        raise
    except Exception:
        if len(seats) == 1:
            _trouble(seats[0].desk)
            return 0, []
        logger.exception("A bar of %d desks failed; they are worked one by one.", len(seats))
    worked = 0
    for seat in load_seats([seat.desk for seat in seats], {s.desk.deployment.pk: s.token for s in seats}):
        if seat.run.next_bar_ms == int(bar.ts_ms[-1]) and seat.cycle is None:
            worked += _alone(seat.desk, partial(work_bar, [seat], bar, gateway))
    # What was worked alone goes on with the next turn: these seats hold what failed.
    return worked, []


def _alone(desk: Desk, work: Callable[[], object]) -> bool:
    """Whether it went well; a desk in trouble is stopped."""
    try:
        work()
    except OperationalError:
        raise
    except Exception:
        _trouble(desk)
        return False
    return True


def _trouble(desk: Desk) -> None:
    """A desk that cannot go on stops: no order is sent on figures that nobody vouches for."""
    logger.exception("Deployment %s is stopped.", desk.deployment.pk)
    error = _present_error()
    reason = f"Its desk failed: {error}"[:400]
    desk_failed(desk.deployment, sys.exc_info()[1])
    try:
        stop_deployment(deployment=desk.deployment, reason=reason, flatten=False, actor=None)
    except FundopsError:
        logger.exception("Deployment %s could not be stopped.", desk.deployment.pk)


def _present_error() -> str:
    error = sys.exc_info()[1]
    return error.message if isinstance(error, FundopsError) else f"{type(error).__name__}: {error}"


# --- The start ------------------------------------------------------------------------------------------------------
def _start(desk: Desk, token: int, gateway: Gateway) -> None:
    """Warms the strategies up, opens the account, and decides for the first bar; done once, however often begun."""
    deployment = desk.deployment
    step = deployment.interval_ms
    history = _history(deployment)
    closes = {} if history is None else _last_closes(history)
    gateway.open_account(desk.account_rules(closes))
    memories = voices.opened_states(desk.voices, history, deployment.start_ms)
    with transaction.atomic():
        if not lease.hold({deployment.pk: token}):
            return
        row = Deployment.objects.select_for_update(of=("self",)).get(pk=deployment.pk)
        if row.status != DeploymentStatus.DEPLOYING:
            return
        DeskRun.objects.filter(deployment=deployment).update(
            voices_state=voices.pack(memories),
            last_closes=closes,
            history_bars=0 if history is None else history.n_bars,
        )
        row.status, row.running_since = DeploymentStatus.RUNNING, clock.now()
        row.save(update_fields=["status", "running_since"])
        deployment.status, deployment.running_since = row.status, row.running_since
        _tell_running(row)
    if history is not None and not TradingCycle.objects.filter(deployment=deployment).exists():
        seat = load_seats([desk], {deployment.pk: token})[0]
        last = history.slice(history.n_bars - 1, history.n_bars)
        if int(last.ts_ms[-1]) + step == deployment.start_ms:
            work_bar([seat], last, gateway, opening=True)


def _tell_running(deployment: Deployment) -> None:
    publish(
        "trading.deployment.running",
        actor=None,
        obj=deployment,
        payload={"start_ms": deployment.start_ms},
        topics=["deployments", deployment.topic],
    )


def _history(deployment: Deployment) -> Market | None:
    """The week before the first bar; None where a market has no candles of it (as for a cohort)."""
    first = deployment.start_ms
    market = load_market(
        deployment.venue, deployment.symbols, deployment.interval_ms, first - LOOKBACK_DAYS * DAY_MS, first
    )
    return market if np.isfinite(market.close).any(axis=0).all() else None


def _last_closes(history: Market) -> dict[str, float]:
    marks = history.marks(np.full(history.n_symbols, np.nan))
    return {symbol: float(marks[column, -1]) for column, symbol in enumerate(history.symbols)}


def load_market(venue: str, symbols: Sequence[str], interval_ms: int, start_ms: int, end_ms: int) -> Market:
    """Bars opening in [start, end) as the engine's market, with funding."""
    catalog = open_catalog()
    return market_of(load_candles(catalog, venue, list(symbols), interval_ms, start_ms, end_ms), catalog)
