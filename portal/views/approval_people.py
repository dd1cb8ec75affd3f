"""Who is who at the gate: which account belongs to which person, accounts of nobody, and who acts for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from compliance.actions.people import delegate_duties, end_delegation, link_account
from compliance.approvals.registry import registered_actions
from compliance.models import Delegation, Person
from compliance.selectors import live_seq
from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, permission_required
from fundops.core.roles import STAFF_ROLES

VIEW = "compliance.view_person"
LINK = "compliance.link_account"
#: The kind of request that declares two records to be of one human being.
MERGE = "compliance.merge_people"
_MOMENT = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


def _staff() -> QuerySet[User]:
    names = [role.value for role in STAFF_ROLES]
    return User.objects.filter(is_active=True, groups__name__in=names).distinct().prefetch_related("groups")


def unlinked_accounts() -> QuerySet[User]:
    """Accounts of staff of which nobody has said whose they are: they neither ask nor approve."""
    return _staff().filter(person_link=None).order_by("username")


class LinkForm(forms.Form):
    account = forms.ModelChoiceField(queryset=User.objects.none(), empty_label="Choose…")
    reference = forms.CharField(
        max_length=80,
        label="Person's reference",
        help_text="A staff number or an identity document: the same human being always has the same one.",
        widget=forms.TextInput(attrs={"list": "references", "autocomplete": "off"}),
    )
    full_name = forms.CharField(max_length=160, label="Full name", help_text="Of a person whose reference is new.")

    def __init__(self, *args: Any, reader: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        account = self.fields["account"]
        assert isinstance(account, forms.ModelChoiceField)  # noqa: S101
        account.queryset = unlinked_accounts().exclude(pk=reader.pk)


class DelegationForm(forms.Form):
    principal = forms.ModelChoiceField(queryset=Person.objects.order_by("full_name"), empty_label="Choose…")
    delegate = forms.ModelChoiceField(
        queryset=Person.objects.order_by("full_name"), empty_label="Choose…", label="Is stood in for by"
    )
    starts_at = forms.DateTimeField(label="From (UTC)", widget=_MOMENT)
    ends_at = forms.DateTimeField(
        label="Until (UTC)", widget=_MOMENT, required=False, help_text="Empty: until it is ended."
    )


@dataclass(frozen=True)
class Row:
    """A person with their accounts and the roles of each."""

    person: Person
    accounts: list[tuple[User, list[str]]]


@require_GET
@permission_required(VIEW)
def people_page(request: HttpRequest) -> HttpResponse:
    return _page(request)


def _page(
    request: HttpRequest,
    *,
    link: LinkForm | None = None,
    delegation: DelegationForm | None = None,
    refused: FundopsError | None = None,
) -> HttpResponse:
    user, now = _user(request), clock.now()
    people = (
        Person.objects.select_related("merge__same_as")
        .prefetch_related("accounts__account__groups")
        .order_by("full_name", "reference")
    )
    rows = [
        Row(person, [(one.account, sorted(g.name for g in one.account.groups.all())) for one in person.accounts.all()])
        for person in people
    ]
    context = {
        "rows": rows,
        "unlinked": unlinked_accounts(),
        "delegations": Delegation.objects.select_related("principal", "delegate").order_by("-starts_at", "-pk"),
        "may_link": may(user, LINK),
        "may_merge": may(user, "compliance.merge_people") and any(a.kind == MERGE for a in registered_actions()),
        "merge_kind": MERGE,
        "link_form": link or LinkForm(reader=user, initial={"account": request.GET.get("account")}),
        "delegation_form": delegation or DelegationForm(initial={"starts_at": now.replace(second=0, microsecond=0)}),
        "refused": refused,
        "now": now,
        "crumbs": [("Approvals", reverse("portal:approvals")), ("People", "")],
        "live_after": live_seq(),
    }
    wrong = refused is not None or any(form is not None and form.is_bound for form in (link, delegation))
    return render(request, "approvals/people.html", context, status=422 if wrong else 200)


@require_POST
@permission_required(LINK)
def people_link(request: HttpRequest) -> HttpResponse:
    """Says, for good, whose account it is."""
    form = LinkForm(request.POST, reader=_user(request))
    if not form.is_valid():
        return _page(request, link=form)
    try:
        made = link_account(**form.cleaned_data, actor=_user(request))
    except FundopsError as refused:
        return _page(request, link=form, refused=refused)
    messages.success(request, f"{made.account.username} is an account of {made.person.full_name} now.")
    return redirect("portal:approval-people")


@require_POST
@permission_required(LINK)
def people_delegate(request: HttpRequest) -> HttpResponse:
    """Records that one person stands in for another."""
    form = DelegationForm(request.POST)
    if not form.is_valid():
        return _page(request, delegation=form)
    try:
        delegate_duties(**form.cleaned_data, actor=_user(request))
    except FundopsError as refused:
        return _page(request, delegation=form, refused=refused)
    messages.success(request, "The delegation is recorded.")
    return redirect("portal:approval-people")


@require_POST
@permission_required(LINK)
def people_end_delegation(request: HttpRequest, pk: int) -> HttpResponse:
    delegation = get_object_or_404(Delegation, pk=pk)
    try:
        end_delegation(delegation=delegation, actor=_user(request))
    except FundopsError as refused:
        return _page(request, refused=refused)
    messages.success(request, "The delegation has ended.")
    return redirect("portal:approval-people")


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the decorators let nobody else in
    return request.user
