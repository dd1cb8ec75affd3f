"""What the gate needs at start-up: its live topics, and its own action in the registry."""

from __future__ import annotations

from compliance.actions import approval_policies
from compliance.approvals.policy import SET_POLICY
from compliance.approvals.registry import action_for
from compliance.approvals.topics import register_approval_topics


def set_up_approvals() -> None:
    """Registers the topics; importing the action's module has registered the action."""
    register_approval_topics()
    assert action_for(SET_POLICY) is approval_policies.set_policy  # noqa: S101
