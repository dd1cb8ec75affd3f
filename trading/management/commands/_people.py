"""Who acts at the command line."""

from __future__ import annotations

from django.core.management.base import CommandError

from fundops.core.models import User
from fundops.core.roles import Role


def manager_named(username: str | None) -> User:
    """The account of that name, or without one the first portfolio manager; raises CommandError where there is none."""
    people = (
        User.objects.filter(username=username) if username else User.objects.filter(groups__name=Role.PORTFOLIO_MANAGER)
    )
    found = people.order_by("pk").first()
    if found is None:
        raise CommandError(f"No account '{username}'." if username else "There is no portfolio manager: give --user.")
    return found
