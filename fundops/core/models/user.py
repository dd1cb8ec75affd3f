"""The account a person signs in with."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, Group, UserManager
from django.db import models
from simple_history.models import HistoricalRecords

from fundops.core.access_door import require_open_door
from fundops.core.roles import STAFF_ROLES, Role


class AccountManager(UserManager["User"]):
    """There are no superusers: `createsuperuser` makes an administrator, who administers and nothing else."""

    use_in_migrations = False

    def create_superuser(
        self, username: str, email: str | None = None, password: str | None = None, **extra: Any
    ) -> User:
        require_open_door("access.grant_role")
        extra.pop("is_superuser", None)
        extra.pop("is_staff", None)
        user = self.create_user(username, email, password, **extra)
        user.groups.add(Group.objects.get_or_create(name=Role.ADMINISTRATOR.value)[0])
        return user


class User(AbstractUser):
    """An account; what it may do comes from its roles (groups) and object permissions, never from flags."""

    email = models.EmailField("email address", unique=True)
    display_name = models.CharField(max_length=120, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="IANA zone used for hovering times.")

    objects: ClassVar[AccountManager] = AccountManager()
    history = HistoricalRecords(excluded_fields=["password", "last_login"])

    class Meta(AbstractUser.Meta):
        ordering = ("username",)
        permissions = [
            ("view_roles", "Can see the roles and what they may do"),
            ("view_api_docs", "Can read the documentation of the API"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(is_superuser=False),
                name="no_superusers",
                violation_error_message=("No account may pass over the roles: grant the Administrator role instead."),
            )
        ]

    def __str__(self) -> str:
        return self.display_name or self.username

    @property
    def roles(self) -> frozenset[Role]:
        """The roles held, by group membership."""
        known = set(Role)
        return frozenset(Role(name) for name in self.groups.values_list("name", flat=True) if name in known)

    def has_role(self, *roles: Role) -> bool:
        return bool(self.roles & set(roles))

    @property
    def is_fund_staff(self) -> bool:
        """True for everyone who works for the fund: a second factor is asked of them."""
        return bool(self.roles & STAFF_ROLES)
