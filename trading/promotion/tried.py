"""Everything that was ever tried on a cohort's window: agents of stored cohorts, recorded backtests and sweeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from fundops.core import clock
from trading.models.cohort import AgentDay, Cohort, CohortAgent
from trading.models.trials import GENOME_BYTES, TrialSet
from trading.promotion.folds import Window
from trading.quant.evidence.trials import EffectiveTrials, Spread, effective_trials, pooled_deviation, sharpe_ratios

Float64 = npt.NDArray[np.float64]

#: Trials whose hourly results are read for correlation and variance; more are counted all the same.
_MOST_READ = 1_000
_FEWEST_HOURS = 12


@dataclass(frozen=True, slots=True)
class Tried:
    """Trials on the window.

    ``agents`` of ``cohorts`` traded ``distinct`` genomes; ``sets`` are recorded backtests and sweeps, and ``outside``
    their genomes that no agent traded. ``deviation`` is that of all Sharpe ratios (per hour, None below two),
    ``effective`` how many independent ones the cohorts' trials are worth.
    """

    cohorts: tuple[int, ...]
    agents: int
    distinct: int
    sets: tuple[TrialSet, ...]
    outside: int
    deviation: float | None
    effective: EffectiveTrials


def trials_on_window(cohort: Cohort) -> Tried:
    """Counts agents and recorded sets of the same venue, with a market in common, on days that overlap.

    A genome tried twice on bars of one length is one trial, as agent or otherwise. What was tried with other programs,
    or with the engine called directly, is not known here.
    """
    last = cohort.start + timedelta(days=cohort.days)
    others = [
        other.pk
        for other in Cohort.objects.filter(venue=cohort.venue, symbols__overlap=cohort.symbols, start__lt=last)
        if other.start + timedelta(days=other.days) > cohort.start
    ]
    agents = CohortAgent.objects.filter(cohort__in=others)
    traded = list(agents.values_list("cohort__interval", "genome_hash"))
    genomes = {(interval, bytes.fromhex(name)[:GENOME_BYTES]) for interval, name in traded}
    sets = tuple(
        TrialSet.objects.filter(
            venue=cohort.venue,
            symbols__overlap=cohort.symbols,
            start__lt=clock.from_ms(cohort.end_ms),
            end__gt=clock.from_ms(cohort.start_ms),
        ).select_related("run_by")
    )
    recorded = {(one.interval, name) for one in sets for name in one.trials}
    hourly = _hourly(cohort, others, last)
    return Tried(
        cohorts=tuple(sorted(set(agents.values_list("cohort_id", flat=True)))),
        agents=len(traded),
        distinct=len(genomes),
        sets=sets,
        outside=len(recorded - genomes),
        deviation=_deviation(hourly, sets),
        effective=effective_trials(np.nan_to_num(hourly)),
    )


def _deviation(hourly: Float64, sets: tuple[TrialSet, ...]) -> float | None:
    """Of the Sharpe ratios of all trials, brought to the hours that the cohorts' own were measured on."""
    ratios = sharpe_ratios(hourly, fewest=_FEWEST_HOURS)
    hours = float(hourly.shape[0])
    spreads = [
        Spread(one.measured, one.sharpe_mean, one.sharpe_variance or 0.0, one.hours)
        for one in sets
        if one.sharpe_mean is not None
    ]
    if ratios.size:
        variance = float(ratios.var(ddof=1)) if ratios.size > 1 else 0.0
        spreads.append(Spread(int(ratios.size), float(ratios.mean()), variance, hours))
    return pooled_deviation(spreads, hours=hours)


def chosen_on(cohort: Cohort) -> list[Window]:
    """The windows that chose this cohort's genomes, and its own: nothing there is evidence about them.

    Its own days, and those of its parents and their parents in turn.
    """
    seen: dict[int, Cohort] = {}
    waiting = [cohort]
    while waiting:
        one = waiting.pop()
        if one.pk not in seen:
            seen[one.pk] = one
            waiting.extend(one.parents.all())
    return sorted({Window(one.start_ms, one.end_ms) for one in seen.values()}, key=lambda window: window.start_ms)


def _hourly(cohort: Cohort, others: list[int], last: object) -> Float64:
    """Hourly returns of the trials over the cohort's own hours, (hours, trials), NaN where a trial did not trade."""
    days = [cohort.start + timedelta(days=k) for k in range(cohort.days)]
    place = {day: k for k, day in enumerate(days)}
    rows = (
        AgentDay.objects.filter(agent__cohort__in=others, date__gte=cohort.start, date__lt=last)
        .order_by("agent__genome_hash", "agent__cohort__interval", "agent_id", "day")
        .values_list("agent__genome_hash", "agent__cohort__interval", "date", "hourly_roi")[: _MOST_READ * cohort.days]
    )
    column: dict[tuple[str, str], int] = {}
    found = [(column.setdefault((name, bars), len(column)), place[date], roi) for name, bars, date, roi in rows]
    table = np.full((24 * cohort.days, len(column)), np.nan)
    for j, k, roi in found:
        table[24 * k : 24 * k + 24, j] = np.array(roi, dtype=np.float64)
    return table
