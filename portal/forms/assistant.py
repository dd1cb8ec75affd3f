"""The assistant's forms: the terms of a plan, shown back before anything runs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms

from portal.assistant.conversation import known_symbols
from portal.assistant.intents import LARGEST, MOST_AGENTS, MOST_DAYS, SMALLEST, Grow, StartCohort
from portal.assistant.planning import Plan
from trading.models.cohort import CohortMode


class TermsForm(forms.Form):
    """An intent's terms; `intent` gives it back typed. Empty markets mean all that cover the days."""

    kind = forms.ChoiceField(
        label="What for",
        choices=[(Grow.NAME, "Grow: trade by a plan"), (StartCohort.NAME, "Start a cohort")],
        widget=forms.HiddenInput,
    )
    amount = forms.DecimalField(min_value=SMALLEST, max_value=LARGEST, decimal_places=2, initial=Decimal(1000))
    days = forms.IntegerField(min_value=1, max_value=MOST_DAYS, initial=3)
    symbols = forms.MultipleChoiceField(
        label="Markets", required=False, widget=forms.CheckboxSelectMultiple, help_text="None chosen means all."
    )
    agents = forms.IntegerField(min_value=1, max_value=MOST_AGENTS, initial=30)
    mode = forms.ChoiceField(
        label="Clock",
        choices=[
            (CohortMode.REPLAY.value, "Replay the latest days: the answer in seconds, about the past"),
            (CohortMode.FORWARD.value, "Forward, as candles close: takes the days, about the future"),
        ],
        widget=forms.RadioSelect,
        required=False,
    )
    currency = forms.CharField(max_length=4, required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        symbols = self.fields["symbols"]
        assert isinstance(symbols, forms.MultipleChoiceField)  # noqa: S101
        symbols.choices = [(s, s) for s in known_symbols()]
        for name, unit in (("days", "days"), ("agents", "agents")):
            self.fields[name].unit = unit  # type: ignore[attr-defined] # read by components/field.html

    def intent(self) -> Grow | StartCohort:
        """The typed intent of valid answers."""
        said = self.cleaned_data
        terms: dict[str, Any] = {
            "amount": said["amount"],
            "days": said["days"],
            "symbols": tuple(said["symbols"]),
            "agents": said["agents"],
            "currency": said["currency"] or None,
            "mode": said["mode"] or None,
        }
        return Grow(**terms) if said["kind"] == Grow.NAME else StartCohort(**terms)

    @classmethod
    def of(cls, intent: Grow | StartCohort, plan: Plan) -> TermsForm:
        """The form that shows an intent back, with the clock its plan goes by."""
        return cls(
            initial={
                "kind": intent.NAME,
                "amount": intent.amount if intent.amount is not None else Decimal(1000),
                "days": intent.days or 3,
                "symbols": list(intent.symbols),
                "agents": intent.agents or 30,
                "currency": intent.currency or "",
                "mode": plan.terms["mode"],
            }
        )


class EasyForm(forms.Form):
    """Three choices for newcomers; everything else is what the launch page proposes."""

    amount = forms.ChoiceField(
        label="How much paper money?",
        choices=[("250", "A little: 250"), ("1000", "Some: 1,000"), ("5000", "A lot: 5,000")],
        widget=forms.RadioSelect,
        initial="1000",
    )
    days = forms.ChoiceField(
        label="For how long?",
        choices=[("1", "One day"), ("3", "Three days: then its best agent is reviewed"), ("7", "A week")],
        widget=forms.RadioSelect,
        initial="3",
    )
    markets = forms.ChoiceField(
        label="On which markets?",
        choices=[("largest", "The two best known at hand"), ("all", "All at hand")],
        widget=forms.RadioSelect,
        initial="largest",
    )

    def intent(self) -> StartCohort:
        """The intent of valid answers; the best known markets are the first of a usual order that are at hand."""
        symbols: tuple[str, ...] = ()
        if self.cleaned_data["markets"] == "largest":
            known = known_symbols()
            order = [s for base in ("BTC", "ETH", "SOL", "XRP") for s in known if s.startswith(base)]
            symbols = tuple((order or list(known))[:2])
        return StartCohort(Decimal(self.cleaned_data["amount"]), int(self.cleaned_data["days"]), None, symbols)
