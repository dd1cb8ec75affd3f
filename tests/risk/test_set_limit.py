"""Setting, replacing and retiring limits; what is refused, by the action and by the database itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from compliance.models import ApprovalRequest, AuditEvent
from fundops.core import clock
from risk.actions.limits import apply_template, set_limit
from risk.errors import (
    ClosedBookLimitError,
    LimitLevelsError,
    LimitOverlapError,
    LimitPeriodError,
    LimitRetiredError,
    LimitScopeError,
    RiskError,
    TemplateError,
)
from risk.models import HardAction, RiskLimit
from risk.quant.metrics import Metric
from risk.templates_of_limits import load_template, parse_template, template_names
from tests.gate import gate_people
from tests.risk.conftest import NOW, Tree
from tests.risk.gated import end_limit, put_limit, put_template, setting_limits
from treasury.actions.books import close_book

pytestmark = pytest.mark.usefixtures("ruled_world")

D = Decimal
DAY = timedelta(days=1)


def put(tree: Tree, metric: Metric = Metric.LEVERAGE, **changes: object) -> RiskLimit:
    """What the action does, in the execution of a signed request."""
    fields = {"book": tree.trend, "soft": D("1.5"), "hard": D(2)} | changes
    with setting_limits(tree.root) as warrant:
        return set_limit(metric=metric, warrant=warrant, **fields)  # type: ignore[arg-type]


def test_a_limit_is_set_with_its_event_and_its_history(tree: Tree) -> None:
    limit = put(tree, action=HardAction.HALT, reason="first")
    assert (limit.effective_from, limit.effective_to) == (NOW, None)
    event = AuditEvent.objects.get(kind="risk.limit.set")
    assert event.actor_id == gate_people().releaser.pk
    assert ApprovalRequest.objects.get(pk=event.payload["request"]).kind == "risk.set_limit"
    assert event.payload["new"] == {"soft": "1.5", "hard": "2", "action": "halt"}
    assert f"book:{tree.trend.pk}" in event.topics
    assert limit.history.count() == 1


def test_a_new_level_ends_the_old_row_and_keeps_it(tree: Tree) -> None:
    first = put(tree)
    with clock.frozen(NOW + DAY):
        second = put(tree, hard=D(3))
    first.refresh_from_db()
    assert first.effective_to == second.effective_from == NOW + DAY
    assert first.hard == 2
    assert RiskLimit.objects.in_force(NOW).get() == first
    assert RiskLimit.objects.in_force(NOW + DAY).get() == second
    event = AuditEvent.objects.filter(kind="risk.limit.set").order_by("at").last()
    assert event is not None
    assert event.payload["old"]["limit"] == first.pk


def test_a_limit_set_twice_at_once_is_replaced(tree: Tree) -> None:
    put(tree)
    put(tree, hard=D(5))
    assert RiskLimit.objects.in_force(NOW).get().hard == 5


def test_a_planned_limit_begins_later_and_is_not_overwritten(tree: Tree) -> None:
    planned = put(tree, effective_from=NOW + DAY)
    with pytest.raises(LimitOverlapError, match="Retire it first"):
        put(tree)
    assert RiskLimit.objects.count() == 1, "nothing was written"
    until_then = put(tree, effective_to=NOW + DAY)
    assert until_then.effective_to == planned.effective_from
    end_limit(planned)
    planned.refresh_from_db()
    assert planned.effective_to == planned.effective_from


def test_retiring_ends_it_once(tree: Tree) -> None:
    limit = put(tree)
    with clock.frozen(NOW + DAY):
        end_limit(limit)
        assert not RiskLimit.objects.in_force(clock.now()).exists()
        with pytest.raises(LimitRetiredError, match="ended on"):
            end_limit(limit)
    assert AuditEvent.objects.filter(kind="risk.limit.retired").count() == 1


def test_different_scopes_live_side_by_side(tree: Tree) -> None:
    put(tree, Metric.POSITION_NOTIONAL)
    put(tree, Metric.POSITION_NOTIONAL, symbol="BTC")
    put(tree, Metric.POSITION_NOTIONAL, symbol="ETH")
    assert RiskLimit.objects.in_force(NOW).count() == 3


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"soft": None, "hard": None}, LimitLevelsError),
        ({"hard": D(-1), "soft": None}, LimitLevelsError),
        ({"hard": D("NaN"), "soft": None}, LimitLevelsError),
        ({"hard": D("Infinity"), "soft": None}, LimitLevelsError),
        ({"hard": D("1e25"), "soft": None}, LimitLevelsError),
        ({"soft": D(3), "hard": D(2)}, LimitLevelsError),
        ({"symbol": "BTC"}, LimitScopeError),
        ({"venue": "kraken"}, LimitScopeError),
        ({"effective_from": NOW - DAY}, LimitPeriodError),
        ({"effective_from": NOW + DAY, "effective_to": NOW + DAY}, LimitPeriodError),
        ({"effective_from": datetime(2027, 1, 1)}, LimitPeriodError),  # noqa: DTZ001 - naive is the point
    ],
)
def test_what_makes_no_sense_is_refused(tree: Tree, changes: dict[str, object], error: type[RiskError]) -> None:
    with pytest.raises(error) as caught:
        put(tree, **changes)  # type: ignore[arg-type]
    assert caught.value.message
    assert not RiskLimit.objects.exists()


def test_a_cooldown_warns_at_the_longer_time(tree: Tree) -> None:
    put(tree, Metric.COOLDOWN_S, soft=D(600), hard=D(300))
    with pytest.raises(LimitLevelsError, match="longer"):
        put(tree, Metric.COOLDOWN_S, soft=D(100), hard=D(300))


def test_a_closed_book_takes_no_limit(tree: Tree) -> None:
    close_book(book=tree.carry, actor=None)
    with pytest.raises(ClosedBookLimitError):
        put(tree, book=tree.carry)


# --- The database alone -------------------------------------------------------------------------------------
BASE = {"metric": "leverage", "soft": D(1), "hard": D(2), "effective_from": NOW}


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": "mood"},
        {"action": "pray"},
        {"soft": None, "hard": None},
        {"hard": D(-1), "soft": None},
        {"soft": D(3)},
        {"metric": "cooldown_s"},
        {"symbol": "BTC"},
        {"venue": "kraken"},
        {"effective_to": NOW - DAY},
    ],
)
def test_the_database_refuses_it_as_well(tree: Tree, changes: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        RiskLimit.objects.bulk_create([RiskLimit(book=tree.trend, **(BASE | changes))])


@pytest.mark.parametrize("level", ["soft", "hard"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e20"])
def test_the_database_refuses_levels_that_are_no_numbers(tree: Tree, level: str, value: str) -> None:
    limit = put(tree, soft=None) if level == "hard" else put(tree, hard=None)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE risk_risklimit SET {level} = %s WHERE id = %s", [value, limit.pk])  # noqa: S608


@pytest.mark.parametrize(
    ("start", "end", "free"),
    [(1, 2, False), (-2, 1, False), (-5, None, False), (5, None, False), (10, None, True), (-2, 0, True)],
)
def test_overlapping_dates_are_excluded_in_the_database(tree: Tree, start: int, end: int | None, free: bool) -> None:
    """One limit is in force for ten days; another may touch them, not overlap."""
    with setting_limits(tree.root):
        RiskLimit.objects.bulk_create([RiskLimit(book=tree.trend, **(BASE | {"effective_to": NOW + 10 * DAY}))])
    dates = {"effective_from": NOW + start * DAY, "effective_to": None if end is None else NOW + end * DAY}
    other = RiskLimit(book=tree.trend, **(BASE | dates))
    if free:
        with setting_limits(tree.root):
            RiskLimit.objects.bulk_create([other])
    else:
        with pytest.raises(IntegrityError, match="risk_limit_no_overlap"), transaction.atomic():
            RiskLimit.objects.bulk_create([other])


# --- Templates ----------------------------------------------------------------------------------------------
def test_the_three_sets_load_and_apply(tree: Tree) -> None:
    assert template_names() == ["conservative", "micro-live", "standard", "watch"]
    for name in template_names():
        made = put_template(book=tree.carry, template=name)
        assert {x.metric for x in made} == {x.metric.value for x in load_template(name).limits}
        assert all(x.template == name for x in made)
    hard = {x.metric: x.hard for x in RiskLimit.objects.in_force(NOW).filter(template="standard")}
    assert hard["leverage"] == 2


def test_the_sets_get_stricter_from_standard_to_micro_live() -> None:
    levels = {n: {x.metric: x.hard for x in load_template(n).limits} for n in template_names()}
    for metric in (Metric.LEVERAGE, Metric.DAILY_LOSS_FRAC, Metric.DRAWDOWN_FRAC, Metric.ORDER_RATE):
        standard, small, live = (levels[n][metric] for n in ("standard", "conservative", "micro-live"))
        assert standard is not None and small is not None and live is not None
        assert standard > small >= live


def test_a_set_is_applied_whole_or_not_at_all(tree: Tree) -> None:
    put_limit(book=tree.carry, metric=Metric.ES_FRAC, hard=D("0.1"), effective_from=NOW + DAY)
    with pytest.raises(LimitOverlapError), setting_limits(tree.root, "risk.apply_template") as warrant:
        apply_template(book=tree.carry, template="standard", warrant=warrant)
    with pytest.raises(LimitOverlapError):
        put_template(book=tree.carry, template="standard")
    assert RiskLimit.objects.count() == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "no YAML"),
        ("title: x", "about"),
        ("{title: x, about: y, limits: []}", "limits"),
        ("{title: x, about: y, limits: [{metric: mood, hard: 1}]}", "metric"),
        ("{title: x, about: y, limits: [{metric: leverage, hard: -1}]}", "zero or more"),
        ("{title: x, about: y, limits: [{metric: leverage, soft: 3, hard: 1}]}", "lower"),
        ("{title: x, about: y, limits: [{metric: leverage}]}", "soft level"),
        ("{title: x, about: y, limits: [{metric: leverage, hard: 1, mood: 2}]}", "mood"),
        ("{title: x, about: y, limits: [{metric: var, hard: 1}]}", "money"),
        ("{title: x, about: y, limits: [{metric: leverage, hard: 1}, {metric: leverage, hard: 2}]}", "twice"),
    ],
)
def test_a_broken_set_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(TemplateError, match=says):
        parse_template(text, name="mine")


def test_an_unknown_set_names_the_known_ones(tree: Tree) -> None:
    with pytest.raises(TemplateError, match="conservative, micro-live, standard, watch"):
        put_template(book=tree.carry, template="yolo")


def test_levels_of_a_set_are_exact() -> None:
    levels = {x.metric: x.hard for x in load_template("standard").limits}
    assert levels[Metric.ORDER_NOTIONAL_FRAC] == D("0.1")


def test_results_and_snapshots_cannot_be_changed(tree: Tree) -> None:
    for table in ("risk_stressresult", "risk_risksnapshot"):
        for statement in ("UPDATE {} SET equity = 1", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement.format(table))
