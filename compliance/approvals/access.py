"""What of access passes the gate: roles, single funds and Books, closed accounts, lost second factors, and who is who.

Administrators (or compliance) ask, compliance and somebody else sign; nobody has a part in what is about themselves.
The database holds the same (migrations/sql/access_guards.sql). What can be granted one by one is said by the apps that
own it (`grantable`), since this layer does not know funds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.db.models import Model
from guardian.shortcuts import assign_perm, remove_perm
from pydantic import Field

from compliance.approvals.errors import AccessError
from compliance.approvals.registry import ActionPayload, DisplayedField, Target, Warrant, register_action
from compliance.models import ApprovalPolicy, PersonAccount
from fundops.core.access_door import install_door
from fundops.core.actions.users import (
    GRANT_ROLE,
    REMOVE_ROLE,
    REOPEN_ACCOUNT,
    RESET_SECOND_FACTOR,
    check_mixture,
    open_account,
    place_role,
    remove_second_factors,
    take_role,
)
from fundops.core.events import publish
from fundops.core.mfa import FACTORS
from fundops.core.models import User
from fundops.core.roles import ABOUT, Role

GRANT_FUND = "access.grant_fund"
REMOVE_FUND = "access.remove_fund"
MAY_PROPOSE = "compliance.propose_access"


def install_access_door() -> None:
    """Tells the core when its own ways of giving access are closed: once any rules for access are in force."""
    install_door(lambda: ApprovalPolicy.objects.filter(kind__startswith="access.").exists())


def _account(username: str) -> User:
    user = User.objects.filter(username=username).first()
    if user is None:
        raise AccessError(f"There is no account '{username}'. Give the name it signs in with.", account=username)
    return user


def _about(username: str) -> Collection[int]:
    user = User.objects.filter(username=username).first()
    return () if user is None else (user.pk,)


def _named(user: User) -> str:
    """The account with its number, whose it is, and what it signs with: a renamed account is another picture."""
    link = PersonAccount.objects.select_related("person").filter(account=user).first()
    whose = f"{link.person.full_name} ({link.person.reference})" if link else "nobody known"
    factor = "with" if Authenticator.objects.filter(user=user, type__in=FACTORS).exists() else "without"
    state = "open" if user.is_active else "closed"
    return f"{user.username} (#{user.pk}, {state}, {factor} a second factor), of {whose}"


def _roles(roles: Collection[Role]) -> str:
    return ", ".join(sorted(role.value for role in roles)) or "none"


def _target(username: str) -> Target:
    user = _account(username)
    return Target("core.user", str(user.pk), user.username)


class RoleOfAccount(ActionPayload):
    """One role of one account."""

    account: str = Field(min_length=1, max_length=150, description="The name it signs in with.")
    role: Role


#: Who holds one of these can sign: their account is to be theirs alone before.
_SIGNING = frozenset({Role.RISK_OFFICER, Role.OPERATIONS, Role.COMPLIANCE_OFFICER})


def _check_grant(payload: RoleOfAccount) -> None:
    user = _account(payload.account)
    held = user.roles
    if payload.role in held:
        raise AccessError(f"'{payload.account}' is {payload.role.value} already.")
    check_mixture(held | {payload.role})
    if payload.role in _SIGNING and not Authenticator.objects.filter(user=user, type__in=FACTORS).exists():
        raise AccessError(
            f"'{payload.account}' has no second factor. Let its owner add one first: a {payload.role.value} signs."
        )


def _check_removal(payload: RoleOfAccount) -> None:
    if payload.role not in _account(payload.account).roles:
        raise AccessError(f"'{payload.account}' is no {payload.role.value}.")


def _render_role(payload: RoleOfAccount, then: frozenset[Role]) -> Sequence[DisplayedField]:
    user = _account(payload.account)
    return [
        DisplayedField("Account", _named(user), _named(user)),
        DisplayedField("Roles", _roles(user.roles), _roles(then)),
        DisplayedField(payload.role.value, ABOUT[payload.role], ABOUT[payload.role]),
    ]


@register_action(
    kind=GRANT_ROLE,
    title="Give a role",
    payload=RoleOfAccount,
    maker_permission=MAY_PROPOSE,
    render=lambda p: _render_role(p, _account(p.account).roles | {p.role}),
    recheck=_check_grant,
    target=lambda p: _target(p.account),
    interested=lambda p: _about(p.account),
)
def grant_role_as_approved(payload: RoleOfAccount, warrant: Warrant) -> Mapping[str, Any]:
    """Gives the role."""
    user = _account(payload.account)
    place_role(user=user, role=payload.role, actor=warrant.actor)
    return {"account": user.pk, "roles": sorted(role.value for role in user.roles)}


@register_action(
    kind=REMOVE_ROLE,
    title="Take a role",
    payload=RoleOfAccount,
    maker_permission=MAY_PROPOSE,
    render=lambda p: _render_role(p, _account(p.account).roles - {p.role}),
    recheck=_check_removal,
    target=lambda p: _target(p.account),
    interested=lambda p: _about(p.account),
)
def remove_role_as_approved(payload: RoleOfAccount, warrant: Warrant) -> Mapping[str, Any]:
    """Takes the role."""
    user = _account(payload.account)
    take_role(user=user, role=payload.role, actor=warrant.actor)
    return {"account": user.pk, "roles": sorted(role.value for role in user.roles)}


# --- Funds and Books, one by one ------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Grantable:
    """A model of which single rows are granted, the field that names a row, and what can be granted."""

    model: type[Model]
    by: str
    permissions: tuple[str, ...]


_grantable: dict[str, Grantable] = {}


def grantable(label: str, *, by: str, permissions: Sequence[str]) -> None:
    """Rows of the model ``label`` ("treasury.fund") can be granted one by one, named by the field ``by``."""
    _grantable[label] = Grantable(apps.get_model(label), by, tuple(permissions))


class ObjectOfAccount(ActionPayload):
    """What one account may do with one fund or Book."""

    account: str = Field(min_length=1, max_length=150, description="The name it signs in with.")
    what: str = Field(max_length=100, description="treasury.fund or treasury.book")
    which: str = Field(max_length=400, description="The fund's code, or the Book's path.")
    permission: str = Field(max_length=100, description="view_fund or view_book")


def _object(payload: ObjectOfAccount) -> Model:
    known = _grantable.get(payload.what)
    if known is None or payload.permission not in known.permissions:
        offered = "; ".join(f"{name}: {', '.join(g.permissions)}" for name, g in sorted(_grantable.items()))
        raise AccessError(f"That cannot be granted one by one. Choose of {offered}.", what=payload.what)
    found = known.model._default_manager.filter(**{known.by: payload.which}).first()
    if found is None:
        raise AccessError(f"There is no {known.model._meta.verbose_name} '{payload.which}'.", which=payload.which)
    return found


def _permission(payload: ObjectOfAccount) -> str:
    return f"{payload.what.partition('.')[0]}.{payload.permission}"


def _holds(payload: ObjectOfAccount) -> bool:
    user, found = _account(payload.account), _object(payload)
    label = found._meta
    return bool(
        user.userobjectpermission_set.filter(
            permission__codename=payload.permission,
            content_type__app_label=label.app_label,
            content_type__model=label.model_name,
            object_pk=str(found.pk),
        ).exists()
    )


def _render_object(payload: ObjectOfAccount, then: str) -> Sequence[DisplayedField]:
    user, found = _account(payload.account), _object(payload)
    return [
        DisplayedField("Account", _named(user), _named(user)),
        DisplayedField("Roles", _roles(user.roles), _roles(user.roles)),
        DisplayedField(
            f"{payload.permission} on {payload.what} {found} (#{found.pk})", "yes" if _holds(payload) else "no", then
        ),
    ]


def _object_target(payload: ObjectOfAccount) -> Target:
    found = _object(payload)
    return Target(payload.what, str(found.pk), f"{payload.which} for {payload.account}")


def _check_object(payload: ObjectOfAccount, *, holds: bool) -> None:
    if _holds(payload) is not holds:
        said = "does not hold that" if holds else "holds that already"
        raise AccessError(f"'{payload.account}' {said}.", account=payload.account)


@register_action(
    kind=GRANT_FUND,
    title="Grant one fund or book",
    payload=ObjectOfAccount,
    maker_permission=MAY_PROPOSE,
    render=lambda p: _render_object(p, "yes"),
    recheck=lambda p: _check_object(p, holds=False),
    target=_object_target,
    interested=lambda p: _about(p.account),
)
def grant_object_as_approved(payload: ObjectOfAccount, warrant: Warrant) -> Mapping[str, Any]:
    """Grants it."""
    user, found = _account(payload.account), _object(payload)
    assign_perm(_permission(payload), user, found)
    return _tell_object("core.object.granted", user, payload, warrant)


@register_action(
    kind=REMOVE_FUND,
    title="Take the grant of one fund or book",
    payload=ObjectOfAccount,
    maker_permission=MAY_PROPOSE,
    render=lambda p: _render_object(p, "no"),
    recheck=lambda p: _check_object(p, holds=True),
    target=_object_target,
    interested=lambda p: _about(p.account),
)
def remove_object_as_approved(payload: ObjectOfAccount, warrant: Warrant) -> Mapping[str, Any]:
    """Takes it away."""
    user, found = _account(payload.account), _object(payload)
    remove_perm(_permission(payload), user, found)
    return _tell_object("core.object.removed", user, payload, warrant)


def _tell_object(kind: str, user: User, payload: ObjectOfAccount, warrant: Warrant) -> Mapping[str, Any]:
    told = {"what": payload.what, "which": payload.which, "permission": payload.permission}
    publish(kind, actor=warrant.actor, obj=user, payload=told | {"request": str(warrant.request_id)})
    return {"account": user.pk, **told}


# --- Accounts -------------------------------------------------------------------------------------------------
class OneAccount(ActionPayload):
    """One account."""

    account: str = Field(min_length=1, max_length=150, description="The name it signs in with.")


def _check_closed(payload: OneAccount) -> None:
    if _account(payload.account).is_active:
        raise AccessError(f"The account '{payload.account}' is open.")


def _check_has_factor(payload: OneAccount) -> None:
    if not Authenticator.objects.filter(user=_account(payload.account)).exists():
        raise AccessError(f"The account '{payload.account}' has no second factor to take away.")


def _render_reopening(payload: OneAccount) -> Sequence[DisplayedField]:
    user = _account(payload.account)
    return [
        DisplayedField("Account", _named(user), _named(user)),
        DisplayedField("Roles", _roles(user.roles), _roles(user.roles)),
        DisplayedField("State", "open" if user.is_active else "closed", "open"),
    ]


def _render_reset(payload: OneAccount) -> Sequence[DisplayedField]:
    user = _account(payload.account)
    kinds = sorted(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    return [
        DisplayedField("Account", _named(user), _named(user)),
        DisplayedField("Roles", _roles(user.roles), _roles(user.roles)),
        DisplayedField("Authenticators", ", ".join(kinds) or "none", "none: enrolled anew at the next sign-in"),
    ]


@register_action(
    kind=REOPEN_ACCOUNT,
    title="Open a closed account",
    payload=OneAccount,
    maker_permission=MAY_PROPOSE,
    render=_render_reopening,
    recheck=_check_closed,
    target=lambda p: _target(p.account),
    interested=lambda p: _about(p.account),
)
def reopen_account_as_approved(payload: OneAccount, warrant: Warrant) -> Mapping[str, Any]:
    """Opens it."""
    user = _account(payload.account)
    open_account(user=user, actor=warrant.actor)
    return {"account": user.pk}


@register_action(
    kind=RESET_SECOND_FACTOR,
    title="Reset a second factor",
    payload=OneAccount,
    maker_permission=MAY_PROPOSE,
    render=_render_reset,
    recheck=_check_has_factor,
    target=lambda p: _target(p.account),
    interested=lambda p: _about(p.account),
)
def reset_second_factor_as_approved(payload: OneAccount, warrant: Warrant) -> Mapping[str, Any]:
    """Removes every authenticator, so that the person enrols anew."""
    user = _account(payload.account)
    return {"account": user.pk, "removed": remove_second_factors(user=user, actor=warrant.actor)}
