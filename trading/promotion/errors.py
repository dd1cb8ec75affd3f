"""What compiling evidence and judging it refuse."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class EvidenceUnavailableError(FundopsError):
    """The cohort has nothing to judge yet, or what it traded cannot be read any more."""

    status = 409
    title = "No evidence can be compiled"


class GatePolicyError(FundopsError):
    """A gate policy that does not hold together; the message names each field."""

    title = "This gate policy is not valid"


class ReviewStepError(FundopsError):
    """The review has no such step from where it stands."""

    status = 409
    title = "The review stays as it is"


class PromotionError(FundopsError):
    """The candidate cannot be promoted on these terms."""

    title = "The candidate is not promoted"
