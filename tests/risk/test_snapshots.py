"""Snapshots, exposure breakdowns, budgets, and figures taken from the real ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from compliance.models import AuditEvent
from fundops.core import clock
from risk.actions.breaches import evaluate_limits
from risk.actions.budgets import check_budget
from risk.actions.snapshots import snapshot_risk
from risk.errors import BudgetError
from risk.ledger_source import LedgerSource
from risk.models import CapitalBudget, LimitBreach, RiskSnapshot
from risk.quant.metrics import Metric
from risk.quant.rolling import VarMethod
from risk.quant.tail import FloatArray, historical
from risk.selectors import exposure_breakdown, latest_snapshot, var_backtest
from risk.sources import install_source, risk_source
from risk.tasks import snapshot_risk as snapshot_task
from tests.gate import by_gate
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, position
from tests.risk.gated import put_budget, put_limit
from treasury.actions.books import ensure_asset
from treasury.actions.ledger import post_entry
from treasury.models import AccountKind, AssetKind, Book, EntryKind
from treasury.postings import Line
from treasury.selectors import book_accounts

pytestmark = pytest.mark.usefixtures("ruled_world")

DAY = timedelta(days=1)
RNG = np.random.default_rng(21)


def quiet(tree: Tree) -> dict[int, object]:
    return {b.pk: figures(1000.0) for b in (tree.root, tree.trend, tree.agent, tree.carry)}


def test_a_snapshot_holds_the_figures_of_the_book_and_all_below(tree: Tree, source: WrittenSource) -> None:
    source.books = quiet(tree)  # type: ignore[assignment]
    source.books[tree.root.pk] = figures(10_000.0, peak_equity=12_500.0)
    source.books[tree.agent.pk] = figures(1000.0, position("BTC", 30.0))
    source.books[tree.carry.pk] = figures(1000.0, position("BTC", -10.0), position("ETH", 5.0))
    source.returns = {"BTC": RNG.normal(0, 0.03, 365), "ETH": RNG.normal(0, 0.04, 365)}
    snapshot_task()
    assert set(RiskSnapshot.objects.values_list("book", flat=True)) == {
        tree.root.pk,
        tree.trend.pk,
        tree.carry.pk,
    }
    snapshot = latest_snapshot(tree.root)
    assert snapshot is not None
    pnl = 2000 * source.returns["BTC"] + 500 * source.returns["ETH"]
    expected = historical(pnl, 0.99)
    assert (snapshot.var, snapshot.es) == pytest.approx((expected.var, expected.es))
    assert (snapshot.gross_exposure, snapshot.net_exposure) == (4500.0, 2500.0), "no netting between Books"
    assert (snapshot.leverage, snapshot.drawdown_frac) == pytest.approx((0.45, 0.2))
    assert snapshot.volatility == pytest.approx(pnl.std(ddof=1) / 10_000 * 365**0.5)
    assert (snapshot.sample_size, snapshot.missing) == (365, [])
    assert sum(c["component_es"] for c in snapshot.contributions) == pytest.approx(snapshot.es)
    assert AuditEvent.objects.filter(kind="risk.snapshot.taken").count() == 1


@pytest.mark.parametrize("days", [0, 1, 99])
def test_too_short_a_history_gives_null(tree: Tree, source: WrittenSource, days: int) -> None:
    source.books = quiet(tree) | {tree.carry.pk: figures(1000.0, position("BTC", 1.0))}  # type: ignore[assignment]
    source.returns = {"BTC": np.zeros(days)}
    (snapshot,) = snapshot_risk(actor=None, book_ids=[tree.carry.pk])
    assert (snapshot.var, snapshot.es, snapshot.sample_size) == (None, None, days)
    assert snapshot.missing
    assert snapshot.gross_exposure == 100.0


def test_what_is_not_known_is_null_and_named(tree: Tree, source: WrittenSource) -> None:
    (nothing,) = snapshot_risk(actor=None, book_ids=[tree.carry.pk])
    assert (nothing.equity, nothing.gross_exposure, nothing.var) == (None, None, None)
    assert "equity" in nothing.missing
    source.books = quiet(tree) | {tree.carry.pk: figures(10.0, position("BTC", 1.0, None))}  # type: ignore[assignment]
    source.returns = {"BTC": np.zeros(365)}
    (unpriced,) = snapshot_risk(actor=None, book_ids=[tree.carry.pk])
    assert (unpriced.gross_exposure, unpriced.var) == (None, None)
    assert "positions" in unpriced.missing


def test_an_empty_book_has_no_var(tree: Tree, source: WrittenSource) -> None:
    source.books = quiet(tree)  # type: ignore[assignment]
    (snapshot,) = snapshot_risk(actor=None, book_ids=[tree.carry.pk])
    assert (snapshot.gross_exposure, snapshot.leverage, snapshot.var) == (0.0, 0.0, None)


def test_the_method_is_kept(tree: Tree, source: WrittenSource) -> None:
    source.books = quiet(tree) | {tree.carry.pk: figures(1000.0, position("BTC", 1.0))}  # type: ignore[assignment]
    source.returns = {"BTC": RNG.normal(0, 0.03, 365)}
    made = [snapshot_risk(actor=None, book_ids=[tree.carry.pk], method=m)[0] for m in VarMethod]
    assert [s.method for s in made] == [m.value for m in VarMethod]
    assert all(s.var is not None and s.var > 0 for s in made)


def test_the_var_of_todays_positions_is_backtested(tree: Tree, source: WrittenSource) -> None:
    source.books = quiet(tree) | {tree.carry.pk: figures(1000.0, position("BTC", 10.0))}  # type: ignore[assignment]
    source.returns = {"BTC": RNG.normal(0, 0.03, 615)}
    found = var_backtest(tree.carry)
    assert found is not None
    assert (found.tests.n, found.pnl.shape) == (365, (615,))
    assert found.pnl == pytest.approx(1000 * source.returns["BTC"])
    assert np.isnan(found.var[:250]).all()
    assert found.var[250] == historical(found.pnl[:250], 0.99).var
    assert found.tests.exceptions == int((found.pnl[250:] < -found.var[250:]).sum())
    assert var_backtest(tree.trend) is None, "nothing is held"
    source.returns = {"BTC": RNG.normal(0, 0.03, 250)}
    assert var_backtest(tree.carry) is None, "no day is left to test"
    source.returns = {}
    assert var_backtest(tree.carry) is None


def test_exposure_is_broken_down_by_every_label(tree: Tree, source: WrittenSource) -> None:
    source.books = quiet(tree)  # type: ignore[assignment]
    source.books[tree.agent.pk] = figures(1.0, position("BTC", 3.0), position("ETH", -1.0, venue="bybit"))
    source.books[tree.carry.pk] = figures(1.0, position("BTC", -1.0, currency="USDT"))
    found = exposure_breakdown(tree.root)
    assert {e.key: (e.gross, e.net) for e in found.by_asset} == {
        "BTC": (400.0, 200.0),
        "ETH": (100.0, -100.0),
    }
    assert {e.key: e.net for e in found.by_venue} == {"kraken": 200.0, "bybit": -100.0}
    assert {e.key: e.net for e in found.by_book} == {"trend": 200.0, "carry": -100.0}
    assert {e.key: e.net for e in found.by_currency} == {"BTC": 300.0, "ETH": -100.0, "USDT": -100.0}


def test_a_budget_replaces_the_one_before(tree: Tree) -> None:
    put_budget(book=tree.trend, capital=Decimal(1000), risk_share_frac=Decimal("0.6"))
    with clock.frozen(NOW + DAY):
        put_budget(book=tree.trend, capital=Decimal(2000))
    assert [b.capital for b in CapitalBudget.objects.order_by("effective_from")] == [1000, 2000]
    assert CapitalBudget.objects.filter(effective_to=None).count() == 1
    for bad in ({"capital": Decimal(-1)}, {"capital": Decimal("NaN")}, {"risk_share_frac": 1.5}):
        with pytest.raises(BudgetError):
            check_budget(**({"book": tree.trend, "capital": Decimal(1)} | bad))  # type: ignore[arg-type]
    with pytest.raises(IntegrityError, match="no_overlap"), transaction.atomic():
        CapitalBudget.objects.create(book=tree.trend, capital=1, effective_from=NOW + 2 * DAY)


# --- From the books themselves ------------------------------------------------------------------------------
def ledger_source(price: float | None) -> LedgerSource:
    def marks(assets: Collection[str], base: str, at: datetime) -> Mapping[str, float]:
        return {} if price is None else dict.fromkeys(assets, price)

    def returns(symbols: Sequence[str], days: int, at: datetime) -> FloatArray:
        return np.zeros((days, len(symbols)))

    return LedgerSource(marks, returns, lambda symbols, start, end: {})


def post(book: Book, kind: EntryKind, lines: list[Line]) -> None:
    post_entry(fund=book.fund, value_date=NOW.date(), kind=kind, lines=lines, idempotency_key=None, actor=None)


def give(tree: Tree, amount: str) -> None:
    """Money for the carry strategy from outside, or back to there."""
    lines = [("cash", amount), ("capital", amount[1:] if amount[0] == "-" else f"-{amount}")]
    by_gate(
        "treasury.post_entry",
        {
            "fund": tree.root.fund.code,
            "value_date": NOW.date().isoformat(),
            "entry_kind": EntryKind.CONTRIBUTION.value,
            "memo": "Money moves.",
            "lines": [{"book": tree.carry.path, "account": a, "asset": "USDT", "amount": x} for a, x in lines],
        },
    )


def test_money_that_moves_in_or_out_is_no_result_of_the_day(tree: Tree) -> None:
    """1,000 there as the day is first seen; 400 more come, then 900 go: neither a profit nor a loss nor a drawdown.

    The fund's Book sees the same, since it counts all below it.
    """
    give(tree, "1000")
    before = install_source(ledger_source(None))
    try:
        snapshot_risk(actor=None, at=NOW + timedelta(seconds=1))
        for minute, amount, equity in ((1, "400", 1400.0), (2, "-900", 500.0)):
            at = NOW + timedelta(minutes=minute)
            with clock.frozen(at):
                give(tree, amount)
            now = risk_source().figures([tree.root.pk, tree.carry.pk], at + timedelta(seconds=1))
            for pk in (tree.root.pk, tree.carry.pk):
                found = now[pk]
                assert (found.equity, found.day_open_equity, found.peak_equity) == (equity, equity, equity)
    finally:
        install_source(before)


def test_figures_come_from_the_ledger(tree: Tree) -> None:
    """The agent gets 1,000 USDT and changes 600 of it for 6 BTC at 100."""
    usdt, accounts = tree.root.fund.base_asset, book_accounts(tree.agent)
    btc = ensure_asset(code="BTC", name="Bitcoin", kind=AssetKind.CRYPTO, places=8, actor=None)
    lines = [("cash", "1000"), ("capital", "-1000")]
    by_gate(
        "treasury.post_entry",
        {
            "fund": tree.root.fund.code,
            "value_date": NOW.date().isoformat(),
            "entry_kind": EntryKind.CONTRIBUTION.value,
            "memo": "What it trades with.",
            "lines": [{"book": tree.agent.path, "account": a, "asset": "USDT", "amount": x} for a, x in lines],
        },
    )
    cash, position_account, trading = (
        accounts[k] for k in (AccountKind.CASH, AccountKind.POSITION, AccountKind.TRADING)
    )
    post(
        tree.agent,
        EntryKind.FILL,
        [
            Line(cash, usdt.pk, Decimal(-600)),
            Line(trading, usdt.pk, Decimal(600)),
            Line(position_account, btc.pk, Decimal(6)),
            Line(trading, btc.pk, Decimal(-6)),
        ],
    )
    put_limit(book=tree.root, metric=Metric.DAILY_LOSS_FRAC, hard=Decimal("0.05"))
    put_limit(book=tree.root, metric=Metric.LEVERAGE, hard=Decimal("0.65"))
    before = install_source(ledger_source(100.0))
    try:
        first = evaluate_limits(actor=None)
        assert first.unknown == 4, "the day's opening is known once there is a snapshot"
        assert first.hard == 0
        snapshot_risk(actor=None, at=NOW + timedelta(seconds=1))
        root = latest_snapshot(tree.root)
        assert root is not None
        assert (root.equity, root.leverage) == (1000.0, 0.6)
        with clock.frozen(NOW + DAY):
            install_source(ledger_source(80.0))
            evaluate_limits(actor=None)
        found = {b.metric: b.last_value for b in LimitBreach.objects.filter(book=tree.root)}
        assert found == {"daily_loss_frac": pytest.approx(0.12)}, "480 of 880 is no leverage breach"
        install_source(ledger_source(None))
        assert evaluate_limits(actor=None, at=NOW + DAY).closed == [], "no price closes no breach"
    finally:
        install_source(before)


@pytest.mark.parametrize(
    ("snapshots", "opening"),
    [
        ({-60: 900.0, 5: 1000.0, 65: 1100.0}, 1000.0),
        ({-60: 900.0, 65: 1100.0}, 900.0),
        ({65: 1100.0, 125: 1200.0}, 1100.0),
        ({-60: 900.0, 0: None}, 900.0),
        ({}, None),
        ({800: 1300.0}, None),
    ],
)
def test_the_days_opening_is_the_snapshot_nearest_after_midnight(
    tree: Tree, snapshots: dict[int, float | None], opening: float | None
) -> None:
    """Minutes from midnight, and what was measured then; it is noon."""
    midnight = NOW.replace(hour=0)
    RiskSnapshot.objects.bulk_create(
        RiskSnapshot(
            book=tree.carry,
            at=midnight + timedelta(minutes=minute),
            equity=equity,
            alpha=0.99,
            method="historical",
            sample_size=0,
        )
        for minute, equity in snapshots.items()
    )
    found = ledger_source(1.0).figures([tree.carry.pk], NOW)[tree.carry.pk]
    assert found.day_open_equity == opening
    seen = [e for minute, e in snapshots.items() if e is not None and minute <= 720]
    assert found.peak_equity == max([0.0, *seen]), "an empty Book is worth nothing now"
