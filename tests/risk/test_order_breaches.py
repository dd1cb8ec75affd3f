"""A breach of a limit on single orders: opened and kept up by orders, made hard by a denial, closed by quiet."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from compliance.models import AuditEvent
from fundops.core import clock
from fundops.core.roles import Role
from risk.actions.breaches import acknowledge_breach, evaluate_limits
from risk.actions.order_breaches import QUIET, PassedLevel, note_order_levels
from risk.models import BreachStatus, HardAction, LimitBreach, RiskLimit
from risk.quant.metrics import Metric
from risk.quant.pretrade import TradingMode
from risk.selectors import breach_list, trading_mode
from tests.factories import user_with
from tests.risk.conftest import NOW, Tree, WrittenSource, figures
from tests.risk.gated import end_limit, put_limit

pytestmark = pytest.mark.usefixtures("ruled_world")

MINUTE = timedelta(minutes=1)


@pytest.fixture
def limit(tree: Tree, source: WrittenSource) -> RiskLimit:
    """At most 200 an order, 100 warns; whoever set it asked for a halt."""
    source.books = {pk: figures(1000.0) for pk in (tree.root.pk, tree.trend.pk, tree.agent.pk, tree.carry.pk)}
    return put_limit(
        book=tree.trend, metric=Metric.ORDER_NOTIONAL, soft=Decimal(100), hard=Decimal(200), action=HardAction.HALT
    )


def note(limit: RiskLimit, tree: Tree, *values: float, hard: bool = False, after: timedelta = timedelta()) -> None:
    with clock.frozen(NOW + after):
        note_order_levels([PassedLevel(tree.agent.pk, limit.pk, value, hard) for value in values])


def evaluate(after: timedelta) -> tuple[int, int]:
    with clock.frozen(NOW + after):
        summary = evaluate_limits(actor=None)
    return len(summary.opened), len(summary.closed)


def kinds() -> list[str]:
    found = AuditEvent.objects.filter(kind__startswith="risk.breach.").order_by("id")
    return [kind.rsplit(".", 1)[1] for kind in found.values_list("kind", flat=True)]


def test_the_first_order_opens_it_and_further_ones_keep_it_up(limit: RiskLimit, tree: Tree) -> None:
    note(limit, tree, 120.0, 150.0, 130.0)
    breach = LimitBreach.objects.get()
    assert (breach.book, breach.metric, breach.level, breach.status) == (tree.agent, "order_notional", "soft", "open")
    assert (breach.first_value, breach.worst_value, breach.last_value) == (120.0, 150.0, 130.0)
    note(limit, tree, 110.0, after=MINUTE)
    breach.refresh_from_db()
    assert (breach.worst_value, breach.last_value, breach.last_seen_at) == (150.0, 110.0, NOW + MINUTE)
    event = AuditEvent.objects.get(kind="risk.breach.opened")
    assert (event.payload["value"], event.payload["threshold"]) == (130.0, 100.0)
    assert {"risk", f"book:{tree.agent.pk}"} <= set(event.topics)
    assert breach.history.count() == 1, "seen again is no change of its own"
    assert list(breach_list(user_with(Role.RISK_OFFICER))) == [breach]


def test_nothing_passed_asks_nothing_and_what_runs_takes_one_statement(limit: RiskLimit, tree: Tree) -> None:
    with CaptureQueriesContext(connection) as asked:
        note_order_levels([])
    assert len(asked) == 0
    other = put_limit(book=tree.root, metric=Metric.PARTICIPATION_FRAC, soft=Decimal("0.1"))
    passed = [PassedLevel(tree.agent.pk, x.pk, 150.0) for x in (limit, other)] * 3
    note_order_levels(passed)
    with CaptureQueriesContext(connection) as asked:
        note_order_levels(passed)
    assert len(asked) == 1
    assert LimitBreach.objects.count() == 2


def test_quiet_closes_it_and_the_next_order_opens_another(limit: RiskLimit, tree: Tree) -> None:
    note(limit, tree, 120.0)
    assert evaluate(QUIET - MINUTE) == (0, 0)
    note(limit, tree, 120.0, after=QUIET - MINUTE)
    assert evaluate(QUIET + MINUTE) == (0, 0), "an order passed it in between"
    assert evaluate(2 * QUIET - MINUTE) == (0, 1)
    note(limit, tree, 140.0, after=2 * QUIET)
    assert kinds() == ["opened", "closed", "opened"]
    assert LimitBreach.objects.filter(status=BreachStatus.CLOSED).count() == 1


def test_a_denial_makes_it_hard_opens_an_acknowledged_one_again_and_halts_nothing(limit: RiskLimit, tree: Tree) -> None:
    note(limit, tree, 120.0)
    acknowledge_breach(breach=LimitBreach.objects.get(), actor=user_with(Role.RISK_OFFICER), note="Sizes are new.")
    note(limit, tree, 130.0, after=MINUTE)
    assert LimitBreach.objects.get().status == BreachStatus.ACKNOWLEDGED, "a soft one stays acknowledged"
    note(limit, tree, 250.0, hard=True, after=2 * MINUTE)
    breach = LimitBreach.objects.get()
    assert (breach.level, breach.status, breach.escalated_at) == ("hard", "open", NOW + 2 * MINUTE)
    assert breach.actions == ["alert"]
    assert trading_mode(tree.agent) is TradingMode.ACTIVE, "the order never got past the level"
    note(limit, tree, 260.0, hard=True, after=3 * MINUTE)
    note(limit, tree, 120.0, after=4 * MINUTE)
    breach.refresh_from_db()
    assert (breach.level, breach.escalated_at) == ("hard", NOW + 2 * MINUTE), "once hard it stays so until it closes"
    assert kinds() == ["opened", "acknowledged", "escalated"]
    assert [row.level for row in breach.history.order_by("history_id")] == ["soft", "soft", "hard"]


def test_a_limit_that_binds_no_more_takes_its_breach_with_it(limit: RiskLimit, tree: Tree) -> None:
    note(limit, tree, 120.0)
    end_limit(limit)
    assert evaluate(MINUTE) == (0, 1)


def test_a_share_of_no_equity_has_no_figure(tree: Tree, source: WrittenSource) -> None:
    limit = put_limit(book=tree.agent, metric=Metric.ORDER_NOTIONAL_FRAC, soft=Decimal("0.1"))
    note_order_levels([PassedLevel(tree.agent.pk, limit.pk, None), PassedLevel(tree.agent.pk, limit.pk, 0.5)])
    breach = LimitBreach.objects.get()
    assert (breach.first_value, breach.worst_value, breach.last_value) == (None, None, 0.5)
