"""Launching, cancelling and ending cohorts: what people do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from compliance.models.screening import RestrictionLevel
from compliance.selectors_screening import restrictions_in_force
from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from fundops.core.tasks import enqueue_on_commit
from trading.cohorts.catalog import open_catalog, series_or_none
from trading.cohorts.installed import installed_profiles
from trading.errors import CohortNotFailedError, CohortNotLiveError, CohortSpecError
from trading.marketdata.intervals import parse_interval
from trading.marketdata.symbols import split_symbol
from trading.models.cohort import LIVE_STATUSES, Cohort, CohortMode, CohortRun, CohortStatus, GenomeSource
from trading.quant.engine import list_cost_profiles

DRIVE_TASK = "trading.tasks.drive_cohort"


def launch_cohort(*, cohort: Cohort, actor: User, parents: Sequence[Cohort] = (), queued: bool = True) -> Cohort:
    """Checks an unsaved cohort, saves it and queues its run (or leaves the driving to the caller).

    Raises PermissionMissingError, or CohortSpecError with a list of what to change by field.
    """
    require(actor, "trading.launch_cohort")
    check_cohort(cohort, parents=parents)
    with transaction.atomic():
        cohort.launched_by = actor
        cohort.launched_at = clock.now()
        cohort.save()
        cohort.parents.set(parents)
        publish(
            "trading.cohort.launched",
            actor=actor,
            obj=cohort,
            payload=specification(cohort),
            topics=["cohorts", cohort.topic],
        )
        if queued:
            enqueue_on_commit(DRIVE_TASK, cohort.pk)
    return cohort


def check_cohort(cohort: Cohort, *, parents: Sequence[Cohort] = ()) -> None:
    """Everything that can be known to be wrong before anything runs, all at once.

    Fills in the derived fields (name, quote, synthetic). Raises CohortSpecError.
    """
    errors: dict[str, list[str]] = {}
    try:
        cohort.full_clean(exclude=["quote"])
    except ValidationError as refused:
        errors = refused.message_dict
    if unknown := sorted(set(cohort.profiles) - set(installed_profiles())):
        errors.setdefault("profiles", []).append(f"No profile is called {', '.join(unknown)}.")
    if cohort.cost_profile not in list_cost_profiles():
        errors.setdefault("cost_profile", []).append(f"No cost profile is called '{cohort.cost_profile}'.")
    if cohort.genome_source == GenomeSource.BEST and not parents:
        errors.setdefault("parents", []).append("Choose the earlier cohorts to take the best genomes from.")
    if cohort.agent_count and cohort.bankroll and cohort.bankroll < cohort.agent_count / 100:
        errors.setdefault("bankroll", []).append("Every agent needs at least 0.01 to draw.")
    if not errors.keys() & {"symbols", "venue", "interval", "start", "days"}:
        for field, texts in _market_problems(cohort).items():
            errors.setdefault(field, []).extend(texts)
    if errors:
        raise CohortSpecError(errors)
    cohort.name = cohort.name or f"{_market_name(cohort.symbols)} {cohort.start:%d %b %Y}"


def _market_problems(cohort: Cohort) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    catalog = open_catalog()
    quotes = {pair[1] if (pair := split_symbol(symbol)) else symbol for symbol in cohort.symbols}
    if len(quotes) > 1:
        errors["symbols"] = [f"One bankroll, one currency: these are quoted in {', '.join(sorted(quotes))}."]
    else:
        cohort.quote = quotes.pop()
    for entry in restrictions_in_force():
        opens_nothing = entry.level in (RestrictionLevel.NO_TRADING, RestrictionLevel.CLOSE_ONLY)
        if opens_nothing and entry.symbol in cohort.symbols and entry.venue in ("", cohort.venue):
            said = f"{entry.symbol} is on the restricted list ({entry.get_level_display().lower()}): {entry.reason}"
            errors.setdefault("symbols", []).append(said)
    follows_market = cohort.mode == CohortMode.FORWARD and cohort.speed == 1.0
    for symbol in cohort.symbols:
        series = series_or_none(catalog, cohort.venue, symbol, parse_interval(cohort.interval))
        if series is None or series.first_ms is None or series.last_ms is None:
            errors.setdefault("symbols", []).append(f"No {cohort.interval} candles of {symbol} on {cohort.venue}.")
            continue
        cohort.synthetic = cohort.synthetic or series.synthetic
        if follows_market:
            continue
        covered = (series.first_ms, series.last_ms + cohort.interval_ms)
        if cohort.start_ms < covered[0] or cohort.end_ms > covered[1]:
            first, last = (clock.from_ms(ms) for ms in covered)
            errors.setdefault("start", []).append(
                f"{symbol} has candles from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC only."
            )
    if follows_market and cohort.start != clock.now().date():
        errors.setdefault("start", []).append("A forward cohort at the market's own speed starts today.")
    return errors


def _market_name(symbols: Sequence[str]) -> str:
    shown = "/".join(symbols[:2])
    return shown if len(symbols) <= 2 else f"{shown} +{len(symbols) - 2}"


def specification(cohort: Cohort) -> dict[str, Any]:
    """What was asked for, as it goes into the audit stream."""
    names = [
        "name",
        "mode",
        "agent_count",
        "bankroll",
        "quote",
        "allocation",
        "venue",
        "symbols",
        "interval",
        "start",
        "days",
        "genome_source",
        "profiles",
        "cost_profile",
        "gross_ceiling",
        "net_ceiling",
        "leverage_ceiling",
        "market_cap_frac",
        "drawdown_stop_frac",
        "speed",
        "seed",
        "synthetic",
    ]
    return {name: getattr(cohort, name) for name in names}


@transaction.atomic
def cancel_cohort(*, cohort: Cohort, reason: str, actor: User) -> Cohort:
    """Asks the run to stop at the next bar it finishes; what it has traded stays in the books.

    Raises PermissionMissingError, or CohortNotLiveError when it has ended already.
    """
    require(actor, "trading.cancel_cohort", cohort)
    cohort = Cohort.objects.select_for_update().get(pk=cohort.pk)
    if cohort.status not in LIVE_STATUSES:
        raise CohortNotLiveError(f"{cohort} is {cohort.get_status_display().lower()}; there is nothing to cancel.")
    if cohort.status != CohortStatus.CANCELLING:
        _move(cohort, CohortStatus.CANCELLING, "trading.cohort.cancel_requested", {"reason": reason}, actor)
    return cohort


@transaction.atomic
def resume_cohort(*, cohort: Cohort, reason: str, actor: User) -> Cohort:
    """Lets a failed cohort go on at the exact bar it had reached, once its cause is mended.

    Raises PermissionMissingError, or CohortNotFailedError when it has not failed.
    """
    require(actor, "trading.resume_cohort", cohort)
    cohort = Cohort.objects.select_for_update().get(pk=cohort.pk)
    if cohort.status != CohortStatus.FAILED:
        raise CohortNotFailedError(
            f"{cohort} is {cohort.get_status_display().lower()}; only a failed cohort is resumed."
        )
    prepared = CohortRun.objects.filter(cohort=cohort).exists()
    payload = {"reason": reason, "failure": cohort.failure}
    cohort.finished_at, cohort.failure = None, ""
    _move(cohort, CohortStatus.RUNNING if prepared else CohortStatus.QUEUED, "trading.cohort.resumed", payload, actor)
    enqueue_on_commit(DRIVE_TASK, cohort.pk)
    return cohort


@transaction.atomic
def note_waiting(*, cohort_id: int, words: str) -> None:
    """Says on a live cohort what its run waits for; empty words say that it goes on. The same again does nothing."""
    said = Cohort.objects.filter(pk=cohort_id, status__in=LIVE_STATUSES).exclude(waiting_for=words)
    if said.update(waiting_for=words):
        cohort = Cohort.objects.get(pk=cohort_id)
        kind = "trading.cohort.waiting" if words else "trading.cohort.going_on"
        publish(kind, actor=None, obj=cohort, payload={"waiting_for": words}, topics=["cohorts", cohort.topic])


def end_cohort(*, cohort_id: int, status: CohortStatus, failure: str = "", actor: User | None = None) -> Cohort:
    """Marks a cohort completed, cancelled or failed, with the reason of an early end; a second time does nothing."""
    with transaction.atomic():
        cohort = Cohort.objects.select_for_update().get(pk=cohort_id)
        if cohort.status in LIVE_STATUSES:
            cohort.finished_at = clock.now()
            cohort.failure = failure
            cohort.waiting_for = ""
            payload = {"failure": failure} if failure else {}
            _move(cohort, status, f"trading.cohort.{status}", payload, actor)
    return cohort


def start_cohort(*, cohort: Cohort) -> None:
    """From queued to running, inside the transaction that prepared it."""
    _move(cohort, CohortStatus.RUNNING, "trading.cohort.started", {}, None)


def _move(cohort: Cohort, status: CohortStatus, kind: str, payload: dict[str, Any], actor: User | None) -> None:
    cohort.status = status
    cohort.save(update_fields=["status", "finished_at", "failure", "waiting_for"])
    publish(kind, actor=actor, obj=cohort, payload=payload | {"status": status}, topics=["cohorts", cohort.topic])
