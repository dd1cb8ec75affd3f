"""What the audit stream refuses, and what a person can do about it."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class TransactionRequiredError(FundopsError):
    """An event was published outside a transaction: it could outlive an act that never happened."""

    status = 500
    title = "Transaction required"

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"The event '{kind}' must be published inside the transaction that performs the act: "
            "wrap the action in transaction.atomic().",
            kind=kind,
        )


class EventPayloadError(FundopsError):
    """A payload that is no JSON (or far too big) cannot be evidence."""

    status = 500
    title = "Payload refused"


class EventNameError(FundopsError):
    """A kind or a topic is not written the way the stream's readers expect."""

    status = 500
    title = "Event name refused"


class ConsumerNameError(FundopsError):
    """Two consumers of the stream may not share one cursor."""

    status = 500
    title = "Consumer refused"
