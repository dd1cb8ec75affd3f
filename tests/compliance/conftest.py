"""Fixtures of the audit tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compliance.support import SHARED_KEY


@pytest.fixture
def shared_key(settings: Any) -> None:
    """This process signs with the key that its child processes have."""
    settings.SECRET_KEY = SHARED_KEY
