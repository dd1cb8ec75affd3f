"""Accounts and roles: every change names who made it and is an audit event of the same transaction.

``actor`` None is the system itself: the first administrator of an installation, and the demo's cast.

Until the founding is done (fundops/core/access_door.py) administrators change roles directly. From then on what gives
access, or takes it, passes the gate: its executors call `place_role`, `take_role`, `open_account` and
`remove_second_factors`, which anybody else's database refuses. Closing an account stays possible at once.
"""

from __future__ import annotations

from collections.abc import Collection

from allauth.mfa.models import Authenticator
from axes.utils import reset
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.db import transaction

from fundops.core.access_door import require_open_door
from fundops.core.errors import FundopsError
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from fundops.core.roles import Role

#: The kinds of request that take the place of these acts.
GRANT_ROLE = "access.grant_role"
REMOVE_ROLE = "access.remove_role"
REOPEN_ACCOUNT = "access.reopen_account"
RESET_SECOND_FACTOR = "access.reset_second_factor"

CHANGE_USERS = "core.change_user"
ADD_USERS = "core.add_user"


class OwnRoleError(FundopsError):
    status = 403
    title = "Not for your own account"


class RolesExcludeEachOtherError(FundopsError):
    status = 409
    title = "These roles exclude each other"


def create_user(
    *,
    username: str,
    email: str,
    actor: User | None,
    password: str | None = None,
    display_name: str = "",
    roles: Collection[Role] = (),
) -> User:
    """Makes an account with its roles; without a password it can sign in only after a reset.

    Raises PermissionMissingError, RolesExcludeEachOtherError, and ValidationError on a weak password.
    """
    if actor is not None:
        require(actor, ADD_USERS)
    with transaction.atomic():
        user = User(username=username, email=email, display_name=display_name)
        if password is not None:
            validate_password(password, user)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save()
        publish("core.user.created", actor=actor, obj=user, payload={"username": username, "roles": sorted(roles)})
        for role in sorted(roles):
            grant_role(user=user, role=role, actor=actor)
    return user


def check_roles(*, user: User | None, roles: Collection[Role], actor: User | None) -> None:
    """Raises what `set_roles` would raise, and changes nothing; ``user`` None is a new account."""
    held = user.roles if user is not None else frozenset()
    if set(roles) == held:
        return
    if user is not None:
        _may_change_roles(user, actor)
    require_open_door(GRANT_ROLE)
    check_mixture(frozenset(roles))


def grant_role(*, user: User, role: Role, actor: User | None) -> bool:
    """Gives ``role`` to ``user``; False when it was held already.

    Raises PermissionMissingError, OwnRoleError for one's own account, and RolesExcludeEachOtherError where
    administering would meet trading, approving or investing in one person.
    """
    _may_change_roles(user, actor)
    require_open_door(GRANT_ROLE)
    return place_role(user=user, role=role, actor=actor)


def place_role(*, user: User, role: Role, actor: User | None) -> bool:
    """What `grant_role` does, for the founding and the gate. Raises RolesExcludeEachOtherError."""
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        held = locked.roles
        if role in held:
            return False
        together = held | {role}
        check_mixture(together)
        locked.groups.add(Group.objects.get(name=role.value))
        publish(
            "core.role.granted",
            actor=actor,
            obj=locked,
            payload={"role": role.value, "before": sorted(held), "after": sorted(together)},
        )
    return True


def revoke_role(*, user: User, role: Role, actor: User | None) -> bool:
    """Takes ``role`` from ``user``; False when it was not held."""
    _may_change_roles(user, actor)
    require_open_door(REMOVE_ROLE)
    return take_role(user=user, role=role, actor=actor)


def take_role(*, user: User, role: Role, actor: User | None) -> bool:
    """What `revoke_role` does, for the founding and the gate."""
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        held = locked.roles
        if role not in held:
            return False
        locked.groups.remove(Group.objects.get(name=role.value))
        publish(
            "core.role.revoked",
            actor=actor,
            obj=locked,
            payload={"role": role.value, "before": sorted(held), "after": sorted(held - {role})},
        )
    return True


def set_roles(*, user: User, roles: Collection[Role], actor: User | None) -> None:
    """Makes the roles of ``user`` exactly ``roles``: revocations first, all or nothing."""
    with transaction.atomic():
        held = user.roles
        for role in sorted(held - set(roles)):
            revoke_role(user=user, role=role, actor=actor)
        for role in sorted(set(roles) - held):
            grant_role(user=user, role=role, actor=actor)


def set_active(*, user: User, active: bool, actor: User | None) -> bool:
    """Opens or closes an account; a closed one is signed out at its next request.

    Closing takes access away and needs nobody else; opening again passes the gate once the founding is done.
    """
    _may_change_roles(user, actor)
    if active:
        require_open_door(REOPEN_ACCOUNT)
    return _place_state(user=user, active=active, actor=actor)


def open_account(*, user: User, actor: User | None) -> bool:
    """Opens a closed account, for the gate."""
    return _place_state(user=user, active=True, actor=actor)


def _place_state(*, user: User, active: bool, actor: User | None) -> bool:
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        if locked.is_active == active:
            return False
        locked.is_active = active
        locked.save(update_fields=["is_active"])
        kind = "core.user.reopened" if active else "core.user.closed"
        publish(kind, actor=actor, obj=locked, payload={"username": locked.username})
    return True


def reset_second_factor(*, user: User, actor: User | None) -> int:
    """Removes every authenticator of ``user`` (a lost phone), so that they enrol anew; returns how many.

    Whoever can do that and set a password can sign as them: it passes the gate once the founding is done.
    """
    _may_change_roles(user, actor)
    require_open_door(RESET_SECOND_FACTOR)
    return remove_second_factors(user=user, actor=actor)


def remove_second_factors(*, user: User, actor: User | None) -> int:
    """What `reset_second_factor` does, for the gate."""
    with transaction.atomic():
        held = Authenticator.objects.filter(user=user)
        kinds = sorted(held.values_list("type", flat=True))
        held.delete()
        publish("core.second_factor.reset", actor=actor, obj=user, payload={"removed": kinds})
    return len(kinds)


def lift_lock(*, user: User, actor: User | None) -> int:
    """Lets ``user`` try to sign in again after too many failures; returns the failures forgotten."""
    return lift_lock_of_name(username=user.username, actor=actor)


def lift_lock_of_name(*, username: str, actor: User | None) -> int:
    """As `lift_lock`, by the name that was tried, which need not be an account's."""
    if actor is not None:
        require(actor, CHANGE_USERS)
    with transaction.atomic():
        forgotten = int(reset(username=username.lower()))
        publish("core.lock.lifted", actor=actor, payload={"username": username, "failures": forgotten})
    return forgotten


def check_mixture(roles: frozenset[Role]) -> None:
    """Raises RolesExcludeEachOtherError where administering would meet another role in one account."""
    if Role.ADMINISTRATOR in roles and len(roles) > 1:
        others = ", ".join(sorted(roles - {Role.ADMINISTRATOR}))
        raise RolesExcludeEachOtherError(
            f"An administrator holds no other role ({others}): revoke one first, or use two accounts.",
            roles=sorted(roles),
        )


def _may_change_roles(user: User, actor: User | None) -> None:
    if actor is None:
        return
    require(actor, CHANGE_USERS)
    if actor.pk == user.pk:
        raise OwnRoleError("Another administrator must change your account; nobody does so themselves.")
