"""What the trading domain refuses."""

from __future__ import annotations

from collections.abc import Mapping

from fundops.core.errors import FundopsError


class CohortSpecError(FundopsError):
    """A cohort that cannot be launched; ``fields`` says of each field what to change."""

    title = "This cohort cannot be launched"

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        super().__init__(" ".join(text for texts in fields.values() for text in texts), fields=dict(fields))
        self.fields = dict(fields)


class CohortNotLiveError(FundopsError):
    """Only a cohort that still trades can be cancelled."""

    status = 409
    title = "The cohort has ended"


class CohortNotFailedError(FundopsError):
    """Only a cohort that failed can be resumed."""

    status = 409
    title = "The cohort has not failed"


class StrategyMissingError(FundopsError):
    """A cohort's agent trades a strategy, or a version of one, that this installation does not have now."""

    status = 409
    title = "A strategy is missing"


class BooksDisagreeError(FundopsError):
    """The engine and the ledger give an agent different equity: the day is not accepted."""

    status = 500
    title = "Engine and books disagree"
