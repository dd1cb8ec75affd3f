"""Where the Books of cohorts and deployments stand, by their own clocks: marks, opening and peak, losses, orders.

A cohort on accelerated time lives in its own hour: its positions are marked at the last close that it has seen, never
at a later one. The same holds for a desk. So the figures here are the last that the run itself wrote.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, OuterRef, Q, Subquery

from fundops.core import clock
from risk.ledger_source import Place
from trading.models.cohort import LIVE_STATUSES, AgentDay, CohortAgent, CohortDay, CohortFill, CohortRun
from trading.models.deployments import ENDED_STATUSES, DeskRun, Order, Position
from trading.models.instruments import Instrument, InstrumentKind
from trading.quant.engine import EngineState
from trading.quant.engine.errors import EngineStateError

#: What an order limit looks back over, by the Book's own clock.
ORDER_WINDOW = timedelta(minutes=1)
_WINDOW_MS = ORDER_WINDOW // timedelta(milliseconds=1)
#: `rate(asset, base, at)`: what one unit of a quote currency is worth in another; None where nothing tells.
Rate = Callable[[str, str, datetime], float | None]


@dataclass(frozen=True, slots=True)
class _Market:
    """The assets of one venue's markets, by the symbol that its candles have."""

    assets: dict[str, str]
    quoted_in: dict[str, str]

    @property
    def symbols(self) -> dict[str, str]:
        """What orders and limits call each asset."""
        return {asset: symbol for symbol, asset in self.assets.items()}


def places(held: Mapping[int, Collection[str]], *, rate: Rate) -> dict[int, Place]:
    """The places of all Books that a cohort or a deployment owns; a constant number of queries."""
    return _cohort_places(held, rate=rate) | _deployment_places(held, rate=rate)


# --- Cohorts -------------------------------------------------------------------------------------------------
#: What an ended cohort's Books are worth never changes again. By run and its last write.
_ended: OrderedDict[tuple[Any, ...], dict[int, Place]] = OrderedDict()
_ENDED_KEPT = 256


def _cohort_places(held: Mapping[int, Collection[str]], *, rate: Rate) -> dict[int, Place]:
    runs = list(
        CohortRun.objects.filter(
            Q(cohort__book__in=held) | Q(cohort__in=CohortAgent.objects.filter(book__in=held).values("cohort"))
        )
        .select_related("cohort__fund__base_asset")
        .defer("engine_state", "provenance")
    )
    out: dict[int, Place] = {}
    fresh = []
    for run in runs:
        known = None if run.cohort.is_live else _ended.get(_key(run))
        if known is None:
            fresh.append(run)
        else:
            out |= {pk: place for pk, place in known.items() if pk in held}
    if not fresh:
        return out
    for run, found in zip(fresh, _measured(fresh, held, rate), strict=True):
        out |= {pk: place for pk, place in found.items() if pk in held}
        if not run.cohort.is_live:
            _ended[_key(run)] = found
            if len(_ended) > _ENDED_KEPT:
                _ended.popitem(last=False)
    return out


def forget() -> None:
    """Nothing is kept of a database that was replaced."""
    _ended.clear()


def _key(run: CohortRun) -> tuple[Any, ...]:
    return run.pk, run.cohort_id, run.cohort.book_id, run.updated_at, run.cohort.status


def _measured(runs: list[CohortRun], held: Mapping[int, Collection[str]], rate: Rate) -> list[dict[int, Place]]:
    ids = [run.cohort_id for run in runs]
    markets = _markets({run.cohort.venue for run in runs})
    agents: dict[int, list[CohortAgent]] = {pk: [] for pk in ids}
    for agent in (
        CohortAgent.objects.filter(cohort__in=ids).only("cohort", "book", "number", "symbol").order_by("number")
    ):
        agents[agent.cohort_id].append(agent)
    states = dict(CohortRun.objects.filter(cohort__in=ids).values_list("cohort_id", "engine_state"))
    last = AgentDay.objects.filter(agent=OuterRef("pk")).order_by("-day")
    days = {
        pk: (opened, unrealised)
        for pk, opened, unrealised in CohortAgent.objects.filter(cohort__in=ids)
        .annotate(
            opened=Subquery(last.values("opening_equity")[:1]), open_result=Subquery(last.values("unrealised")[:1])
        )
        .values_list("pk", "opened", "open_result")
    }
    parents = dict(
        CohortDay.objects.filter(cohort__in=ids)
        .order_by("cohort", "-day")
        .distinct("cohort")
        .values_list("cohort", "opening_equity")
    )
    live = [run for run in runs if run.cohort.status in LIVE_STATUSES]
    orders, losses = _orders_and_losses(live)
    return [
        _cohort_books(
            run, agents[run.cohort_id], markets[run.cohort.venue], _peaks(states[run.cohort_id]), days,
            parents.get(run.cohort_id), orders, losses, held, rate,
        )
        for run in runs
    ]  # fmt: skip


def _markets(venues: Iterable[str]) -> dict[str, _Market]:
    rows = Instrument.objects.filter(venue__in=venues).values_list(
        "venue", "symbol", "kind", "position_asset__code", "quote_asset__code"
    )
    out = {venue: _Market({}, {}) for venue in venues}
    for venue, symbol, kind, asset, quote in rows:
        out[venue].assets[symbol] = asset
        if kind == InstrumentKind.PERPETUAL:
            out[venue].quoted_in[asset] = quote
    return out


def _peaks(state: Any) -> tuple[list[float], float] | None:
    """The highest equity of each agent and of the parent; None where another version of the engine wrote them."""
    if not state:
        return None
    try:
        arrays = EngineState.from_bytes(bytes(state)).arrays
    except EngineStateError:
        return None
    return [float(x) for x in arrays["agents"]["peak"]], float(arrays["wallets"]["peak"].sum())


def _orders_and_losses(runs: list[CohortRun]) -> tuple[dict[int, int], dict[int, datetime]]:
    """By agent of live cohorts: fills within the window, and the last that lost."""
    if not runs:
        return {}, {}
    window = Q(pk__in=[])
    for run in runs:
        window |= Q(cohort=run.cohort_id, at__gt=clock.from_ms(run.next_bar_ms) - ORDER_WINDOW)
    counted = CohortFill.objects.order_by().filter(window).values("agent").annotate(n=Count("pk"))
    lost = (
        CohortFill.objects.order_by()
        .filter(cohort__in=[run.cohort_id for run in runs], realised__lt=0)
        .values("agent")
        .annotate(last=Max("at"))
    )
    return {row["agent"]: row["n"] for row in counted}, {row["agent"]: row["last"] for row in lost}


def _cohort_books(
    run: CohortRun,
    agents: list[CohortAgent],
    market: _Market,
    peaks: tuple[list[float], float] | None,
    days: Mapping[int, tuple[Any, Any]],
    parent_opened: Any,
    orders: Mapping[int, int],
    losses: Mapping[int, datetime],
    held: Mapping[int, Collection[str]],
    rate: Rate,
) -> dict[int, Place]:
    cohort, now = run.cohort, clock.from_ms(run.next_bar_ms)
    base = cohort.fund.base_asset.code
    quote_worth = 1.0 if cohort.quote == base else rate(cohort.quote, base, now)
    marks = _marks(run.last_closes, market, cohort.quote, quote_worth)
    live = cohort.is_live

    def worth(amount: Any) -> float | None:
        return None if amount is None or quote_worth is None else float(amount) * quote_worth

    out: dict[int, Place] = {}
    for i, agent in enumerate(agents):
        opened, unrealised = days.get(agent.pk, (None, None))
        lost = losses.get(agent.pk)
        out[agent.book_id] = Place(
            venue=cohort.venue,
            marks=marks,
            symbols=market.symbols,
            currencies=market.quoted_in,
            unrealised=_unrealised(held.get(agent.book_id, ()), cohort.quote, worth(unrealised)),
            keeps_day=True,
            day_open_equity=worth(opened),
            peak_equity=worth(peaks[0][i]) if peaks and i < len(peaks[0]) else worth(opened),
            orders_in_window=float(orders.get(agent.pk, 0)) if live else 0.0,
            seconds_since_loss=float("inf") if not live or lost is None else (now - lost).total_seconds(),
            at_rest=not live,
        )
    if cohort.book_id is not None:
        out[cohort.book_id] = Place(
            venue=cohort.venue,
            marks=marks,
            symbols=market.symbols,
            currencies=market.quoted_in,
            keeps_day=True,
            day_open_equity=worth(parent_opened),
            peak_equity=worth(peaks[1]) if peaks else worth(parent_opened),
            orders_in_window=0.0,
            seconds_since_loss=float("inf"),
            at_rest=not live,
        )
    return out


def _marks(closes: Mapping[str, float], market: _Market, quote: str, quote_worth: float | None) -> dict[str, float]:
    if quote_worth is None:
        return {}
    marks = {market.assets[symbol]: close * quote_worth for symbol, close in closes.items() if symbol in market.assets}
    return marks | {quote: quote_worth}


def _unrealised(held: Collection[str], quote: str, result: float | None) -> dict[str, float]:
    """The open result of an agent belongs to its one position; how it is shared by several, its day does not say."""
    positions = set(held) - {quote}
    return {positions.pop(): result} if len(positions) == 1 and result is not None else {}


# --- Deployments ---------------------------------------------------------------------------------------------
def _working_orders(deployment_ids: Sequence[int]) -> dict[int, dict[str, tuple[float, float]]]:
    """Units that open orders may still buy and sell, by deployment and symbol; what was sent and not answered too."""
    live = Order.objects.filter(deployment__in=deployment_ids, ended_at=None)
    found: dict[int, dict[str, tuple[float, float]]] = {}
    for deployment, symbol, side, quantity, filled in live.values_list(
        "deployment_id", "symbol", "side", "quantity", "filled"
    ):
        mine = found.setdefault(deployment, {})
        buys, sells = mine.get(symbol, (0.0, 0.0))
        open_units = float(quantity - filled)
        mine[symbol] = (buys + open_units, sells) if side == "buy" else (buys, sells + open_units)
    return found


def _deployment_places(held: Mapping[int, Collection[str]], *, rate: Rate) -> dict[int, Place]:
    runs = list(
        DeskRun.objects.filter(deployment__book__in=held)
        .select_related("deployment__fund__base_asset")
        .defer("voices_state", "standing")
    )
    if not runs:
        return {}
    markets = _markets({run.deployment.venue for run in runs})
    window = Q(pk__in=[])
    for run in runs:
        window |= Q(deployment=run.deployment_id, cycle__bar_ms__gte=run.next_bar_ms - _WINDOW_MS)
    counted = Order.objects.order_by().filter(window).values("deployment").annotate(n=Count("pk"))
    orders = {row["deployment"]: row["n"] for row in counted}
    positions: dict[int, list[Position]] = {}
    for position in Position.objects.filter(deployment__in=[run.deployment_id for run in runs]).exclude(quantity=0):
        positions.setdefault(position.deployment_id, []).append(position)
    working = _working_orders([run.deployment_id for run in runs])
    out = {}
    for run in runs:
        deployment = run.deployment
        # What has ended flat has handed its money back: an empty Book has lost nothing.
        went_home = deployment.status in ENDED_STATUSES and run.deployment_id not in positions
        day_open, peak = (0.0, 0.0) if went_home else (float(run.day_open_equity), float(run.peak_equity))
        base = deployment.fund.base_asset.code
        quote_worth = 1.0 if deployment.quote == base else rate(deployment.quote, base, clock.from_ms(run.next_bar_ms))
        market = markets[deployment.venue]
        out[deployment.book_id] = Place(
            venue=deployment.venue,
            marks=_marks(run.last_closes, market, deployment.quote, quote_worth),
            symbols=market.symbols,
            currencies=market.quoted_in,
            unrealised={
                market.assets[p.symbol]: (float(p.quantity) * run.last_closes[p.symbol] - float(p.cost)) * quote_worth
                for p in positions.get(run.deployment_id, ())
                if quote_worth is not None and p.symbol in market.assets and p.symbol in run.last_closes
            },
            working={
                market.assets[symbol]: units
                for symbol, units in working.get(run.deployment_id, {}).items()
                if symbol in market.assets
            },
            keeps_day=True,
            day_open_equity=None if quote_worth is None else day_open * quote_worth,
            peak_equity=None if quote_worth is None else peak * quote_worth,
            orders_in_window=float(orders.get(run.deployment_id, 0)),
            seconds_since_loss=float("inf")
            if run.last_loss_ms is None
            else max(0.0, (run.next_bar_ms - run.last_loss_ms) / 1000),
            at_rest=went_home,
        )
    return out
