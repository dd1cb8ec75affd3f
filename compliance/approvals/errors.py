"""Why the gate refuses: one class a failure, each saying what to do."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class ApprovalError(FundopsError):
    status = 409
    title = "The gate refuses this"


class UnknownKindError(ApprovalError):
    status = 404
    title = "No such kind of action"


class PayloadError(ApprovalError):
    status = 422
    title = "The payload is not valid"


class CanonicalFormError(ApprovalError):
    status = 422
    title = "The payload has no canonical form"


class PolicyError(ApprovalError):
    status = 422
    title = "The policy makes no sense"


class PolicyMissingError(ApprovalError):
    title = "No policy covers this"


class TransitionRefusedError(ApprovalError):
    title = "The request is not in a state for this"


class PersonUnknownError(ApprovalError):
    status = 403
    title = "Nobody knows whose account this is"


class SamePersonError(ApprovalError):
    status = 403
    title = "Maker, checker and releaser are different people"


class InterestedError(ApprovalError):
    status = 403
    title = "Nobody has a part in what is about themselves"


class DelegateError(ApprovalError):
    status = 403
    title = "The maker's delegate is no second pair of eyes"


class RoleNotAskedError(ApprovalError):
    status = 403
    title = "The vote counts for no role the policy asks for"


class AlreadyDecidedError(ApprovalError):
    title = "This person has decided already"


class RequestExpiredError(ApprovalError):
    title = "The request has expired"


class QuorumLostError(ApprovalError):
    title = "The votes it needs are not there"


class StandsStillError(ApprovalError):
    title = "This part of a request never changes"


class StatementChangedError(ApprovalError):
    """What the approver saw is not what would be signed now."""

    title = "The request has changed since it was shown"


class TamperedError(ApprovalError):
    title = "What was signed is not what is there"


class StaleRequestError(ApprovalError):
    title = "The world has moved since this was signed"


class NotApprovedError(ApprovalError):
    status = 403
    title = "There is no approved request for this"


class ExecutionRecordError(ApprovalError):
    title = "The execution has no record"


class BreakGlassError(ApprovalError):
    status = 403
    title = "The glass may not be broken here"


class ProofRefusedError(ApprovalError):
    status = 403
    title = "That does not prove it is you"


class ProofNotAllowedError(ApprovalError):
    status = 403
    title = "The policy asks for another proof"


class EvidenceRefusedError(ApprovalError):
    status = 422
    title = "This is not taken as evidence"


class AccessError(ApprovalError):
    title = "The change of access makes no sense"


class AccountLinkError(ApprovalError):
    title = "The account cannot be linked"
