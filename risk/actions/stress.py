"""Stress: keeping scenarios, and running them on Books."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
from django.db import transaction

from compliance.approvals.registry import Warrant, require_execution
from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from risk.errors import ScenarioError
from risk.measuring import MeasuredBooks, measure_books, rows_below
from risk.models import ScenarioKind, StressResult, StressScenario
from risk.quant.stress import Holdings
from risk.scenarios import Priced, parse_parameters, price_scenario, standard_scenarios
from risk.sources import risk_source
from treasury.models import Book

SAVE_SCENARIO = "risk.save_scenario"


def check_scenario(*, kind: ScenarioKind, parameters: Mapping[str, Any], max_loss_frac: float | None) -> None:
    """Raises ScenarioError for what `save_scenario` would refuse."""
    parse_parameters(kind, parameters)
    if max_loss_frac is not None and not 0.0 < max_loss_frac <= 1.0:
        raise ScenarioError("max_loss_frac: a share of equity above 0, up to 1.", field="max_loss_frac")


def save_scenario(
    *,
    code: str,
    name: str,
    kind: ScenarioKind,
    parameters: Mapping[str, Any],
    warrant: Warrant,
    max_loss_frac: float | None = None,
    is_active: bool = True,
) -> StressScenario:
    """Creates the scenario of this code, or changes it. Raises NotApprovedError and ScenarioError."""
    require_execution(warrant, SAVE_SCENARIO)
    check_scenario(kind=kind, parameters=parameters, max_loss_frac=max_loss_frac)
    with transaction.atomic():
        scenario, created = StressScenario.objects.update_or_create(
            code=code,
            defaults={
                "name": name,
                "kind": kind,
                "parameters": dict(parameters),
                "max_loss_frac": max_loss_frac,
                "is_active": is_active,
            },
        )
        _tell_saved(scenario, created=created, actor=warrant.actor)
    return scenario


def _tell_saved(scenario: StressScenario, *, created: bool, actor: User | None) -> None:
    publish(
        "risk.scenario.created" if created else "risk.scenario.changed",
        actor=actor,
        obj=scenario,
        payload={
            "code": scenario.code,
            "kind": scenario.kind,
            "parameters": scenario.parameters,
            "max_loss_frac": scenario.max_loss_frac,
            "is_active": scenario.is_active,
        },
        topics=["risk"],
    )


def ensure_standard_scenarios(*, actor: User | None) -> list[StressScenario]:
    """Creates those of the standard set that do not exist; leaves the others as they are.

    The set comes with the product, tolerances included, and is only ever added: what is there is changed
    through the gate alone.
    """
    with transaction.atomic():
        made = []
        for s in standard_scenarios():
            check_scenario(kind=s.kind, parameters=s.parameters, max_loss_frac=s.max_loss_frac)
            scenario, created = StressScenario.objects.get_or_create(
                code=s.code,
                defaults={
                    "name": s.name,
                    "kind": s.kind,
                    "parameters": dict(s.parameters),
                    "max_loss_frac": s.max_loss_frac,
                },
            )
            if created:
                _tell_saved(scenario, created=True, actor=actor)
                made.append(scenario)
        return made


def run_stress(
    *,
    actor: User | None,
    books: Iterable[Book] | None = None,
    scenarios: Iterable[StressScenario] | None = None,
    at: datetime | None = None,
) -> list[StressResult]:
    """Runs scenarios (all active ones by default) on Books (the root of every fund by default), with all
    below them.

    Each result is kept; one past the scenario's tolerance publishes risk.stress.breached as well. Raises
    SourceMissingError where nothing measures the books.
    """
    moment = at or clock.now()
    source = risk_source()
    chosen = list(StressScenario.objects.filter(is_active=True) if scenarios is None else scenarios)
    targets = list(Book.objects.filter(parent=None, closed_at=None) if books is None else books)
    measured = measure_books(at=moment, book_ids=[b.pk for b in targets], tail=False)
    results = []
    for book in targets:
        if book.pk not in measured.ids:
            raise ScenarioError(f"Book {book.path} is closed; there is nothing to stress.", book=book.path)
        holdings = holdings_of(measured, book.pk)
        equity = measured.figures[measured.row(book.pk)].equity
        for scenario in chosen:
            kind = ScenarioKind(scenario.kind)
            priced = (
                price_scenario(kind, scenario.parameters, holdings, equity=equity, source=source, at=moment)
                if measured.complete[measured.row(book.pk)]
                else Priced(math.nan, {}, ("a part of the book is not measured",))
            )
            loss = finite(priced.loss)
            share = loss / equity if loss is not None and equity is not None and equity > 0 else None
            tolerated = scenario.max_loss_frac
            results.append(
                StressResult(
                    scenario=scenario,
                    book=book,
                    at=moment,
                    parameters=scenario.parameters,
                    equity=equity,
                    loss=loss,
                    loss_frac=share,
                    severity=finite(priced.severity),
                    by_symbol=priced.by_symbol,
                    missing=list(priced.missing),
                    assumed=list(priced.assumed),
                    breached=None if share is None else tolerated is not None and share > tolerated,
                )
            )
    with transaction.atomic():
        made = StressResult.objects.bulk_create(results)
        for book in targets:
            own = [r for r in made if r.book_id == book.pk]
            topics = ["risk", f"book:{book.pk}"]
            publish("risk.stress.ran", actor=actor, obj=book, payload=_told(own), topics=topics)
            if any(r.breached for r in own):
                publish(
                    "risk.stress.breached",
                    actor=actor,
                    obj=book,
                    payload=_told([r for r in own if r.breached]),
                    topics=topics,
                )
    return made


def _told(results: Collection[StressResult]) -> dict[str, Any]:
    return {
        "results": [
            {"scenario": r.scenario.code, "loss": r.loss, "loss_frac": r.loss_frac, "breached": r.breached}
            for r in results
        ]
    }


def finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


def holdings_of(measured: MeasuredBooks, book_id: int) -> Holdings:
    """The lines of a Book and all below it; unknown figures are NaN."""
    rows = rows_below(measured, measured.row(book_id))
    held = [p for row in rows for p in measured.figures[row].positions]

    def number(x: float | None) -> float:
        return math.nan if x is None else x

    return Holdings(
        asset=tuple(p.symbol for p in held),
        venue=tuple(p.venue for p in held),
        currency=tuple(p.currency for p in held),
        exposure=np.array([number(p.quantity) * number(p.unit_notional) for p in held], dtype=np.float64),
        value=np.array([number(p.value) for p in held], dtype=np.float64),
    )
