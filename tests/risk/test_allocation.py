"""A proposal for the capital of a fund's strategies, from their positions of today."""

from __future__ import annotations

import numpy as np
import pytest

from risk.allocation import allocation_proposal
from risk.errors import AllocationRefusedError
from risk.models import CapitalBudget
from risk.quant.allocator import Measure
from tests.risk.conftest import Tree, WrittenSource, figures, position

RNG = np.random.default_rng(17)


@pytest.fixture
def trading(tree: Tree, source: WrittenSource) -> WrittenSource:
    """Trend runs twice its equity in BTC, carry a tenth of it in ETH."""
    source.books = {
        tree.root.pk: figures(2000.0),
        tree.trend.pk: figures(1000.0),
        tree.agent.pk: figures(1000.0, position("BTC", 20.0)),
        tree.carry.pk: figures(1000.0, position("ETH", 1.0)),
    }
    source.returns = {"BTC": RNG.normal(0, 0.03, 365), "ETH": RNG.normal(0, 0.03, 365)}
    return source


def test_risk_parity_moves_capital_to_the_quiet_strategy(tree: Tree, trading: WrittenSource) -> None:
    found = allocation_proposal(tree.root, measure=Measure.VARIANCE)
    assert [b.code for b in found.books] == ["carry", "trend"]
    assert found.capital.sum() == pytest.approx(2000.0)
    assert found.allocation.share_before[1] > 0.99
    assert found.allocation.share_after == pytest.approx(np.array([0.5, 0.5]), abs=1e-3)
    assert found.capital[0] > 1800
    assert not CapitalBudget.objects.exists(), "a proposal changes nothing"


def test_budgets_and_turnover_are_kept(tree: Tree, trading: WrittenSource) -> None:
    budgets = {tree.carry.pk: 1.0, tree.trend.pk: 3.0}
    found = allocation_proposal(tree.root, measure=Measure.VARIANCE, budgets=budgets)
    assert found.allocation.share_after == pytest.approx(np.array([0.25, 0.75]), abs=1e-3)
    slow = allocation_proposal(tree.root, max_turnover=0.1)
    assert slow.allocation.turnover == pytest.approx(0.1)
    assert slow.capital.tolist() == pytest.approx([1100.0, 900.0])


def test_what_stands_in_the_way_is_named(tree: Tree, trading: WrittenSource) -> None:
    with pytest.raises(AllocationRefusedError, match="for each of the books"):
        allocation_proposal(tree.root, budgets={tree.carry.pk: 1.0})
    with pytest.raises(AllocationRefusedError, match="no open book below"):
        allocation_proposal(tree.carry)
    returns = trading.returns
    trading.returns = {"BTC": np.zeros(1), "ETH": np.zeros(1)}
    with pytest.raises(AllocationRefusedError, match="cannot carry"):
        allocation_proposal(tree.root)
    trading.returns = {"BTC": returns["BTC"]}
    with pytest.raises(AllocationRefusedError, match="daily returns of ETH are not known"):
        allocation_proposal(tree.root)
    trading.books[tree.carry.pk] = figures(1000.0)
    with pytest.raises(AllocationRefusedError, match="carry holds nothing"):
        allocation_proposal(tree.root)
    trading.books[tree.carry.pk] = figures(None, position("ETH", 1.0))
    with pytest.raises(AllocationRefusedError, match="are not known"):
        allocation_proposal(tree.root)
