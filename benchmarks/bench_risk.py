"""Risk: VaR and ES with components, the pre-trade check, and limits in bulk, each against a reference in the
same run.

python -m benchmarks.bench_risk [--json] [--scale]

The targets: 200 assets x 2,000 days with components under 50 ms; a check with 50 limits under 100 us; 10,000
limits over 500 Books under 1 s. The exit code is 1 when one is missed or a reference disagrees.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from risk.quant.bulk import BookTable, PositionTable, effective_bounds, evaluate, measure
from risk.quant.contributions import contributions
from risk.quant.metrics import CODES, HIGHER_IS_TIGHTER, METRICS, STATE_METRICS, Metric
from risk.quant.pretrade import BookState, Limit, LimitSet, OrderIntent, PositionState, Side, check_order
from risk.quant.tail import FloatArray
from tests.risk.pretrade_reference import allowed_at

TAILS = {Metric.VAR, Metric.VAR_FRAC, Metric.ES, Metric.ES_FRAC}


@dataclass
class Row:
    what: str
    ours_s: float
    reference: str
    reference_s: float
    target_s: float

    @property
    def ratio(self) -> float:
        return self.reference_s / self.ours_s


def must(agree: bool) -> None:  # noqa: FBT001
    """A reference that disagrees makes every figure worthless."""
    if not agree:
        raise SystemExit("The reference disagrees.")


def best_of(work: Callable[[], Any], *, repeat: int = 7, number: int = 1) -> float:
    """The fastest of `repeat` runs, a call."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        for _ in range(number):
            work()
        times.append((time.perf_counter() - start) / number)
    return min(times)


# --- VaR and ES ---------------------------------------------------------------------------------------------
def naive_components(x: FloatArray, R: FloatArray, alpha: float) -> tuple[float, float, list[float]]:
    """Plain loops over days and assets."""
    days = sorted((sum(a * b for a, b in zip(x, row, strict=True)), t) for t, row in enumerate(R))
    mass = 1.0 - alpha
    rest, es, parts = mass, 0.0, [0.0] * len(x)
    for pnl, t in days:
        w = min(1.0 / len(R), rest)
        if w <= 1e-12:
            return -pnl, es, parts
        es -= w * pnl / mass
        for i, exposure in enumerate(x):
            parts[i] -= w * exposure * R[t][i] / mass
        rest -= w
    return math.nan, es, parts


def bench_tail(assets: int, days: int, books: int = 20) -> Row:
    rng = np.random.default_rng(7)
    R = rng.standard_t(4, (days, 1)) * 0.02 + rng.standard_t(5, (days, assets)) * 0.01
    P = rng.normal(0, 1000, (books, assets))
    found = contributions(P, R, 0.99)
    x = P.sum(axis=0)
    start = time.perf_counter()
    var, es, parts = naive_components(x.tolist(), R.tolist(), 0.99)
    reference_s = time.perf_counter() - start
    must(math.isclose(found.es, es, rel_tol=1e-9))
    must(math.isclose(found.var, var, rel_tol=1e-9))
    must(np.allclose(found.es_by_asset, parts))
    return Row(
        f"VaR, ES, components by {assets} assets and {books} books, {days:,} days",
        best_of(lambda: contributions(P, R, 0.99)),
        "plain loops",
        reference_s,
        0.05,
    )


def bench_tail_against_skfolio(assets: int, days: int) -> Row:
    from skfolio import RiskMeasure  # type: ignore[import-untyped]
    from skfolio.portfolio import Portfolio  # type: ignore[import-untyped]

    rng = np.random.default_rng(7)
    R = rng.standard_t(4, (days, assets)) * 0.01
    w = rng.dirichlet(np.ones(assets))

    def peer() -> Any:
        portfolio = Portfolio(X=R, weights=w, cvar_beta=0.99, value_at_risk_beta=0.99)
        return portfolio.value_at_risk, portfolio.cvar, portfolio.contribution(measure=RiskMeasure.CVAR)

    var, es, parts = peer()
    found = contributions(w, R, 0.99)
    must(math.isclose(found.es, es, rel_tol=1e-9))
    must(math.isclose(found.var, var, rel_tol=1e-9))
    must(np.allclose(found.es_by_asset, parts, atol=1e-4))
    return Row(
        f"the same for one book of {assets} assets, {days:,} days",
        best_of(lambda: contributions(w, R, 0.99)),
        "skfolio",
        best_of(peer, repeat=2),
        0.05,
    )


# --- The pre-trade check ------------------------------------------------------------------------------------
def book_of(limits: int) -> tuple[BookState, OrderIntent, list[Limit]]:
    metrics = [m for m in Metric if m is not Metric.COOLDOWN_S]
    chosen = [Limit(metrics[i % len(metrics)], hard=1e9 + i, soft=1e8, name=f"limit {i}") for i in range(limits)]
    positions = tuple(PositionState(f"S{i}", f"V{i % 3}", 1.0 + i, 100.0) for i in range(30))
    state = BookState(1e6, 1e6, 1e6, positions, var=1e4, es=2e4)
    intent = OrderIntent(
        "S3",
        "V0",
        Side.BUY,
        5.0,
        100.0,
        price=100.0,
        reference_price=100.0,
        volume=1e4,
        unit_var=0.05,
        unit_es=0.07,
    )
    return state, intent, chosen


def bench_check(limits: int, *, cut: bool) -> Row:
    state, intent, chosen = book_of(limits)
    if cut:
        chosen = [replace(x, hard=0.0, soft=None) if x.metric is Metric.LEVERAGE else x for x in chosen]
    ready = LimitSet(chosen)
    verdict = check_order(state, intent, ready)
    must(verdict.size == (0.0 if cut else 5.0))
    must(allowed_at(state, intent, chosen, 5.0) is not cut)
    return Row(
        f"check_order, {limits} limits, " + ("denied with reasons" if cut else "allowed"),
        best_of(lambda: check_order(state, intent, ready), number=2000),
        "the same rules in plain Python",
        best_of(lambda: allowed_at(state, intent, chosen, 5.0), number=20),
        100e-6,
    )


def bench_live_check(limits: int) -> Row:
    """A desk's order the whole way: the state of its Book built from its rows (30 positions), then the check."""
    from decimal import Decimal
    from types import SimpleNamespace

    from risk.order_paths import OrderPath
    from risk.quant.pretrade import TradingMode, check_order_path
    from trading.desk import judging
    from trading.models.deployments import Deployment, DeskRun, Position

    state, intent, chosen = book_of(limits)
    ready = LimitSet(x for x in chosen if x.metric not in TAILS)
    money = Decimal(1_000_000)
    closes = {p.symbol: 100.0 for p in state.positions}
    seat: Any = SimpleNamespace(
        run=DeskRun(equity=money, day_open_equity=money, peak_equity=money, last_closes=closes),
        desk=SimpleNamespace(
            deployment=Deployment(venue="V0"),
            parts=SimpleNamespace(rules={s: SimpleNamespace(multiplier=1.0) for s in closes}),
        ),
        positions={
            p.symbol: Position(symbol=p.symbol, quantity=Decimal(repr(p.quantity)), cost=Decimal(100))
            for p in state.positions
        },
    )
    path = OrderPath(mode=TradingMode.ACTIVE, limits=ready, effective=(), above=(), line=())

    def live() -> Any:
        return check_order_path(path.with_own(judging._state(seat, path, {}, 0, ())), intent)

    must(live().size == check_order(state, intent, ready).size == 5.0)
    return Row(
        f"a desk's order, {limits} limits but those on VaR and ES, the state of its book built from its rows",
        best_of(live, number=500),
        "check_order alone",
        best_of(lambda: check_order(state, intent, ready), number=2000),
        500e-6,
    )


# --- Limits in bulk -----------------------------------------------------------------------------------------
def tables(books: int, limits: int) -> tuple[BookTable, PositionTable, dict[str, Any]]:
    """A fund, twenty strategies, the rest below them; ten positions a Book."""
    rng = np.random.default_rng(1)
    strategies = min(20, books - 1)
    parent = np.array([-1, *([0] * strategies), *(1 + rng.integers(0, strategies, books - 1 - strategies))])
    equity = rng.uniform(1e3, 1e5, books)
    table = BookTable(
        parent,
        equity,
        equity * rng.uniform(0.95, 1.05, books),
        equity * rng.uniform(1.0, 1.2, books),
        equity * 0.02,
        equity * 0.03,
        rng.integers(0, 60, books).astype(float),
        rng.uniform(0, 1e4, books),
    )
    n = 10 * books
    net = rng.normal(0, 500, n)
    held = PositionTable(
        rng.integers(0, books, n),
        rng.integers(0, 50, n),
        rng.integers(0, 4, n),
        net,
        np.abs(net),
        rng.normal(0, 0.05, n),
    )
    metrics = np.array([CODES[m] for m in STATE_METRICS])
    metric = rng.choice(metrics, limits)
    hard = rng.uniform(0.1, 1e4, limits)
    longer = np.array([m in HIGHER_IS_TIGHTER for m in METRICS])
    rows = {
        "book": rng.integers(0, books, limits),
        "metric": metric,
        "soft": np.where(longer[metric], hard * 1.25, hard * 0.8),
        "hard": hard,
        "longer": longer,
    }
    return table, held, rows


def all_at_once(books: BookTable, held: PositionTable, rows: dict[str, Any]) -> Any:
    measured = measure(books, held, n_symbols=50, n_venues=4)
    bounds = effective_bounds(books.parent, rows["book"], rows["metric"], rows["soft"], rows["hard"], rows["longer"])
    own = evaluate(measured.values[rows["book"], rows["metric"]], rows["soft"], rows["hard"], rows["metric"])
    n, m = bounds.hard.shape
    code = np.tile(np.arange(m), n)
    inherited = evaluate(measured.values.ravel(), bounds.soft.ravel(), bounds.hard.ravel(), code)
    return own.levels, inherited.levels, measured.values


def one_by_one(books: BookTable, rows: dict[str, Any], values: FloatArray) -> list[int]:
    """Each limit on its own, with the tightest of its ancestors found by walking up."""
    by_key: dict[tuple[int, int], list[float]] = {}
    for b, m, h in zip(rows["book"].tolist(), rows["metric"].tolist(), rows["hard"].tolist(), strict=True):
        by_key.setdefault((b, m), []).append(h)
    parent, longer, out = books.parent.tolist(), rows["longer"].tolist(), []
    for b, m in zip(rows["book"].tolist(), rows["metric"].tolist(), strict=True):
        line, up = [], b
        while up >= 0:
            line += by_key.get((up, m), [])
            up = parent[up]
        tightest = max(line) if longer[m] else min(line)
        value = float(values[b, m])
        out.append(int(value < tightest if longer[m] else value > tightest))
    return out


def bench_bulk(limits: int, books: int) -> Row:
    table, held, rows = tables(books, limits)
    own, inherited, values = all_at_once(table, held, rows)
    start = time.perf_counter()
    expected = one_by_one(table, rows, values)
    reference_s = time.perf_counter() - start
    hard = inherited.reshape(books, -1)[rows["book"], rows["metric"]] == 2
    must(hard.tolist() == [bool(x) for x in expected])
    must(own.shape == (limits,))
    return Row(
        f"{limits:,} limits over {books:,} books: measured, inherited, compared",
        best_of(lambda: all_at_once(table, held, rows)),
        "one by one (comparison alone)",
        reference_s,
        1.0,
    )


def bench_action(limits: int, books: int) -> list[Row]:
    """`evaluate_limits` on real rows: the first run opens breaches, the second finds them as they were."""
    from datetime import UTC, date, datetime
    from decimal import Decimal

    from risk.actions.breaches import evaluate_limits
    from risk.models import LimitBreach, RiskLimit
    from risk.sources import BookFigures, HeldPosition, install_source
    from tests.gate import executing
    from treasury.actions.books import NewBook, ensure_asset, open_books, open_fund
    from treasury.models import AssetKind, Book, BookKind

    now, rng = datetime(2026, 3, 2, tzinfo=UTC), np.random.default_rng(1)
    usd = ensure_asset(code="USD", name="Dollar", kind=AssetKind.FIAT, places=2, actor=None)
    fund = open_fund(code="BENCH", name="Bench", base_asset=usd, opened_on=date(2026, 1, 1), actor=None)
    root = Book.objects.get(fund=fund, parent=None)
    names = [NewBook(f"s{i}", f"s{i}") for i in range(books - 1)]
    opened = open_books(parent=root, books=names, kind=BookKind.STRATEGY, opened_on=date(2026, 1, 1), actor=None)
    ids = [root.pk, *opened.book_ids]
    metrics = sorted(STATE_METRICS)
    scopes = [f"S{i}" for i in range(-(-limits // (books * len(metrics))) * 20)]
    rows = [(b, m, "") for b in ids for m in metrics]
    rows += [(b, Metric.POSITION_NOTIONAL, s) for s in scopes for b in ids]
    with executing("risk.set_limit", {"book": root.path, "metric": "order_rate", "hard": "1"}):
        RiskLimit.objects.bulk_create(
            RiskLimit(book_id=b, metric=m, symbol=s, hard=Decimal(10**6), effective_from=now)
            for b, m, s in rows[:limits]
        )
        RiskLimit.objects.filter(metric=Metric.LEVERAGE).update(hard=Decimal("0.5"))
    returns = rng.normal(0, 0.03, (365, 50))

    class Source:
        def figures(self, book_ids: Any, at: datetime) -> dict[int, BookFigures]:
            held = tuple(HeldPosition(f"S{i}", "v", "USD", 1.0, 20.0, 20.0) for i in range(10))
            return {b: BookFigures(250.0 + b % 300, 300.0, 600.0, held) for b in book_ids}

        def daily_returns(self, symbols: Any, days: int, at: datetime) -> FloatArray:
            return returns[:, : len(symbols)]

        def prices(self, symbols: Any, start: datetime, end: datetime) -> dict[str, FloatArray]:
            return {}

    install_source(Source())
    table, held, arrays = tables(books, limits)
    bare = best_of(lambda: all_at_once(table, held, arrays))
    start = time.perf_counter()
    first = evaluate_limits(actor=None, at=now)
    opening = time.perf_counter() - start
    must(RiskLimit.objects.count() == limits and len(first.opened) == LimitBreach.objects.count() > 0)
    again = best_of(lambda: evaluate_limits(actor=None, at=now), repeat=3)
    install_source(None)
    what = f"evaluate_limits from the database, {limits:,} limits, {books:,} books"
    return [
        Row(f"{what}, {len(first.opened)} breaches opened", opening, "the arrays alone", bare, 1.0),
        Row(f"{what}, nothing new", again, "the arrays alone", bare, 1.0),
    ]


def with_database() -> list[Row]:
    import django

    from fundops.core.boot import boot

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
    boot()
    django.setup()
    from benchmarks.bench_ledger import scratch_database

    with scratch_database():
        return [bench_live_check(50), *bench_action(10_000, 500)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--scale", action="store_true", help="with the curve over sizes")
    parser.add_argument("--no-database", action="store_true", help="the pure parts alone")
    options = parser.parse_args()
    rows = [
        bench_tail(200, 2000),
        bench_tail_against_skfolio(200, 2000),
        bench_check(50, cut=False),
        bench_check(50, cut=True),
        bench_bulk(10_000, 500),
    ]
    if not options.no_database:
        rows += with_database()
    held_to_target = list(rows)
    if options.scale:
        rows += [bench_tail(n, d) for n, d in ((20, 500), (100, 1000), (400, 4000))]
        rows += [bench_check(n, cut=False) for n in (1, 10, 200)]
        rows += [bench_bulk(n, b) for n, b in ((1000, 50), (100_000, 5000))]
    if options.json:
        print(json.dumps([asdict(r) | {"ratio": r.ratio} for r in rows], indent=1))
    else:
        for r in rows:
            met = "ok  " if r.ours_s <= r.target_s else "MISS"
            print(
                f"{met} {r.what}\n"
                f"     {r.ours_s * 1e3:10.4f} ms (target {r.target_s * 1e3:g} ms), "
                f"{r.ratio:,.1f}x as fast as {r.reference} ({r.reference_s * 1e3:,.3f} ms)"
            )
    return int(any(r.ours_s > r.target_s for r in held_to_target))


if __name__ == "__main__":
    sys.exit(main())
