"""A deployment's cash follows its slice of the pool: growth at once, a cut as soon as the cash is there."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction
from django.db.models import F

from fundops.core import clock
from fundops.core.events import publish
from trading.gateways.installed import gateway_of
from trading.models.deployments import WORKED_STATUSES, Deployment, DeskRun
from treasury.actions.bankroll import hand_back
from treasury.models import BankrollSlice


def take_over_growth(held: BankrollSlice, amount: Decimal) -> None:
    """What the treasury calls when a slice has grown: its deployment has that much more to trade with."""
    deployment = Deployment.objects.filter(book=held.book_id, status__in=WORKED_STATUSES).first()
    if deployment is not None:
        _credit(deployment, amount)


def follow_cuts() -> int:
    """Hands back what slices are to be smaller by, where the desk has it in cash; returns how many did."""
    done = 0
    waiting = BankrollSlice.objects.filter(released_at=None, target__lt=F("amount")).select_related("pool", "book")
    for held in waiting.order_by("pk"):
        deployment = Deployment.objects.filter(book=held.book_id, status__in=WORKED_STATUSES).first()
        if deployment is None:
            continue
        cut = held.amount - held.target
        with transaction.atomic():
            if DeskRun.objects.select_for_update(no_key=True).get(deployment=deployment).cash < cut:
                continue
            _credit(deployment, -cut)
            hand_back(held=held, amount=cut, on=clock.now().date())
            done += 1
    return done


def _credit(deployment: Deployment, amount: Decimal) -> None:
    """Moves cash at the venue, in the desk's memory and in the deployment's terms, all in the caller's transaction.

    The desk's token rises, so that a worker in the middle of a bar writes nothing of it and begins again.
    """
    run = DeskRun.objects.select_for_update(no_key=True).get(deployment=deployment)
    gateway = gateway_of(deployment.gateway)
    if gateway.balances([deployment.account]):  # one that is not open yet opens with the new amount
        gateway.transfer(deployment.account, amount)
    DeskRun.objects.filter(pk=run.pk).update(
        token=F("token") + 1,
        leased_until=clock.now(),
        cash=F("cash") + amount,
        equity=F("equity") + amount,
        day_open_equity=F("day_open_equity") + amount,
        peak_equity=F("peak_equity") + amount,
    )
    Deployment.objects.filter(pk=deployment.pk).update(bankroll=F("bankroll") + amount)
    publish(
        "trading.deployment.resized",
        actor=None,
        obj=deployment,
        payload={"amount": amount, "before": deployment.bankroll, "after": deployment.bankroll + amount},
        topics=["deployments", deployment.topic],
    )
