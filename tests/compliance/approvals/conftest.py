"""Fixtures of the gate's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compliance.approvals.support import WORLD, People, make_people, policy_document, set_policy


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    before = dict(WORLD)
    yield
    WORLD.update(before)


@pytest.fixture
def people(db: None) -> People:
    """The cast, with a policy in force for the tests' action, made through the gate."""
    made = make_people()
    set_policy(made, policy_document())
    return made
