"""The evidence of a promotion: compiling it for 30 agents x 3 days of minutes, and the study of the gate.

    python -m benchmarks.bench_gate [--repeat 5] [--study 200]

Real candles where the sample data lies beside the project, else a synthetic market; 8 symbols. The database is an
embedded PostgreSQL of this run alone. Figures are medians of warm runs; the bare reference of compiling is the engine's
own pass over the cohort's days, that of the scores a regression of a field library agent by agent.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import bench_cohort

BUDGET_SECONDS = 5.0
STUDY_BUDGET_SECONDS = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--study", type=int, default=200, help="cohorts of noise to judge; scaled to 1,000 in the table"
    )
    arguments = parser.parse_args()
    state = Path(tempfile.mkdtemp(prefix="fundops-bench-"))
    bench_cohort._services(state)
    import django

    django.setup()
    from django.core.management import call_command

    bench_cohort._as_owner(call_command)
    window = bench_cohort._candles(state)
    _compiling(window, arguments.repeat)
    _scores(arguments.repeat)
    _study(arguments.study)


def _median(work: Callable[[], object], repeat: int) -> float:
    work()  # compiles and fills the caches
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _compiling(window: Any, repeat: int) -> None:
    from fundops.core.actions.users import create_user
    from fundops.core.roles import Role
    from trading.actions.cohort import launch_cohort
    from trading.actions.cohort_drive import drive_cohort
    from trading.promotion.compiling import compile_evidence
    from trading.promotion.gate import evaluate_gate
    from trading.promotion.policy import default_policy
    from trading.promotion.replaying import cast_of, run_cohort_again

    manager = create_user(
        username="bench",
        email="bench@bench.invalid",
        password="a long benchmark phrase 7",  # noqa: S106 - of a database that goes with the run
        roles=[Role.PORTFOLIO_MANAGER],
        actor=None,
    )
    cohort = launch_cohort(cohort=bench_cohort._cohort(window, 30, 1), actor=manager, queued=False)
    cohort = drive_cohort(cohort_id=cohort.pk)
    assert cohort.status == "completed", cohort.failure
    cast = cast_of(cohort)
    bare = _median(lambda: run_cohort_again(cast, until_ms=cohort.end_ms, mark_ms=900_000), repeat)
    whole = _median(lambda: compile_evidence(cohort), repeat)
    evidence = compile_evidence(cohort)
    spent = evidence.spent
    judged = _median(lambda: evaluate_gate(default_policy(), evidence), repeat)
    kind = "synthetic" if window.synthetic else "real"
    print(f"compiling: 30 agents x 3 days of minutes, {evidence.replay.days} days of replay, 8 {kind} markets")
    print(f"  the cohort's own days once more: {1000 * bare:,.0f} ms (candles, warm-up, engine)")
    print(f"  the whole statement: {1000 * whole:,.0f} ms, {whole / bare:.1f} x the bare pass", end="")
    print(f", {whole / BUDGET_SECONDS:.0%} of its {BUDGET_SECONDS:g} s")
    print(f"  of one run: cohort {spent.cohort:.2f} s, replay {spent.replay:.2f} s, statistics", end="")
    print(f" {spent.statistics:.2f} s")
    print(f"  judging it: {1000 * judged:.2f} ms; as JSON {len(evidence.model_dump_json()) / 1024:.0f} kB")


def _scores(repeat: int) -> None:
    import numpy as np
    import statsmodels.api as sm  # type: ignore[import-untyped]

    from trading.quant.evidence.noise import NoiseModel, noise_results
    from trading.quant.evidence.skill import moments, scores

    table = noise_results(n_agents=30, days=93, seed=1, model=NoiseModel.MARKET).T
    ours = _median(lambda: scores(moments(table)), repeat)

    def theirs() -> list[Any]:
        scaled = table / table.std(axis=0, ddof=1)
        total = scaled.sum(axis=1)
        controls = [sm.add_constant((total - scaled[:, j]) / 29) for j in range(30)]
        return [sm.OLS(table[:, j], control).fit().tvalues for j, control in enumerate(controls)]

    library = _median(theirs, repeat)
    print(f"\nscores of 30 agents over {np.shape(table)[0]:,} bars: {1000 * ours:.1f} ms; statsmodels, agent by agent:")
    print(f"  {1000 * library:.0f} ms, {library / ours:.1f} x")


def _study(cohorts: int) -> None:
    from trading.promotion.policy import default_policy
    from trading.promotion.study import StudyPlan, run_study

    plan = StudyPlan(cohorts=cohorts, power_cohorts=cohorts)
    seconds = run_study(plan, default_policy()).seconds * 1000 / cohorts
    print("\nstudy: 1,000 cohorts of each of two models, false positives and power at four lengths of replay:")
    print(f"  {seconds:.0f} s, {seconds / STUDY_BUDGET_SECONDS:.0%} of its {STUDY_BUDGET_SECONDS:g} s")


if __name__ == "__main__":
    main()
