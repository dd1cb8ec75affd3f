"""People and their accounts."""

from fundops.core.models.user import User

__all__ = ["User"]
