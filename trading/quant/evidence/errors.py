"""What the statistics of evidence refuse."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class EvidenceError(FundopsError):
    """The input contradicts itself: tables of different shapes, no agents, a probability outside 0 to 1."""

    title = "This evidence cannot be computed"
