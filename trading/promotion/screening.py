"""Ranking a cohort's agents, and who is out of the running before any statistics: each exclusion with its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy
from django.db.models import Sum

from risk.quant.metrics import Metric
from risk.templates_of_limits import load_template
from trading.models.cohort import AgentDay
from trading.promotion.evidence import Exclusion
from trading.promotion.policy import Screens
from trading.promotion.replaying import Cast, CohortRunAgain
from trading.quant.engine import InstrumentKind
from trading.quant.evidence.trading_costs import (
    CostBridge,
    CostRates,
    FillColumns,
    cost_bridge,
    depth_proxy,
    participation,
)
from trading.quant.metrics import DAYS_PER_YEAR

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

DAY_MS = 86_400_000
#: The template of limits that a promoted candidate trades under.
PROMOTED_LIMITS = "micro-live"
#: The book must take the order within this move of the price.
DEPTH_MOVE_FRAC = 0.001
#: What floating point may take off a size that is exactly a lot.
ALMOST = 1.0 - 1e-9


@dataclass(frozen=True, slots=True)
class Measured:
    """What the screens look at, of one agent. ``depth_frac`` is its largest order at deployment size over what moves
    the market by a tenth of a per cent; ``untradable_frac`` is the share of its fills that at deployment size would be
    less than the venue takes.
    """

    trades: int
    fills: int
    bridge: CostBridge
    participation_frac: float | None
    depth_frac: float | None
    untradable_frac: float | None
    drawdown_frac: float
    leverage_breaches: int
    moved: bool


def measure_agents(cast: Cast, again: CohortRunAgain, *, deployed: Sequence[float]) -> list[Measured]:
    """Figures of every agent from the cohort's run.

    ``deployed`` is the capital each agent would get if it were promoted: its orders are scaled from its draw to that
    capital, no larger than the limits of a promoted deployment let one be. Shares of volume and depth are never taken
    at less than it traded in the cohort.
    """
    fills, market = again.run.fills, again.market
    rates = cost_rates(cast, again)
    depth = depth_proxy(market.close, market.volume, move_frac=DEPTH_MOVE_FRAC)
    bar = np.searchsorted(market.ts_ms, fills["ts_ms"], side="right") - 1
    volume = np.nan_to_num(market.volume[np.clip(bar, 0, None), fills["symbol"]])
    multipliers = np.array([rule.multiplier for rule in again.setup.instruments])
    smallest = np.array([(rule.lot, rule.min_notional) for rule in again.setup.instruments])
    final = again.run.final.agents[0]
    breaches = {
        row["agent_id"]: int(row["total"])
        for row in AgentDay.objects.filter(agent__cohort=cast.cohort)
        .values("agent_id")
        .annotate(total=Sum("leverage_breaches"))
    }
    order = np.argsort(fills["agent"], kind="stable")
    bounds = np.searchsorted(fills["agent"][order], np.arange(len(cast.agents) + 1))
    out = []
    for j, (agent, seat) in enumerate(zip(cast.agents, cast.seats, strict=True)):
        mine = order[bounds[j] : bounds[j + 1]]
        own = fills[mine]
        columns = FillColumns(
            quantity=own["qty"],
            price=own["price"],
            fee=own["fee"],
            spread=own["spread_cost"],
            impact=own["impact_cost"],
            symbol=own["symbol"].astype(np.int64),
            bar_volume=volume[mine],
            maker=own["maker"] != 0,
        )
        sizes = deployed_sizes(columns, multipliers, deployed[j], float(seat.draw))
        largest = np.maximum(sizes, columns.quantity)
        bridge = cost_bridge(
            columns,
            net=float(final["equity"][j]) - float(seat.draw),
            funding=float(final["funding"][j]),
            rates=rates,
        )
        share = participation(largest, columns.bar_volume)
        out.append(
            Measured(
                trades=int(final["trades"][j]),
                fills=bridge.n_fills,
                bridge=bridge,
                participation_frac=share,
                depth_frac=_depth_share(largest, columns, depth),
                untradable_frac=untradable_share(sizes, columns, multipliers, smallest),
                drawdown_frac=float(final["max_drawdown"][j]),
                leverage_breaches=breaches.get(agent.pk, 0),
                moved=bool(np.ptp(again.results.net[:, j]) > 0),
            )
        )
    return out


def cost_rates(cast: Cast, again: CohortRunAgain) -> CostRates:
    """What the cohort's cost profile says of each of its markets; fees of the lowest tier."""
    costs, rules = again.setup.costs, again.setup.instruments
    root = np.sqrt(cast.cohort.interval_ms / DAY_MS)
    spot = np.array([rule.kind is InstrumentKind.SPOT for rule in rules])
    lowest_spot, lowest_perpetual = costs.fees.spot[0], costs.fees.perpetual[0]
    stated = np.array([rule.half_spread_bps for rule in rules])
    usual = np.where(spot, costs.half_spread_bps.spot, costs.half_spread_bps.perpetual)
    half_spread = np.where(np.isnan(stated), usual, stated) / 10_000
    own = np.array([rule.impact_coefficient for rule in rules])
    coefficient = np.where(np.isnan(own), costs.impact_coefficient, own)
    impact = coefficient * np.array([rule.daily_volatility for rule in rules]) * root
    return CostRates(
        taker=np.where(spot, lowest_spot.taker_bps, lowest_perpetual.taker_bps) / 10_000,
        maker=np.where(spot, lowest_spot.maker_bps, lowest_perpetual.maker_bps) / 10_000,
        half_spread=half_spread,
        impact=impact,
    )


def deployed_sizes(fills: FillColumns, multipliers: Float64, capital: float, draw: float) -> Float64:
    """The fills' quantities with ``capital`` instead of the draw, under the limits of a promoted deployment."""
    most: Float64 = order_cap_frac() * capital / (fills.price * multipliers[fills.symbol])
    return np.minimum(fills.quantity * (capital / draw), most)


def _depth_share(quantity: Float64, fills: FillColumns, depth: Float64) -> float | None:
    if fills.quantity.size == 0:
        return None
    share = quantity * fills.price / depth[fills.symbol]
    known = share[np.isfinite(share)]
    return float(known.max()) if known.size else None


def untradable_share(sizes: Float64, fills: FillColumns, multipliers: Float64, smallest: Float64) -> float | None:
    """The share of the fills that at these sizes would be less than a lot or than the venue's smallest order."""
    if fills.quantity.size == 0:
        return None
    lot, least = smallest[fills.symbol].T
    notional = sizes * fills.price * multipliers[fills.symbol]
    return float(np.mean((sizes < lot * ALMOST) | (notional < least * ALMOST)))


def order_cap_frac() -> float:
    """What the hard limits of a promoted deployment let one order be, as a share of its equity."""
    capping = {
        Metric.ORDER_NOTIONAL_FRAC,
        Metric.LEVERAGE,
        Metric.NET_EXPOSURE_FRAC,
        Metric.SYMBOL_CONCENTRATION_FRAC,
    }
    limits = load_template(PROMOTED_LIMITS).limits
    return min((float(one.hard) for one in limits if one.metric in capping and one.hard is not None), default=1.0)


def exclusions(measured: Measured, rules: Screens) -> tuple[Exclusion, ...]:
    """Every screen the agent fails, with what it measured and what is allowed."""
    out: list[Exclusion] = []

    def fail(screen: str, value: float | None, allowed: float, words: str) -> None:
        out.append(Exclusion(screen=screen, value=value, allowed=allowed, words=words))  # type: ignore[arg-type]

    if not measured.moved:
        fail("idle", 0.0, 0.0, "Its equity never moved: there is nothing to judge.")
    if measured.trades < rules.min_trades:
        fail(
            "trades",
            measured.trades,
            rules.min_trades,
            f"{measured.trades} closed trades; at least {rules.min_trades} are needed.",
        )
    slippage = measured.bridge.slippage_bps
    if slippage is not None and slippage > rules.max_slippage_bps:
        fail(
            "slippage",
            slippage,
            rules.max_slippage_bps,
            f"Spread and impact took {slippage:.1f} bp of its turnover; {rules.max_slippage_bps:g} bp are tolerated.",
        )
    share = measured.participation_frac
    if share is not None and share > rules.max_participation_frac:
        fail(
            "participation",
            share,
            rules.max_participation_frac,
            f"At deployment size one fill in twenty takes {share:.2%} or more of its bar's volume; "
            f"{rules.max_participation_frac:.2%} is allowed.",
        )
    deep = measured.depth_frac
    if deep is not None and deep > rules.max_depth_frac:
        fail(
            "depth",
            deep,
            rules.max_depth_frac,
            f"Its largest order is {deep:.1%} of what moves the market by 0.1 %; "
            f"{rules.max_depth_frac:.0%} is allowed.",
        )
    small = measured.untradable_frac
    if small is not None and small > rules.max_untradable_frac:
        fail(
            "lots",
            small,
            rules.max_untradable_frac,
            f"At deployment size {small:.0%} of its orders are less than the venue takes (a lot, a smallest order); "
            f"{rules.max_untradable_frac:.0%} are allowed. A larger pool gives larger slices.",
        )
    if measured.drawdown_frac > rules.max_drawdown_frac:
        fail(
            "drawdown",
            measured.drawdown_frac,
            rules.max_drawdown_frac,
            f"It fell {measured.drawdown_frac:.1%} from its peak; {rules.max_drawdown_frac:.0%} is allowed.",
        )
    if measured.leverage_breaches > rules.max_leverage_breaches:
        fail(
            "leverage",
            measured.leverage_breaches,
            rules.max_leverage_breaches,
            f"{measured.leverage_breaches} leverage breaches; {rules.max_leverage_breaches} are allowed.",
        )
    return tuple(out)


def sharpe_annual(daily: Float64) -> Float64:
    """Annual Sharpe ratio of each column of daily results, NaN below two days or without variation."""
    if daily.shape[0] < 2:
        return np.full(daily.shape[1], np.nan)
    spread = daily.std(axis=0, ddof=1)
    usable = spread > 1e-12 * np.maximum(np.abs(daily).max(axis=0), 1e-300)
    ratio: Float64 = np.where(usable, daily.mean(axis=0) / np.where(usable, spread, 1.0), np.nan)
    annual: Float64 = ratio * np.sqrt(DAYS_PER_YEAR)
    return annual


def ranks(values: Float64) -> list[int | None]:
    """1 for the largest, ties alike; None for NaN."""
    out: list[int | None] = [None] * len(values)
    known = np.flatnonzero(np.isfinite(values))
    for place, rank in zip(known, scipy.stats.rankdata(-values[known], method="min"), strict=True):
        out[int(place)] = int(rank)
    return out
