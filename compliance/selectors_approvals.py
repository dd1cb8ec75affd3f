"""Reading the gate: policies in force, whose account it is, requests and who may still decide them."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet

from compliance.approvals.errors import PersonUnknownError, PolicyMissingError, TamperedError
from compliance.approvals.humans import acts_for, humans, records_of
from compliance.approvals.policy import FOUNDING, PolicyDocument, read_policy
from compliance.models import (
    ApprovalDecision,
    ApprovalPolicy,
    ApprovalRequest,
    ApprovalStatement,
    Delegation,
    Person,
    RequestState,
)
from compliance.models.approvals import VOTING
from fundops.core import clock
from fundops.core.models import User
from fundops.core.permissions import may

VIEW_REQUESTS = "compliance.view_approvalrequest"
REVIEW = "compliance.review_request"


def person_of(user: User) -> Person:
    """Whose account it is; raises PersonUnknownError."""
    person = Person.objects.filter(accounts__account=user).first()
    if person is None:
        raise PersonUnknownError(
            f"The account '{user.username}' belongs to no known person, so it can neither ask nor approve. "
            "A compliance officer links it."
        )
    return person


def policy_in_force(kind: str) -> tuple[ApprovalPolicy, PolicyDocument]:
    """The highest version of the rules for a kind of action; raises PolicyMissingError."""
    policy = ApprovalPolicy.objects.filter(kind=kind).order_by("-version").first()
    if policy is None:
        raise PolicyMissingError(
            f"There is no approval policy for '{kind}'. Propose one (compliance.set_policy) first.", kind=kind
        )
    document = read_policy(policy.document)
    if policy.request_id is None and document != FOUNDING:
        raise TamperedError(f"The policy for '{kind}' came from nowhere. Stop, and tell compliance.", policy=policy.pk)
    return policy, document


def policies_in_force() -> dict[str, int]:
    """The version in force of every kind that has rules."""
    highest = ApprovalPolicy.objects.order_by("kind").values("kind").annotate(highest=Max("version"))
    return {row["kind"]: row["highest"] for row in highest}


def statement_of(request: ApprovalRequest) -> ApprovalStatement | None:
    """What is signed of the request's present version."""
    return ApprovalStatement.objects.select_related("policy").filter(request=request, version=request.version).first()


def decisions_of(statement: ApprovalStatement) -> QuerySet[ApprovalDecision]:
    """The decisions on one statement, in order; those on former versions are void."""
    return ApprovalDecision.objects.filter(statement=statement).select_related("actor", "person")


def is_delegate(person: Person, *, of: Person, since: datetime, until: datetime) -> bool:
    """True when ``person`` acted for ``of`` at some moment from ``since`` to ``until``."""
    return acts_for(person.pk, principal_id=of.pk, since=since, until=until)


def had_part(request: ApprovalRequest, person: Person) -> bool:
    """True when this human made the request, decided on its present version or released it, by any record."""
    own = records_of(person.pk)
    if own & {request.maker_person_id, request.released_person_id}:
        return True
    return request.decisions.filter(statement__version=request.version, person__in=own).exists()


def accounts_with(permission: str) -> QuerySet[User]:
    """The active accounts of known people that have a permission by their roles."""
    return (
        User.objects.with_perm(permission, backend="django.contrib.auth.backends.ModelBackend")
        .filter(person_link__isnull=False)
        .order_by("pk")
    )


def reviewers_of(request: ApprovalRequest) -> list[Person]:
    """The people who could review a broken glass: those of the right role who had no part in any version of it."""
    parts = [request.maker_person_id, request.released_person_id]
    parts += request.decisions.values_list("person", flat=True)
    taken = set(humans(parts).values())
    able = Person.objects.filter(accounts__account__in=accounts_with(REVIEW)).distinct().order_by("pk")
    alike = humans(able.values_list("pk", flat=True))
    return [person for person in able if alike[person.pk] not in taken]


def approval_request_list(*, user: User) -> QuerySet[ApprovalRequest]:
    """What ``user`` may see: all with compliance.view_approvalrequest, else what they made themselves."""
    requests = ApprovalRequest.objects.select_related("maker", "maker_person", "released_by", "execution")
    if may(user, VIEW_REQUESTS):
        return requests
    return requests.filter(maker=user) if user.is_authenticated else requests.none()


def approval_queue(*, user: User) -> QuerySet[ApprovalRequest]:
    """What waits for ``user``: votes of a role they hold, on requests in which their person has no part."""
    person = Person.objects.filter(accounts__account=user).first()
    roles = [role.value for role in user.roles]
    if person is None or not may(user, "compliance.decide_request"):
        return ApprovalRequest.objects.none()
    now, own = clock.now(), records_of(person.pk)
    asked = Q()
    for role in roles:
        asked |= Q(quorum__has_key=role)
    if not asked:
        return ApprovalRequest.objects.none()
    waiting = ApprovalStatement.objects.filter(asked, expires_at__gte=now).exclude(decisions__person__in=own)
    acted_for_the_maker = Delegation.objects.filter(
        Q(ends_at=None) | Q(ends_at__gt=OuterRef("created_at")),
        principal=OuterRef("maker_person"),
        delegate__in=own,
        starts_at__lte=now,
    )
    return (
        approval_request_list(user=user)
        .filter(state__in=VOTING, statements__in=waiting, statements__version=F("version"))
        .exclude(maker_person__in=own)
        .exclude(Exists(acted_for_the_maker))
        .distinct()
    )


def release_queue(*, user: User) -> QuerySet[ApprovalRequest]:
    """What is approved and waits to be released by somebody else than ``user``'s own part in it."""
    person = Person.objects.filter(accounts__account=user).first()
    if person is None or not may(user, "compliance.release_request"):
        return ApprovalRequest.objects.none()
    own = records_of(person.pk)
    return (
        approval_request_list(user=user)
        .filter(state=RequestState.APPROVED, expires_at__gte=clock.now())
        .exclude(maker_person__in=own)
        .exclude(decisions__person__in=own)
    )
