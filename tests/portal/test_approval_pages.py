"""The gate's pages: who may open which, what they say, and what their buttons do."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from compliance.actions.proposing import propose
from compliance.approvals.registry import action_for, registered_actions
from compliance.models import ApprovalRequest, AuditEvent, Decision, RequestState
from fundops.core.models import User
from fundops.core.roles import Role
from portal.forms.payload import nodes_of
from portal.forms.payload_hints import hints_for
from portal.gate.queue import waiting_count as count_of_account
from risk.actions.overrides import OVERRIDE_GUARDRAIL
from risk.actions.switches import stop_trading
from risk.approvals_leverage import OverrideGuardrail
from risk.models.switches import TRIGGERS
from risk.switch_gate import RESTORE, RestoreTrading
from tests.compliance.approvals.conftest import people, world  # noqa: F401 - fixtures of the gate
from tests.compliance.approvals.support import (
    KIND,
    WORLD,
    People,
    ask,
    carry_through,
    fresh_code_proof,
    policy_document,
    set_policy,
    staff,
    vote,
)
from tests.factories import user_with
from tests.portal.support import READERS

#: Administrators ask for access, and follow what becomes of it; rules and votes are none of theirs.
FOLLOWERS = READERS | {Role.ADMINISTRATOR}
MAKERS = FOLLOWERS - {Role.AUDITOR}
LISTENERS = {Role.RISK_OFFICER, Role.COMPLIANCE_OFFICER, Role.AUDITOR}


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def waiting_count(user: User) -> int:
    """Asked anew, as the next request does."""
    return count_of_account(User.objects.get(pk=user.pk))


def page(user: User, name: str, *args: Any, **query: str) -> str:
    response = client_of(user).get(reverse(f"portal:{name}", args=args), query)
    assert response.status_code == 200, response.content[:500]
    return str(response.content.decode())


@pytest.mark.parametrize("role", sorted(Role))
def test_every_role_at_every_page(people: People, role: Role) -> None:  # noqa: F811
    request = ask(people)
    event = AuditEvent.objects.first()
    assert event is not None
    client = client_of(user_with(role, username="reader"))
    pages = [
        *((FOLLOWERS, name, ()) for name in ("approvals", "approval-badge", "approval-history")),
        (FOLLOWERS, "approval", (request.pk,)),
        (READERS, "approval-policies", ()),
        (READERS, "approval-policy", (KIND,)),
        (MAKERS, "approval-kinds", ()),
        (MAKERS, "approval-new", (KIND,)),
        (READERS - {Role.AUDITOR}, "approval-new", ("compliance.set_policy",)),
        (LISTENERS, "approval-people", ()),
        (LISTENERS, "audit", ()),
        (LISTENERS, "audit-chart", ()),
        (LISTENERS, "audit-event", (event.pk,)),
    ]
    for allowed, name, args in pages:
        path = reverse(f"portal:{name}", args=args)
        assert client.get(path).status_code == (200 if role in allowed else 403), (role, path)
        assert Client().get(path).status_code in {302, 401, 403}


#: The product's own; what other tests register is their matter.
KINDS = [action.kind for action in registered_actions() if not action.kind.startswith("test.")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_form_that_copes_with_nothing_and_with_nonsense(db: None, kind: str) -> None:
    wanted = action_for(kind).maker_permission
    client = client_of(user_with(next(role for role in Role if user_may(role, wanted))))
    path = reverse("portal:approval-new", args=[kind])
    opened = client.get(path)
    assert opened.status_code == 200
    names = re.findall(r'name="([^"_][^"]*)"', opened.content.decode())
    assert set(action_for(kind).payload_type.model_fields) <= {name.split(".")[0] for name in names}
    check = reverse("portal:approval-check", args=[kind])
    for answers in ({}, dict.fromkeys(names, "nonsense"), dict.fromkeys(names, "-1"), dict.fromkeys(names, "{[")):
        assert client.post(check, answers).status_code == 200
        assert client.post(path, answers | {"then": "draft"}).status_code == 422
    assert not ApprovalRequest.objects.exists()


def user_may(role: Role, permission: str) -> bool:
    app, _, codename = permission.partition(".")
    return Group.objects.filter(
        name=role.value, permissions__content_type__app_label=app, permissions__codename=codename
    ).exists()


# --- What waits for whom --------------------------------------------------------------------------------------------
def test_queue_shows_each_request_to_those_it_waits_for(people: People) -> None:  # noqa: F811
    request = ask(people)
    assert "Waits for your signature" in page(people.risk, "approvals")
    assert "Yours, waiting for others" in page(people.maker, "approvals")
    assert "Nothing waits for you" in page(people.reviewer, "approvals")
    assert "Open requests" in page(user_with(Role.AUDITOR), "approvals")
    assert (waiting_count(people.risk), waiting_count(people.maker)) == (1, 0)
    vote(request, people.risk, Role.RISK_OFFICER)
    html = page(people.risk, "approvals")
    assert "Nothing waits for you" in html
    assert "Operations missing" in html
    vote(request, people.operations, Role.OPERATIONS)
    assert "Waits for your release" in page(people.releaser, "approvals")
    assert "Nothing waits for you" in page(people.operations, "approvals")  # who signed does not release
    assert "1<span" in page(people.releaser, "approval-badge")


def test_role_whose_votes_are_complete_waits_no_more(people: People) -> None:  # noqa: F811
    request = ask(people)
    second = staff("ruth", Role.RISK_OFFICER)
    assert waiting_count(second) == 1
    vote(request, people.risk, Role.RISK_OFFICER)
    assert waiting_count(second) == 0
    assert "The votes of Risk officer are complete" in page(second, "approval", request.pk)


def test_account_of_nobody_is_told_so(people: People) -> None:  # noqa: F811
    ask(people)
    stranger = user_with(Role.RISK_OFFICER)
    assert "Nobody has said yet whose account this is" in page(stranger, "approvals")
    assert waiting_count(stranger) == 0


# --- One request -----------------------------------------------------------------------------------------------------
def test_request_shows_change_rules_progress_and_a_form_to_sign(people: People) -> None:  # noqa: F811
    request = ask(people)
    vote(request, people.risk, Role.RISK_OFFICER)
    html = page(people.operations, "approval", request.pk)
    assert re.search(r"<del>100</del>.*<ins>75</ins>", html, re.DOTALL)
    assert "Waits for the approval of Operations" in html
    assert "1 of 1" in html
    assert "0 of 1" in html
    assert "passkey or authenticator code" in html
    assert 'id="decide-form"' in html
    assert 'id="stale"' not in html


def test_moved_world_is_shown_as_stale(people: People) -> None:  # noqa: F811
    request = ask(people)
    WORLD["balance"] = "90"
    html = page(people.risk, "approval", request.pk)
    assert 'id="stale"' in html
    assert re.search(r"today</th><td[^>]*>90</td><td[^>]*>65</td>", html)


def test_nobody_signs_or_releases_what_the_world_has_left_behind(people: People) -> None:  # noqa: F811
    request = ask(people)
    vote(request, people.risk, Role.RISK_OFFICER)
    WORLD["balance"] = "90"
    html = page(people.operations, "approval", request.pk)
    verdict = re.search(r'id="verdict".*?</section>', html, re.DOTALL)
    assert verdict is not None and "is not so any more" in verdict[0]
    assert "<b>Approve:</b> What this request shows is not so any more" in html
    refused = sign(people.operations, request)
    assert refused.status_code == 409
    assert "Stale: its maker submits it again" in page(people.operations, "approvals")
    WORLD["balance"] = "100"
    vote(request, people.operations, Role.OPERATIONS)
    WORLD["balance"] = "90"
    assert "Waits for a third person" not in page(people.releaser, "approval", request.pk)
    WORLD["balance"] = "100"
    assert "Waits for a third person" in page(people.releaser, "approval", request.pk)


def test_a_stale_request_can_be_rejected(people: People) -> None:  # noqa: F811
    request = ask(people)
    WORLD["balance"] = "90"
    assert sign(people.risk, request, decision="reject", comment="Too late.").status_code == 302
    request.refresh_from_db()
    assert request.state == RequestState.REJECTED


def test_a_time_is_written_as_the_field_of_a_browser_takes_it(db: None) -> None:
    """With six places of a second it would show nothing, and an edit would lose it."""
    given = {"ends_at": "2026-03-01T12:30:15.184082+00:00", "starts_at": datetime(2026, 3, 1, 7, tzinfo=UTC)}
    nodes = {node.name: node for node in nodes_of(OverrideGuardrail, given, {}, hints_for(OVERRIDE_GUARDRAIL))}
    assert nodes["ends_at"].value == "2026-03-01T12:30:15"
    assert nodes["starts_at"].value == "2026-03-01T07:00:00"


def test_forms_of_the_kill_switch_offer_what_it_can_do(db: None) -> None:
    silenced = {node.name: node for node in nodes_of(OverrideGuardrail, {}, {}, hints_for(OVERRIDE_GUARDRAIL))}
    assert {value for value, *_ in silenced["trigger"].choices} == {cause.value for cause in TRIGGERS}
    stopped = stop_trading(reason="A look first.", actor=user_with(Role.RISK_OFFICER))
    restored = {node.name: node for node in nodes_of(RestoreTrading, {"switch": stopped.pk}, {}, hints_for(RESTORE))}
    assert restored["switch"].choices == [(str(stopped.pk), "All trading, halted", True)]
    assert {value for value, *_ in restored["mode"].choices} == {"ACTIVE", "REDUCING"}


def test_vote_on_what_was_changed_meanwhile_is_refused_with_a_reason(people: People) -> None:  # noqa: F811
    request = ask(people)
    html = page(people.risk, "approval", request.pk)
    statement = re.search(r'name="statement" value="([0-9a-f]{64})"', html)
    assert statement is not None
    maker = client_of(people.maker)
    answers = {"to": "broker", "amount": "26", "_.reason": "More.", "_.evidence.count": "0", "then": "submit"}
    edited = maker.post(reverse("portal:approval-edit", args=[request.pk]), answers)
    assert edited.status_code == 302, edited.content.decode()
    refused = sign(people.risk, request, statement=statement.group(1))
    assert refused.status_code == 409
    assert "has changed since you looked at it" in refused.content.decode()
    request.refresh_from_db()
    assert (request.version, request.state) == (2, RequestState.SUBMITTED)


def sign(user: User, request: ApprovalRequest, **answers: str) -> Any:
    """Posts the signing form with a code, as the page of that moment has it."""
    client = client_of(user)
    html = client.get(reverse("portal:approval", args=[request.pk])).content.decode()
    said = re.search(r'name="statement" value="([0-9a-f]{64})"', html)
    form = {
        "decision": "approve",
        "role": next(iter(user.roles)).value,
        "proof_kind": "totp",
        "statement": said.group(1) if said else "",
        **fresh_code_proof(user),
    }
    return client.post(reverse("portal:approval-decide", args=[request.pk]), form | answers)


def test_wrong_code_keeps_what_was_written(people: People) -> None:  # noqa: F811
    request = ask(people)
    answer = sign(people.risk, request, code="000000", comment="Looked at twice.")
    assert answer.status_code == 403
    assert "Looked at twice.</textarea>" in answer.content.decode()
    assert not request.decisions.exists()


def test_votes_by_the_form_release_and_execution(people: People) -> None:  # noqa: F811
    request = ask(people)
    assert sign(people.risk, request).status_code == 302
    assert sign(people.operations, request).status_code == 302
    early = client_of(people.operations).post(reverse("portal:approval-release", args=[request.pk]))
    assert early.status_code == 403
    assert "You had a part in this request" in early.content.decode()
    assert client_of(people.releaser).post(reverse("portal:approval-release", args=[request.pk])).status_code == 302
    request.refresh_from_db()
    assert request.state == RequestState.EXECUTING


def test_nobody_else_edits_submits_or_withdraws(people: People) -> None:  # noqa: F811
    request = ask(people)
    other = client_of(people.risk)
    for name in ("approval-submit", "approval-withdraw"):
        assert other.post(reverse(f"portal:{name}", args=[request.pk])).status_code == 403
    auditor = client_of(user_with(Role.AUDITOR))
    for name in ("submit", "withdraw", "decide", "release", "review"):
        assert auditor.post(reverse(f"portal:approval-{name}", args=[request.pk])).status_code == 403
    request.refresh_from_db()
    assert request.state == RequestState.SUBMITTED


def test_broken_glass_waits_for_a_review_and_takes_it(people: People) -> None:  # noqa: F811
    request = ask(people)
    vote(request, people.risk, Role.RISK_OFFICER, Decision.BREAK_GLASS, "The venue is closing.")
    client_of(people.releaser).post(reverse("portal:approval-release", args=[request.pk]))
    from compliance.actions.approval_execution import execute_request  # noqa: PLC0415 - the worker's part

    execute_request(request_id=request.pk)
    assert "waits for your review" in page(people.reviewer, "approvals")
    review = reverse("portal:approval-review", args=[request.pk])
    assert client_of(people.reviewer).post(review, {"justified": "yes", "comment": ""}).status_code == 422
    assert client_of(people.reviewer).post(review, {"justified": "no", "comment": "It was not."}).status_code == 302
    html = page(people.reviewer, "approval", request.pk)
    assert "Not justified, says Carl: It was not." in html
    assert "Nothing waits for you" in page(people.reviewer, "approvals")


def test_history_filters_and_exports(people: People) -> None:  # noqa: F811
    open_one = ask(people, amount="3")
    done = carry_through(ask(people, amount="7"), people)
    html = page(people.maker, "approval-history", kind=KIND, state="executed")
    assert str(done.pk) in html
    assert str(open_one.pk) not in html
    path = reverse("portal:approval-history")
    query = {"person": str(people.releaser.person_link.person.pk), "kind": KIND, "_export": "csv"}
    text = client_of(people.maker).get(path, query).content.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["State"], row["Kind"]) for row in rows] == [("executed", KIND)]
    exported = client_of(people.maker).get(path, {"state": "submitted", "_export": "json"}).json()
    assert len(exported) == 1


# --- Rules ---------------------------------------------------------------------------------------------------------
def test_policy_versions_are_shown_with_what_changed(people: People) -> None:  # noqa: F811
    set_policy(people, policy_document(expires_h=48, break_glass=None))
    html = page(people.risk, "approval-policy", KIND)
    assert "Version 2" in html
    assert re.search(r"Expires after</th><td[^>]*><del>1 d</del></td><td[^>]*><ins>2 d</ins>", html)
    assert "Risk officer, reviewed within 12 h" in html
    assert "in force" in html
    assert KIND in page(people.risk, "approval-policies")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"document.bands.0.quorum.Risk officer": "", "document.bands.0.quorum.Operations": ""}, "at least one"),
        ({"document.bands.0.quorum.Wizard": "1"}, "Choose one of those offered"),
        ({"document.bands.0.below": "10"}, "must have no end"),
        ({"document.bands.0.below": "-1"}, "greater than 0"),
        ({"document.kind": "no.such"}, "There is no action"),
    ],
)
def test_policy_editor_says_what_makes_no_sense(people: People, changes: dict[str, str], said: str) -> None:  # noqa: F811
    answers = {
        "document.kind": KIND,
        "document.bands.count": "1",
        "document.bands.0.quorum.Risk officer": "1",
        "document.bands.0.quorum.Operations": "1",
        "document.bands.0.releasers": "Operations",
        "document.bands.0.expires_h": "5",
        "also.count": "0",
        "_.reason": "Because.",
        "then": "submit",
    } | changes
    path = reverse("portal:approval-new", args=["compliance.set_policy"])
    before = ApprovalRequest.objects.count()
    answer = client_of(people.maker).post(path, answers)
    if answer.status_code == 302:  # a draft may be kept; it is not submitted
        answer = client_of(people.maker).get(answer["Location"])
    assert said in answer.content.decode()
    assert not ApprovalRequest.objects.filter(state=RequestState.SUBMITTED).exists()
    assert ApprovalRequest.objects.count() - before <= 1


def test_overlapping_bands_are_refused(people: People) -> None:  # noqa: F811
    band = {"quorum.Risk officer": "1", "releasers": "Operations", "expires_h": "5"}
    answers = {"document.kind": KIND, "document.bands.count": "3", "_.reason": "Because.", "then": "submit"}
    for place, below in enumerate(("100", "50", "")):
        answers |= {f"document.bands.{place}.{name}": value for name, value in band.items()}
        answers[f"document.bands.{place}.below"] = below
    path = reverse("portal:approval-new", args=["compliance.set_policy"])
    answer = client_of(people.maker).post(path, answers)
    assert answer.status_code == 422
    assert "The bands must rise" in answer.content.decode()


def test_link_opens_the_form_filled_in_with_what_is_in_force(people: People) -> None:  # noqa: F811
    html = page(people.maker, "approval-new", "compliance.set_policy", **{"document.kind": KIND})
    assert 'name="document.bands.0.quorum.Risk officer" value="1"' in html
    assert 'name="document.bands.0.expires_h" value="24"' in html
    html = page(people.maker, "approval-new", KIND, to="broker", amount="12.5")
    assert 'value="12.5"' in html
    assert "<ins>87.5</ins>" in html


def test_several_rules_in_one_request_are_told_apart(people: People) -> None:  # noqa: F811
    kinds = ("risk.set_limit", "risk.retire_limit")
    payload = {"document": policy_document(kinds[0]), "also": [policy_document(kinds[1], expires_h=5)]}
    request = propose(kind="compliance.set_policy", payload=payload, reason="Both.", actor=people.maker)
    html = page(people.risk, "approval", request.pk)
    assert 'id="stale"' not in html
    for kind in kinds:
        assert f"{kind}: version" in html
        assert f"{kind}: band 1" in html
