"""A deployment's cash follows its slice of the pool: growth at once, a cut as soon as the cash is there, and all of it
when the deployment ends."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from decimal import Decimal

from django.db import transaction
from django.db.models import F

from fundops.core import clock
from fundops.core.events import publish
from trading.deployment_terms import budget_headroom, growth_within_budgets
from trading.gateways.installed import gateway_of
from trading.models.cohort import CohortAgent
from trading.models.deployments import WORKED_STATUSES, CapitalFlow, Deployment, DeploymentStatus, DeskRun
from treasury.actions.bankroll import hand_back
from treasury.models import BankrollSlice

logger = logging.getLogger(__name__)
CENTS_OF_CENTS = Decimal("0.00000001")

#: More cash is of use to these.
GROWING = (DeploymentStatus.DEPLOYING, DeploymentStatus.RUNNING)


def can_grow(held: BankrollSlice) -> bool:
    """What the treasury asks before a slice grows: whether its deployment goes on. It cannot end meanwhile."""
    run = DeskRun.objects.select_for_update(no_key=True, of=("self",)).filter(deployment__book=held.book_id).first()
    return run is not None and Deployment.objects.filter(pk=run.deployment_id, status__in=GROWING).exists()


def within_budgets(wanted: Sequence[tuple[BankrollSlice, Decimal]]) -> list[Decimal]:
    """What the treasury asks before slices grow: how much of each growth the strategies' capital budgets leave."""
    agents = _agents_of([held for held, _ in wanted])
    known = [place for place, (held, _) in enumerate(wanted) if held.book_id in agents]
    granted = [amount for _, amount in wanted]
    bounded = growth_within_budgets([(agents[wanted[place][0].book_id], granted[place]) for place in known])
    for place, amount in zip(known, bounded, strict=True):
        granted[place] = amount
    return granted


def budget_over(held: BankrollSlice) -> str:
    """The budget that a slice's growth is held to, in words that stay while it does; empty without one."""
    agent = _agents_of([held]).get(held.book_id)
    budget = None if agent is None else budget_headroom(agent)
    return "" if budget is None else budget.terms


def _agents_of(slices: Sequence[BankrollSlice]) -> dict[int, CohortAgent]:
    """The agents whose deployments these pay for and go on, by Book."""
    going = Deployment.objects.filter(book__in=[held.book_id for held in slices], status__in=GROWING)
    return {one.book_id: one.agent for one in going.select_related("agent__cohort__fund__base_asset")}


def take_over_growth(held: BankrollSlice, amount: Decimal) -> None:
    """What the treasury calls when a slice has grown: its deployment has that much more to trade with."""
    _credit(Deployment.objects.get(book=held.book_id), amount)


def close_slice(deployment: Deployment) -> None:
    """The pool's commitment ends with the deployment whose cash has gone home; once, however often it is called."""
    held = BankrollSlice.objects.filter(book=deployment.book_id, released_at=None).first()
    if held is not None:
        hand_back(held=held, amount=Decimal(0), on=clock.now().date(), final=True)


def follow_cuts() -> int:
    """Hands back what slices are to be smaller by, where the desk has it in cash; returns how many did. One that fails
    does not hold up the others."""
    done = 0
    waiting = BankrollSlice.objects.filter(released_at=None, target__lt=F("amount")).select_related("pool", "book")
    for held in waiting.order_by("pk"):
        try:
            done += _cut(held)
        except Exception:
            logger.exception("Slice %s could not be cut.", held.pk)
    return done


def _cut(held: BankrollSlice) -> bool:
    deployment = Deployment.objects.filter(book=held.book_id, status__in=WORKED_STATUSES).first()
    if deployment is None:
        return False
    cut = held.amount - held.target
    with transaction.atomic():
        run = DeskRun.objects.select_for_update(no_key=True).get(deployment=deployment)
        if run.cash < cut or run.equity <= cut:
            return False
        _credit(deployment, -cut)
        hand_back(held=held, amount=cut, on=clock.now().date())
    return True


def _credit(deployment: Deployment, amount: Decimal) -> None:
    """Moves cash at the venue, in the desk's memory and in the deployment's terms, all in the caller's transaction.

    The desk's token rises, so that a worker in the middle of a bar writes nothing of it and begins again. What the
    account was worth this morning and at its peak is scaled with it: nobody earned or lost anything by it.
    """
    run = DeskRun.objects.select_for_update(no_key=True).get(deployment=deployment)
    gateway = gateway_of(deployment.gateway)
    if gateway.balances([deployment.account]):  # one that is not open yet opens with the new amount
        gateway.transfer(deployment.account, amount)
    scale = (run.equity + amount) / run.equity if run.equity > 0 else Decimal(1)
    DeskRun.objects.filter(pk=run.pk).update(
        token=F("token") + 1,
        leased_until=clock.now(),
        cash=F("cash") + amount,
        equity=F("equity") + amount,
        day_open_equity=(run.day_open_equity * scale).quantize(CENTS_OF_CENTS),
        peak_equity=(run.peak_equity * scale).quantize(CENTS_OF_CENTS),
    )
    CapitalFlow.objects.create(deployment=deployment, at_ms=run.next_bar_ms, amount=amount)
    Deployment.objects.filter(pk=deployment.pk).update(bankroll=F("bankroll") + amount)
    publish(
        "trading.deployment.resized",
        actor=None,
        obj=deployment,
        payload={
            "amount": amount,
            "before": deployment.bankroll,
            "after": deployment.bankroll + amount,
            "quote": deployment.quote,
        },
        topics=["deployments", deployment.topic],
    )
