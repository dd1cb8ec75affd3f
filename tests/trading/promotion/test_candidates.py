"""Ranking and screening: each exclusion with its reason and figures, and the command that prints them."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from trading.models.cohort import Cohort
from trading.promotion.candidates import promote_intraday_candidate
from trading.promotion.policy import Screens, default_policy, parse_policy
from trading.promotion.screening import (
    Measured,
    deployed_sizes,
    exclusions,
    ranks,
    sharpe_annual,
    untradable_share,
)
from trading.quant.evidence.trading_costs import CostBridge, FillColumns

Make = Callable[..., Cohort]


def _measured(**changes: object) -> Measured:
    bridge = CostBridge(10, 1, 0.5, 0.5, 0, 8, 1, 0.5, 0.5, turnover=1_000, n_fills=20)
    fields: dict[str, object] = {
        "trades": 10,
        "fills": 20,
        "bridge": bridge,
        "participation_frac": 0.001,
        "depth_frac": 0.01,
        "untradable_frac": 0.0,
        "drawdown_frac": 0.02,
        "leverage_breaches": 0,
        "moved": True,
    }
    return Measured(**(fields | changes))  # type: ignore[arg-type]


def test_agent_within_every_bound_is_not_excluded() -> None:
    assert exclusions(_measured(), Screens()) == ()
    nothing = _measured(participation_frac=None, depth_frac=None, untradable_frac=None)
    assert exclusions(nothing, Screens()) == ()


@pytest.mark.parametrize(
    ("change", "screen", "value"),
    [
        ({"trades": 4}, "trades", 4),
        ({"participation_frac": 0.03}, "participation", 0.03),
        ({"depth_frac": 0.2}, "depth", 0.2),
        ({"untradable_frac": 0.5}, "lots", 0.5),
        ({"drawdown_frac": 0.11}, "drawdown", 0.11),
        ({"leverage_breaches": 1}, "leverage", 1),
        ({"moved": False}, "idle", 0),
    ],
)
def test_each_screen_names_itself_its_figure_and_what_is_allowed(
    change: dict[str, object], screen: str, value: float
) -> None:
    [found] = exclusions(_measured(**change), Screens())
    assert (found.screen, found.value) == (screen, value)
    assert found.words


def test_slippage_is_spread_and_impact_over_turnover() -> None:
    [found] = exclusions(_measured(), Screens(max_slippage_bps=9.9))
    assert found.screen == "slippage"
    assert found.value == pytest.approx(10.0)  # (0.5 + 0.5) of 1,000
    assert exclusions(_measured(), Screens(max_slippage_bps=10.1)) == ()


def test_every_failed_screen_is_told() -> None:
    found = exclusions(_measured(trades=0, drawdown_frac=0.5, leverage_breaches=3), Screens())
    assert [x.screen for x in found] == ["trades", "drawdown", "leverage"]


def test_ranks_and_sharpe_leave_the_undefined_out() -> None:
    assert ranks(np.array([0.1, np.nan, 0.3, 0.1])) == [2, None, 1, 2]
    daily = np.array([[0.01, 0.0, 0.01], [0.02, 0.0, 0.01], [0.03, 0.0, 0.01]])
    found = sharpe_annual(daily)
    assert found[0] == pytest.approx(0.02 / 0.01 * np.sqrt(365))
    assert np.isnan(found[1:]).all()
    assert np.isnan(sharpe_annual(daily[:1])).all()


@pytest.mark.django_db
def test_promotion_ranks_the_running_and_keeps_the_excluded_apart(finished: Make) -> None:
    found = promote_intraday_candidate(finished())
    assert len(found.running) + len(found.excluded) == 12
    assert found.candidate == found.running[0]
    assert [line.evidence_rank for line in found.running if line.score is not None] == sorted(
        line.evidence_rank or 0 for line in found.running if line.score is not None
    )
    assert all(line.exclusions for line in found.excluded)
    by_roi = sorted(found.evidence.agents, key=lambda line: line.roi_rank)
    assert [line.roi_frac for line in by_roi] == sorted((line.roi_frac for line in by_roi), reverse=True)
    assert not found.verdict.passed


@pytest.mark.django_db
def test_leverage_breaches_and_thin_books_exclude_in_a_real_cohort(finished: Make) -> None:
    cohort = finished()
    base = default_policy().as_json()
    strict = parse_policy(
        base | {"screens": base["screens"] | {"max_depth_frac": 1e-6, "max_participation_frac": 1e-6}}
    )
    found = promote_intraday_candidate(cohort, policy=strict)
    assert found.candidate is None
    traded = [line for line in found.excluded if line.fills]
    assert traded
    assert all({"participation", "depth"} <= {x.screen for x in line.exclusions} for line in traded)
    assert found.verdict.words[0].startswith("No go: every agent failed")


@pytest.mark.django_db
def test_command_prints_the_ranking_and_the_whole_statement_as_json(finished: Make, tmp_path: Path) -> None:
    cohort = finished()
    out = StringIO()
    call_command("promote_intraday_candidate", cohort.pk, stdout=out)
    text = out.getvalue()
    assert "No go" in text
    assert "Out of the running" in text
    assert "What is not known" in text
    out = StringIO()
    call_command("promote_intraday_candidate", cohort.pk, json=True, by_return=True, stdout=out)
    document = json.loads(out.getvalue())
    assert document["verdict"]["passed"] is False
    assert document["evidence"]["rank_by"] == "roi"
    wrong = tmp_path / "policy.yaml"
    wrong.write_text("name: x")
    with pytest.raises(CommandError, match="checks"):
        call_command("promote_intraday_candidate", cohort.pk, policy=wrong, stdout=StringIO())
    with pytest.raises(CommandError, match="no cohort"):
        call_command("promote_intraday_candidate", cohort.pk + 999, stdout=StringIO())


def test_orders_at_deployment_size_are_held_against_lots_and_the_smallest_order() -> None:
    """Capital 1,000 instead of a draw of 100, an order at most a tenth of it: 100 of a market at 50 is 2 units.

    The first fill would be 4 units and is cut to 2, the second is 1 and stays: a lot of 1 takes both, a lot of
    1.5 refuses the second, and so does a smallest order of 60.
    """
    fills = FillColumns(
        quantity=np.array([0.4, 0.1]), price=np.array([50.0, 50.0]), fee=np.zeros(2), spread=np.zeros(2),
        impact=np.zeros(2), symbol=np.array([0, 0]), bar_volume=np.ones(2), maker=np.zeros(2, dtype=bool),
    )  # fmt: skip
    one = np.ones(1)
    sizes = deployed_sizes(fills, one, 1_000.0, 100.0)
    assert sizes == pytest.approx([2.0, 1.0])
    assert untradable_share(sizes, fills, one, np.array([[1.0, 5.0]])) == 0.0
    assert untradable_share(sizes, fills, one, np.array([[1.5, 5.0]])) == 0.5
    assert untradable_share(sizes, fills, one, np.array([[1.0, 60.0]])) == 0.5
