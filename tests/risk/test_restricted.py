"""The restricted list on the way of an order: what the pre-trade check makes of it."""

from __future__ import annotations

import pytest

from compliance.actions.screening import restrict_instrument
from compliance.models.screening import RestrictionLevel
from fundops.core.roles import Role
from risk.quant.pretrade import BookState, OrderIntent, PositionState, Side, Verdict, check_order
from risk.selectors import limit_set
from tests.factories import user_with
from tests.risk.conftest import Tree


def ask(tree: Tree, side: Side, *, symbol: str = "LAYER", venue: str = "binance") -> Verdict:
    """An order of 1 by a Book that holds 2."""
    held = PositionState(symbol, venue, 2.0, 10.0)
    state = BookState(equity=1000.0, day_open_equity=1000.0, peak_equity=1000.0, positions=(held,))
    return check_order(state, OrderIntent(symbol, venue, side, 1.0, 10.0, 10.0, 10.0, 1e6), limit_set(tree.agent))


@pytest.mark.parametrize(
    ("level", "buy", "sell"),
    [
        (RestrictionLevel.NO_TRADING, "DENIED", "DENIED"),
        (RestrictionLevel.CLOSE_ONLY, "DENIED", "ALLOWED"),
        (RestrictionLevel.WATCH, "ALLOWED", "ALLOWED"),
    ],
)
def test_restriction_binds_every_book_by_its_level(tree: Tree, level: RestrictionLevel, buy: str, sell: str) -> None:
    restrict_instrument(symbol="LAYER", level=level, reason="r", actor=user_with(Role.COMPLIANCE_OFFICER))
    bought, sold = ask(tree, Side.BUY), ask(tree, Side.SELL)
    assert (bought.outcome, sold.outcome) == (buy, sell)
    assert "restricted list, entry" in " ".join(r.message for r in bought.reasons)
    assert ask(tree, Side.BUY, symbol="BTC").reasons == ()


def test_restriction_at_one_venue_leaves_the_others(tree: Tree) -> None:
    officer = user_with(Role.COMPLIANCE_OFFICER)
    restrict_instrument(symbol="LAYER", venue="kraken", level=RestrictionLevel.NO_TRADING, reason="r", actor=officer)
    assert ask(tree, Side.BUY).outcome == "ALLOWED"
    assert ask(tree, Side.BUY, venue="kraken").outcome == "DENIED"
