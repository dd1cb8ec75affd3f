"""The root of every error the product raises on purpose; the API maps it once to problem+json."""

from __future__ import annotations

from typing import Any


class FundopsError(Exception):
    """A refusal with a reason. The message tells a person what to do; ``extra`` holds machine-readable detail."""

    status = 400
    title = "Request refused"

    def __init__(self, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.extra = extra

    @property
    def code(self) -> str:
        """A stable name for machines: the class name in snake case without its ``Error`` ending."""
        name = type(self).__name__.removesuffix("Error")
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class PermissionMissingError(FundopsError):
    """The actor lacks a permission; it is named, so that a person knows what to ask for."""

    status = 403
    title = "Permission missing"

    def __init__(self, permission: str) -> None:
        super().__init__(f"You need the permission '{permission}' for this.", permission=permission)
