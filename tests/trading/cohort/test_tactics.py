"""What the policy does about tactics in cohorts: noted with the stretch, or denied on the way of the order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import ScreeningFlag
from compliance.models.screening import FlagSeverity
from fundops.core import clock
from fundops.core.models import User
from tests.gate import by_gate
from trading.actions.cohort_drive import drive_cohort
from trading.actions.cohort_run import load_cohort, market_for
from trading.actions.screening import screen_closed_days
from trading.cohorts.guard import order_limits
from trading.cohorts.refusals import with_refusals
from trading.models.cohort import Cohort, CohortFill, CohortMode, CohortRejection, CohortRun
from trading.models.screening import DayScreening
from trading.quant import engine

pytestmark = pytest.mark.usefixtures("ruled_world")

Make = Callable[..., Cohort]
LAUNCH = datetime(2025, 3, 20, 12, 0, tzinfo=UTC)
#: Enough agents to meet, and enough money for each to trade at all.
CAST: dict[str, Any] = {"agent_count": 60, "bankroll": Decimal(60_000), "symbols": ["BTCUSDT"], "days": 1}
COLUMNS = ("number", "agent__number", "at", "symbol", "side", "quantity", "price", "fee", "reason")
#: Thresholds that agents of an invented market pass.
LOW = {"min_orders": 2, "market_share_frac": "0.000001", "move_bps": "0.5", "window_s": 180}


@pytest.fixture
def run_day(launched: Make) -> Callable[..., Cohort]:
    def run(**changes: Any) -> Cohort:
        return drive_cohort(cohort_id=launched(**(CAST | changes)).pk)

    return run


def policy(**rules: Any) -> None:
    by_gate("compliance.set_screening_policy", {"rules": rules})


def fills(cohort: Cohort) -> list[tuple[Any, ...]]:
    return list(CohortFill.objects.filter(cohort=cohort).order_by("number").values_list(*COLUMNS))


def denied(cohort: Cohort, reason: str) -> list[CohortRejection]:
    return list(CohortRejection.objects.filter(cohort=cohort, reason=reason).select_related("agent").order_by("number"))


def saved_state(cohort: Cohort) -> bytes:
    saved = CohortRun.objects.get(cohort=cohort).engine_state
    assert saved is not None
    return bytes(saved)


def drive(cohort: Cohort, seconds: float) -> Cohort:
    with clock.frozen(LAUNCH + timedelta(seconds=seconds)):
        return drive_cohort(cohort_id=cohort.pk)


def test_crossings_are_noted_with_the_stretch_and_change_no_fill(run_day: Callable[..., Cohort]) -> None:
    policy(self_crossing={"noted_from_frac": "0.000001"})
    noted = run_day()
    (flag,) = ScreeningFlag.objects.filter(rule="self_crossing")
    assert (flag.severity, flag.evidence["cohort"], flag.evidence["day"]) == (FlagSeverity.NOTE, noted.pk, 1)
    assert not DayScreening.objects.exists(), "nobody has looked at the closed day yet"
    (look,) = screen_closed_days()
    assert look.flagged and look.crossed_bars > 0
    assert ScreeningFlag.objects.filter(rule="self_crossing").count() == 1, "the day is the summary, not another flag"
    policy(self_crossing={"enabled": False}, momentum_ignition={"enabled": False})
    assert [row[1:] for row in fills(run_day())] == [row[1:] for row in fills(noted)]
    assert not denied(noted, "self_crossing")


def test_a_policy_that_denies_keeps_agents_apart_with_evidence(run_day: Callable[..., Cohort], manager: User) -> None:
    free = run_day()
    policy(self_crossing={"in_cohorts": "deny"})
    cohort = run_day()
    refused = denied(cohort, "self_crossing")
    assert refused
    assert fills(cohort) != fills(free)
    held: dict[int, Any] = {}
    seen: dict[Any, set[tuple[str, int]]] = {}
    for fill in CohortFill.objects.filter(cohort=cohort).order_by("number"):
        signed = fill.quantity if fill.side == "buy" else -fill.quantity
        after = held.get(fill.agent_id, 0) + signed
        other = {who for side, who in seen.get(fill.at, set()) if side != fill.side and who != fill.agent_id}
        assert not other or after * signed <= 0, "who meets another only closes"
        held[fill.agent_id] = after
        seen.setdefault(fill.at, set()).add((fill.side, fill.agent_id))
    (flag,) = ScreeningFlag.objects.filter(rule="self_crossing", severity=FlagSeverity.DENIED)
    assert flag.evidence["denied_orders"] == len(refused)
    assert flag.evidence["first"][0]["agent"] == refused[0].agent.number
    assert flag.book_path == (cohort.book.path if cohort.book else "")
    day = with_refusals(cohort.cohort_days.all()).get()
    assert day.denied >= len(refused)
    client = Client()
    client.force_login(manager)
    html = client.get(reverse("portal:cohort-agent", args=(cohort.pk, refused[0].agent.number))).content.decode()
    assert "another agent traded the other side in the same bar" in html


def test_the_first_burst_that_is_noted_is_the_first_that_would_be_denied(run_day: Callable[..., Cohort]) -> None:
    policy(momentum_ignition=LOW)
    noted = run_day()
    (flag,) = ScreeningFlag.objects.filter(rule="momentum_ignition", severity=FlagSeverity.NOTE)
    policy(momentum_ignition=LOW | {"in_cohorts": "deny"})
    bound = run_day()
    first = denied(bound, "momentum_ignition")[0]
    before = [row for row in fills(noted) if row[2] < first.at]
    assert [row[1:] for row in fills(bound) if row[2] < first.at] == [row[1:] for row in before]
    found = {(one["at"], one["symbol"]) for one in flag.evidence["largest"]}
    assert found
    assert min(at for at, _ in found) >= first.at.isoformat()
    assert ScreeningFlag.objects.filter(rule="momentum_ignition", severity=FlagSeverity.DENIED).count() == 1


def test_bar_by_bar_a_forward_cohort_is_denied_what_a_replay_is(run_day: Callable[..., Cohort], launched: Make) -> None:
    policy(momentum_ignition=LOW | {"in_cohorts": "deny"}, self_crossing={"in_cohorts": "deny"})
    replay = run_day()
    with clock.frozen(LAUNCH):
        forward = launched(mode=CohortMode.FORWARD, speed=60.0, **CAST)
    for seconds in range(0, 1_500, 37):
        drive(forward, seconds)
    assert [row[1:] for row in fills(forward)] == [row[1:] for row in fills(replay)]
    assert denied(forward, "momentum_ignition") and denied(forward, "self_crossing")


def test_a_run_is_computed_again_from_its_records_whatever_became_of_the_policy(launched: Make) -> None:
    with clock.frozen(LAUNCH):
        cohort = launched(mode=CohortMode.FORWARD, speed=60.0, **CAST)
    drive(cohort, 0)
    state = engine.EngineState.from_bytes(saved_state(cohort))
    drive(cohort, 300)
    policy(self_crossing={"in_cohorts": "deny"})
    drive(cohort, 600)
    policy(momentum_ignition=LOW | {"in_cohorts": "deny"})
    drive(cohort, 1_440)
    records = CohortRun.objects.get(cohort=cohort).provenance["limits"]
    assert [(r["tactics"]["self_crossing"], r["tactics"]["momentum_ignition"]) for r in records] == [
        ("note", "note"), ("deny", "note"), ("note", "deny")
    ]  # fmt: skip
    loaded = load_cohort(cohort.pk)
    parts = []
    for record, (start, stop) in zip(
        records, pairwise([*(r["from_ms"] for r in records), cohort.end_ms]), strict=True
    ):  # fmt: skip
        again = engine.run(
            market_for(loaded, start, stop), loaded.setup.agents, instruments=loaded.setup.instruments,
            costs=loaded.setup.costs, wallet=loaded.setup.wallet, state=state,
            limits=order_limits(record, cohort.venue),
        )  # fmt: skip
        state = again.state
        parts.append(again.fills)
    table = np.concatenate(parts)
    assert [(clock.from_ms(int(f["ts_ms"])), int(f["agent"]) + 1, float(f["price"])) for f in table] == [
        (at, agent, float(price)) for _, agent, at, _, _, _, price, _, _ in fills(cohort)
    ]
    assert state.to_bytes() == saved_state(cohort)
