"""The questions of the allocator: by what method, within which bounds, over which Books."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from risk.approvals_allocation import MEASURES, METHODS
from risk.quant.allocator import Measure, Objective
from treasury.models import Book

HINTS = {
    Objective.RISK_BUDGET: "Every book carries its share of the risk: the same for all, or the budgets given below.",
    Objective.MINIMUM_RISK: "The whole carries as little risk as the bounds allow.",
    Objective.MAXIMUM_RATIO: "Takes the mean of a year's returns for a forecast, which is a bold thing to do.",
}


class PercentField(forms.FloatField):
    """A share, asked for in percent; NaN and infinities are no answer."""

    unit = "%"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.NumberInput(attrs={"step": "0.1"}), **kwargs)

    def clean(self, value: Any) -> float | None:
        found: float | None = super().clean(value)
        return None if found is None else found / 100.0


class AllocationForm(forms.Form):
    """GET: everything has a default, and an empty form is a good one. ``chosen`` of the Books are ticked at first."""

    objective = forms.ChoiceField(
        label="Method",
        choices=[(o.value, METHODS[o]) for o in Objective],
        initial=Objective.RISK_BUDGET.value,
        help_text="Risk budgets without figures below are risk parity.",
    )
    measure = forms.ChoiceField(
        label="Risk by",
        choices=[(m.value, MEASURES[m].capitalize()) for m in Measure],
        initial=Measure.ES.value,
    )
    max_turnover = PercentField(
        label="Turnover at most",
        required=False,
        min_value=0,
        max_value=200,
        initial=40.0,
        help_text="The sum of all moves, up and down. Empty: no limit.",
    )
    minimum = PercentField(label="Each book at least", min_value=0, max_value=100, initial=0.0)
    maximum = PercentField(label="and at most", min_value=0, max_value=100, initial=100.0)

    def __init__(self, *args: Any, books: Sequence[Book], chosen: Sequence[Book], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.books = list(books)
        self.fields["among"] = forms.MultipleChoiceField(
            label="Books",
            choices=[(str(b.pk), b.code) for b in books],
            initial=[str(b.pk) for b in chosen],
            widget=forms.CheckboxSelectMultiple,
            required=True,
            error_messages={"required": "Choose at least two books."},
        )
        for book in books:
            self.fields[f"budget_{book.pk}"] = PercentField(
                label=book.code, required=False, min_value=0.001, max_value=100
            )

    def clean(self) -> dict[str, Any]:
        answers: dict[str, Any] = super().clean() or {}
        low, high = answers.get("minimum"), answers.get("maximum")
        if low is not None and high is not None and low > high:
            self.add_error("minimum", "The least is above the most.")
        if len(answers.get("among", [])) == 1:
            self.add_error("among", "Choose at least two books: there is nothing to divide over one.")
        given = [pk for pk in answers.get("among", []) if answers.get(f"budget_{pk}") is not None]
        if answers.get("objective") == Objective.RISK_BUDGET and given and len(given) != len(answers.get("among", [])):
            self.add_error(None, "Give a risk budget to each of the chosen books, or to none for risk parity.")
        return answers

    def asked(self) -> dict[str, Any]:
        """The arguments of `allocation_proposal`."""
        answers = self.cleaned_data
        chosen = [int(pk) for pk in answers["among"]]
        budgets = {pk: answers[f"budget_{pk}"] for pk in chosen if answers.get(f"budget_{pk}") is not None}
        objective = Objective(answers["objective"])
        return {
            "objective": objective,
            "measure": Measure(answers["measure"]),
            "max_turnover": answers["max_turnover"],
            "minimum": answers["minimum"],
            "maximum": answers["maximum"],
            "among": chosen,
            "budgets": budgets if budgets and objective is Objective.RISK_BUDGET else None,
        }
