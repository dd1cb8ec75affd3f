"""Hypothesis settings of this folder: the same examples every time, and no clock."""

from __future__ import annotations

from hypothesis import settings

STEADY = settings(max_examples=300, derandomize=True, deadline=None)
