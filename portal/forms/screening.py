"""Forms of screening: an entry for the restricted list, and what was made of a flag."""

from __future__ import annotations

from django import forms

from compliance.models.screening import FlagState, RestrictionLevel


class RestrictForm(forms.Form):
    symbol = forms.CharField(max_length=40, help_text="As limits and books name it: BTC, or BTCUSDT for a perpetual.")
    level = forms.ChoiceField(choices=RestrictionLevel.choices)
    venue = forms.CharField(max_length=40, required=False, help_text="Left empty: at every venue.")
    reason = forms.CharField(max_length=400)
    reference = forms.CharField(max_length=120, required=False, help_text="The order, list or file it rests on.")


class FlagForm(forms.Form):
    state = forms.ChoiceField(
        label="Decision", choices=[(FlagState.CLEARED.value, "Clear"), (FlagState.ESCALATED.value, "Escalate")]
    )
    note = forms.CharField(
        max_length=1000, label="Why", widget=forms.Textarea(attrs={"rows": 3}), help_text="An auditor reads this."
    )
