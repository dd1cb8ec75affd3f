"""Fixtures of the gate's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compliance.approvals.support import WORLD, People


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    before = dict(WORLD)
    yield
    WORLD.update(before)


@pytest.fixture
def people(gate_world: People) -> People:
    """The cast, with a policy in force for the tests' action."""
    return gate_world
