"""`manage.py promote_intraday_candidate`: rank and screen a cohort's agents, and judge the best."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from fundops.core.errors import FundopsError
from trading.models.cohort import Cohort
from trading.promotion.candidates import Candidates, promote_intraday_candidate
from trading.promotion.live import live_agents
from trading.promotion.policy import read_policy
from trading.promotion.rules import rules_in_force

_MARK = {"passed": "[green]passed[/green]", "failed": "[red]failed[/red]", "unknown": "[yellow]not known[/yellow]"}


class Command(BaseCommand):
    help = "Compiles the evidence for a cohort's candidate and holds it against the gate's policy. Promotes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cohort", type=int, help="id of the cohort")
        parser.add_argument(
            "--policy", type=Path, metavar="FILE", help="a gate policy as YAML; default: the one in force"
        )
        parser.add_argument("--by-return", action="store_true", help="take the winner by return instead of by evidence")
        parser.add_argument(
            "--trials-elsewhere", type=int, default=0, help="trials on this window of which there is no record"
        )
        parser.add_argument("--seed", type=int, default=0, help="of the resampling")
        parser.add_argument("--json", action="store_true", help="print evidence and verdict as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        cohort = Cohort.objects.filter(pk=options["cohort"]).first()
        if cohort is None:
            raise CommandError(f"There is no cohort {options['cohort']}.")
        try:
            text = options["policy"].read_text(encoding="utf-8") if options["policy"] else None
            policy = rules_in_force()[1].gate if text is None else read_policy(text)
            if options["by_return"]:
                policy = policy.model_copy(update={"rank_by": "roi"})
            found = promote_intraday_candidate(
                cohort,
                policy=policy,
                live=live_agents(),
                trials_elsewhere=options["trials_elsewhere"],
                seed=options["seed"],
            )
        except OSError as error:
            raise CommandError(f"The policy cannot be read: {error}") from error
        except FundopsError as refused:
            raise CommandError(refused.message) from refused
        if options["json"]:
            evidence, verdict = found.evidence.model_dump_json(), found.verdict.model_dump_json()
            self.stdout.write(f'{{"verdict": {verdict}, "evidence": {evidence}}}')
        else:
            _print(found, Console(file=self.stdout, width=140))  # type: ignore[arg-type]


def _print(found: Candidates, console: Console) -> None:
    evidence = found.evidence
    console.print(f"[bold]{found.verdict.words[0]}[/bold]")
    ranking = Table(title=f"{evidence.name}: {len(found.running)} of {len(evidence.agents)} agents in the running")
    for heading in (
        "Agent",
        "Profile",
        "Market",
        "Return",
        "#",
        "Sharpe",
        "#",
        "Cohort",
        "Replay",
        "All",
        "#",
        "Chance",
    ):
        ranking.add_column(heading, justify="left" if heading in {"Profile", "Market"} else "right")
    for line in found.running:
        ranking.add_row(
            str(line.number),
            line.profile or line.family,
            line.symbol or "all",
            f"{line.roi_frac:+.2%}",
            str(line.roi_rank),
            _number(line.sharpe_annual, "{:.1f}"),
            _number(line.sharpe_rank, "{}"),
            _number(line.score_cohort, "{:+.2f}"),
            _number(line.score_replay, "{:+.2f}"),
            _number(line.score, "{:+.2f}"),
            _number(line.evidence_rank, "{}"),
            _number(line.chance_of_best, "{:.3f}"),
        )
    console.print(ranking)
    if found.excluded:
        out = Table(title="Out of the running")
        out.add_column("Agent", justify="right")
        out.add_column("Return", justify="right")
        out.add_column("Why")
        for line in found.excluded:
            out.add_row(str(line.number), f"{line.roi_frac:+.2%}", " ".join(x.words for x in line.exclusions))
        console.print(out)
    checks = Table(title=f"Checks of '{evidence.policy}'")
    for heading in ("Check", "", "Says"):
        checks.add_column(heading)
    for name, results in (("must", found.verdict.musts), ("advice", found.verdict.advices)):
        for result in results:
            checks.add_row(name, _MARK[result.standing], result.words)
    console.print(checks)
    for title, texts in (("What it says", evidence.words), ("What is not known", evidence.not_known)):
        console.print(f"\n[bold]{title}[/bold]")
        for text in texts:
            console.print(f"- {text}")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
