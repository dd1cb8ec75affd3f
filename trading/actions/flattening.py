"""Closing what a breach says is to be closed: risk finds it and lets nothing be opened, trading sends the orders.

A hard breach that asks for it flattens every deployment on its Book or below. The breach holds while it is not closed,
acknowledged or not, so that nothing is opened there again meanwhile.
"""

from __future__ import annotations

import logging

from django.db import DatabaseError
from django.db.models import Exists, OuterRef, Q, QuerySet

from fundops.core.errors import FundopsError
from risk.models import BreachStatus, HardAction, LimitBreach
from risk.models.limits import BreachLevel
from trading.actions.deployments import stop_deployment
from trading.models.deployments import Deployment, DeploymentStatus, Position
from treasury.models import Book
from treasury.models.books import PATH_SEPARATOR

logger = logging.getLogger(__name__)


def flatten_breached() -> list[Deployment]:
    """Stops what a breach wants flattened, and has it closed; returns the deployments that were told so now.

    One transaction each: one that cannot be stopped holds up no other, and is tried again with the next call. What is
    being flattened already is left alone.
    """
    told = []
    for breach in breaches_that_flatten():
        for deployment in not_flat(breach.book):
            try:
                told.append(stop_deployment(deployment=deployment, reason=_why(breach), flatten=True, actor=None))
            except (FundopsError, DatabaseError):
                logger.exception("Deployment %s is to be flattened and could not be stopped.", deployment.pk)
    return told


def breaches_that_flatten() -> QuerySet[LimitBreach]:
    """Hard breaches that are not over and ask for it, the oldest first."""
    return (
        LimitBreach.objects.exclude(status=BreachStatus.CLOSED)
        .filter(level=BreachLevel.HARD, actions__contains=[HardAction.FLATTEN])
        .select_related("book")
        .order_by("opened_at", "pk")
    )


def not_flat(book: Book) -> QuerySet[Deployment]:
    """Deployments on a Book or below that trade, or hold something, and that nobody flattens yet."""
    within = Q(book=book) | Q(book__path__startswith=f"{book.path}{PATH_SEPARATOR}")
    holds = Exists(Position.objects.filter(deployment=OuterRef("pk")).exclude(quantity=0))
    trades = Q(status__in=(DeploymentStatus.DEPLOYING, DeploymentStatus.RUNNING))
    stops_only = Q(status=DeploymentStatus.STOPPING, flatten=False)
    return Deployment.objects.filter(
        within, trades | stops_only | (Q(status=DeploymentStatus.STOPPED) & holds)
    ).order_by("pk")


def _why(breach: LimitBreach) -> str:
    what = breach.get_metric_display()
    return f"Breach {breach.pk}: {what[0].lower()}{what[1:]} of {breach.book.path} is past a hard limit that flattens."
