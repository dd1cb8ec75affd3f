"""Finds the folder of real market data that tests and demos may use where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(os.environ.get("FUNDOPS_SAMPLE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def sample_path(relative: str) -> Path | None:
    """The file or folder below the sample data, or None where this machine has none of it."""
    path = _ROOT / relative
    return path if path.exists() else None


def require_sample(relative: str) -> Path:
    """The same, skipping the calling test when it is absent."""
    path = sample_path(relative)
    if path is None:
        pytest.skip(f"real market data not present: {relative}")
    return path
