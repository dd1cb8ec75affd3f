"""Everything that was ever tried on a cohort's window: each agent of each stored cohort that traded those days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from trading.models.cohort import AgentDay, Cohort, CohortAgent
from trading.promotion.folds import Window
from trading.quant.evidence.trials import EffectiveTrials, effective_trials

Float64 = npt.NDArray[np.float64]

#: Trials whose hourly results are read for correlation and variance; more are counted all the same.
_MOST_READ = 1_000
_FEWEST_HOURS = 12


@dataclass(frozen=True, slots=True)
class Tried:
    """Trials on the window: cohorts, agents, genomes; ``deviation`` of their Sharpe ratios (per hour, None below
    two) and how many independent ones they are worth.
    """

    cohorts: tuple[int, ...]
    agents: int
    distinct: int
    deviation: float | None
    effective: EffectiveTrials


def trials_on_window(cohort: Cohort) -> Tried:
    """Counts agents of every cohort of the same venue, with a market in common, on days that overlap.

    A genome that traded twice on the same days is one trial; a sweep counts where each of its sets is an agent of a
    stored cohort. What was tried outside of cohorts is not known here.
    """
    last = cohort.start + timedelta(days=cohort.days)
    others = [
        other.pk
        for other in Cohort.objects.filter(venue=cohort.venue, symbols__overlap=cohort.symbols, start__lt=last)
        if other.start + timedelta(days=other.days) > cohort.start
    ]
    agents = CohortAgent.objects.filter(cohort__in=others)
    hashes = agents.values_list("genome_hash", flat=True)
    hourly = _hourly(cohort, others, last)
    sharpes = _sharpes(hourly)
    return Tried(
        cohorts=tuple(sorted(set(agents.values_list("cohort_id", flat=True)))),
        agents=len(hashes),
        distinct=len(set(hashes)),
        deviation=float(np.std(sharpes, ddof=1)) if len(sharpes) > 1 else None,
        effective=effective_trials(np.nan_to_num(hourly)),
    )


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
        .order_by("agent__genome_hash", "agent_id", "day")
        .values_list("agent__genome_hash", "date", "hourly_roi")[: _MOST_READ * cohort.days]
    )
    column: dict[str, int] = {}
    found = [(column.setdefault(name, len(column)), place[date], roi) for name, date, roi in rows]
    table = np.full((24 * cohort.days, len(column)), np.nan)
    for j, k, roi in found:
        table[24 * k : 24 * k + 24, j] = np.array(roi, dtype=np.float64)
    return table


def _sharpes(hourly: Float64) -> Float64:
    """Sharpe ratio an hour of each trial that moved."""
    known = np.isfinite(hourly)
    n = known.sum(axis=0)
    filled = np.where(known, hourly, 0.0)
    mean = filled.sum(axis=0) / np.maximum(n, 1)
    squares = np.where(known, (hourly - mean) ** 2, 0.0).sum(axis=0)
    usable = (n >= _FEWEST_HOURS) & (squares > 0)
    ratio: Float64 = mean[usable] / np.sqrt(squares[usable] / (n[usable] - 1))
    return ratio
