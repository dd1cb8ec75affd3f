"""Screening: what may not be traded, which patterns are denied, and what was found."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from compliance.actions.screening import DECIDE_FLAG, RESTRICT, decide_flag, restrict_instrument
from compliance.models import RestrictedInstrument, ScreeningFlag
from compliance.models.screening import FlagState, RestrictionLevel
from compliance.screening.policy import ScreeningRules
from compliance.selectors import live_seq
from compliance.selectors_screening import flag_list, open_flag_count, restriction_list, rules_in_force
from compliance.topics import VIEW_RESTRICTIONS
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, permission_required, require
from portal.forms.screening import FlagForm, RestrictForm
from portal.tables import TablePage
from portal.tables_screening import FlagFilter, FlagTable, RestrictionFilter, RestrictionTable

READ_FLAGS = "compliance.view_screeningflag"
LIFT = "compliance.lift_restriction"


class RestrictionPage(TablePage):
    """The restricted list, with the rules against prohibited tactics beside it."""

    permission = VIEW_RESTRICTIONS
    table_class, filterset_class = RestrictionTable, RestrictionFilter
    template_name = "screening/list.html"

    def get_queryset(self) -> QuerySet[RestrictedInstrument]:
        return restriction_list()

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"may_lift": may(self.request.user, LIFT)}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        version, rules = rules_in_force()
        user = self.request.user
        return super().get_context_data(**kwargs) | {
            "rules_version": version,
            "rules": [(name, _words(values)) for name, values in _rules(rules)],
            "may_restrict": may(user, RESTRICT),
            "may_change_rules": may(user, "compliance.propose_screening_policy"),
            "may_read_flags": may(user, READ_FLAGS),
            "open_flags": open_flag_count(),
            "crumbs": [("Screening", "")],
            "live_after": live_seq(),
        }


def _rules(rules: ScreeningRules) -> list[tuple[str, dict[str, Any]]]:
    return [(name.replace("_", " ").capitalize(), values) for name, values in rules.model_dump().items()]


def _words(values: dict[str, Any]) -> list[tuple[str, str]]:
    said = []
    for name, value in values.items():
        if name == "enabled":
            continue
        if name.endswith("_frac"):
            said.append((name.removesuffix("_frac").replace("_", " "), f"{value:.0%}"))
        elif name.endswith("_s"):
            said.append((name.removesuffix("_s").replace("_", " "), f"{value} s"))
        elif name.endswith("_bps"):
            said.append((name.removesuffix("_bps").replace("_", " "), f"{value} bps"))
        else:
            said.append((name.replace("_", " "), str(value)))
    return said if values["enabled"] else [("rule", "switched off")]


@permission_required(VIEW_RESTRICTIONS)
def restrict_page(request: HttpRequest) -> HttpResponse:
    """The form of a new entry."""
    require(request.user, RESTRICT)
    assert isinstance(request.user, User)  # noqa: S101 - the permission has seen to it
    form = RestrictForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        fields = {**form.cleaned_data, "level": RestrictionLevel(form.cleaned_data["level"])}
        try:
            entry = restrict_instrument(**fields, actor=request.user)
        except FundopsError as refused:
            form.add_error(None, refused.message)
        else:
            messages.success(request, f"{entry.symbol} is on the restricted list; every Book obeys it from now on.")
            return redirect("portal:screening")
    crumbs = [("Screening", reverse("portal:screening")), ("Restrict", "")]
    return render(
        request,
        "screening/restrict.html",
        {"form": form, "crumbs": crumbs},
        status=422 if form.is_bound else 200,
    )


class FlagPage(TablePage):
    """Every flag."""

    permission = READ_FLAGS
    table_class, filterset_class = FlagTable, FlagFilter
    template_name = "screening/flags.html"

    def get_queryset(self) -> QuerySet[ScreeningFlag]:
        return flag_list()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "crumbs": [("Screening", reverse("portal:screening")), ("Flags", "")],
            "live_after": live_seq(),
        }


@permission_required(READ_FLAGS)
def flag_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One flag with its evidence; POST decides it."""
    flag = get_object_or_404(flag_list(), pk=pk)
    form = FlagForm(request.POST or None)
    if request.method == "POST":
        require(request.user, DECIDE_FLAG)
        assert isinstance(request.user, User)  # noqa: S101 - the permission has seen to it
        if form.is_valid():
            state = FlagState(form.cleaned_data["state"])
            try:
                decide_flag(flag=flag, state=state, note=form.cleaned_data["note"], actor=request.user)
            except FundopsError as refused:
                form.add_error(None, refused.message)
            else:
                messages.success(request, f"The flag is {state.label.lower()}.")
                return redirect("portal:screening-flag", flag.pk)
    lists = {name: value for name, value in flag.evidence.items() if isinstance(value, list)}
    context = {
        "flag": flag,
        "form": form,
        "may_decide": may(request.user, DECIDE_FLAG) and flag.state != FlagState.CLEARED,
        "facts": [(n.replace("_", " "), v) for n, v in flag.evidence.items() if not isinstance(v, list | dict)],
        "order": flag.evidence.get("order"),
        "lists": [(name.replace("_", " ").capitalize(), *_table(rows)) for name, rows in lists.items() if rows],
        "cohort_id": flag.evidence.get("cohort"),
        "history": flag.history.select_related("history_user").order_by("-history_date")[:20],
        "crumbs": [
            ("Screening", reverse("portal:screening")),
            ("Flags", reverse("portal:screening-flags")),
            (flag.subject, ""),
        ],
    }
    return render(request, "screening/flag.html", context, status=422 if form.errors else 200)


def _table(rows: list[Any]) -> tuple[list[str], list[list[Any]]]:
    """Evidence as columns and rows; lists inside a cell as text."""
    names = list(rows[0])
    cells = [
        [", ".join(map(str, row[n])) if isinstance(row[n], list) else ("" if row[n] is None else row[n]) for n in names]
        for row in rows
    ]
    return [name.replace("_", " ") for name in names], cells
