"""Stopping trading: by a person with one word, or by a trigger. The way back is an approval (`risk.switch_gate`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from risk.errors import SwitchLoosensError, SwitchReasonError, SwitchRestoreError, SwitchScopeError
from risk.models import KillSwitch, StopCause
from risk.models.switches import SEVERITY, TRIGGERS
from risk.quant.pretrade import TradingMode
from risk.switches import changed
from treasury.models import Book

#: One turn at a time, so that the first stop of a scope is made once, and no two turns wait for one another.
_LOCK = 0x73776974
_REASON_MOST = 400


def stop_trading(
    *,
    reason: str,
    actor: User | None,
    book: Book | None = None,
    venue: str = "",
    mode: TradingMode = TradingMode.HALTED,
) -> KillSwitch:
    """Stops a Book with all below it, a venue, a Book at a venue, or (with neither) everything, at once.

    Only ever tightens. Stopping again what is stopped records the new reason, and voids what was asked to bring it
    back. `actor` None is the console of the machine. Raises PermissionMissingError, SwitchReasonError,
    SwitchScopeError or SwitchLoosensError.
    """
    if actor is not None:
        require(actor, "risk.stop_trading")
    said = reason.strip()
    if not said:
        raise SwitchReasonError("Say in a few words why trading stops; everybody will read it.")
    if len(said) > _REASON_MOST:
        raise SwitchReasonError(f"Keep the reason under {_REASON_MOST} characters; details belong elsewhere.")
    if mode is TradingMode.ACTIVE:
        raise SwitchLoosensError("A stop reduces or halts. Ask for trading to be restored instead.")
    with transaction.atomic():
        switch = _held(book, venue)
        if switch is not None and SEVERITY[mode] < SEVERITY[switch.trading_mode]:
            raise SwitchLoosensError(
                f"{scope_label(book, venue)} is {switch.mode} already, which is tighter. "
                "Ask for trading to be restored instead.",
                switch=switch.pk,
            )
        cause = StopCause.CONSOLE if actor is None else StopCause.PERSON
        return _turn(switch, book, venue, mode, cause=cause, reason=said, detail={}, actor=actor)


def trip_switch(
    *,
    book: Book | None,
    venue: str | None,
    cause: StopCause,
    detail: str | Mapping[str, Any],
    mode: TradingMode = TradingMode.HALTED,
) -> KillSwitch | None:
    """A trigger stops trading; for whatever layer sees it first. What is as tight already stays, unrecorded.

    `detail` is one line for people, or a mapping whose `reason` is that line. Returns the switch; None where ACTIVE
    was asked.
    """
    if cause not in TRIGGERS:
        raise SwitchScopeError(f"'{cause}' is no trigger; a person stops by stop_trading.")
    if mode is TradingMode.ACTIVE:
        return None
    said = {"reason": detail} if isinstance(detail, str) else dict(detail)
    reason = str(said.pop("reason", "") or cause.label)[:_REASON_MOST]
    with transaction.atomic():
        switch = _held(book, venue or "")
        if switch is not None and SEVERITY[switch.trading_mode] >= SEVERITY[mode]:
            return switch
        return _turn(switch, book, venue or "", mode, cause=cause, reason=reason, detail=said, actor=None)


def restore_switch(
    *, switch_id: int, version: int, mode: TradingMode, request_id: UUID, actor: User, reason: str
) -> KillSwitch:
    """The way back, for the executor of `risk.restore_trading` alone: the database refuses it to everyone else."""
    with transaction.atomic():
        _take_turn()
        switch = KillSwitch.objects.select_for_update(of=("self",)).select_related("book").get(pk=switch_id)
        check_restore(switch, version=version, mode=mode)
        return _turn(
            switch,
            switch.book,
            switch.venue,
            mode,
            cause=StopCause.RESTORED,
            reason=reason[:_REASON_MOST],
            detail={},
            actor=actor,
            request_id=request_id,
        )


def check_restore(switch: KillSwitch, *, version: int, mode: TradingMode) -> None:
    """Raises SwitchRestoreError where the switch was turned since, or is no tighter than what is asked for."""
    if switch.version != version:
        raise SwitchRestoreError(
            f"{switch_label(switch)} was turned again since this was asked for ({switch.reason}). Ask anew.",
            switch=switch.pk,
        )
    if SEVERITY[mode] >= SEVERITY[switch.trading_mode]:
        raise SwitchRestoreError(
            f"{switch_label(switch)} is {switch.mode}; there is nothing to restore to {mode.value}.", switch=switch.pk
        )


def scope_label(book: Book | None, venue: str) -> str:
    """What a switch is for, in words."""
    place = "All trading" if book is None else book.path
    if book is None and venue:
        return f"Trading at {venue}"
    return f"{place} at {venue}" if venue else place


def switch_label(switch: KillSwitch) -> str:
    return scope_label(switch.book, switch.venue)


def _take_turn() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _held(book: Book | None, venue: str) -> KillSwitch | None:
    if len(venue) > 40:
        raise SwitchScopeError("A venue's name has at most 40 characters.")
    _take_turn()
    return KillSwitch.objects.select_for_update().filter(book=book, venue=venue).order_by().first()


def _turn(
    switch: KillSwitch | None,
    book: Book | None,
    venue: str,
    mode: TradingMode,
    *,
    cause: StopCause,
    reason: str,
    detail: Mapping[str, Any],
    actor: User | None,
    request_id: UUID | None = None,
) -> KillSwitch:
    before = TradingMode.ACTIVE if switch is None else switch.trading_mode
    if switch is None:
        switch = KillSwitch(book=book, venue=venue, version=0)
    switch.mode, switch.cause, switch.reason, switch.detail = mode.value, cause, reason, dict(detail)
    switch.changed_by, switch.changed_at, switch.request_id = actor, clock.now(), request_id
    switch.version += 1
    switch.save()
    changed()
    publish(
        "risk.switch.changed",
        actor=actor,
        obj=switch,
        payload={
            "switch": switch.pk,
            "version": switch.version,
            "scope": scope_label(book, venue),
            "book": None if book is None else book.pk,
            "book_path": None if book is None else book.path,
            "venue": venue,
            "before": before,
            "mode": mode,
            "cause": cause,
            "reason": reason,
            "detail": dict(detail),
            "request": None if request_id is None else str(request_id),
        },
        # `system` too: everyone who works for the fund sees at once that trading stands still.
        topics=["risk", "system", *([] if book is None else [f"book:{book.pk}"])],
    )
    return switch
