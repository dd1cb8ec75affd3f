"""The measures of a Book over the API: every method, who carries the risk, and null with a reason where unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rest_framework.test import APIClient

from fundops.core.roles import Role
from tests.factories import user_with
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, position

READERS = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.AUDITOR}
MEASURES = "/api/risk/measures/"
RNG = np.random.default_rng(8)


def client_of(role: Role) -> APIClient:
    api = APIClient()
    api.force_authenticate(user_with(role))
    return api


@pytest.fixture
def trading(tree: Tree, source: WrittenSource) -> WrittenSource:
    """The agent is long 2,000 of BTC and short 600 of ETH, carry holds 500 of ETH; the fund is worth 3,000."""
    source.books = {
        tree.root.pk: figures(3000.0),
        tree.trend.pk: figures(1500.0),
        tree.agent.pk: figures(1500.0, position("BTC", 20.0), position("ETH", -6.0, venue="bybit")),
        tree.carry.pk: figures(1500.0, position("ETH", 5.0)),
    }
    market = RNG.normal(0, 0.03, 600)
    source.returns = {"BTC": market, "ETH": market * 0.5 + RNG.normal(0, 0.02, 600)}
    return source


def measures(api: APIClient, **asked: str) -> Any:
    answer = api.get(MEASURES, {"book": "MAIN"} | asked)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def test_everything_of_a_fund_that_trades(trading: WrittenSource, tree: Tree) -> None:
    body = measures(client_of(Role.RISK_OFFICER))
    assert (body["book"], body["base"], body["equity"], body["alpha"], body["days"]) == (
        "MAIN",
        "USDT",
        3000,
        0.99,
        600,
    )
    assert [t["method"] for t in body["tails"]] == [
        "historical",
        "age_weighted",
        "filtered_historical",
        "cornish_fisher",
    ]
    assert all(t["es"] >= t["var"] > 0 and t["days"] == 365 and not t["reason"] for t in body["tails"])
    parts = body["components"]
    for by in (parts["by_asset"], parts["by_book"]):
        assert sum(c["var"] for c in by) == pytest.approx(parts["var"])
        assert sum(c["es"] for c in by) == pytest.approx(parts["es"])
        assert all(c["marginal_var"] * c["exposure"] == pytest.approx(c["var"]) for c in by)
        assert all(c["marginal_es"] * c["exposure"] == pytest.approx(c["es"]) for c in by)
    assert {c["book"] for c in parts["by_book"]} == {"MAIN/trend", "MAIN/carry"}
    assert {c["book"] for c in parts["by_asset"]} == {None}
    assert [b["method"] for b in body["backtests"]] == [t["method"] for t in body["tails"]]
    for test in body["backtests"]:
        assert 300 < test["var"]["n"] == test["es"]["n"] <= 600 - test["window"], "days that have a forecast"
        assert test["var"]["zone"] in {"green", "yellow", "red"}
        assert 0 <= test["var"]["kupiec"]["p_value"] <= 1
    assert body["beta"]["n"] == 365 and body["beta"]["beta"] == pytest.approx((2000 - 100 * 0.5) / 3000, abs=0.02)
    assert body["volatility"] > 0 and body["ewma_volatility"] > 0
    matrix = np.array(body["correlation"]["matrix"])
    assert np.diag(matrix) == pytest.approx([1, 1]) and body["correlation"]["symbols"] == ["BTC", "ETH"]
    exposure = {name: {e["key"]: e["gross"] for e in rows} for name, rows in body["exposure"].items()}
    assert exposure == {
        "by_asset": {"BTC": 2000, "ETH": 1100},
        "by_venue": {"kraken": 2500, "bybit": 600},
        "by_currency": {"BTC": 2000, "ETH": 1100},
        "by_strategy": {"trend": 2600, "carry": 500},
    }
    assert body["liquidity"]["horizon_days"] is None, "the source measures no volume"
    assert body["liquidity"]["without_volume"] == ["BTC", "ETH"]


def test_level_and_method_are_chosen(trading: WrittenSource, tree: Tree) -> None:
    api = client_of(Role.AUDITOR)
    body = measures(api, alpha="0.95", method="cornish_fisher")
    assert body["alpha"] == 0.95 and [b["method"] for b in body["backtests"]] == ["cornish_fisher"]
    for bad in ({"alpha": "0.5"}, {"method": "mood"}):
        assert api.get(MEASURES, {"book": "MAIN"} | bad).status_code == 400
    assert api.get(MEASURES, {"book": "MAIN/nowhere"}).status_code == 404
    assert api.get(MEASURES).status_code == 404


@pytest.mark.parametrize("days", [0, 1, 40])
def test_what_is_not_known_is_null_with_its_reason(trading: WrittenSource, tree: Tree, days: int) -> None:
    trading.returns = {"BTC": RNG.normal(0, 0.03, days), "ETH": RNG.normal(0, 0.03, days)}
    body = measures(client_of(Role.RISK_OFFICER))
    assert body["days"] == days
    assert all((t["var"] is None) == bool(t["reason"]) for t in body["tails"])
    assert all((b["var"] is None) == (b["es"] is None) == bool(b["reason"]) for b in body["backtests"])
    assert bool(body["components"]["reason"]) == (not body["components"]["by_asset"]) == (days < 20)
    assert days >= 20 or all(t["var"] is None for t in body["tails"])
    assert body["problems"] or days


def test_an_unpriced_position_a_closed_book_and_no_measure_at_all(trading: WrittenSource, tree: Tree) -> None:
    api = client_of(Role.RISK_OFFICER)
    trading.books[tree.carry.pk] = figures(None, position("ETH", 5.0, None))
    body = measures(api)
    assert body["problems"] and body["components"]["var"] is None and body["beta"] is None
    trading.books = {}
    assert measures(api)["equity"] is None
    tree.carry.closed_at = NOW
    tree.carry.save(update_fields=["closed_at"])
    assert api.get(MEASURES, {"book": "MAIN/carry"}).status_code == 409


@pytest.mark.parametrize("role", sorted(Role))
def test_who_may_read_it(tree: Tree, role: Role) -> None:
    expected = 200 if role in READERS else 403
    assert client_of(role).get(MEASURES, {"book": "MAIN"}).status_code == expected


def test_strangers_are_asked_to_sign_in_and_the_schema_tells_of_it(db: None) -> None:
    assert APIClient().get(MEASURES, {"book": "MAIN"}).status_code == 401
    schema = client_of(Role.RISK_OFFICER).get("/api/schema/", {"format": "json"}).json()
    told = schema["paths"][MEASURES]["get"]
    assert {p["name"] for p in told["parameters"]} >= {"book", "alpha", "method"}
