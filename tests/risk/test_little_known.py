"""Every reading, action and endpoint of risk on a fund of which little or nothing is known: null with a reason, never a
crash and never a made-up figure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from rest_framework.test import APIClient

from fundops.core.roles import Role
from risk.actions.breaches import evaluate_limits
from risk.actions.snapshots import snapshot_risk
from risk.actions.stress import ensure_standard_scenarios, run_stress
from risk.models import LimitBreach, RiskSnapshot, StressResult
from risk.overview import (
    backtest,
    book_risk,
    breakdown,
    child_tails,
    components,
    correlations,
    headroom,
    movement,
    strategy_by_asset,
    tails,
)
from risk.quant.metrics import Level
from risk.quant.rolling import VarMethod
from risk.selectors import exposure_breakdown, limit_status, order_path, var_backtest
from tests.factories import user_with
from tests.gate import by_gate
from tests.risk.conftest import Tree, WrittenSource, figures, position

pytestmark = pytest.mark.usefixtures("ruled_world")

World = Callable[[Tree, WrittenSource], None]


def nothing_measured(tree: Tree, source: WrittenSource) -> None:
    source.books = {}


def an_empty_fund(tree: Tree, source: WrittenSource) -> None:
    source.books = {b.pk: figures(1000.0) for b in (tree.root, tree.trend, tree.agent, tree.carry)}


def no_equity_left(tree: Tree, source: WrittenSource) -> None:
    an_empty_fund(tree, source)
    source.books[tree.agent.pk] = figures(-5.0, position("BTC", 1.0))
    source.books[tree.root.pk] = figures(0.0)
    source.returns = {"BTC": np.random.default_rng(1).normal(0, 0.03, 400)}


def one_day(tree: Tree, source: WrittenSource) -> None:
    an_empty_fund(tree, source)
    source.books[tree.agent.pk] = figures(1000.0, position("BTC", 1.0), position("ETH", -1.0))
    source.returns = {"BTC": np.array([0.01]), "ETH": np.array([-0.01])}


def no_days(tree: Tree, source: WrittenSource) -> None:
    one_day(tree, source)
    source.returns = {}


def no_prices(tree: Tree, source: WrittenSource) -> None:
    an_empty_fund(tree, source)
    source.books[tree.agent.pk] = figures(None, position("BTC", 1.0, None))
    source.books[tree.trend.pk] = source.books[tree.root.pk] = figures(None)


def prices_that_are_no_numbers(tree: Tree, source: WrittenSource) -> None:
    one_day(tree, source)
    source.books[tree.agent.pk] = figures(math.nan, position("BTC", math.nan, math.inf))
    series = np.random.default_rng(2).normal(0, 0.03, 400)
    series[-1] = math.nan
    source.returns = {"BTC": series, "ETH": np.full(400, math.inf)}
    source.windows = {"BTC": np.array([math.nan, 1.0]), "ETH": np.array([0.0, 1.0])}


def prices_that_stand_still(tree: Tree, source: WrittenSource) -> None:
    one_day(tree, source)
    source.returns = {"BTC": np.zeros(400), "ETH": np.zeros(400)}


WORLDS = [
    nothing_measured,
    an_empty_fund,
    no_equity_left,
    one_day,
    no_days,
    no_prices,
    prices_that_are_no_numbers,
    prices_that_stand_still,
]


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def world(request: pytest.FixtureRequest, tree: Tree, source: WrittenSource) -> World:
    found: World = request.param
    found(tree, source)
    return found


def finite(x: float | None) -> bool:
    return x is None or math.isfinite(x)


def test_every_reading_answers(world: World, tree: Tree) -> None:
    for book in (tree.root, tree.trend, tree.agent, tree.carry):
        risk = book_risk(book)
        children = list(type(book).objects.filter(parent=book))
        for level in (0.95, 0.99):
            assert len(tails(risk, level)) == len(VarMethod)
            for found in tails(risk, level):
                assert finite(found.var) and finite(found.es) and finite(found.es_frac)
                assert (found.es is None) == bool(found.reason)
            for method in VarMethod:
                tested = backtest(risk, level, method)
                assert isinstance(tested, str) or tested.var_tests.n >= 20
            parts = components(risk, children, level)
            assert (parts.es is None) == bool(parts.reason)
            assert all(finite(v) and finite(e) for v, e in child_tails(risk, children, level).values())
        moved = movement(risk)
        assert finite(moved.volatility) and finite(moved.ewma)
        assert strategy_by_asset(risk, children).exposure.shape[1] == len(strategy_by_asset(risk, children).symbols)
        correlations(risk)
        breakdown(risk, children)
        exposure_breakdown(book)
        order_path(book)
        assert var_backtest(book) is None or not risk.problems


def test_nothing_known_is_a_problem_said_in_words(tree: Tree, source: WrittenSource) -> None:
    said = {}
    for world in WORLDS:
        source.books, source.returns, source.windows = {}, {}, {}
        world(tree, source)
        said[world] = book_risk(tree.root).problems
    assert said[an_empty_fund] == said[prices_that_stand_still] == said[one_day] == said[no_equity_left] == ()
    assert said[nothing_measured] == ("4 of 4 books, which nobody measured",)
    assert said[no_days] == ("daily returns of BTC, ETH",)
    assert said[no_prices] == ("price of BTC", "equity")
    assert said[prices_that_are_no_numbers][0] == "price of BTC"


def test_limits_are_unknown_or_true_and_never_breached_by_what_is_not_known(world: World, tree: Tree) -> None:
    for metric, hard in (("leverage", "0.5"), ("var_frac", "0.01"), ("drawdown_frac", "0.1"), ("gross_exposure", "1")):
        by_gate("risk.set_limit", {"book": "MAIN", "metric": metric, "hard": hard})
    evaluate_limits(actor=None)
    standing = headroom(book_risk(tree.root))
    assert len(standing) == 4
    for h in standing:
        assert (h.value is None) == (h.level is Level.UNKNOWN)
        assert h.origin == tree.root
    breached = set(LimitBreach.objects.filter(book=tree.root).values_list("metric", flat=True))
    assert breached == {h.limit.metric.value for h in standing if h.level is Level.HARD}
    assert len(limit_status(user_with(Role.RISK_OFFICER))) == 4


def test_snapshots_and_scenarios_keep_null_where_nothing_is_known(world: World, tree: Tree) -> None:
    snapshot_risk(actor=None)
    for row in RiskSnapshot.objects.all():
        assert all(finite(getattr(row, f)) for f in ("equity", "var", "es", "volatility", "leverage", "gross_exposure"))
        assert row.var is not None or row.missing or not row.contributions
    ensure_standard_scenarios(actor=None)
    run_stress(actor=None)
    for result in StressResult.objects.select_related("scenario"):
        assert finite(result.loss) and finite(result.loss_frac)
        assert (result.loss is None) <= bool(result.missing), result.scenario.code
        assert (result.breached is None) == (result.loss_frac is None)


def no_number(name: str) -> None:
    pytest.fail(f"{name} is no figure")


def test_every_endpoint_answers_in_json_without_made_up_figures(world: World, tree: Tree) -> None:
    by_gate("risk.set_limit", {"book": "MAIN", "metric": "leverage", "hard": "0.5"})
    evaluate_limits(actor=None)
    snapshot_risk(actor=None)
    ensure_standard_scenarios(actor=None)
    api = APIClient()
    api.force_authenticate(user_with(Role.RISK_OFFICER))
    assert api.post("/api/risk/stress/", {"book": "MAIN"}, format="json").status_code == 201
    for path in (
        "limits/",
        "breaches/",
        "scenarios/",
        "stress/",
        "snapshots/",
        "budgets/",
        "limit-status/?book=MAIN",
        "effective-limits/?book=MAIN/trend/a1",
    ):
        response = api.get(f"/api/risk/{path}")
        assert response.status_code == 200, path
        text = response.content.decode()
        json.loads(text, parse_constant=no_number)
