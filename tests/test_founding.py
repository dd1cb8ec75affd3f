"""A fund from nothing, after the founding and by the shipped rules: opened, given limits and money, each by request."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from allauth.core import context
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core.management import CommandError, call_command
from django.test import RequestFactory

from compliance.actions.approval_execution import execute_request, release_request
from compliance.actions.approvals import decide_request, prepare_decision
from compliance.actions.proposing import propose
from compliance.approvals.errors import (
    AccessError,
    InterestedError,
    NotApprovedError,
    ProofNotAllowedError,
    RoleNotAskedError,
)
from compliance.approvals.policy import ProofKind
from compliance.models import ApprovalRequest, Decision, RequestState
from fundops.core.actions.users import create_user
from fundops.core.models import User
from fundops.core.roles import Role
from risk.models import CapitalBudget, RiskLimit
from tests.compliance.approvals.authenticator import SoftPasskey
from tests.compliance.approvals.support import staff, vote
from tests.factories import PASSWORD, user_with
from tests.gate import by_gate, found_everything, gate_people
from treasury.actions.books import ensure_asset, open_fund
from treasury.models import AssetKind, Fund, JournalEntry

pytestmark = pytest.mark.django_db
OPENED = date(2026, 1, 1)
NEW_FUND = {"code": "NEW", "name": "New fund", "base_asset": "USDT", "opened_on": OPENED}


@pytest.fixture
def founded(db: None) -> None:
    ensure_asset(code="USDT", name="Tether", kind=AssetKind.CRYPTO, places=8, actor=None)
    found_everything()


def contribution(amount: str) -> dict[str, Any]:
    lines = [
        {"book": "NEW", "account": account, "asset": "USDT", "amount": signed}
        for account, signed in (("cash", amount), ("capital", f"-{amount}"))
    ]
    return {"fund": "NEW", "value_date": OPENED, "entry_kind": "contribution", "memo": "Seed", "lines": lines}


def sign_with(key: SoftPasskey, request: ApprovalRequest, user: User, role: Role) -> None:
    """A vote whose challenge is the hash of what is signed."""
    request.refresh_from_db()
    shown = prepare_decision(request=request, decision=Decision.APPROVE, role=role.value, actor=user)
    decide_request(
        request_id=request.pk,
        decision=Decision.APPROVE,
        role=role.value,
        actor=user,
        signed_sha256=shown.sha256,
        proof_kind=ProofKind.PASSKEY,
        proof=key.sign(bytes.fromhex(shown.sha256)),
    )


def ask(amount: str) -> ApprovalRequest:
    return propose(
        kind="treasury.post_entry", payload=contribution(amount), reason="Seed capital", actor=gate_people().maker
    )


def test_a_fund_begins_by_request_alone(founded: None) -> None:
    with pytest.raises(NotApprovedError):
        open_fund(code="FREE", name="x", base_asset=_usdt(), opened_on=OPENED, actor=None)
    by_gate("treasury.open_fund", NEW_FUND)
    by_gate("treasury.open_book", {"parent": "NEW", "code": "trend", "name": "Trend", "opened_on": OPENED})
    by_gate("risk.apply_template", {"book": "NEW", "template": "conservative"})
    by_gate("risk.set_budget", {"book": "NEW/trend", "capital": Decimal(50_000)})
    assert Fund.objects.get().code == "NEW"
    assert RiskLimit.objects.filter(book__path="NEW", template="conservative").count() > 5
    assert CapitalBudget.objects.get().capital == 50_000


def _usdt() -> Any:
    return ensure_asset(code="USDT", name="Tether", kind=AssetKind.CRYPTO, places=8, actor=None)


def test_a_small_amount_takes_one_signature_and_a_releaser(founded: None) -> None:
    by_gate("treasury.open_fund", NEW_FUND)
    people, request = gate_people(), ask("9999.99")
    with pytest.raises(RoleNotAskedError):
        vote(request, people.operations, Role.OPERATIONS)
    vote(request, people.risk, Role.RISK_OFFICER)
    release_request(request_id=request.pk, actor=people.releaser)
    execute_request(request_id=request.pk)
    assert JournalEntry.objects.count() == 1


def test_a_larger_one_takes_two(founded: None) -> None:
    by_gate("treasury.open_fund", NEW_FUND)
    people, request = gate_people(), ask("10000")
    vote(request, people.risk, Role.RISK_OFFICER)
    request.refresh_from_db()
    assert request.state == RequestState.PARTIALLY_APPROVED
    vote(request, people.operations, Role.OPERATIONS)
    request.refresh_from_db()
    assert request.state == RequestState.APPROVED


def test_the_largest_is_signed_by_passkeys(founded: None) -> None:
    by_gate("treasury.open_fund", NEW_FUND)
    people, request = gate_people(), ask("250000")
    with pytest.raises(ProofNotAllowedError):
        vote(request, people.risk, Role.RISK_OFFICER)
    with context.request_context(RequestFactory().get("/", secure=True)):  # passkeys are bound to the site's name
        sign_with(SoftPasskey(people.risk), request, people.risk, Role.RISK_OFFICER)
        other = SoftPasskey(people.operations, b"soft-passkey-0002")
        sign_with(other, request, people.operations, Role.OPERATIONS)
    release_request(request_id=request.pk, actor=people.releaser)
    execute_request(request_id=request.pk)
    assert JournalEntry.objects.count() == 1


def test_who_administers_asks_for_roles_and_compliance_and_risk_sign(db: None) -> None:
    """The shipped rules for access."""
    administrator = staff("ada", Role.ADMINISTRATOR)
    found_everything()
    people = gate_people()
    asked = {"account": people.maker.username, "role": "Auditor"}
    request = propose(kind="access.grant_role", payload=asked, reason="Reads too", actor=administrator)
    vote(request, people.reviewer, Role.COMPLIANCE_OFFICER)
    vote(request, people.risk, Role.RISK_OFFICER)
    release_request(request_id=request.pk, actor=people.releaser)
    execute_request(request_id=request.pk)
    assert Role.AUDITOR in people.maker.roles


def test_what_is_about_the_only_compliance_officer_is_done_behind_glass(db: None) -> None:
    administrator = staff("ada", Role.ADMINISTRATOR)
    found_everything()
    people = gate_people()
    asked = {"account": people.reviewer.username, "role": "Auditor"}
    request = propose(kind="access.grant_role", payload=asked, reason="Reads too", actor=administrator)
    with pytest.raises(InterestedError):
        vote(request, people.reviewer, Role.COMPLIANCE_OFFICER)
    vote(request, people.risk, Role.RISK_OFFICER, Decision.BREAK_GLASS, "It is about our only compliance officer.")
    release_request(request_id=request.pk, actor=people.releaser)
    execute_request(request_id=request.pk)
    request.refresh_from_db()
    assert (request.state, request.break_glass) == ("executed", True)
    assert Role.AUDITOR in people.reviewer.roles


def test_who_could_sign_has_a_second_factor_first(db: None) -> None:
    """An account without one could be taken over by whoever sets its password."""
    administrator = staff("ada", Role.ADMINISTRATOR)
    found_everything()
    fresh = create_user(username="fresh", email="f@example.test", password=PASSWORD, actor=administrator)
    asked = {"account": "fresh", "role": "Operations"}
    with pytest.raises(AccessError, match="second factor"):
        propose(kind="access.grant_role", payload=asked, reason="New colleague", actor=administrator)
    TOTP.activate(fresh, generate_totp_secret())
    assert propose(kind="access.grant_role", payload=asked, reason="New colleague", actor=administrator)


def test_an_installation_proposes_its_rules_and_its_people_sign(db: None) -> None:
    people, out = gate_people(), StringIO()
    call_command("propose_rules", "--list", stdout=out)
    assert "risk.set_limit" in out.getvalue()
    assert not ApprovalRequest.objects.exists()
    with pytest.raises(CommandError, match="--maker"):
        call_command("propose_rules", stdout=out)
    with pytest.raises(CommandError, match="no known person"):
        call_command("propose_rules", "--maker", user_with(Role.RISK_OFFICER).username, stdout=out)
    call_command("propose_rules", "--maker", people.maker.username, stdout=out)
    request = ApprovalRequest.objects.get()
    assert str(request.pk) in out.getvalue()
    assert request.state == RequestState.SUBMITTED
    vote(request, people.risk, Role.RISK_OFFICER)
    vote(request, people.operations, Role.OPERATIONS)
    release_request(request_id=request.pk, actor=people.reviewer)
    execute_request(request_id=request.pk)
    call_command("propose_rules", "--maker", people.maker.username, stdout=out)
    assert "Every kind of action has rules in force." in out.getvalue()
