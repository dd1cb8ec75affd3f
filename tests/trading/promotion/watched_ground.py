"""For tests of what is watched: a reviewed candidate, and a pool large enough that its slice buys several lots."""

from __future__ import annotations

import pytest

from fundops.core.models import User
from tests.worlds import Candidate
from trading.models.promotion import PromotionReview
from treasury.models import BankrollPool


@pytest.fixture
def pm(watched_world: Candidate) -> User:
    return watched_world.pm


@pytest.fixture
def pool(watched_world: Candidate) -> BankrollPool:
    assert watched_world.pool is not None
    return watched_world.pool


@pytest.fixture
def reviewed(watched_world: Candidate) -> PromotionReview:
    """Of a candidate whose evidence knows the pool."""
    assert watched_world.review is not None
    return watched_world.review
