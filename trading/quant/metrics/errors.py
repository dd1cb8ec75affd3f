"""What the performance figures refuse."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class MetricsError(FundopsError):
    """The input contradicts itself: shapes that differ, times that do not rise, a start that is not
    positive.
    """

    title = "These figures cannot be computed"
