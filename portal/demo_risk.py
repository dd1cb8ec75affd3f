"""The demo's risk: limits that watch its fund, the standard scenarios run once, a first snapshot."""

from __future__ import annotations

from collections.abc import Callable

from portal import demo_gate
from risk.actions.breaches import evaluate_limits
from risk.actions.snapshots import snapshot_risk
from risk.actions.stress import ensure_standard_scenarios, run_stress
from risk.models import RiskLimit, RiskSnapshot, StressResult
from treasury.models import Book, Fund

TEMPLATE = "watch"

Say = Callable[[str], None]


def make_risk(fund: Fund, *, say: Say) -> None:
    """Run twice it adds nothing."""
    if not RiskLimit.objects.filter(book__fund=fund, template=TEMPLATE).exists():
        demo_gate.sign(
            "risk.apply_template",
            {"book": fund.code, "template": TEMPLATE},
            reason="Nothing on paper is refused, but everything is reported.",
        )
    root = Book.objects.filter(fund=fund, parent=None)
    if not RiskSnapshot.objects.filter(book__in=root).exists():
        snapshot_risk(actor=None)
    ensure_standard_scenarios(actor=None)
    if not StressResult.objects.filter(book__in=root).exists():
        made = run_stress(actor=None, books=list(root))
        priced = [r for r in made if r.loss is not None]
        say(f"Stress: {len(priced)} of {len(made)} scenarios could be priced on the fund's positions of now.")
    evaluate_limits(actor=None)
