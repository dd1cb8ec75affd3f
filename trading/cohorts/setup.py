"""From a cohort's rows to the engine's inputs: agents, wallet, instruments, market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trading.cohorts.population import Seat
from trading.marketdata.catalog import Catalog
from trading.marketdata.funding import load_funding
from trading.marketdata.loader import CandleFrame
from trading.models.cohort import Cohort
from trading.models.instruments import Instrument, InstrumentKind
from trading.quant import engine
from trading.quant.steps import daily_volatility
from trading.strategies.spec import StrategyFamily

DAY_MS = 86_400_000
DEFAULT_DAILY_VOLATILITY = 0.03


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything a run of one cohort needs besides its market, in the engine's terms."""

    agents: list[engine.AgentSpec]
    instruments: list[engine.InstrumentRules]
    wallet: engine.WalletRules
    costs: engine.CostModel


def engine_setup(
    cohort: Cohort,
    seats: Sequence[Seat],
    instruments: Sequence[Instrument],
    *,
    volatility: Mapping[str, float],
    families: Mapping[str, StrategyFamily],
) -> Setup:
    """The engine's inputs; ``volatility`` (daily, by symbol) is fixed at launch: a resumed run is the same run."""
    leverage = float(cohort.leverage_ceiling)
    return Setup(
        agents=[
            seat.genome.agent(
                families[seat.genome.family],
                draw=float(seat.draw),
                leverage=min(1.0, leverage),
                max_leverage=leverage,
            )
            for seat in seats
        ],
        instruments=[engine_instrument(i, volatility[i.symbol]) for i in instruments],
        wallet=engine.WalletRules(
            bankroll=float(cohort.bankroll),
            gross_ceiling_frac=float(cohort.gross_ceiling),
            net_ceiling_frac=float(cohort.net_ceiling),
            leverage_ceiling=leverage,
            market_cap_frac=float(cohort.market_cap_frac),
            drawdown_alert_frac=float(cohort.drawdown_alert_frac),
            utilisation_alert_frac=float(cohort.utilisation_alert_frac),
        ),
        costs=engine.load_cost_profile(cohort.cost_profile),
    )


def engine_instrument(row: Instrument, volatility: float) -> engine.InstrumentRules:
    """An instrument in the engine's terms; ``volatility`` is daily and scales the modelled impact."""
    perpetual = row.kind == InstrumentKind.PERPETUAL
    return engine.InstrumentRules(
        symbol=row.symbol,
        kind=engine.InstrumentKind.PERPETUAL if perpetual else engine.InstrumentKind.SPOT,
        tick=float(row.tick),
        lot=float(row.lot),
        min_notional=float(row.min_notional),
        maintenance_margin_rate=float(row.maintenance_margin_rate),
        max_leverage=float(row.max_leverage),
        daily_volatility=volatility,
    )


def volatility_of(frame: CandleFrame) -> dict[str, float]:
    """Daily volatility by symbol over the bars of ``frame``; a stated default for a market with too few of them."""
    measured = {
        symbol: daily_volatility(frame.close[:, column], frame.interval_ms)
        for column, symbol in enumerate(frame.symbols)
    }
    return {symbol: v if v > 0 else DEFAULT_DAILY_VOLATILITY for symbol, v in measured.items()}


def market_of(frame: CandleFrame, catalog: Catalog) -> engine.Market:
    """The frame as the engine's market, with the funding stamps of its window where the catalog has them."""
    start, end = int(frame.ts_ms[0]), int(frame.ts_ms[-1]) + frame.interval_ms
    funding = load_funding(catalog, frame.venue, frame.symbols, start, end)
    rows, columns = np.nonzero(np.isfinite(funding.rate))
    return engine.Market(
        symbols=frame.symbols,
        ts_ms=frame.ts_ms,
        interval_ms=frame.interval_ms,
        open=frame.open,
        high=frame.high,
        low=frame.low,
        close=frame.close,
        volume=frame.volume,
        funding_ts_ms=funding.ts_ms[rows],
        funding_symbol=columns,
        funding_rate=funding.rate[rows, columns],
    )
