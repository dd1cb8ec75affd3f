"""`manage.py gate_study`: how often the gate lets luck through, how often it sees skill, and what any test could do."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fundops.core.errors import FundopsError
from trading.promotion.policy import default_policy, read_policy
from trading.promotion.study import StudyPlan, as_json, run_study
from trading.promotion.study_engine import check_with_engine
from trading.promotion.study_picture import picture, tables


class Command(BaseCommand):
    help = (
        "Judges cohorts of pure noise, and cohorts with one skilled agent, by the gate's policy, and prints false "
        "positives and power beside the limit of any test. The seed fixes every figure."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        plan = StudyPlan()
        parser.add_argument("--cohorts", type=int, default=plan.cohorts, help="of noise (default %(default)s)")
        parser.add_argument(
            "--power-cohorts", type=int, default=plan.power_cohorts, help="for the power curve (default %(default)s)"
        )
        parser.add_argument(
            "--engine-cohorts", type=int, default=60, help="through the real engine; 0 for none (default %(default)s)"
        )
        parser.add_argument("--agents", type=int, default=plan.agents)
        parser.add_argument("--seed", type=int, default=plan.seed)
        parser.add_argument("--workers", type=int, default=plan.workers, help="threads (default %(default)s)")
        parser.add_argument(
            "--policy", type=Path, metavar="FILE", help="a gate policy as YAML; default: the shipped one"
        )
        parser.add_argument("--out", type=Path, metavar="FOLDER", help="write study.json, study.md and study.svg there")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if min(options["cohorts"], options["power_cohorts"], options["workers"]) < 1 or options["agents"] < 2:
            raise CommandError("At least one cohort, one worker and two agents.")
        try:
            text = options["policy"].read_text(encoding="utf-8") if options["policy"] else None
            policy = default_policy() if text is None else read_policy(text)
        except OSError as error:
            raise CommandError(f"The policy cannot be read: {error}") from error
        except FundopsError as refused:
            raise CommandError(refused.message) from refused
        plan = StudyPlan(
            cohorts=options["cohorts"],
            power_cohorts=options["power_cohorts"],
            agents=options["agents"],
            seed=options["seed"],
            workers=options["workers"],
        )
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), disable=options["json"]) as bars:
            noise = bars.add_task("Simulated cohorts", total=None)
            study = run_study(plan, policy, report=lambda done, total: bars.update(noise, completed=done, total=total))
            engine = None
            if options["engine_cohorts"] > 0:
                real = bars.add_task("Cohorts through the engine", total=options["engine_cohorts"])
                engine = check_with_engine(
                    plan,
                    policy,
                    cohorts=options["engine_cohorts"],
                    report=lambda done, total: bars.update(real, completed=done, total=total),
                )
        document = as_json(study) | {"engine": None if engine is None else asdict(engine)}
        text = tables(study, engine)
        if options["out"]:
            options["out"].mkdir(parents=True, exist_ok=True)
            (options["out"] / "study.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            (options["out"] / "study.md").write_text(text, encoding="utf-8")
            (options["out"] / "study.svg").write_text(picture(study), encoding="utf-8")
        if options["json"]:
            self.stdout.write(json.dumps(document, indent=1))
            return
        console = Console(file=self.stdout, width=140)  # type: ignore[arg-type]
        console.print(Markdown(text))
        if engine is not None:
            console.print(
                f"Through the engine: the scores of {engine.scores:,} agents have mean {engine.score_mean:+.2f} and "
                f"deviation {engine.score_deviation:.2f}; correlation {engine.mean_correlation:.2f}, "
                f"kurtosis {engine.kurtosis:.0f}."
            )
        seconds = study.seconds + (engine.seconds if engine else 0.0)
        console.print(f"{plan.cohorts:,} cohorts of noise and the power curve in {seconds:,.0f} s.")
