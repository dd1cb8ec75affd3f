"""Why the risk layer refuses: one class a failure, each saying what to do."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class RiskError(FundopsError):
    status = 422
    title = "The risk layer refuses this"


class LimitLevelsError(RiskError):
    title = "The limit's levels make no sense"


class LimitScopeError(RiskError):
    title = "The limit's scope makes no sense"


class LimitPeriodError(RiskError):
    title = "The limit's dates make no sense"


class LimitOverlapError(RiskError):
    status = 409
    title = "Another limit is already in force in these dates"


class LimitRetiredError(RiskError):
    status = 409
    title = "The limit is no longer in force"


class ClosedBookLimitError(RiskError):
    status = 409
    title = "The book is closed"


class TemplateError(RiskError):
    title = "The template cannot be used"


class BreachClosedError(RiskError):
    status = 409
    title = "The breach is closed"


class ScenarioError(RiskError):
    title = "The scenario makes no sense"


class BudgetError(RiskError):
    title = "The capital budget makes no sense"


class BookNotMeasuredError(RiskError):
    status = 409
    title = "The book is not measured"


class SourceMissingError(RiskError):
    status = 503
    title = "Nothing measures the books"


class AllocationRefusedError(RiskError):
    title = "No allocation can be proposed"
