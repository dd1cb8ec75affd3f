"""REJECTED is the venue's word, DENIED is ours: counted, shown and exported apart."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.test import Client

from fundops.core.roles import Role
from risk.quant.metrics import Metric
from tests.factories import user_with
from tests.risk.gated import put_limit
from trading.actions.cohort_drive import drive_cohort
from trading.cohorts.refusals import BY_VENUE, FOR_VOLUME, Refusal, refusal_of, with_refusals
from trading.models.cohort import AgentDay, Cohort, CohortDay, CohortRejection
from trading.quant.engine import RejectionReason
from trading.quant.engine.codes import COHORT_LIMIT, OWN_LIMIT, reason_name
from treasury.models import Book


def test_every_reason_has_one_behind_it() -> None:
    by = {reason.name.lower(): refusal_of(reason.name.lower()) for reason in RejectionReason}
    assert {name for name, who in by.items() if who is Refusal.REJECTED} == {
        "tick_too_small", "lot_too_small", "min_notional", "insufficient_balance"
    }  # fmt: skip
    assert {name for name, who in by.items() if who is Refusal.WAITING} == {"participation", "no_volume"}
    assert {by[name] for name in ("mode_halted", "gross_ceiling", "cooldown", "agent_leverage")} == {Refusal.DENIED}
    assert {refusal_of(reason_name(code)) for code in (OWN_LIMIT, COHORT_LIMIT + 3)} == {Refusal.DENIED}
    assert not BY_VENUE & FOR_VOLUME


@pytest.fixture
def denied(launched: Callable[..., Cohort]) -> Cohort:
    """Two days under a fund limit so small that orders are denied, and draws so small that the venue rejects too."""
    cohort = launched(days=2)
    root = Book.objects.get(fund=cohort.fund, parent=None)
    put_limit(book=root, metric=Metric.ORDER_NOTIONAL, hard=Decimal("40"))
    put_limit(book=root, metric=Metric.GROSS_EXPOSURE, hard=Decimal("100"))
    return drive_cohort(cohort_id=cohort.pk)


def test_the_counts_are_those_of_the_orders_by_agent_and_day(denied: Cohort) -> None:
    rows = CohortRejection.objects.filter(cohort=denied).select_related("agent")
    found = Counter((row.agent_id, row.at.date(), refusal_of(row.reason)) for row in rows)
    days = list(with_refusals(AgentDay.objects.filter(agent__cohort=denied)))
    assert len(days) == 2 * denied.agent_count
    for day in days:
        assert day.rejected == found[day.agent_id, day.date, Refusal.REJECTED]
        assert day.denied == found[day.agent_id, day.date, Refusal.DENIED]
        assert day.rejected + day.denied + day.waiting == day.rejections
    assert sum(day.denied for day in days) > 0
    for whole in with_refusals(CohortDay.objects.filter(cohort=denied)):
        parts = [day for day in days if day.day == whole.day]
        assert whole.denied == sum(day.denied for day in parts)
        assert whole.rejected == sum(day.rejected for day in parts)


def test_pages_api_and_exports_tell_them_apart(denied: Cohort) -> None:
    client = Client()
    client.force_login(user_with(Role.AUDITOR))
    at = f"/api/cohorts/{denied.pk}"
    board = client.get(f"{at}/leaderboard/", {"day": "1", "ordering": "-denied"}).json()["results"]
    assert [row["denied"] for row in board] == sorted((row["denied"] for row in board), reverse=True)
    assert all(row["denied"] + row["rejected"] <= row["rejections"] for row in board) and board[0]["denied"] > 0
    whole = client.get(f"{at}/days/").json()["results"][0]
    assert whole["denied"] == sum(row["denied"] for row in board)
    orders = client.get(f"{at}/rejections/").json()["results"]
    assert all(row["refusal"] == refusal_of(row["reason"]) for row in orders)
    exported = b"".join(client.get(f"{at}/rejections/", {"format": "csv"})).decode()
    assert {row["refusal"] for row in csv.DictReader(io.StringIO(exported))} <= {str(r) for r in Refusal}

    page = client.get(f"/cohorts/{denied.pk}/?day=1").content.decode()
    assert f"{whole['denied']:,}</span> denied here" in page or f"{whole['denied']:,} denied here" in page
    table = client.get(f"/cohorts/{denied.pk}/?day=1&_export=csv").content.decode()
    lines = list(csv.DictReader(io.StringIO(table)))
    assert sum(int(line["Denied"]) for line in lines) == whole["denied"]
    assert sum(int(line["Rejected"]) for line in lines) == whole["rejected"]
    one = client.get(f"/cohorts/{denied.pk}/agents/{board[0]['agent']}/?day=1").content.decode()
    assert "Denied here" in one and "rejected by the venue" in one
