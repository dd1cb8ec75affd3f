"""What waits for one person at the gate: votes, releases, reviews, their own drafts; and what waits for others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import F, Q, QuerySet
from django.utils.functional import cached_property

from compliance.approvals.errors import ApprovalError, InterestedError
from compliance.approvals.humans import records_of
from compliance.approvals.registry import action_for
from compliance.approvals.statement import check_fresh, read_statement
from compliance.approvals.votes import check_interest
from compliance.models import (
    ApprovalDecision,
    ApprovalRequest,
    ApprovalStatement,
    Decision,
    Person,
    RequestState,
)
from compliance.models.approvals import EXPIRING
from compliance.selectors_approvals import (
    REVIEW,
    VIEW_REQUESTS,
    approval_queue,
    approval_request_list,
    is_delegate,
    release_queue,
)
from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may

OPEN = EXPIRING | {RequestState.EXECUTING}
MOST = 100
_REMEMBERED = "_waiting_at_the_gate"


@dataclass(frozen=True)
class Waiting:
    """One open request with its votes as they count now."""

    request: ApprovalRequest

    @cached_property
    def statement(self) -> ApprovalStatement | None:
        return next((said for said in self.request.statements.all() if said.version == self.request.version), None)

    @cached_property
    def decisions(self) -> list[ApprovalDecision]:
        """The votes on the present version; those on former ones are void."""
        if self.statement is None:
            return []
        return [vote for vote in self.request.decisions.all() if vote.statement_id == self.statement.pk]

    @cached_property
    def missing(self) -> dict[str, int]:
        """How many people of which role are missing, counting those alone who hold their role today."""
        if self.statement is None or self.glass_broken:
            return {}
        missing = {str(role): int(number) for role, number in self.statement.quorum.items()}
        for vote in self.decisions:
            if vote.decision == Decision.APPROVE and holds(vote.actor, vote.role):
                missing[vote.role] = missing.get(vote.role, 0) - 1
        return {role: number for role, number in missing.items() if number > 0}

    @cached_property
    def stale(self) -> str:
        """Why nobody can sign or release it as it stands, or nothing."""
        if self.statement is None or self.request.state not in EXPIRING:
            return ""
        try:
            check_fresh(self.statement, read_statement(self.statement), self.request)
        except FundopsError as error:
            return error.message
        return ""

    @property
    def glass_broken(self) -> bool:
        return any(vote.decision == Decision.BREAK_GLASS for vote in self.decisions)

    @property
    def overdue(self) -> bool:
        due = self.request.review_due_at
        return due is not None and due < clock.now()


def holds(account: User, role: str) -> bool:
    """True while the account is active and holds the role (by its prefetched groups)."""
    return account.is_active and any(group.name == role for group in account.groups.all())


def with_votes(requests: QuerySet[ApprovalRequest]) -> QuerySet[ApprovalRequest]:
    """All that `Waiting` reads, in a fixed number of queries."""
    return requests.prefetch_related("statements", "decisions__person", "decisions__actor__groups")


@dataclass(frozen=True)
class Queue:
    """The groups of the queue page, each in the order in which it should be looked at."""

    to_sign: list[Waiting]
    to_release: list[Waiting]
    to_review: list[Waiting]
    drafts: list[Waiting]
    mine: list[Waiting]
    others: list[Waiting]

    @property
    def count(self) -> int:
        """What waits for the reader to act on somebody else's request."""
        return len(self.to_sign) + len(self.to_release) + len(self.to_review)


def queue_of(user: User) -> Queue:
    person = Person.objects.filter(accounts__account=user).first()
    sign, release, review = to_sign(user), to_release(user), to_review(user, person)
    mine = Q(maker_person__in=records_of(person.pk)) if person else Q(maker=user)
    requests = with_votes(approval_request_list(user=user))
    drafts = _waiting(requests.filter(mine, state=RequestState.DRAFT).order_by("-created_at")[:MOST])
    open_mine = _waiting(requests.filter(mine, state__in=OPEN).order_by("expires_at")[:MOST])
    shown = {waiting.request.pk for waiting in (*sign, *release, *review, *open_mine)}
    others = requests.filter(state__in=OPEN).exclude(pk__in=shown).order_by("expires_at")[:MOST]
    return Queue(sign, release, review, drafts, open_mine, _waiting(others))


def waiting_count(user: User) -> int:
    """The number in the navigation; asked once for each loaded account, which lives as long as its request."""
    known: int | None = vars(user).get(_REMEMBERED)
    if known is None:
        known = vars(user)[_REMEMBERED] = _count_waiting(user)
    return known


def _count_waiting(user: User) -> int:
    person = Person.objects.filter(accounts__account=user).first() if may(user, VIEW_REQUESTS) else None
    if person is None:
        return 0
    return len(to_sign(user)) + len(to_release(user)) + len(to_review(user, person))


def to_sign(user: User) -> list[Waiting]:
    """Requests on which a vote of a role that ``user`` holds is still missing, the next deadline first."""
    roles = {role.value for role in user.roles}
    found = _waiting(with_votes(approval_queue(user=user)).order_by("expires_at")[:MOST])
    return [waiting for waiting in found if roles & waiting.missing.keys() and not _about(user, waiting.request)]


def to_release(user: User) -> list[Waiting]:
    """Approved requests that ``user`` may release by role, as nobody's delegate."""
    roles = {role.value for role in user.roles}
    found = release_queue(user=user).filter(statements__version=F("version"))
    allowed = [
        waiting
        for waiting in _waiting(with_votes(found).distinct().order_by("expires_at")[:MOST])
        if waiting.statement and roles & set(waiting.statement.releaser_roles)
    ]
    return [one for one in allowed if not _stands_in(user, one.request) and not _about(user, one.request)]


def _stands_in(user: User, request: ApprovalRequest) -> bool:
    return is_delegate(_person_of(user), of=request.maker_person, since=request.created_at, until=clock.now())


def _person_of(user: User) -> Person:
    return Person.objects.get(accounts__account=user)


def _about(user: User, request: ApprovalRequest) -> bool:
    """True when the request is about this very person, who has no part in it then."""
    try:
        action = action_for(request.kind)
        payload = action.read(request.payload)
        if action.interested(payload):
            check_interest(action, payload, [_person_of(user).pk])
    except InterestedError:
        return True
    except ApprovalError:
        return False  # its page says what is wrong with it
    return False


def to_review(user: User, person: Person | None) -> list[Waiting]:
    """What was done behind broken glass and still wants the look of somebody like ``user``."""
    if person is None or not may(user, REVIEW):
        return []
    own = records_of(person.pk)
    found = (
        approval_request_list(user=user)
        .filter(break_glass=True, review=None, state__in=(RequestState.EXECUTED, RequestState.FAILED))
        .exclude(maker_person__in=own)
        .exclude(released_person__in=own)
        .exclude(decisions__person__in=own)
    )
    return _waiting(with_votes(found).order_by("review_due_at")[:MOST])


def _waiting(requests: Iterable[ApprovalRequest]) -> list[Waiting]:
    return [Waiting(request) for request in requests]
