"""What the gate needs at start-up: its live topics, and its own actions in the registry."""

from __future__ import annotations

from compliance.actions import approval_policies, screening
from compliance.approvals import access, merging
from compliance.approvals.policy import SET_POLICY
from compliance.approvals.registry import action_for
from compliance.approvals.topics import register_approval_topics


def set_up_approvals() -> None:
    """Registers the topics; importing the actions' modules has registered the actions."""
    register_approval_topics()
    access.install_access_door()
    assert action_for(SET_POLICY) is approval_policies.set_policy  # noqa: S101
    assert action_for(merging.MERGE_PEOPLE) is merging.merge_people  # noqa: S101
    assert action_for("compliance.lift_restriction") is screening.lift_restriction  # noqa: S101
