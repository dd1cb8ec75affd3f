"""The cast of the tests: a person for every role, made the same way everywhere.

manager = user_with(Role.PORTFOLIO_MANAGER)
owner, colleague, outsider = cast()
"""

# mypy: disable-error-code="no-untyped-call, untyped-decorator, attr-defined"

from __future__ import annotations

from typing import Any, NamedTuple

import factory
from django.contrib.auth.models import Group

from fundops.core.models import User
from fundops.core.roles import Role

PASSWORD = "correct horse battery staple"


class UserFactory(factory.django.DjangoModelFactory[User]):
    """An account without any role; ``roles=[...]`` gives it some."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"person{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.test")
    display_name = factory.LazyAttribute(lambda user: user.username.replace("_", " ").capitalize())
    password = factory.django.Password(PASSWORD)

    @factory.post_generation
    def roles(self: Any, create: bool, extracted: Any, **_: Any) -> None:
        if create and extracted:
            self.groups.add(*[Group.objects.get_or_create(name=Role(role).value)[0] for role in extracted])


def user_with(*roles: Role, **fields: Any) -> User:
    """An account that holds exactly ``roles``."""
    return UserFactory.create(roles=roles, **fields)


class Cast(NamedTuple):
    """``owner`` and ``colleague`` hold the role in question; ``outsider`` is an investor."""

    owner: User
    colleague: User
    outsider: User


def cast(role: Role = Role.PORTFOLIO_MANAGER) -> Cast:
    return Cast(
        user_with(role, username="owner"),
        user_with(role, username="colleague"),
        user_with(Role.INVESTOR, username="outsider"),
    )


def everyone() -> dict[Role, User]:
    """One person for every role, named after it."""
    return {role: user_with(role, username=role.name.lower()) for role in Role}
