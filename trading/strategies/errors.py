"""What can be wrong with a strategy, a genome or a profile, said so that a person knows what to do."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class StrategyError(FundopsError):
    """Base of this package's errors."""

    title = "Strategy refused"


class UnknownStrategyError(StrategyError):
    status = 404
    title = "No such strategy"


class StrategyCheckError(StrategyError):
    """A strategy did not pass the lookahead, warm-up or bounds check; ``extra["problems"]`` lists why."""


class StrategyLoadError(StrategyError):
    """A user's strategy file cannot be used; ``extra`` holds path and line."""


class FrameStrategyError(StrategyError):
    """A DataFrame strategy returned something that is not a series of targets."""


class GenomeError(StrategyError):
    title = "Genome refused"


class ProfileError(StrategyError):
    """A profile file is wrong; ``extra["problems"]`` holds path, line and reason of each finding."""

    title = "Strategy profile refused"
