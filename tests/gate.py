"""What passes the gate, for tests of what lies behind it: real requests, signed by a cast of real accounts.

`by_gate(kind, payload)` goes the whole way of one request and gives its result. `executing(kind, payload)` goes the
same way up to the execution and hands that transaction to the test, for tests of the action behind the executor.
Neither passes by anything: the policy is made by a request, the votes carry codes, the database checks it all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from compliance.actions.approval_execution import execute_request, release_request
from compliance.actions.proposing import propose
from compliance.approvals.policy import SET_POLICY, ProofKind
from compliance.approvals.registry import Warrant, action_for
from compliance.founding import Signer, found_policies
from compliance.models import ApprovalPolicy, ApprovalRequest, RequestState
from compliance.models.audit import CurrentTransaction
from fundops.core.models import User
from fundops.core.roles import MATRIX, Role
from tests.compliance.approvals.support import People, fresh_code_proof, policy_document, staff, vote

MAKER_OF_RULES = "gate_manager"


def gate_people() -> People:
    """A second risk officer and operations team beside whoever the test has; made once in a test."""
    made = {user.username: user for user in User.objects.filter(username__startswith="gate_")}

    def one(name: str, *roles: Role) -> User:
        return made.get(name) or staff(name, *roles)

    return People(
        maker=one(MAKER_OF_RULES, Role.PORTFOLIO_MANAGER),
        risk=one("gate_risk", Role.RISK_OFFICER),
        operations=one("gate_operations", Role.OPERATIONS),
        releaser=one("gate_releaser", Role.OPERATIONS),
        reviewer=one("gate_compliance", Role.COMPLIANCE_OFFICER),
    )


def maker_of(kind: str) -> User:
    """Somebody whose role may ask for this kind of action."""
    wanted = action_for(kind).maker_permission
    people = gate_people()
    for user in (people.maker, people.reviewer):
        if user.has_perm(wanted):
            return user
    role = next(r for r in MATRIX if wanted in MATRIX[r])
    name = f"gate_maker_{role.name.lower()}"
    return User.objects.filter(username=name).first() or staff(name, role)


def ensure_policy(kind: str) -> None:
    """Rules for this kind alone (risk and operations sign, another releases), by a request of their own."""
    if kind == SET_POLICY or ApprovalPolicy.objects.filter(kind=kind).exists():
        return
    carry(propose(kind=SET_POLICY, payload={"document": policy_document(kind)}, reason="R", actor=gate_people().maker))


def found_everything() -> None:
    """The shipped rules of every kind in force, by one signed request: an installation after its founding."""
    people = gate_people()
    signers = [
        Signer(user, role, lambda _shown, user=user: (ProofKind.TOTP, fresh_code_proof(user)))  # type: ignore[misc]
        for user, role in ((people.risk, Role.RISK_OFFICER), (people.operations, Role.OPERATIONS))
    ]
    found_policies(maker=people.maker, signers=signers, releaser=people.reviewer)


def carry(request: ApprovalRequest, *, execute: bool = True) -> ApprovalRequest:
    """Signs, releases and (unless told not to) executes a submitted request, by the cast."""
    people = gate_people()
    vote(request, people.risk, Role.RISK_OFFICER)
    vote(request, people.operations, Role.OPERATIONS)
    release_request(request_id=request.pk, actor=people.releaser)
    if execute:
        record = execute_request(request_id=request.pk)
        assert record is not None
        assert record.outcome == RequestState.EXECUTED, record.error
    request.refresh_from_db()
    return request


def released(kind: str, payload: Mapping[str, Any], *, maker: User | None = None) -> ApprovalRequest:
    """A request that is signed and released, and not executed yet."""
    ensure_policy(kind)
    opened = propose(kind=kind, payload=payload, reason="A test asks.", actor=maker or maker_of(kind))
    return carry(opened, execute=False)


def by_gate(kind: str, payload: Mapping[str, Any], *, maker: User | None = None) -> dict[str, Any]:
    """The whole way; what the executor answered."""
    ensure_policy(kind)
    opened = propose(kind=kind, payload=payload, reason="A test asks.", actor=maker or maker_of(kind))
    result: dict[str, Any] = carry(opened).execution.result
    return result


@contextmanager
def executing(kind: str, payload: Mapping[str, Any]) -> Iterator[Warrant]:
    """The transaction that executes a released request of this kind; the test's code takes the executor's place."""
    request = released(kind, payload)
    with transaction.atomic():
        ApprovalRequest.objects.filter(pk=request.pk).update(executing_xid=CurrentTransaction())
        assert request.released_by is not None
        yield Warrant(request_id=request.pk, actor=request.released_by)
        ApprovalRequest.objects.filter(pk=request.pk).update(executing_xid=None)
