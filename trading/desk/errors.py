"""What a desk refuses."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class DeploymentSpecError(FundopsError):
    """A deployment that cannot be opened; the message says what to change."""

    title = "This deployment cannot be opened"


class DeploymentEndedError(FundopsError):
    """It has stopped already."""

    status = 409
    title = "The deployment has ended"


class LeaseLostError(FundopsError):
    """Somebody else drives this desk now; nothing was written."""

    status = 409
    title = "The lease of this desk went to somebody else"


class UnknownGatewayError(FundopsError):
    title = "No such gateway"
