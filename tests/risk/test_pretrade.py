"""The pre-trade check, rule by rule, and as a whole against plain Python on random Books."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from risk.quant.metrics import HIGHER_IS_TIGHTER, Family, Level, Metric, family
from risk.quant.pretrade import (
    BookState,
    InvalidLimitError,
    Limit,
    LimitSet,
    OrderIntent,
    Outcome,
    PositionState,
    Side,
    TradingMode,
    check_order,
    check_order_path,
    order_vector,
)
from risk.quant.pretrade_kernel import QUANTITY, check_kernel
from tests.risk.pretrade_reference import allowed_at, breaches
from tests.risk.steady import STEADY

LONG_BTC = PositionState("BTC", "kraken", 2.0, 100.0)
SHORT_ETH = PositionState("ETH", "kraken", -5.0, 10.0)


def book(**changes: object) -> BookState:
    base = BookState(
        equity=1000.0,
        day_open_equity=1000.0,
        peak_equity=1000.0,
        positions=(LONG_BTC, SHORT_ETH),
        var=20.0,
        es=30.0,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def order(side: Side = Side.BUY, quantity: float | None = 1.0, **changes: object) -> OrderIntent:
    base = OrderIntent(
        "BTC",
        "kraken",
        side,
        quantity,
        100.0,
        price=100.0,
        reference_price=100.0,
        volume=1000.0,
        unit_var=0.05,
        unit_es=0.08,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "hard", "size"),
    [
        # The Book: long 2 BTC (200), short 5 ETH (50): gross 250, net 150, equity 1,000. The order: buy up to
        # 10 BTC.
        (Metric.GROSS_EXPOSURE, 450.0, 2.0),
        (Metric.NET_EXPOSURE, 350.0, 2.0),
        (Metric.NET_EXPOSURE_FRAC, 0.35, 2.0),
        (Metric.LEVERAGE, 0.45, 2.0),
        (Metric.POSITION_NOTIONAL, 400.0, 2.0),
        (Metric.SYMBOL_CONCENTRATION_FRAC, 0.4, 2.0),
        (Metric.VENUE_CONCENTRATION_FRAC, 0.45, 2.0),
        (Metric.VAR, 30.0, 2.0),
        (Metric.VAR_FRAC, 0.03, 2.0),
        (Metric.ES, 46.0, 2.0),
        (Metric.ES_FRAC, 0.046, 2.0),
        (Metric.ORDER_NOTIONAL, 200.0, 2.0),
        (Metric.ORDER_NOTIONAL_FRAC, 0.2, 2.0),
        (Metric.PARTICIPATION_FRAC, 0.002, 2.0),
    ],
)
def test_a_hard_limit_cuts_the_order_to_its_cap(metric: Metric, hard: float, size: float) -> None:
    verdict = check_order(book(), order(quantity=10.0), LimitSet([Limit(metric, hard=hard, name="L")]))
    assert verdict.outcome is Outcome.REDUCED
    assert verdict.size == pytest.approx(size, rel=1e-12)
    (reason,) = verdict.reasons
    assert (reason.limit, reason.metric, reason.level, reason.threshold) == ("L", metric, Level.HARD, hard)
    assert reason.value > hard
    assert "L" in reason.message and "hard" in reason.message
    at_cap = check_order(book(), order(quantity=size), LimitSet([Limit(metric, hard=hard)]))
    assert at_cap.outcome is Outcome.ALLOWED


@pytest.mark.parametrize(
    ("metric", "hard", "state"),
    [
        (Metric.DAILY_LOSS, 50.0, {"equity": 949.0}),
        (Metric.DAILY_LOSS_FRAC, 0.05, {"equity": 949.0}),
        (Metric.DRAWDOWN_FRAC, 0.2, {"peak_equity": 1300.0}),
        (Metric.STOP_LOSS_FRAC, 0.1, {"positions": (replace(LONG_BTC, loss_frac=0.11),)}),
        (Metric.COOLDOWN_S, 60.0, {"seconds_since_loss": 59.0}),
        (Metric.OPEN_POSITIONS, 1.0, {}),
    ],
)
def test_a_stop_denies_more_but_lets_out(metric: Metric, hard: float, state: dict[str, object]) -> None:
    limits = LimitSet([Limit(metric, hard=hard)])
    more = check_order(book(**state), order(), limits)
    assert (more.outcome, more.size) == (Outcome.DENIED, 0.0)
    assert more.reasons[0].level is Level.HARD
    out = check_order(book(**state), order(Side.SELL, 2.0), limits)
    assert (out.outcome, out.size) == (Outcome.ALLOWED, 2.0)
    turn = check_order(book(**state), order(Side.SELL, 5.0), limits)
    assert (turn.outcome, turn.size) == (Outcome.REDUCED, 2.0)


@pytest.mark.parametrize(
    ("limit", "intent"),
    [
        (Limit(Metric.ORDER_RATE, hard=10.0), order()),
        (Limit(Metric.PRICE_COLLAR_FRAC, hard=0.02), order(price=103.0)),
        (Limit(Metric.PRICE_COLLAR_FRAC, hard=0.02), order(price=None)),
    ],
)
def test_limits_on_the_order_itself_bind_closing_orders_too(limit: Limit, intent: OrderIntent) -> None:
    state = book(orders_in_window=10)
    for side in Side:
        assert check_order(state, replace(intent, side=side), LimitSet([limit])).outcome is Outcome.DENIED


def test_the_eleventh_order_of_the_minute_is_denied_and_the_tenth_is_not() -> None:
    limits = LimitSet([Limit(Metric.ORDER_RATE, hard=10.0)])
    assert check_order(book(orders_in_window=9), order(), limits).allowed
    assert not check_order(book(orders_in_window=10), order(), limits).allowed


def test_a_soft_limit_warns_and_lets_pass() -> None:
    verdict = check_order(book(), order(), LimitSet([Limit(Metric.LEVERAGE, soft=0.3, hard=1.0, name="lev")]))
    assert verdict.outcome is Outcome.ALLOWED
    (reason,) = verdict.reasons
    assert (reason.level, reason.threshold) == (Level.SOFT, 0.3)
    assert reason.value == pytest.approx(0.35)


def test_every_limit_that_speaks_is_named_and_the_tightest_decides() -> None:
    limits = LimitSet(
        [
            Limit(Metric.LEVERAGE, hard=0.45, name="a"),
            Limit(Metric.POSITION_NOTIONAL, hard=300.0, name="b"),
            Limit(Metric.ORDER_NOTIONAL, hard=1e6, name="c"),
        ]
    )
    verdict = check_order(book(), order(quantity=10.0), limits)
    assert verdict.size == pytest.approx(1.0)
    assert [r.limit for r in verdict.reasons] == ["a", "b"]


def test_working_orders_count_as_filled() -> None:
    waiting = book(positions=(replace(LONG_BTC, working_buy=1.5),))
    limits = LimitSet([Limit(Metric.POSITION_NOTIONAL, hard=400.0)])
    assert check_order(waiting, order(quantity=10.0), limits).size == pytest.approx(0.5)
    selling = book(positions=(replace(LONG_BTC, working_sell=2.0),))
    denied = check_order(selling, order(Side.SELL), LimitSet([Limit(Metric.GROSS_EXPOSURE, hard=0.0)]))
    assert not denied.allowed, "the position is already being sold: more would open a short"


def test_scope_narrows_a_limit_to_its_symbol_or_venue() -> None:
    limits = LimitSet(
        [
            Limit(Metric.POSITION_NOTIONAL, hard=0.0, symbol="ETH"),
            Limit(Metric.VENUE_CONCENTRATION_FRAC, hard=0.0, venue="bybit"),
        ]
    )
    assert check_order(book(), order(), limits).allowed
    assert not check_order(book(), order(symbol="ETH", side=Side.SELL), limits).allowed
    assert not check_order(book(), order(venue="bybit"), limits).allowed


def test_a_symbol_is_added_up_over_venues() -> None:
    limits = LimitSet([Limit(Metric.SYMBOL_CONCENTRATION_FRAC, hard=0.4)])
    assert check_order(book(), order(venue="bybit", quantity=10.0), limits).size == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("mode", "side", "outcome", "size"),
    [
        (TradingMode.REDUCING, Side.BUY, Outcome.DENIED, 0.0),
        (TradingMode.REDUCING, Side.SELL, Outcome.REDUCED, 2.0),
        (TradingMode.HALTED, Side.SELL, Outcome.DENIED, 0.0),
        (None, Side.SELL, Outcome.DENIED, 0.0),
    ],
)
def test_the_trading_mode(mode: TradingMode | None, side: Side, outcome: Outcome, size: float) -> None:
    verdict = check_order(book(mode=mode), order(side, 3.0), LimitSet([]))
    assert (verdict.outcome, verdict.size) == (outcome, size)
    assert verdict.reasons[0].limit == "trading mode"


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf, 0.0, -1.0])
@pytest.mark.parametrize("slot", ["quantity", "unit_notional"])
def test_an_order_without_size_or_price_is_denied(slot: str, bad: float | None) -> None:
    for limits in (LimitSet([]), LimitSet([Limit(Metric.LEVERAGE, hard=9.0)])):
        for side in Side:
            verdict = check_order(book(), replace(order(side), **{slot: bad}), limits)  # type: ignore[arg-type]
            assert (verdict.outcome, verdict.size) == (Outcome.DENIED, 0.0)
            assert verdict.reasons[0].limit == "order"


@pytest.mark.parametrize("bad", [None, math.nan])
@pytest.mark.parametrize(
    ("metric", "where", "slot"),
    [
        (Metric.LEVERAGE, "book", "equity"),
        (Metric.ORDER_NOTIONAL_FRAC, "book", "equity"),
        (Metric.DAILY_LOSS, "book", "day_open_equity"),
        (Metric.DRAWDOWN_FRAC, "book", "peak_equity"),
        (Metric.VAR, "book", "var"),
        (Metric.ES_FRAC, "book", "es"),
        (Metric.VAR, "order", "unit_var"),
        (Metric.ES, "order", "unit_es"),
        (Metric.ORDER_RATE, "book", "orders_in_window"),
        (Metric.COOLDOWN_S, "book", "seconds_since_loss"),
        (Metric.PARTICIPATION_FRAC, "order", "volume"),
        (Metric.PRICE_COLLAR_FRAC, "order", "reference_price"),
    ],
)
def test_what_is_unknown_never_allows(metric: Metric, where: str, slot: str, bad: float | None) -> None:
    state = book(**{slot: bad}) if where == "book" else book()
    intent = order(**{slot: bad}) if where == "order" else order()  # type: ignore[arg-type]
    verdict = check_order(state, intent, LimitSet([Limit(metric, hard=1e9 if metric != Metric.COOLDOWN_S else 1.0)]))
    assert verdict.outcome is Outcome.DENIED
    assert verdict.reasons[0].level is Level.UNKNOWN
    assert "not known" in verdict.reasons[0].message


@pytest.mark.parametrize("slot", ["quantity", "unit_notional", "working_buy", "working_sell"])
@pytest.mark.parametrize("metric", [Metric.GROSS_EXPOSURE, Metric.NET_EXPOSURE, Metric.LEVERAGE])
def test_one_position_without_a_price_stops_new_exposure_everywhere(metric: Metric, slot: str) -> None:
    broken = replace(SHORT_ETH, **{slot: math.nan})  # type: ignore[arg-type]
    limits = LimitSet([Limit(metric, hard=1e9)])
    verdict = check_order(book(positions=(LONG_BTC, broken)), order(), limits)
    if slot == "working_sell" and metric is Metric.NET_EXPOSURE:
        assert verdict.allowed, "sells that wait cannot raise the net exposure of a buy"
    else:
        assert not verdict.allowed
        assert check_order(book(positions=(LONG_BTC, broken)), order(Side.SELL, 2.0), limits).allowed


def test_a_soft_limit_alone_never_blocks_even_unknown() -> None:
    verdict = check_order(book(equity=None), order(), LimitSet([Limit(Metric.LEVERAGE, soft=1.0)]))
    assert verdict.allowed
    (reason,) = verdict.reasons
    assert (reason.level, reason.binds) == (Level.UNKNOWN, False)
    assert reason.message.endswith("is not known, so its soft limit cannot warn.")
    (bound,) = check_order(book(equity=None), order(), LimitSet([Limit(Metric.LEVERAGE, hard=1.0)])).reasons
    assert bound.binds and bound.message.endswith("is not known, so nothing may be added.")


def test_a_book_without_equity_may_only_close() -> None:
    limits = LimitSet([Limit(Metric.LEVERAGE, hard=100.0)])
    assert not check_order(book(equity=-5.0), order(), limits).allowed
    assert check_order(book(equity=-5.0), order(Side.SELL, 2.0), limits).size == 2.0


def test_a_cut_size_keeps_to_the_lot_and_the_minimum() -> None:
    limits = LimitSet([Limit(Metric.ORDER_NOTIONAL, hard=234.0)])
    assert check_order(book(), order(quantity=10.0, lot=0.5), limits).size == 2.0
    denied = check_order(book(), order(quantity=10.0, lot=0.5, minimum=3.0), limits)
    assert denied.outcome is Outcome.DENIED
    assert "smallest order" in denied.reasons[-1].message


def test_the_order_notional_is_at_its_own_price() -> None:
    limits = LimitSet([Limit(Metric.ORDER_NOTIONAL, hard=110.0)])
    assert check_order(book(), order(price=110.0), limits).outcome is Outcome.ALLOWED
    assert check_order(book(), order(price=120.0), limits).outcome is Outcome.REDUCED


def test_the_books_above_are_asked_as_well() -> None:
    parent = book(positions=(replace(LONG_BTC, quantity=20.0),), equity=10_000.0)
    own, above = (
        LimitSet([Limit(Metric.LEVERAGE, hard=1.0)]),
        LimitSet([Limit(Metric.GROSS_EXPOSURE, hard=2300.0)]),
    )
    verdict = check_order_path([(book(), own), (parent, above)], order(quantity=20.0))
    assert verdict.size == pytest.approx(3.0)
    assert [r.metric for r in verdict.reasons] == [Metric.LEVERAGE, Metric.GROSS_EXPOSURE]
    halted = replace(parent, mode=TradingMode.HALTED)
    assert check_order_path([(book(), own), (halted, above)], order()).outcome is Outcome.DENIED
    with pytest.raises(ValueError, match="at least its own Book"):
        check_order_path([], order())


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        (Limit(Metric.LEVERAGE), "give a soft level"),
        (Limit(Metric.LEVERAGE, hard=-1.0), "zero or more"),
        (Limit(Metric.LEVERAGE, hard=math.nan), "zero or more"),
        (Limit(Metric.LEVERAGE, soft=math.inf), "zero or more"),
        (Limit(Metric.LEVERAGE, soft=3.0, hard=2.0), "the lower one"),
        (Limit(Metric.COOLDOWN_S, soft=10.0, hard=20.0), "longer"),
        (Limit(Metric.LEVERAGE, hard=2.0, symbol="BTC"), "whole Book"),
        (Limit(Metric.DAILY_LOSS, hard=2.0, venue="kraken"), "whole Book"),
    ],
)
def test_limits_that_cannot_be_are_refused(limit: Limit, says: str) -> None:
    with pytest.raises(InvalidLimitError, match=says):
        LimitSet([limit])


def test_two_positions_of_one_market_are_refused() -> None:
    with pytest.raises(ValueError, match="one position"):
        book(positions=(LONG_BTC, LONG_BTC))


# --- Properties ---------------------------------------------------------------------------------------------
def grid(low: float, high: float, places: int = 3) -> st.SearchStrategy[float]:
    """Numbers on a decimal grid: what markets send, and no test of denormal numbers."""
    return st.integers(int(low * 10**places), int(high * 10**places)).map(lambda i: i / 10**places)


finite = grid(-50, 50)
amounts = grid(0, 20)
maybe = st.one_of(st.none(), st.just(math.nan), finite)


@st.composite
def states(draw: st.DrawFn, *, holes: bool = False) -> BookState:
    number = maybe if holes else finite
    positive = st.one_of(st.none(), grid(0.1, 1000)) if holes else grid(0.1, 1000)
    positions = tuple(
        PositionState(symbol, venue, draw(number), draw(positive), draw(number), draw(amounts), draw(amounts))
        for symbol in ("BTC", "ETH")
        for venue in ("kraken", "bybit")
        if draw(st.booleans())
    )
    equity = st.one_of(st.none(), st.just(math.nan), grid(-100, 1e5)) if holes else grid(-100, 1e5)
    return BookState(
        draw(equity),
        draw(equity),
        draw(equity),
        positions,
        draw(st.integers(0, 20)),
        draw(st.sampled_from([0.0, 30.0, 90.0, math.inf])),
        draw(grid(0, 1e4)),
        draw(grid(0, 1e4)),
    )


@st.composite
def intents(draw: st.DrawFn) -> OrderIntent:
    return OrderIntent(
        draw(st.sampled_from(["BTC", "ETH"])),
        draw(st.sampled_from(["kraken", "bybit"])),
        draw(st.sampled_from(Side)),
        draw(grid(1e-3, 100)),
        draw(grid(0.1, 1000)),
        price=draw(grid(90, 110)),
        reference_price=100.0,
        volume=draw(grid(0, 1e4)),
        unit_var=draw(grid(0, 0.2)),
        unit_es=draw(grid(0, 0.3)),
        lot=draw(st.sampled_from([0.0, 0.0, 0.01, 1.0])),
    )


@st.composite
def limit_lists(draw: st.DrawFn) -> list[Limit]:
    def one(metric: Metric) -> Limit:
        scale = 1e4 if not metric.value.endswith(("_frac", "_s")) else 2.0
        scale = {Metric.LEVERAGE: 5.0, Metric.OPEN_POSITIONS: 4.0, Metric.ORDER_RATE: 20.0}.get(metric, scale)
        scale = 100.0 if metric is Metric.COOLDOWN_S else scale
        return Limit(metric, hard=draw(grid(0, 1, 4)) * scale, name=metric.value)

    return [one(m) for m in draw(st.lists(st.sampled_from(Metric), max_size=8))]


@STEADY
@given(states(), intents(), limit_lists())
def test_a_reduced_size_never_breaches(state: BookState, intent: OrderIntent, limits: list[Limit]) -> None:
    verdict = check_order(state, intent, LimitSet(limits))
    assert 0.0 <= verdict.size <= verdict.asked
    assert verdict.allowed == (verdict.size > 0.0)
    if verdict.allowed:
        assert breaches(state, replace(intent, quantity=verdict.size), limits) == []
        again = check_order(state, replace(intent, quantity=verdict.size), LimitSet(limits))
        assert again.outcome is Outcome.ALLOWED


@STEADY
@given(states(), intents(), limit_lists())
def test_the_size_is_the_largest_that_plain_python_allows(
    state: BookState, intent: OrderIntent, limits: list[Limit]
) -> None:
    intent = replace(intent, lot=0.0)
    size = check_order(state, intent, LimitSet(limits)).size
    assert intent.quantity is not None
    bigger = min(intent.quantity, size + max(1e-6, 1e-6 * intent.quantity))
    if size > 0.0:
        assert allowed_at(state, intent, limits, size)
    if bigger > size:
        assert not allowed_at(state, intent, limits, bigger)


@STEADY
@given(states(), intents(), limit_lists(), grid(0, 1))
def test_a_tighter_limit_never_allows_more(
    state: BookState, intent: OrderIntent, limits: list[Limit], factor: float
) -> None:
    tighter = [
        replace(x, hard=x.hard * (2 - factor if x.metric in HIGHER_IS_TIGHTER else factor))
        for x in limits
        if x.hard is not None
    ]
    loose, tight = (check_order(state, intent, LimitSet(x)).size for x in (limits, tighter))
    assert tight <= loose * (1 + 1e-9)
    more = check_order(state, intent, LimitSet([*limits, Limit(Metric.GROSS_EXPOSURE, hard=100.0)])).size
    assert more <= loose * (1 + 1e-9)


@STEADY
@given(states(holes=True), intents(), limit_lists(), grid(0.01, 1), grid(0.1, 50))
def test_an_order_that_only_closes_is_let_through_by_exposure_and_stop_limits(
    state: BookState, intent: OrderIntent, limits: list[Limit], part: float, held: float
) -> None:
    mine = PositionState(intent.symbol, intent.venue, -int(intent.side) * held, 10.0)
    others = tuple(p for p in state.positions if (p.symbol, p.venue) != (mine.symbol, mine.venue))
    closing = replace(intent, quantity=held * part, lot=0.0)
    kept = LimitSet([x for x in limits if family(x.metric) is not Family.ORDER])
    assert check_order(replace(state, positions=(*others, mine)), closing, kept).outcome is Outcome.ALLOWED


@STEADY
@given(states(holes=True), intents(), limit_lists(), st.data())
def test_a_hole_in_the_numbers_never_allows_more(
    state: BookState, intent: OrderIntent, limits: list[Limit], data: st.DataObject
) -> None:
    slot = data.draw(st.sampled_from(["equity", "day_open_equity", "peak_equity", "var", "es", "orders_in_window"]))
    whole = check_order(state, intent, LimitSet(limits)).size
    torn = replace(state, **{slot: None})  # type: ignore[arg-type]
    assert check_order(torn, intent, LimitSet(limits)).size <= whole * (1 + 1e-12)
    for broken in (replace(intent, quantity=math.nan), replace(intent, unit_notional=math.nan)):
        assert check_order(state, broken, LimitSet(limits)).size == 0.0


@njit
def _engine(v: np.ndarray, codes: np.ndarray, soft: np.ndarray, hard: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """A compiled loop that asks for every size, as an engine does bar by bar."""
    out, values, levels = np.empty_like(sizes), np.empty(len(codes)), np.empty(len(codes), dtype=np.int8)
    for i in range(len(sizes)):
        v[QUANTITY] = sizes[i]
        out[i] = check_kernel(v, codes, soft, hard, values, levels)
    return out


def test_a_compiled_engine_gets_the_same_sizes() -> None:
    limits = LimitSet([Limit(Metric.LEVERAGE, hard=0.7), Limit(Metric.ORDER_NOTIONAL, soft=100, hard=400)])
    ready, sizes = limits.for_target("BTC", "kraken"), np.linspace(0.5, 12, 24)
    for side in Side:
        intent = order(side)
        found = _engine(order_vector(book(), intent), ready.codes, ready.soft, ready.hard, sizes)
        expected = [check_order(book(), replace(intent, quantity=float(x)), limits).size for x in sizes]
        assert found.tolist() == expected
