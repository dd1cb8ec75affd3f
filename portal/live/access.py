"""Who may stay connected and who may listen: the questions the hub asks the database, many sockets at a
time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection

from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.live import TopicDeniedError, check_topic
from fundops.core.mfa import SecondFactorMissingError, must_enrol
from fundops.core.models import User

_STANDING = """
SELECT u.id, u.is_active, u.is_superuser, u.password,
       ARRAY(SELECT g.group_id FROM core_user_groups g WHERE g.user_id = u.id ORDER BY 1),
       ARRAY(SELECT p.permission_id FROM core_user_user_permissions p WHERE p.user_id = u.id ORDER BY 1),
       ARRAY(SELECT gp.id FROM auth_group_permissions gp JOIN core_user_groups g ON g.group_id = gp.group_id
              WHERE g.user_id = u.id ORDER BY 1),
       ARRAY(SELECT o.id FROM guardian_userobjectpermission o WHERE o.user_id = u.id ORDER BY 1),
       ARRAY(SELECT o.id FROM guardian_groupobjectpermission o
              JOIN core_user_groups g ON g.group_id = o.group_id WHERE g.user_id = u.id ORDER BY 1)
  FROM core_user u WHERE u.id = ANY(%s) AND u.is_active
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account's connections rest on: a change of ``login`` ends them, one of ``rights`` re-asks
    them."""

    login: int
    rights: int


def standings(user_ids: Collection[int]) -> dict[int, Standing]:
    """The standing of every active account among ``user_ids``."""
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, [list(user_ids)])
        return {row[0]: Standing(hash(row[3]), hash(str((row[2], *row[4:])))) for row in cursor.fetchall()}


def living_sessions(keys: Collection[str]) -> set[str]:
    """Those of ``keys`` whose session still exists and has not expired."""
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore
    if hasattr(store, "get_model_class"):
        found = Session.objects.filter(session_key__in=keys, expire_date__gt=clock.now())
        return set(found.values_list("session_key", flat=True))
    return {key for key in keys if store().exists(key)}


def refusal(user_id: int, topic: str) -> FundopsError | None:
    """None when the account may listen to ``topic``; asked with a fresh account, whose rights are not
    cached."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return TopicDeniedError(topic)
    if must_enrol(user):
        return SecondFactorMissingError()
    try:
        check_topic(user, topic)
    except FundopsError as error:
        return error
    return None
