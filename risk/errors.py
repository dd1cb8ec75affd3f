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


class SwitchLoosensError(RiskError):
    status = 409
    title = "A stop only ever tightens"


class SwitchScopeError(RiskError):
    title = "The switch's scope makes no sense"


class SwitchReasonError(RiskError):
    title = "A stop needs a reason"


class SwitchRestoreError(RiskError):
    status = 409
    title = "Trading cannot be restored so"


class TriggerPolicyError(RiskError):
    title = "The trigger's policy makes no sense"


class SignalError(RiskError):
    title = "The signal makes no sense"


class LeveragePolicyError(RiskError):
    title = "The leverage policy makes no sense"


class LeveragePolicyMissingError(RiskError):
    status = 409
    title = "There is no leverage policy"


class LeverageError(RiskError):
    status = 409
    title = "The leverage cannot be changed so"


class OverridePolicyError(RiskError):
    title = "The policy for overrides makes no sense"


class OverridePolicyMissingError(RiskError):
    status = 409
    title = "There is no policy for overrides"


class OverrideRefusedError(RiskError):
    title = "The guardrail cannot be overridden so"


class OverrideOverError(RiskError):
    status = 409
    title = "The override is over"


class NothingToStressError(RiskError):
    title = "There is nothing to stress"


class StressRunningError(RiskError):
    status = 409
    title = "A stress run is under way"


class StressRunOverError(RiskError):
    status = 409
    title = "The stress run has ended"
