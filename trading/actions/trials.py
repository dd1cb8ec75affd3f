"""Running a backtest or a sweep over stored candles, and keeping a record of what was tried.

What comes out is handed back only once the record is kept: a result that nobody counts is how luck passes for skill.
The engine's own `run` and `sweep` stay pure and record nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import transaction

from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from trading.backtests import Target, checked_values, instruments_of, make_agents
from trading.cohorts.catalog import open_catalog
from trading.cohorts.installed import installed_strategies
from trading.cohorts.setup import market_of
from trading.marketdata.loader import CandleFrame, load_candles
from trading.models.trials import GENOME_BYTES, TrialKind, TrialSet
from trading.quant import engine
from trading.quant.evidence.trials import sharpe_ratios
from trading.quant.genome import Genome
from trading.strategies.errors import GenomeError
from trading.strategies.spec import Scope, StrategyFamily

Float64 = npt.NDArray[np.float64]

PERMISSION = "trading.run_trials"
HOUR_MS = 3_600_000
_FEWEST_RETURNS = 12


@dataclass(frozen=True, slots=True)
class Backtest:
    """A run of one agent a label, the candles it saw, and its record."""

    run: engine.Run
    labels: list[str]
    frame: CandleFrame
    trials: TrialSet


@dataclass(frozen=True, slots=True)
class SweepRun:
    """A sweep's outcome, set by set in the order asked for, the candles it saw, and its record."""

    sweep: engine.Sweep
    frame: CandleFrame
    trials: TrialSet


@dataclass(frozen=True, slots=True)
class _Tried:
    """What a record is made of; ``equity`` is (n_marks, n_trials) and began at ``capital``."""

    kind: TrialKind
    genomes: list[Genome]
    profile: str
    frame: CandleFrame
    symbols: tuple[str, ...]
    costs: str
    leverage: float
    capital: float
    equity: Float64


def run_backtest(
    *,
    actor: User,
    target: Target,
    venue: str,
    symbols: Sequence[str],
    interval: str,
    start: datetime,
    end: datetime,
    draw: float = 1000.0,
    leverage: float = 1.0,
    costs: str = "binance",
    profile: str = "",
) -> Backtest:
    """One agent a symbol (one for all where the strategy trades them together) over the bars that open in [start, end).

    Each genome is a trial of the record. Raises PermissionMissingError before anything runs, and what loading, the
    cost profile or the engine refuse.
    """
    require(actor, PERMISSION)
    catalog = open_catalog()
    frame = load_candles(catalog, venue, symbols, interval, start, end)
    agents, labels = make_agents(target, frame, draw=draw, leverage=leverage)
    outcome = engine.run(
        market_of(frame, catalog),
        agents,
        instruments=instruments_of(frame),
        costs=engine.load_cost_profile(costs),
        wallet=engine.WalletRules(bankroll=draw * len(agents)),
    )
    panel = getattr(target.strategy, "scope", None) is Scope.PANEL
    tried = _Tried(
        kind=TrialKind.BACKTEST,
        genomes=[
            Genome(target.strategy.key, target.values, target.exits, None if panel else label) for label in labels
        ],
        profile=profile,
        frame=frame,
        symbols=frame.symbols,
        costs=costs,
        leverage=leverage,
        capital=draw,
        equity=outcome.marks.agents["equity"],
    )
    return Backtest(outcome, labels, frame, _record(tried, actor=actor))


def run_sweep(
    *,
    actor: User,
    family: str,
    params: Sequence[Mapping[str, float]],
    venue: str,
    symbols: Sequence[str],
    interval: str,
    start: datetime,
    end: datetime,
    exits: engine.ExitRules | Sequence[engine.ExitRules] = engine.ExitRules(),  # noqa: B008 - frozen
    bankroll: float = 1000.0,
    leverage: float = 1.0,
    costs: str = "binance",
    mark_every_ms: int = HOUR_MS,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> SweepRun:
    """The engine's sweep of ``family`` (name or name@version) over the bars that open in [start, end), and its record.

    ``params`` are the sets by parameter name; what a set leaves out keeps the family's default. A family that trades
    one symbol is swept on the one in ``symbols``. Memory grows with sets x marks: over months take ``mark_every_ms`` of
    a day. Each set with its exit rules is a trial. Raises PermissionMissingError before anything runs, GenomeError for
    values out of bounds, and what loading, the cost profile or the engine refuse.
    """
    require(actor, PERMISSION)
    strategy = installed_strategies().family(family)
    if strategy.scope is Scope.SINGLE and len(symbols) != 1:
        raise GenomeError(f"{strategy.key} trades one symbol: sweep it on one at a time, not on {len(symbols)}.")
    genomes = _genomes(strategy, params, exits, None if strategy.scope is Scope.PANEL else symbols[0])
    catalog = open_catalog()
    frame = load_candles(catalog, venue, symbols, interval, start, end)
    swept = engine.sweep(
        market_of(frame, catalog),
        strategy,
        np.vstack([genome.vector(strategy) for genome in genomes]),
        symbol=genomes[0].symbol,
        instruments=instruments_of(frame),
        costs=engine.load_cost_profile(costs),
        wallet=engine.WalletRules(bankroll=bankroll),
        exits=[genome.exits for genome in genomes],
        leverage=leverage,
        mark_every_ms=mark_every_ms,
        threads=threads,
        progress=progress,
    )
    tried = _Tried(
        kind=TrialKind.SWEEP,
        genomes=genomes,
        profile="",
        frame=frame,
        symbols=frame.symbols,
        costs=costs,
        leverage=leverage,
        capital=bankroll,
        equity=swept.equity,
    )
    return SweepRun(swept, frame, _record(tried, actor=actor))


def _genomes(
    family: StrategyFamily,
    params: Sequence[Mapping[str, float]],
    exits: engine.ExitRules | Sequence[engine.ExitRules],
    symbol: str | None,
) -> list[Genome]:
    if not params:
        raise GenomeError("A sweep needs at least one parameter set.")
    defaults = {p.name: p.default for p in family.parameters}
    rules = [exits] * len(params) if isinstance(exits, engine.ExitRules) else list(exits)
    if len(rules) != len(params):
        raise GenomeError(f"There are {len(params)} parameter sets and {len(rules)} exit rules; give one each or one.")
    return [
        Genome(family.key, checked_values(family, {**defaults, **values}), rule, symbol)
        for values, rule in zip(params, rules, strict=True)
    ]


def _record(tried: _Tried, *, actor: User) -> TrialSet:
    """Keeps what was tried, with its event; a run that was kept before is that one, whoever repeats it."""
    fields = _fields(tried)
    with transaction.atomic():
        kept, made = TrialSet.objects.get_or_create(
            content_hash=fields.pop("content_hash"), defaults=fields | {"run_by": actor}
        )
        if made:
            publish(
                f"trading.{tried.kind}.recorded",
                actor=actor,
                obj=kept,
                payload={
                    name: fields[name]
                    for name in ("family", "profile", "venue", "symbols", "interval", "start", "end", "sets", "costs")
                }
                | {"content_hash": kept.content_hash, "data_sha256": kept.data_sha256},
            )
    return kept


def _fields(tried: _Tried) -> dict[str, Any]:
    frame = tried.frame
    start_ms, end_ms = int(frame.ts_ms[0]), int(frame.ts_ms[-1]) + frame.interval_ms
    names = sorted({bytes.fromhex(genome.content_hash)[:GENOME_BYTES] for genome in tried.genomes})
    decides = {
        "kind": tried.kind,
        "venue": frame.venue,
        "symbols": sorted(tried.symbols),
        "interval": frame.interval,
        "start_ms": start_ms,
        "end_ms": end_ms,
        "genomes": hashlib.sha256(b"".join(names)).hexdigest(),
        "costs": tried.costs,
        "leverage": tried.leverage,
        "capital": tried.capital,
        "data_sha256": frame.data_sha256,
        "engine_version": engine.ENGINE_VERSION,
    }
    hours = (end_ms - start_ms) / HOUR_MS
    n_marks = tried.equity.shape[0]
    returns = np.diff(tried.equity, axis=0, prepend=tried.capital) / tried.capital
    ratios = sharpe_ratios(returns, fewest=_FEWEST_RETURNS) * np.sqrt(n_marks / hours)
    return {
        "content_hash": hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest(),
        "kind": tried.kind,
        "family": tried.genomes[0].family,
        "profile": tried.profile,
        "venue": frame.venue,
        "symbols": list(tried.symbols),
        "interval": frame.interval,
        "start": clock.from_ms(start_ms),
        "end": clock.from_ms(end_ms),
        "sets": len(names),
        "genomes": b"".join(names),
        "costs": tried.costs,
        "leverage": tried.leverage,
        "synthetic": frame.synthetic,
        "data_sha256": frame.data_sha256,
        "measured": min(int(ratios.size), len(names)),
        "hours": hours,
        "sharpe_best": float(ratios.max()) if ratios.size else None,
        "sharpe_mean": float(ratios.mean()) if ratios.size else None,
        "sharpe_variance": float(ratios.var(ddof=1)) if ratios.size > 1 else None,
    }
