"""The demo's leverage: the shipped policies by signed requests, its cohorts under them, an override asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from compliance.actions.proposing import propose
from compliance.models import ApprovalRequest
from fundops.core import clock
from fundops.core.models import User
from portal import demo_gate
from risk.actions.leverage import SET_LEVERAGE_POLICY, begin_leverage, evaluate_leverage
from risk.actions.overrides import OVERRIDE_GUARDRAIL, SET_OVERRIDE_POLICY
from risk.leverage import last_decision, policy_in_force
from risk.models import StopCause
from risk.overrides import override_policy_in_force
from trading.models.cohort import Cohort
from treasury.models import Fund

Say = Callable[[str], None]
#: Long enough to be signed at leisure, and within what the shipped policy allows.
OVERRIDE_FOR = timedelta(hours=23)


def make_leverage(fund: Fund, cohorts: Sequence[Cohort], *, say: Say) -> None:
    """Run twice it adds nothing."""
    make_policies(say=say)
    make_books(cohorts, say=say)
    make_override(fund, say=say)


def make_policies(*, say: Say) -> None:
    """The rules of leverage and of overrides as they ship, each by a request of its own."""
    if policy_in_force() is None:
        demo_gate.sign(
            SET_LEVERAGE_POLICY, {}, reason="The fund's rules: from 2x, one step up for what was earned, down at once."
        )
        say("The leverage policy is in force.")
    if override_policy_in_force() is None:
        demo_gate.sign(
            SET_OVERRIDE_POLICY,
            {},
            reason="At most a day, at most half as much again, and never the day's capital stop.",
        )
        say("The policy for overrides is in force.")


def make_books(cohorts: Sequence[Cohort], *, say: Say) -> None:
    """The cohorts' Books under the policy, each with a first decision on what it did so far."""
    found = [c.book for c in cohorts if c.book is not None and c.book.is_open and last_decision(c.book) is None]
    for book in found:
        begin_leverage(book=book, actor=None)
    if found:
        evaluate_leverage()
        say(f"{len(found)} cohort{' is' if len(found) == 1 else 's are'} under the leverage policy.")


def make_override(fund: Fund, *, say: Say) -> None:
    """An override that waits for its two signatures: of a trigger, so that the change of a limit that waits at the gate
    does not make it stale.
    """
    if ApprovalRequest.objects.filter(kind=OVERRIDE_GUARDRAIL).exists():
        return
    propose(
        kind=OVERRIDE_GUARDRAIL,
        payload={
            "book": fund.code,
            "trigger": StopCause.STALE_DATA.value,
            "ends_at": (clock.now() + OVERRIDE_FOR).replace(second=0, microsecond=0).isoformat(),
        },
        reason="The venue is down for maintenance tonight: late prices are expected and stop nothing.",
        actor=User.objects.get(username=demo_gate.MAKER),
    )
    say("An override of a trigger, late market data, waits for risk and operations.")
