"""Overrides of guardrails: two signatures, one limit, a time that ends; and what attackers try."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from django.db import transaction
from django.db.utils import DatabaseError

from compliance.actions.approval_execution import execute_request, release_request
from compliance.approvals.errors import ApprovalError, NotApprovedError, PayloadError
from compliance.approvals.registry import Warrant, registered_actions
from compliance.models import ApprovalRequest, AuditEvent, Decision
from fundops.core import clock
from fundops.core.errors import FundopsError, PermissionMissingError
from fundops.core.roles import Role
from risk.actions.breaches import evaluate_limits
from risk.actions.overrides import AskedOverride, end_override, grant_override, revert_overrides
from risk.errors import OverrideOverError, OverridePolicyMissingError, OverrideRefusedError
from risk.limits_in_force import limits_in_force
from risk.models import GuardrailOverride, LimitBreach, OverrideEnd, OverridePolicy, RiskLimit
from risk.overrides import override_policy_in_force, standing_of, trigger_overridden
from risk.quant.metrics import Metric
from risk.quant.pretrade import OrderIntent, Side, check_order_path
from risk.selectors import effective_limits, order_path, overrides_in_force
from risk.tasks import revert_overrides as revert_task
from tests.compliance.approvals.support import People, policy_document, set_policy, staff, vote
from tests.factories import user_with
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, position
from tests.risk.leverage_support import LIMIT, OVERRIDE, OVERRIDES, ask, through_the_gate

pytestmark = pytest.mark.django_db

END = NOW + timedelta(hours=8)


@pytest.fixture
def people(leverage_world: People, now: datetime) -> People:
    through_the_gate(leverage_world, OVERRIDES, {})
    return leverage_world


@pytest.fixture
def limit(people: People, tree: Tree) -> RiskLimit:
    """At most twice its equity for the trend strategy and what is below it."""
    through_the_gate(people, LIMIT, {"book": tree.trend.path, "metric": "leverage", "soft": "1.5", "hard": "2"})
    return RiskLimit.objects.get()


def payload(tree: Tree, **changes: Any) -> dict[str, Any]:
    asked = {"book": tree.trend.path, "metric": "leverage", "level": "3", "ends_at": END.isoformat()}
    return {key: value for key, value in (asked | changes).items() if value is not None}


def granted(people: People, tree: Tree, **changes: Any) -> GuardrailOverride:
    through_the_gate(people, OVERRIDE, payload(tree, **changes))
    return GuardrailOverride.objects.latest("pk")


def hard(tree: Tree, at: datetime = NOW) -> float | None:
    return next(x.hard for x in effective_limits(tree.agent, at=at) if x.metric is Metric.LEVERAGE)


# --- What it does -----------------------------------------------------------------------------------------------
def test_an_override_loosens_exactly_that_limit_until_its_time(people: People, tree: Tree, limit: RiskLimit) -> None:
    through_the_gate(people, LIMIT, {"book": tree.trend.path, "metric": "open_positions", "hard": "5"})
    before = {x.metric: x for x in effective_limits(tree.agent)}
    made = granted(people, tree)
    after = {x.metric: x for x in effective_limits(tree.agent)}
    assert (after[Metric.LEVERAGE].hard, after[Metric.LEVERAGE].soft) == (3.0, 1.5)
    assert (after[Metric.LEVERAGE].override_id, after[Metric.LEVERAGE].hard_limit_id) == (made.pk, limit.pk)
    assert after[Metric.LEVERAGE].origin == f"limit {limit.pk} as overridden by {made.pk}"
    assert after[Metric.OPEN_POSITIONS] == before[Metric.OPEN_POSITIONS]
    # By time alone: nothing has run in between.
    assert hard(tree, END - timedelta(microseconds=1)) == 3.0
    assert hard(tree, END) == 2.0
    assert not OverrideEnd.objects.exists()
    assert (made.starts_at, made.ends_at, made.reason) == (NOW, END, "It is needed.")


def test_orders_pass_up_to_the_level_meanwhile(
    people: People, tree: Tree, limit: RiskLimit, source: WrittenSource
) -> None:
    for book in (tree.root, tree.trend):
        source.books[book.pk] = figures(1000.0)
    source.books[tree.agent.pk] = figures(1000.0, position("BTC", 15.0))
    source.books[tree.carry.pk] = figures(0.0)
    order = OrderIntent("BTC", "kraken", Side.BUY, 50.0, 100.0, price=100.0, reference_price=100.0)
    assert check_order_path(order_path(tree.agent), order).size == pytest.approx(5.0)
    made = granted(people, tree)
    verdict = check_order_path(order_path(tree.agent), order)
    assert verdict.size == pytest.approx(15.0)
    assert any(f"as overridden by {made.pk}" in reason.limit for reason in verdict.reasons)
    assert check_order_path(order_path(tree.agent, at=END), order).size == pytest.approx(5.0)


def test_a_breach_closes_under_the_override_and_opens_again_after_it(
    people: People, tree: Tree, limit: RiskLimit, source: WrittenSource
) -> None:
    for book in (tree.root, tree.trend, tree.carry):
        source.books[book.pk] = figures(1000.0)
    source.books[tree.agent.pk] = figures(1000.0, position("BTC", 25.0))
    evaluate_limits(actor=None)
    levels = LimitBreach.objects.exclude(status="closed").values_list("level", flat=True)
    assert "hard" in levels
    granted(people, tree)
    with clock.frozen(NOW + timedelta(minutes=1)):
        evaluate_limits(actor=None)
    assert "hard" not in LimitBreach.objects.exclude(status="closed").values_list("level", flat=True)
    with clock.frozen(END):
        evaluate_limits(actor=None)
    assert "hard" in LimitBreach.objects.exclude(status="closed").values_list("level", flat=True)


def test_a_planned_override_begins_at_its_time(people: People, tree: Tree, limit: RiskLimit) -> None:
    starts = NOW + timedelta(hours=2)
    made = granted(people, tree, starts_at=starts.isoformat())
    assert hard(tree) == 2.0 and standing_of(made) == "planned"
    assert hard(tree, starts) == 3.0
    assert standing_of(made, at=starts) == "in force"
    assert overrides_in_force(tree.agent, at=starts) == [made]
    assert overrides_in_force(tree.carry, at=starts) == []


def test_a_new_limit_takes_the_override_with_it(people: People, tree: Tree, limit: RiskLimit) -> None:
    made = granted(people, tree)
    with clock.frozen(NOW + timedelta(minutes=1)):
        through_the_gate(people, LIMIT, {"book": tree.trend.path, "metric": "leverage", "hard": "1"})
        assert hard(tree, clock.now()) == 1.0
        assert standing_of(GuardrailOverride.objects.get(pk=made.pk)) == "superseded"


def test_a_longer_level_is_the_tighter_one_of_a_cooldown(people: People, tree: Tree) -> None:
    through_the_gate(people, LIMIT, {"book": tree.trend.path, "metric": "cooldown_s", "hard": "600"})
    for bad in ("700", "600", "399"):
        with pytest.raises(OverrideRefusedError):
            ask(people, OVERRIDE, payload(tree, metric="cooldown_s", level=bad))
    granted(people, tree, metric="cooldown_s", level="400")
    assert next(x.hard for x in effective_limits(tree.trend) if x.metric is Metric.COOLDOWN_S) == 400.0


def test_a_trigger_of_the_kill_switch_can_be_silenced(people: People, tree: Tree) -> None:
    made = granted(people, tree, metric=None, level=None, trigger="stale_data")
    assert trigger_overridden(book=tree.agent, cause="stale_data") == made
    assert trigger_overridden(book=tree.agent, cause="heartbeat") is None
    assert trigger_overridden(book=tree.root, cause="stale_data") is None
    assert trigger_overridden(book=tree.agent, cause="stale_data", at=END) is None
    for bad in ({"trigger": "daily_loss"}, {"trigger": "drawdown"}, {"trigger": "person"}):
        with pytest.raises(OverrideRefusedError):
            ask(people, OVERRIDE, payload(tree, metric=None, level=None, **bad))
    with pytest.raises(OverrideRefusedError):
        ask(people, OVERRIDE, payload(tree, trigger="heartbeat"))


# --- Its end ----------------------------------------------------------------------------------------------------
def test_beat_records_the_end_once(people: People, tree: Tree, limit: RiskLimit) -> None:
    made = granted(people, tree)
    assert revert_overrides() == []
    with clock.frozen(END + timedelta(minutes=3)):
        revert_task()
        assert revert_overrides() == []
    end = OverrideEnd.objects.get()
    assert (end.override, end.cause, end.by) == (made, "expired", None)
    assert AuditEvent.objects.filter(kind="risk.override.reverted").count() == 1


def test_anyone_on_duty_ends_it_early(people: People, tree: Tree, limit: RiskLimit) -> None:
    made = granted(people, tree)
    for role in (Role.AUDITOR, Role.INVESTOR, Role.CLIENT_RELATIONS, Role.ADMINISTRATOR):
        with pytest.raises(PermissionMissingError):
            end_override(override=made, actor=user_with(role), reason="No.")
    with pytest.raises(OverrideRefusedError):
        end_override(override=made, actor=people.operations, reason="  ")
    end = end_override(override=made, actor=people.operations, reason="Done with it.")
    assert (end.cause, end.by) == ("ended", people.operations)
    assert hard(tree) == 2.0
    assert standing_of(GuardrailOverride.objects.get(pk=made.pk)) == "ended early"
    with pytest.raises(OverrideOverError):
        end_override(override=made, actor=people.operations, reason="Again.")
    with clock.frozen(END):
        assert revert_overrides() == []
    with clock.frozen(NOW + timedelta(minutes=1)):
        assert granted(people, tree, ends_at=(NOW + timedelta(hours=2)).isoformat()) != made


def test_what_is_over_is_not_ended(people: People, tree: Tree, limit: RiskLimit) -> None:
    made = granted(people, tree)
    with clock.frozen(END), pytest.raises(OverrideOverError):
        end_override(override=made, actor=people.operations, reason="Late.")


# --- Bad input --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "changes",
    [
        {"ends_at": (NOW + timedelta(hours=24, seconds=1)).isoformat()},
        {"ends_at": NOW.isoformat()},
        {"ends_at": (NOW - timedelta(hours=1)).isoformat()},
        {"starts_at": END.isoformat()},
        {"starts_at": (NOW + timedelta(hours=1)).isoformat(), "ends_at": (NOW + timedelta(hours=26)).isoformat()},
        {"level": "2"},
        {"level": "1"},
        {"level": "3.01"},
        {"level": None},
        {"metric": None, "level": None},
        {"metric": "daily_loss_frac", "level": "0.1"},
        {"metric": "drawdown_frac", "level": "0.1"},
        {"symbol": "BTC"},
        {"book": "MAIN"},
        {"book": "MAIN/nowhere"},
    ],
)
def test_what_the_policy_does_not_allow_is_refused_at_submission(
    people: People, tree: Tree, limit: RiskLimit, changes: dict[str, Any]
) -> None:
    with pytest.raises(OverrideRefusedError) as refused:
        ask(people, OVERRIDE, payload(tree, **changes))
    assert refused.value.message
    assert not ApprovalRequest.objects.filter(kind=OVERRIDE, state="submitted").exists()


@pytest.mark.parametrize("changes", [{"level": "-1"}, {"level": "NaN"}, {"ends_at": "2026-03-02"}, {"metric": "luck"}])
def test_what_is_no_override_is_refused_when_read(
    people: People, tree: Tree, limit: RiskLimit, changes: dict[str, Any]
) -> None:
    with pytest.raises(PayloadError):
        ask(people, OVERRIDE, payload(tree, **changes))


@pytest.mark.parametrize(
    "bad", [{"max_hours": 0}, {"max_hours": 169}, {"max_factor": "1"}, {"max_factor": "NaN"}, {"triggers": ["person"]}]
)
def test_a_policy_that_makes_no_sense_is_refused(people: People, bad: dict[str, Any]) -> None:
    with pytest.raises(FundopsError):
        ask(people, OVERRIDES, bad)


def test_without_a_policy_nothing_is_overridden(leverage_world: People, tree: Tree) -> None:
    through_the_gate(leverage_world, LIMIT, {"book": tree.trend.path, "metric": "leverage", "hard": "2"})
    assert override_policy_in_force() is None
    with pytest.raises(OverridePolicyMissingError):
        ask(leverage_world, OVERRIDE, payload(tree))


# --- Attacks ----------------------------------------------------------------------------------------------------
def test_nobody_signs_their_own(people: People, tree: Tree, limit: RiskLimit) -> None:
    request = ask(people, OVERRIDE, payload(tree))
    second_account = staff("rosa-again", Role.RISK_OFFICER, reference="staff-rosa")
    for signer in (people.maker, second_account):
        with pytest.raises(ApprovalError):
            vote(request, signer, Role.RISK_OFFICER)
    assert hard(tree) == 2.0


def test_one_signature_is_not_enough_and_no_glass_is_broken_for_it(
    people: People, tree: Tree, limit: RiskLimit
) -> None:
    request = ask(people, OVERRIDE, payload(tree))
    vote(request, people.risk, Role.RISK_OFFICER, Decision.BREAK_GLASS, "At once!")
    release_request(request_id=request.pk, actor=people.releaser)
    record = execute_request(request_id=request.pk)
    assert record is not None and (record.outcome, record.error_code) == ("failed", "override_refused")
    assert not GuardrailOverride.objects.exists() and hard(tree) == 2.0


def test_an_approval_policy_without_both_roles_is_refused(people: People, tree: Tree, limit: RiskLimit) -> None:
    set_policy(people, policy_document(OVERRIDE, quorum={"Risk officer": 1}))
    with pytest.raises(OverrideRefusedError):
        ask(people, OVERRIDE, payload(tree))


def test_a_second_override_does_not_stack(people: People, tree: Tree, limit: RiskLimit) -> None:
    first, second = (ask(people, OVERRIDE, payload(tree, level=level)) for level in ("3", "2.5"))
    for request in (first, second):
        vote(request, people.risk, Role.RISK_OFFICER)
        vote(request, people.operations, Role.OPERATIONS)
        release_request(request_id=request.pk, actor=people.releaser)
    assert execute_request(request_id=first.pk).outcome == "executed"  # type: ignore[union-attr]
    assert execute_request(request_id=second.pk).outcome == "failed"  # type: ignore[union-attr]
    assert GuardrailOverride.objects.count() == 1 and hard(tree) == 3.0
    with pytest.raises(OverrideRefusedError):
        ask(people, OVERRIDE, payload(tree, level="2.5"))


def test_an_approval_that_comes_too_late_grants_nothing(people: People, tree: Tree, limit: RiskLimit) -> None:
    request = ask(people, OVERRIDE, payload(tree))
    vote(request, people.risk, Role.RISK_OFFICER)
    vote(request, people.operations, Role.OPERATIONS)
    release_request(request_id=request.pk, actor=people.releaser)
    with clock.frozen(END + timedelta(minutes=1)):
        record = execute_request(request_id=request.pk)
    assert record is not None and record.error_code == "override_refused"
    assert not GuardrailOverride.objects.exists()


def test_the_executor_needs_its_approved_request(people: People, tree: Tree, limit: RiskLimit) -> None:
    request = ask(people, OVERRIDE, payload(tree))
    action = next(found for found in registered_actions() if found.kind == OVERRIDE)
    warrant = Warrant(request_id=request.pk, actor=people.releaser)
    for given in (None, warrant):
        with pytest.raises(NotApprovedError), transaction.atomic():
            action(request.payload, given)
    asked = AskedOverride(tree.trend, END, metric=Metric.LEVERAGE, level=Decimal(3))
    with pytest.raises(NotApprovedError), transaction.atomic():
        grant_override(asked=asked, warrant=warrant)


def row(request: ApprovalRequest, tree: Tree, bound: RiskLimit, **changes: Any) -> GuardrailOverride:
    fields: dict[str, Any] = {
        "request": request,
        "policy": OverridePolicy.objects.get(),
        "book": tree.trend,
        "limit": bound,
        "metric": "leverage",
        "level": Decimal(3),
        "starts_at": NOW,
        "ends_at": END,
        "created_at": NOW,
        "reason": "Mine.",
    }
    return GuardrailOverride(**(fields | changes))


def test_a_row_past_the_gate_is_refused(people: People, tree: Tree, limit: RiskLimit) -> None:
    request = ask(people, OVERRIDE, payload(tree))
    with pytest.raises(DatabaseError), transaction.atomic():
        row(request, tree, limit).save(force_insert=True)
    granted_one = granted(people, tree)
    with pytest.raises(DatabaseError), transaction.atomic():
        row(granted_one.request, tree, limit, starts_at=END, ends_at=END + timedelta(hours=8)).save(force_insert=True)
    assert GuardrailOverride.objects.count() == 1


def test_the_executing_request_grants_no_other_row_than_its_own(
    people: People, tree: Tree, limit: RiskLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ask(people, OVERRIDE, payload(tree))
    vote(request, people.risk, Role.RISK_OFFICER)
    vote(request, people.operations, Role.OPERATIONS)
    release_request(request_id=request.pk, actor=people.releaser)
    refused: list[str] = []
    wrongs: list[dict[str, Any]] = [
        {"level": Decimal("3.5")},
        {"level": Decimal("2.5")},
        {"ends_at": END + timedelta(hours=1)},
        {"book": tree.carry},
        {"symbol": "BTC"},
        {"metric": "var"},
        {"limit": None, "trigger": "stale_data", "metric": "", "level": None},
        {"policy": None},
    ]

    def attack(*, asked: AskedOverride, warrant: Warrant) -> GuardrailOverride:
        for wrong in wrongs:
            try:
                with transaction.atomic():
                    row(request, tree, limit, **wrong).save(force_insert=True)
            except DatabaseError as error:
                refused.append(str(error))
        right = row(request, tree, limit)
        right.save(force_insert=True)
        return right

    monkeypatch.setattr("risk.approvals_leverage.grant_override", attack)
    record = execute_request(request_id=request.pk)
    assert record is not None and record.outcome == "executed", record and record.error
    assert len(refused) == len(wrongs)


def test_what_was_granted_is_never_changed(people: People, tree: Tree, limit: RiskLimit) -> None:
    made = granted(people, tree)
    attacks: tuple[Any, ...] = (
        lambda: GuardrailOverride.objects.update(ends_at=END + timedelta(days=30)),
        lambda: GuardrailOverride.objects.update(level=9),
        lambda: made.delete(),
        lambda: OverridePolicy.objects.update(document={}),
        lambda: OverrideEnd.objects.create(override=made, at=NOW, cause="expired"),
        lambda: OverrideEnd.objects.create(override=made, at=NOW, cause="ended"),
    )
    for attack in attacks:
        with pytest.raises(DatabaseError), transaction.atomic():
            attack()
    end_override(override=made, actor=people.operations, reason="Done.")
    with pytest.raises(DatabaseError), transaction.atomic():
        OverrideEnd.objects.update(at=END)


def test_bulk_reads_of_limits_carry_the_override_too(people: People, tree: Tree, limit: RiskLimit) -> None:
    made = granted(people, tree)
    found = limits_in_force([tree.trend.pk], np.array([-1]), NOW)
    assert [(r.pk, r.hard, r.override_id) for r in found.rows] == [(limit.pk, 3.0, made.pk)]
