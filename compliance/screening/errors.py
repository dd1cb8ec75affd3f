"""What screening refuses, and what a person can do about it."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class RestrictionError(FundopsError):
    title = "The restricted list stays as it is"


class ScreeningPolicyError(FundopsError):
    title = "The rules of screening stay as they are"


class FlagError(FundopsError):
    title = "The flag stays as it is"
