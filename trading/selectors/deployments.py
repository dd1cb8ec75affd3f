"""Reads about deployments: for pages and the API alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, Max, Min, QuerySet

from fundops.core.permissions import AnyUser
from risk.quant.pretrade import TradingMode
from risk.switches import trading_mode_for
from trading.desk.band import Expectation, expectation
from trading.desk.growth import UnitPoint, point_now, unit_points
from trading.models.deployments import FILL_SOURCE, Deployment, DeploymentStatus, Fill, Order, OrderStatus
from treasury.models import JournalEntry

HOUR_MS = 3_600_000
MOST_POINTS = 400


def deployment_list(user: AnyUser) -> QuerySet[Deployment]:
    """The deployments a person may read, newest first, with their desk's figures."""
    return Deployment.objects.for_user(user).select_related(
        "run", "book", "fund", "agent__cohort", "source_book", "opened_by"
    )


def profit(deployment: Deployment) -> Decimal:
    """Equity over the bankroll; of one that has handed its money back, what it ended with."""
    return deployment.run.equity - deployment.bankroll


def equity_path(deployment: Deployment) -> list[UnitPoint]:
    """The equity over time, from the first bankroll on, thinned to a few hundred points; the last one is always there.

    It jumps where the slice was resized; the units that share it jump with it.
    """
    run, step, start = deployment.run, deployment.interval_ms, deployment.start_ms
    every = max(step, -(-run.cycles // MOST_POINTS) * step)
    points = unit_points(deployment, range(-(-(start + 1) // every) * every, run.next_bar_ms + 1, every))
    if points[-1].at_ms != run.next_bar_ms and run.bars:
        points.append(point_now(deployment))
    return points


def expected(deployment: Deployment) -> Expectation | None:
    """What its agent's hours in the cohort let expect, at the exposure that this deployment may take."""
    hours = [
        value
        for row in deployment.agent.agent_days.order_by("day").values_list("hourly_roi", flat=True)
        for value in row
    ]
    return expectation(hours, scale=exposure_scale(deployment))


def exposure_scale(deployment: Deployment) -> float:
    """The deployment's exposure over its agent's in the cohort: its leverage, and the share that risk let through."""
    run = deployment.run
    let_through = float(run.sent_notional / run.wanted_notional) if run.wanted_notional else 1.0
    in_cohort = min(1.0, float(deployment.agent.cohort.leverage_ceiling))
    return float(run.leverage) / in_cohort * let_through


def entry_of(fill: Fill) -> JournalEntry | None:
    """The journal entry that books a fill."""
    return JournalEntry.objects.filter(
        fund_id=fill.deployment.fund_id, source_type=FILL_SOURCE, source_id=fill.source_id
    ).first()


@dataclass(frozen=True, slots=True)
class RefusedClosing:
    """Orders that were to flatten a deployment and were denied: how many, from when to when, and why the last was."""

    orders: int
    first: datetime
    last: datetime
    why: str


def refused_closing(deployment: Deployment, *, since: datetime | None = None) -> RefusedClosing | None:
    """Every order to flatten a deployment that was denied (after ``since``); None where all were let through."""
    denied = Order.objects.filter(deployment=deployment, reason="flatten", status=OrderStatus.DENIED)
    if since is not None:
        denied = denied.filter(created_at__gt=since)
    told = denied.aggregate(orders=Count("pk"), first=Min("created_at"), last=Max("created_at"))
    if not told["orders"]:
        return None
    return RefusedClosing(**told, why=denied.latest("created_at", "pk").status_reason)


def waits_to_close(deployment: Deployment) -> str:
    """Why a deployment that is to be flattened holds on, in words; empty where nothing keeps it from closing.

    A halt stops closing orders too. The desk asks at every bar and closes with the first at which it may.
    """
    if deployment.status != DeploymentStatus.STOPPING or not deployment.flatten:
        return ""
    mode = trading_mode_for(book_id=deployment.book_id, venue=deployment.venue)
    if mode in (TradingMode.ACTIVE, TradingMode.REDUCING) or not deployment.positions.exclude(quantity=0).exists():
        return ""
    sent = Order.objects.filter(deployment=deployment, reason="flatten").exclude(status=OrderStatus.DENIED)
    refused = refused_closing(deployment, since=sent.aggregate(last=Max("created_at"))["last"])
    held = "The trading mode is not known" if mode is None else f"Trading of its Book is {mode.value}"
    told = "" if refused is None else f" It has waited since {refused.first:%Y-%m-%d %H:%M:%S} UTC."
    return f"{held}: it holds its position and closes it at the first bar that is REDUCING or ACTIVE.{told}"
