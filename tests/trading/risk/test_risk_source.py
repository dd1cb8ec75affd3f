"""What risk reads of the books of cohorts: their own clock's marks, and the equity that the engine says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fundops.core import clock
from fundops.core.roles import Role
from risk.actions.breaches import evaluate_limits
from risk.measuring import measure_books
from risk.models import HardAction, LimitBreach
from risk.quant.metrics import Level, Metric
from risk.quant.pretrade import TradingMode
from risk.selectors import limit_status
from risk.sources import HeldPosition, risk_source
from risk.switches import trading_mode_for
from tests.factories import user_with
from tests.risk.gated import put_limit
from trading import risk_prices
from trading.actions.cohort import end_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.actions.cohort_prepare import prepare_cohort
from trading.actions.cohort_run import advance_cohort, load_cohort, market_for
from trading.marketdata.bars import SeriesKey
from trading.models.cohort import AgentDay, Cohort, CohortDay, CohortMode, CohortRun, CohortStatus
from trading.models.marketdata import CandleSet
from trading.selectors.marketdata import open_catalog
from treasury.models import Book

#: After everything that the tests book.
NOW = datetime(2040, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def mirrored(candles: Path, db: None) -> None:
    """The catalog's series as the database knows them after an import."""
    for manifest in open_catalog().manifests():
        CandleSet.objects.create(
            venue=manifest.key.venue,
            symbol=manifest.key.symbol,
            interval_ms=manifest.key.interval_ms,
            interval=manifest.key.interval,
            synthetic=manifest.synthetic,
            rows=manifest.rows,
            first_at=clock.from_ms(manifest.first_ms or 0),
            last_at=clock.from_ms(manifest.last_ms or 0),
            sha256="0" * 64,
            created_at=NOW,
            updated_at=NOW,
        )


def stretch(cohort: Cohort, bars: int) -> None:
    """Trades so many bars and no more: a forward cohort in the middle of its day."""
    prepare_cohort(cohort_id=cohort.pk)
    loaded = load_cohort(cohort.pk)
    start = loaded.cohort.run.next_bar_ms
    advance_cohort(loaded=loaded, market=market_for(loaded, start, start + bars * cohort.interval_ms))


def books_of(cohort: Cohort) -> list[int]:
    """The agents' Books, the cohort's own, and the fund's above it."""
    own = [cohort.book_id or 0, *cohort.agents.values_list("book", flat=True)]
    return [*own, *Book.objects.filter(fund=cohort.fund, parent=None).values_list("pk", flat=True)]


def until_somebody_holds(cohort: Cohort) -> list[HeldPosition]:
    for _ in range(14):
        stretch(cohort, 100)
        books = list(cohort.agents.values_list("book", flat=True))
        found = [p for f in risk_source().figures(books, NOW).values() for p in f.positions if p.unit_notional]
        if found:
            return found
    raise AssertionError("nobody holds anything in a day")


def test_a_running_cohort_is_measured_as_its_engine_measures_it(
    launched: Callable[..., Cohort], mirrored: None
) -> None:
    cohort = launched()
    stretch(cohort, 900)
    cohort.refresh_from_db()
    found = risk_source().figures(books_of(cohort), NOW)
    parent = CohortDay.objects.get(cohort=cohort)
    mine = found[cohort.book_id or 0]
    assert mine.equity == pytest.approx(float(parent.equity), abs=0.01)
    assert mine.day_open_equity == pytest.approx(float(parent.opening_equity))
    assert mine.equity is not None and mine.peak_equity is not None and mine.peak_equity >= float(parent.equity)
    drawdown = 1 - mine.equity / mine.peak_equity
    assert drawdown <= parent.drawdown_frac + 1e-9
    for row in AgentDay.objects.filter(agent__cohort=cohort).select_related("agent"):
        one = found[row.agent.book_id]
        assert one.equity == pytest.approx(float(row.equity), abs=0.005)
        assert one.day_open_equity == pytest.approx(float(row.opening_equity))
        held = [p for p in one.positions if p.unit_notional]
        assert all(p.venue == "synthetic" for p in held)
        if len(held) == 1:
            cost = (held[0].value or 0.0) - float(row.unrealised)
            assert held[0].loss_frac == pytest.approx(max(0.0, -float(row.unrealised) / abs(cost)))


def test_marks_are_of_the_cohorts_own_hour_and_not_of_the_walls(
    launched: Callable[..., Cohort], mirrored: None
) -> None:
    """Two cohorts of the same market in different hours hold the same asset at different prices."""
    many = {"agent_count": 12, "symbols": ["ETHUSDT"]}
    early = launched(**many)
    late = launched(**many, seed=6, start=datetime(2025, 3, 3, tzinfo=UTC).date(), days=2)
    seen: dict[int, dict[str, float]] = {}
    for cohort in (early, late):
        positions = until_somebody_holds(cohort)
        seen[cohort.pk] = {p.symbol: p.unit_notional or 0.0 for p in positions}
        closes = CohortRun.objects.get(cohort=cohort).last_closes
        assert seen[cohort.pk].items() <= {"ETHUSDT": closes["ETHUSDT"]}.items()
    common = seen[early.pk].keys() & seen[late.pk].keys()
    assert common and all(seen[early.pk][a] != seen[late.pk][a] for a in common)


def test_an_ended_cohort_keeps_its_last_marks_and_is_read_once(launched: Callable[..., Cohort], mirrored: None) -> None:
    cohort = launched()
    drive_cohort(cohort_id=cohort.pk)
    cohort.refresh_from_db()
    ids = books_of(cohort)
    first = risk_source().figures(ids, NOW)
    with CaptureQueriesContext(
        connection,
    ) as again:
        assert risk_source().figures(ids, NOW) == first
    last = CohortDay.objects.filter(cohort=cohort).order_by("-day").first()
    assert last is not None and first[cohort.book_id or 0].equity == pytest.approx(float(last.equity), abs=0.01)
    assert len(again) <= 8, "\n".join(q["sql"][:120] for q in again)


def test_reading_costs_do_not_grow_with_agents(launched: Callable[..., Cohort], mirrored: None) -> None:
    counts = []
    for agents in (2, 12):
        cohort = launched(agent_count=agents, seed=agents)
        stretch(cohort, 200)
        ids = books_of(cohort)
        risk_source().figures(ids, NOW)
        stretch(cohort, 100)
        with CaptureQueriesContext(connection) as captured:
            risk_source().figures(ids, NOW)
        counts.append(len(captured))
    assert abs(counts[0] - counts[1]) <= 2, "two more where something was posted since"
    assert max(counts) <= 18


def test_limits_of_a_cohort_show_real_figures_and_open_and_close_breaches(
    launched: Callable[..., Cohort], mirrored: None
) -> None:
    cohort = launched()
    stretch(cohort, 600)
    cohort.refresh_from_db()
    assert cohort.book is not None
    put_limit(book=cohort.book, metric=Metric.GROSS_EXPOSURE, hard=Decimal("0.01"), action=HardAction.REDUCE)
    with clock.frozen(NOW):
        officer = user_with(Role.RISK_OFFICER)
        shown = limit_status(officer, book=cohort.book)
        assert [s.limit.metric.value for s in shown] == ["gross_exposure"]
        assert shown[0].value is not None and shown[0].value > 0
        opened = evaluate_limits(actor=None)
        assert opened.opened and opened.unknown == 0
        assert trading_mode_for(book_id=cohort.book.pk) is TradingMode.REDUCING
    put_limit(book=cohort.book, metric=Metric.GROSS_EXPOSURE, hard=Decimal(10**6), action=HardAction.REDUCE)
    with clock.frozen(NOW + timedelta(seconds=30)):
        assert set(evaluate_limits(actor=None).closed) == set(opened.opened)
        assert trading_mode_for(book_id=cohort.book.pk) is TradingMode.ACTIVE
    assert not LimitBreach.objects.exclude(status="closed").exists()


def test_breaches_of_a_cohort_end_with_it_and_its_limits_show_that_it_rests(
    launched: Callable[..., Cohort], mirrored: None
) -> None:
    cohort = launched()
    stretch(cohort, 600)
    cohort.refresh_from_db()
    assert cohort.book is not None
    put_limit(book=cohort.book, metric=Metric.GROSS_EXPOSURE, hard=Decimal("0.01"), action=HardAction.REDUCE)
    with clock.frozen(NOW):
        opened = evaluate_limits(actor=None).opened
    assert opened
    end_cohort(cohort_id=cohort.pk, status=CohortStatus.CANCELLED)
    with clock.frozen(NOW + timedelta(seconds=30)):
        after = evaluate_limits(actor=None)
        assert set(after.closed) == set(opened)
        assert (after.hard, after.opened) == (0, [])
        (shown,) = limit_status(user_with(Role.RISK_OFFICER), book=cohort.book)
        assert shown.at_rest and shown.level is Level.OK and shown.value is not None and shown.value > 0.01


# --- Prices --------------------------------------------------------------------------------------------------
def test_a_mark_is_the_last_close_before_the_instant_and_none_when_it_is_old(
    launched: Callable[..., Cohort], mirrored: None
) -> None:
    stretch(launched(), 10)
    catalog = open_catalog()
    series = risk_prices.series_of(["BTC"])["BTC"][0]
    at = datetime(2025, 3, 3, 7, 30, tzinfo=UTC)
    bars = catalog.read_bars(series.key, clock.to_ms(at) - 60_000, clock.to_ms(at))
    assert risk_prices.marks(["BTC", "LUNA"], "USDT", at) == {"BTC": float(bars.close[-1])}
    end = risk_prices.last_close_at(series)
    assert risk_prices.marks(["BTC"], "USDT", end + timedelta(minutes=15)) != {}
    assert risk_prices.marks(["BTC"], "USDT", end + timedelta(minutes=16)) == {}
    assert risk_prices.marks(["BTC"], "USDT", datetime(2025, 2, 1, tzinfo=UTC)) == {}
    assert risk_prices.marks(["BTC"], "EUR", at) == {}
    assert risk_prices.rate("USDT", "USDT", at) == 1.0
    assert risk_prices.rate("USDT", "EUR", at) is None


def test_daily_returns_are_of_whole_days_up_to_where_trading_stands(
    launched: Callable[..., Cohort], mirrored: None
) -> None:
    """Four days of candles from the first of March: after the third day of the cohort three closes are known."""
    cohort = launched()
    stretch(cohort, 5)
    CohortRun.objects.filter(cohort=cohort).update(next_bar_ms=clock.to_ms(datetime(2025, 3, 4, 1, tzinfo=UTC)))
    returns = risk_prices.daily_returns(["BTC", "ETHUSDT", "LUNA"], 365, NOW)
    assert returns.shape == (2, 3)
    assert np.isfinite(returns[:, :2]).all() and np.isnan(returns[:, 2]).all()
    bars = open_catalog().read_bars(
        risk_prices.series_of(["BTC"])["BTC"][0].key, clock.to_ms(datetime(2025, 3, 1, tzinfo=UTC)), 2**62
    )
    closes = bars.close[1439::1440]
    assert returns[:, 0] == pytest.approx(closes[1:3] / closes[:2] - 1)


def test_a_window_of_the_past_is_on_one_grid_and_lacks_what_is_not_stored(
    launched: Callable[..., Cohort], mirrored: None
) -> None:
    stretch(launched(), 5)
    start, end = datetime(2025, 3, 2, 3, tzinfo=UTC), datetime(2025, 3, 2, 9, tzinfo=UTC)
    found = risk_prices.windows(["BTC", "ETH", "LUNA"], start, end)
    assert found.keys() == {"BTC", "ETH"} and len(found["BTC"]) == len(found["ETH"]) == 361
    assert risk_prices.windows(["BTC"], datetime(2021, 4, 17, tzinfo=UTC), datetime(2021, 4, 18, tzinfo=UTC)) == {}
    assert "download_candles synthetic BTCUSDT --since 2021-04-17" in risk_prices.advice(
        ["BTC"], datetime(2021, 4, 17, tzinfo=UTC), datetime(2021, 4, 18, tzinfo=UTC)
    )
    assert risk_prices.daily_volumes(["BTC", "LUNA"], NOW).keys() == {"BTC"}


def test_a_forward_cohort_is_measured_between_its_bars(launched: Callable[..., Cohort], mirrored: None) -> None:
    cohort = launched(mode=CohortMode.FORWARD, speed=300.0)
    for bars in (30, 300):
        stretch(cohort, bars)
        measured = measure_books(at=NOW, tail=False)
        cohort.refresh_from_db()
        assert cohort.book_id is not None
        equity = measured.figures[measured.row(cohort.book_id)].equity
        assert equity == pytest.approx(float(CohortDay.objects.get(cohort=cohort).equity), abs=0.01)


def test_days_are_those_of_a_series_that_reaches_the_present_and_not_of_a_longer_one_of_the_past() -> None:
    def stored(venue: str, first: int, days: int) -> risk_prices.Series:
        day = risk_prices.DAY_MS
        return risk_prices.Series(SeriesKey(venue, "BTCUSDT", day), "USDT", first * day, (first + days - 1) * day)

    past, present, newest = stored("old", 0, 300), stored("now", 390, 30), stored("new", 410, 15)
    assert risk_prices._longest([past, present, newest], 420 * risk_prices.DAY_MS) == present
    assert risk_prices._longest([past, present], 380 * risk_prices.DAY_MS) == past
    assert risk_prices._longest([], 380 * risk_prices.DAY_MS) is None
