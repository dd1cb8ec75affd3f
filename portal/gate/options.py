"""What one person may do with a request now, and where they may not, the sentence that says why.

The gate itself is asked (the same checks that the acts make), so that the page never promises what would be refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from allauth.mfa.models import Authenticator

from compliance.actions.approval_execution import RELEASE, check_release
from compliance.actions.approvals import DECIDE, check_review, prepare_decision
from compliance.approvals.errors import PolicyMissingError
from compliance.approvals.machine import allowed_steps
from compliance.approvals.policy import ProofKind
from compliance.approvals.registry import action_for
from compliance.models import ApprovalRequest, Decision, RequestState
from compliance.models.approvals import VOTING
from compliance.selectors_approvals import person_of, policy_in_force
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, require
from portal.gate.queue import Waiting

PROOF_WORDS = {ProofKind.PASSKEY: "a passkey", ProofKind.TOTP: "a code of the authenticator app"}
NO_GLASS = "The policy lets none of your roles break the glass."
#: Stands in for the comment that the person has not written yet.
_SOME_COMMENT = "…"


@dataclass(frozen=True)
class Option:
    """One thing to do; without ``possible``, ``why_not`` is the reason."""

    key: str
    possible: bool
    why_not: str = ""


@dataclass(frozen=True)
class Vote(Option):
    """``roles`` the vote may count for, each with the proofs that the policy accepts of it."""

    roles: tuple[tuple[str, tuple[ProofKind, ...]], ...] = ()


@dataclass(frozen=True)
class Options:
    """Everything the page offers to one person."""

    submit: Option
    edit: Option
    withdraw: Option
    votes: dict[str, Vote]
    release: Option
    review: Option
    is_maker: bool
    proofs_held: frozenset[ProofKind]
    #: What would keep a draft from being submitted today.
    hindrance: str = ""
    state: str = ""

    @property
    def may_vote(self) -> bool:
        return any(vote.possible for vote in self.votes.values())

    @property
    def nothing(self) -> bool:
        """True when there is nothing to do here, and nothing one could expect to do."""
        offered = (self.submit, self.edit, self.withdraw, self.release, self.review)
        return not self.may_vote and not self.reasons and not any(option.possible for option in offered)

    @property
    def lacks_proof(self) -> bool:
        """True when the person may vote but has none of the proofs the policy accepts of them."""
        wanted = {proof for vote in self.votes.values() for _, proofs in vote.roles for proof in proofs}
        return self.may_vote and not wanted & self.proofs_held

    @property
    def proofs(self) -> frozenset[ProofKind]:
        """The proofs that are accepted for some vote and that the person has."""
        wanted = {proof for vote in self.votes.values() for _, proofs in vote.roles for proof in proofs}
        return frozenset(wanted & self.proofs_held)

    @property
    def vote_roles(self) -> list[str]:
        """The roles in which the person may sign one thing or another."""
        return sorted({role for vote in self.votes.values() for role, _ in vote.roles})

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """(what, why not) for what one could expect to be able to do now; each reason once."""
        asked: list[tuple[str, Option]] = []
        if self.state in VOTING:
            asked = [("Approve", self.votes["approve"]), ("Reject", self.votes["reject"])]
            if self.votes["break_glass"].why_not != NO_GLASS:
                asked.append(("Break the glass", self.votes["break_glass"]))
        elif self.state == RequestState.APPROVED:
            asked = [("Release", self.release)]
        grouped: dict[str, list[str]] = {}
        for name, option in asked:
            if not option.possible:
                grouped.setdefault(option.why_not, []).append(name)
        return [(", ".join(names).capitalize(), why) for why, names in grouped.items()]

    @property
    def wanted_words(self) -> str:
        wanted = {proof for vote in self.votes.values() for _, proofs in vote.roles for proof in proofs}
        return " or ".join(words for proof, words in PROOF_WORDS.items() if proof in wanted)


def options_for(user: User, waiting: Waiting) -> Options:
    request = waiting.request
    is_maker = _is_maker(user, request)
    return Options(
        submit=_making(user, request, "submit", RequestState.SUBMITTED, only_from={RequestState.DRAFT}),
        edit=_making(user, request, "edit", RequestState.DRAFT),
        withdraw=_making(user, request, "withdraw", RequestState.WITHDRAWN),
        votes={
            "approve": _vote(user, waiting, Decision.APPROVE),
            "reject": _vote(user, waiting, Decision.REJECT),
            "break_glass": _vote(user, waiting, Decision.BREAK_GLASS),
        },
        release=_asked("release", lambda: check_release(request=request, actor=user))
        if may(user, RELEASE)
        else Option("release", possible=False, why_not="Your roles do not release requests."),
        review=_asked("review", lambda: check_review(request=request, actor=user)),
        is_maker=is_maker,
        proofs_held=proofs_of(user),
        state=request.state,
        hindrance=hindrance_of(request) if is_maker and request.state == RequestState.DRAFT else "",
    )


def proofs_of(user: User) -> frozenset[ProofKind]:
    """The proofs that the account could give."""
    kinds = {Authenticator.Type.WEBAUTHN: ProofKind.PASSKEY, Authenticator.Type.TOTP: ProofKind.TOTP}
    held = Authenticator.objects.filter(user=user, type__in=list(kinds)).values_list("type", flat=True)
    return frozenset(kinds[Authenticator.Type(kind)] for kind in held)


def hindrance_of(request: ApprovalRequest) -> str:
    """What would keep this draft from being submitted today, or nothing."""
    try:
        action = action_for(request.kind)
        action.recheck(action.read(request.payload))
        policy_in_force(request.kind)
    except PolicyMissingError as error:
        return "" if request.kind == "compliance.set_policy" else error.message
    except FundopsError as error:
        return error.message
    return ""


def _is_maker(user: User, request: ApprovalRequest) -> bool:
    try:
        return person_of(user).pk == request.maker_person_id
    except FundopsError:
        return False


def _asked(key: str, ask: Callable[[], object]) -> Option:
    try:
        ask()
    except FundopsError as error:
        return Option(key, possible=False, why_not=error.message)
    return Option(key, possible=True)


def _making(
    user: User, request: ApprovalRequest, key: str, target: RequestState, *, only_from: set[RequestState] | None = None
) -> Option:
    """The maker's own steps, as the machine of states allows them."""

    def ask() -> None:
        require(user, "compliance.propose_request")
        if person_of(user).pk != request.maker_person_id:
            raise FundopsError("Only its maker changes a request.")
        sources = only_from or {RequestState(source) for source, to in allowed_steps() if to == target}
        if request.state not in sources:
            raise FundopsError(f"This request is {request.get_state_display().lower()}.")
        if key == "submit":
            require(user, action_for(request.kind).maker_permission)

    return _asked(key, ask)


def _vote(user: User, waiting: Waiting, decision: Decision) -> Vote:
    """Asks the gate for every role that could count; the last refusal speaks for all."""
    request, statement = waiting.request, waiting.statement
    if not may(user, DECIDE):
        return Vote(decision, possible=False, why_not="Your roles do not vote on requests.")
    held = sorted(role.value for role in user.roles)
    asked: list[str] = []
    if statement is not None and request.state in VOTING:
        asked = statement.break_glass_roles if decision == Decision.BREAK_GLASS else list(statement.quorum)
    if decision == Decision.BREAK_GLASS and not set(held) & set(asked):
        return Vote(decision, possible=False, why_not=NO_GLASS)
    roles, why_not = [], ""
    for role in [role for role in held if role in asked] or held[:1]:
        try:
            shown = prepare_decision(request=request, decision=decision, role=role, actor=user, comment=_SOME_COMMENT)
        except FundopsError as error:
            why_not = error.message
        else:
            roles.append((role, shown.proofs))
    return Vote(decision, possible=bool(roles), why_not=why_not, roles=tuple(roles))
