"""Signing in and out, locks and changes of factors as audit events.

For locks and factors the libraries offer signals as their only hook; nothing is decided here, only recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from allauth.account.signals import password_changed
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from axes.signals import user_locked_out
from django.db import transaction

from fundops.core.events import publish
from fundops.core.models import User


def _record(kind: str, user: User | None, **payload: Any) -> None:
    with transaction.atomic():
        publish(kind, actor=user, obj=user, payload=payload)


def record_sign_in(*, user: User, methods: Sequence[str]) -> None:
    """``methods``: how the person proved who they are: password, mfa."""
    _record("core.session.opened", user, methods=sorted(set(methods)))


def record_sign_out(*, user: User) -> None:
    _record("core.session.closed", user)


def _locked_out(*, username: str | None, ip_address: str | None, **_: Any) -> None:
    _record("core.account.locked", None, username=username or "", address=ip_address or "")


def _password_changed(*, user: User, **_: Any) -> None:
    _record("core.password.changed", user)


def _factor_added(*, user: User, authenticator: Any, **_: Any) -> None:
    _record("core.second_factor.added", user, factor=authenticator.type)


def _factor_removed(*, user: User, authenticator: Any, **_: Any) -> None:
    _record("core.second_factor.removed", user, factor=authenticator.type)


def _factor_reset(*, user: User, authenticator: Any, **_: Any) -> None:
    _record("core.second_factor.renewed", user, factor=authenticator.type)


def connect() -> None:
    """Called once, when the application starts."""
    for signal, receiver in (
        (user_locked_out, _locked_out),
        (password_changed, _password_changed),
        (authenticator_added, _factor_added),
        (authenticator_removed, _factor_removed),
        (authenticator_reset, _factor_reset),
    ):
        signal.connect(receiver, dispatch_uid=f"audit.{receiver.__name__}")
