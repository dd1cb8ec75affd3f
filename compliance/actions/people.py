"""Saying which person an account belongs to, and who acts for whom."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from compliance.approvals.errors import AccountLinkError
from compliance.approvals.refusals import refusals
from compliance.models import Delegation, Person, PersonAccount
from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require


def link_account(*, account: User, reference: str, full_name: str, actor: User | None) -> PersonAccount:
    """Says, for good, whose account it is; the person is made when nobody has that reference yet.

    Raises AccountLinkError for an account that belongs to a person already, and for one's own account.
    ``actor`` None is the machine itself (the demo, the first installation).
    """
    if actor is not None:
        require(actor, "compliance.link_account")
        if actor.pk == account.pk:
            raise AccountLinkError("Let another compliance officer say whose account yours is.")
    if not reference.strip():
        raise AccountLinkError("Give the person's reference: a staff number or an identity document.")
    with refusals(), transaction.atomic():
        person, _ = Person.objects.get_or_create(reference=reference.strip(), defaults={"full_name": full_name})
        link = PersonAccount.objects.create(account=account, person=person, linked_by=actor, linked_at=clock.now())
        publish(
            "compliance.account.linked",
            actor=actor,
            obj=link,
            payload={"account": account.username, "person": person.reference},
            topics=["approvals"],
        )
    return link


def delegate_duties(
    *,
    principal: Person,
    delegate: Person,
    starts_at: datetime,
    ends_at: datetime | None,
    actor: User | None,
) -> Delegation:
    """Records that ``delegate`` acts for ``principal``: meanwhile no second pair of eyes for them."""
    if actor is not None:
        require(actor, "compliance.link_account")
    if principal == delegate:
        raise AccountLinkError("Nobody is their own delegate: choose two people.")
    if ends_at is not None and ends_at < starts_at:
        raise AccountLinkError("A delegation ends after it starts: change the dates.")
    with transaction.atomic():
        delegation = Delegation.objects.create(
            principal=principal, delegate=delegate, starts_at=starts_at, ends_at=ends_at
        )
        publish(
            "compliance.delegation.made",
            actor=actor,
            obj=delegation,
            payload={
                "principal": principal.reference,
                "delegate": delegate.reference,
                "starts_at": starts_at,
                "ends_at": ends_at,
            },
            topics=["approvals"],
        )
    return delegation


def end_delegation(*, delegation: Delegation, actor: User | None) -> Delegation:
    """Ends it now; what was asked for while it ran still knows of it."""
    if actor is not None:
        require(actor, "compliance.link_account")
    with refusals(), transaction.atomic():
        held = Delegation.objects.select_for_update().get(pk=delegation.pk)
        now = clock.now()
        if held.ends_at is not None and held.ends_at <= now:
            raise AccountLinkError(f"This delegation ended on {held.ends_at:%Y-%m-%d %H:%M} UTC.")
        held.ends_at = max(now, held.starts_at)
        held.save(update_fields=["ends_at"])
        publish(
            "compliance.delegation.ended",
            actor=actor,
            obj=held,
            payload={
                "principal": held.principal.reference,
                "delegate": held.delegate.reference,
                "ends_at": held.ends_at,
            },
            topics=["approvals"],
        )
    return held
