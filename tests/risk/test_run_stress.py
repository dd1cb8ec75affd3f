"""Scenarios kept, checked and run on Books; what they cannot price, they say."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from compliance.approvals.errors import PayloadError
from compliance.models import AuditEvent
from risk.actions.stress import check_scenario, ensure_standard_scenarios, run_stress
from risk.errors import ScenarioError, SourceMissingError
from risk.models import ScenarioKind, StressResult, StressScenario
from risk.quant.stress import moved_with
from risk.scenarios import standard_scenarios
from risk.selectors import latest_stress
from risk.sources import install_source
from risk.tasks import run_stress as stress_task
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, position
from tests.risk.gated import put_scenario
from treasury.actions.books import ensure_asset
from treasury.models import AssetKind

pytestmark = pytest.mark.usefixtures("ruled_world")

RNG = np.random.default_rng(3)


@pytest.fixture
def trading(tree: Tree, source: WrittenSource) -> WrittenSource:
    """The agent is long 600 BTC and short 200 ETH, with 1,000 USDC; the fund is worth 2,000."""
    usdc = position("USDC", 1000.0, 0.0, value=1000.0)
    source.books = {
        tree.root.pk: figures(2000.0),
        tree.carry.pk: figures(500.0),
        tree.trend.pk: figures(1500.0),
        tree.agent.pk: figures(1400.0, position("BTC", 6.0), position("ETH", -2.0, venue="bybit"), usdc),
    }
    source.returns = {"BTC": RNG.normal(0, 0.03, 365), "ETH": RNG.normal(0, 0.04, 365)}
    source.windows = {"BTC": np.array([100, 80, 50, 90.0]), "ETH": np.array([100, 90, 70, 95.0])}
    return source


def run(
    tree: Tree, kind: ScenarioKind, parameters: Mapping[str, object], tolerance: float | None = None
) -> StressResult:
    scenario = put_scenario(code="s", name="S", kind=kind, parameters=dict(parameters), max_loss_frac=tolerance)
    (result,) = run_stress(actor=None, books=[tree.root], scenarios=[scenario])
    return result


@pytest.mark.parametrize(
    ("kind", "parameters", "loss"),
    [
        (ScenarioKind.PARAMETRIC, {"shocks": {"BTC": -0.5}, "default": 0.1}, 320.0),
        (ScenarioKind.HISTORICAL, {"start": "2024-08-04T00:00:00Z", "end": "2024-08-06T00:00:00Z"}, 240.0),
        (ScenarioKind.VENUE_LOSS, {"venue": "kraken", "recovery": 0.5}, 800.0),
        (ScenarioKind.VENUE_LOSS, {}, 1600.0),
        (ScenarioKind.DEPEG, {"coin": "USDC", "price": 0.9}, 100.0),
    ],
)
def test_a_scenario_costs_what_it_should(
    tree: Tree, trading: WrittenSource, kind: ScenarioKind, parameters: Mapping[str, object], loss: float
) -> None:
    result = run(tree, kind, parameters, 0.1)
    assert result.loss == pytest.approx(loss)
    assert result.loss_frac == pytest.approx(loss / 2000)
    assert result.breached == (loss > 200)
    assert sum(result.by_symbol.values()) == pytest.approx(-loss)
    assert AuditEvent.objects.filter(kind="risk.stress.breached").exists() == result.breached
    assert AuditEvent.objects.filter(kind="risk.stress.ran").count() == 1


def test_an_asset_without_prices_then_moves_as_bitcoin_did_times_its_beta(tree: Tree, trading: WrittenSource) -> None:
    """ETH moves 1.5 times as Bitcoin does; the window has Bitcoin alone, which falls by half."""
    ensure_asset(code="BTC", name="Bitcoin", kind=AssetKind.CRYPTO, places=8, actor=None)
    trading.returns = {"BTC": trading.returns["BTC"], "ETH": 1.5 * trading.returns["BTC"]}
    trading.windows = {"BTC": np.array([100, 80, 50, 90.0])}
    window = {"start": "2024-08-04T00:00:00Z", "end": "2024-08-06T00:00:00Z"}
    result = run(tree, ScenarioKind.HISTORICAL, window)
    assert result.by_symbol == pytest.approx({"BTC": 600 * -0.5, "ETH": -200 * 1.5 * -0.5})
    assert result.loss == pytest.approx(150.0)
    assert (result.missing, result.assumed) == ([], ["ETH as 1.50 x BTC (365 days)"])
    refused = run(tree, ScenarioKind.HISTORICAL, window | {"by_beta": False})
    assert (refused.loss, refused.assumed) == (None, []) and "ETH" in refused.missing[0]


@pytest.mark.parametrize("days", [19, 20])
def test_a_beta_from_few_days_is_none(tree: Tree, trading: WrittenSource, days: int) -> None:
    ensure_asset(code="BTC", name="Bitcoin", kind=AssetKind.CRYPTO, places=8, actor=None)
    trading.returns = {"BTC": RNG.normal(0, 0.03, days), "ETH": RNG.normal(0, 0.03, days)}
    trading.windows = {"BTC": np.array([100, 80, 50, 90.0])}
    result = run(tree, ScenarioKind.HISTORICAL, {"start": "2024-08-04T00:00:00Z", "end": "2024-08-06T00:00:00Z"})
    assert (result.loss is not None) == (days >= 20) == bool(result.assumed)


def test_a_market_that_rises_far_takes_no_more_than_all_of_what_moves_against_it() -> None:
    assert moved_with(np.array([100.0, 150.0, 300.0]), -1.0).tolist() == [1.0, 0.5, 1e-9]


def test_a_reverse_stress_that_no_move_reaches_is_out_of_reach_and_not_unknown(
    tree: Tree, trading: WrittenSource
) -> None:
    result = run(tree, ScenarioKind.REVERSE, {"loss_frac": 0.9})
    assert (result.loss, result.is_out_of_reach) == (None, True)
    assert not run(tree, ScenarioKind.REVERSE, {"loss_frac": 0.1}).is_out_of_reach


def test_stressed_tails_are_worse_than_the_plain_one(tree: Tree, trading: WrittenSource) -> None:
    spike = run(tree, ScenarioKind.VOLATILITY, {"multiplier": 3})
    calm = run(tree, ScenarioKind.VOLATILITY, {"multiplier": 1})
    together = run(tree, ScenarioKind.CORRELATION, {})
    assert spike.loss is not None and calm.loss is not None and together.loss is not None
    assert spike.loss > 2.5 * calm.loss
    assert together.loss > calm.loss
    for result in (spike, calm, together):
        assert set(result.by_symbol) == {"BTC", "ETH"}
        assert sum(result.by_symbol.values()) == pytest.approx(-(result.loss or 0.0)), "by position it is the whole"


def test_reverse_stress_finds_the_fall(tree: Tree, trading: WrittenSource) -> None:
    result = run(tree, ScenarioKind.REVERSE, {"loss_frac": 0.1})
    assert result.loss == pytest.approx(200.0)
    assert result.severity == pytest.approx(0.5)
    trading.books[tree.agent.pk] = figures(1400.0, position("BTC", -4.0))
    assert run(tree, ScenarioKind.REVERSE, {"loss_frac": 0.1}).severity == pytest.approx(-0.5), "a rise"
    never = run(tree, ScenarioKind.REVERSE, {"loss_frac": 1.0})
    trading.books[tree.agent.pk] = figures(1400.0, position("BTC", 1.0))
    never = run(tree, ScenarioKind.REVERSE, {"loss_frac": 1.0})
    assert (never.loss, never.breached, never.missing) == (None, None, ["no uniform move loses this much"])


def test_what_cannot_be_priced_is_null_and_named(tree: Tree, trading: WrittenSource) -> None:
    window = {"start": "2021-04-17T00:00:00Z", "end": "2021-04-18T00:00:00Z", "by_beta": False}
    del trading.windows["ETH"]
    result = run(tree, ScenarioKind.HISTORICAL, window, 0.1)
    said = "prices for ETH between 2021-04-17 00:00 and 2021-04-18 00:00 UTC are not in the catalog: import them"
    assert (result.loss, result.breached, result.missing) == (None, None, [said])
    trading.returns = {"BTC": np.zeros(1), "ETH": np.zeros(1)}
    assert run(tree, ScenarioKind.CORRELATION, {}).loss is None
    del trading.books[tree.carry.pk]
    assert run(tree, ScenarioKind.DEPEG, {"coin": "USDT", "price": 0.9}).loss is None
    assert run(tree, ScenarioKind.PARAMETRIC, {"default": -0.3}).loss is None


def test_an_empty_book_loses_nothing(tree: Tree, source: WrittenSource) -> None:
    source.books = {b.pk: figures(100.0) for b in (tree.root, tree.trend, tree.agent, tree.carry)}
    made = run_stress(actor=None, scenarios=ensure_standard_scenarios(actor=None))
    assert len(made) == len(standard_scenarios())
    assert {r.loss for r in made if r.scenario.kind != ScenarioKind.REVERSE} == {0.0}
    assert [r.loss for r in made if r.scenario.kind == ScenarioKind.REVERSE] == [None]


def test_the_standard_set_is_made_once_and_runs_by_task(tree: Tree, trading: WrittenSource) -> None:
    assert len(ensure_standard_scenarios(actor=None)) == 12
    assert ensure_standard_scenarios(actor=None) == []
    stress_task()
    latest = latest_stress(tree.root)
    assert len(latest) == 12
    assert {r.at for r in latest} == {NOW}
    stress_task(StressScenario.objects.get(code="usdt-depeg-10").pk)
    stress_task(10**9)
    assert StressResult.objects.count() == 13


@pytest.mark.parametrize(
    ("kind", "parameters", "says"),
    [
        (ScenarioKind.PARAMETRIC, {}, "at least one asset"),
        (ScenarioKind.PARAMETRIC, {"shocks": {"BTC": -1.5}}, "greater than or equal to -1"),
        (ScenarioKind.PARAMETRIC, {"shocks": {"BTC": float("nan")}}, "finite|greater"),
        (
            ScenarioKind.HISTORICAL,
            {"start": "2024-08-06T00:00:00Z", "end": "2024-08-05T00:00:00Z"},
            "after it begins",
        ),
        (
            ScenarioKind.HISTORICAL,
            {"start": "2024-08-05T00:00:00", "end": "2024-08-06T00:00:00Z"},
            "timezone",
        ),
        (ScenarioKind.VOLATILITY, {"multiplier": 0}, "greater than 0"),
        (ScenarioKind.VENUE_LOSS, {"recovery": 2}, "less than or equal to 1"),
        (ScenarioKind.DEPEG, {"coin": "USDC", "price": -1}, "greater than or equal to 0"),
        (ScenarioKind.DEPEG, {"price": 1}, "coin"),
        (ScenarioKind.REVERSE, {"loss_frac": 0}, "greater than 0"),
        (ScenarioKind.CORRELATION, {"mood": 1}, "mood"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    db: None, kind: ScenarioKind, parameters: Mapping[str, object], says: str
) -> None:
    with pytest.raises(ScenarioError, match=says):
        put_scenario(code="x", name="X", kind=kind, parameters=dict(parameters))
    assert not StressScenario.objects.exists()


def test_a_tolerance_is_a_share(db: None) -> None:
    with pytest.raises(PayloadError, match="max_loss_frac"):
        put_scenario(code="x", name="X", kind=ScenarioKind.CORRELATION, parameters={}, max_loss_frac=1.5)
    with pytest.raises(ScenarioError, match="max_loss_frac"):
        check_scenario(kind=ScenarioKind.CORRELATION, parameters={}, max_loss_frac=1.5)
    with pytest.raises(IntegrityError, match="max_loss_share"), transaction.atomic():
        StressScenario.objects.create(code="x", name="X", kind="correlation", max_loss_frac=1.5)


def test_without_a_source_it_says_so(tree: Tree) -> None:
    before = install_source(None)
    try:
        with pytest.raises(SourceMissingError):
            run_stress(actor=None)
        stress_task()
    finally:
        install_source(before)
    assert not StressResult.objects.exists()
