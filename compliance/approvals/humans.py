"""Which human being a person record stands for: records declared to be of one human count as one from then on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Q

from compliance.models import Delegation, PersonMerge


def humans(person_ids: Iterable[int | None], *, at: datetime | None = None) -> dict[int, int]:
    """For each record the one that stands for the human, as known at ``at`` (now by default)."""
    ids = {who for who in person_ids if who is not None}
    if not ids:
        return {}
    merges = PersonMerge.objects.all() if at is None else PersonMerge.objects.filter(merged_at__lte=at)
    next_of = dict(merges.values_list("person_id", "same_as_id"))
    return {who: _end(who, next_of) for who in ids}


def human_of(person_id: int) -> int:
    """The record that stands for the human now."""
    return humans([person_id])[person_id]


def records_of(person_id: int) -> set[int]:
    """Every record of the same human."""
    return _alike(person_id, _merges())


def acts_for(person_id: int, *, principal_id: int, since: datetime, until: datetime) -> bool:
    """True when the one human acted for the other at some moment from ``since`` to ``until``."""
    merges = _merges()
    between = Q(principal__in=_alike(principal_id, merges), delegate__in=_alike(person_id, merges))
    return Delegation.objects.in_force(since, until).filter(between).exists()


def _merges() -> dict[int, int]:
    """The record that each merged one was declared to be the same as."""
    return dict(PersonMerge.objects.values_list("person_id", "same_as_id"))


def _alike(person_id: int, next_of: dict[int, int]) -> set[int]:
    root = _end(person_id, next_of)
    return {who for who in {*next_of, *next_of.values(), person_id} if _end(who, next_of) == root}


def _end(who: int, next_of: dict[int, int]) -> int:
    for _ in range(len(next_of) + 1):
        if who not in next_of:
            return who
        who = next_of[who]
    return who
