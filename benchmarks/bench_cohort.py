"""A whole cohort: loading, signals, simulation and metrics in memory, and `run_cohort` with books, audit and scoring.

    python -m benchmarks.bench_cohort [--agents 30 300 3000] [--repeat 5]

Real candles where the sample data lies beside the project, else a synthetic market; 8 symbols, 3 days of 1m candles.
The database is an embedded PostgreSQL of this run alone, with fsync on. Figures are medians of warm runs.
"""

from __future__ import annotations

import argparse
import atexit
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "candles" / "binance_perp_1m_2025-05"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, nargs="+", default=[30, 300, 3000])
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    state = Path(tempfile.mkdtemp(prefix="fundops-bench-"))
    _services(state)
    import django

    django.setup()
    from django.core.management import call_command

    _as_owner(call_command)
    window = _candles(state)
    print(f"8 symbols x 3 days of 1m candles from {window.start}, {'synthetic' if window.synthetic else 'real'}\n")
    _in_memory(window, arguments.agents, arguments.repeat)
    _whole(window, arguments.agents, arguments.repeat)


def _services(state: Path) -> None:
    from fundops.embedded import ensure_services
    from fundops.embedded.client import destroy_services, provide_urls

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
    os.environ["FUNDOPS_ENV"] = "test"
    os.environ["FUNDOPS_ENV_FILE"] = ""
    os.environ["FUNDOPS_STATE_DIR"] = str(state)
    os.environ["MARKET_DATA_URL"] = str(state / "market-data")
    provide_urls(os.environ, ensure_services(state_dir=state, durable=True))
    atexit.register(lambda: destroy_services(state_dir=state))


def _as_owner(call_command: Callable[..., Any]) -> None:
    from django.conf import settings
    from django.db import connection

    login = {key: connection.settings_dict[key] for key in ("USER", "PASSWORD")}
    assert settings.DATABASE_OWNER is not None
    connection.settings_dict.update({key: settings.DATABASE_OWNER[key] for key in login})
    call_command("migrate", verbosity=0)
    connection.close()
    connection.settings_dict.update(login)


def _candles(state: Path) -> Any:
    from django.core.management import call_command

    from fundops.core.clock import to_ms
    from trading.actions.marketdata import synthesise_candles
    from trading.marketdata.synthetic import SyntheticSpec
    from trading.selectors.cohort import latest_window

    if SAMPLE.exists():
        call_command("import_candles", str(SAMPLE), venue="binance_perp", stdout=StringIO())
    else:
        symbols = tuple(f"{name}USDT" for name in ("BTC", "ETH", "SOL", "XRP", "ADA", "AVAX", "SUI", "LINK"))
        start = to_ms(datetime(2025, 5, 20, tzinfo=UTC))
        synthesise_candles(spec=SyntheticSpec(symbols, start, 11 * 1440, seed=7), actor=None)
    return latest_window(interval="1m", days=3)


def _cohort(window: Any, agents: int, seed: int) -> Any:
    from trading.models.cohort import Cohort
    from treasury.actions.books import ensure_asset, open_fund
    from treasury.models import AssetKind, Fund

    fund = Fund.objects.first()
    if fund is None:
        usdt = ensure_asset(code="USDT", name="Tether USD", kind=AssetKind.CRYPTO, places=2, actor=None)
        fund = open_fund(code="BENCH", name="Benchmark", base_asset=usdt, opened_on=date(2013, 1, 1), actor=None)
    return Cohort(
        fund=fund,
        venue=window.venue,
        symbols=list(window.symbols),
        start=window.start,
        days=3,
        agent_count=agents,
        bankroll=Decimal(max(1000, 34 * agents)),
        seed=seed,
    )


def _median(work: Callable[[], object], repeat: int) -> float:
    times = []
    for _ in range(repeat + 1):  # the first compiles and fills the caches
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def _in_memory(window: Any, sizes: list[int], repeat: int) -> None:
    """Loading, signals, simulation and metrics, nothing stored."""
    import numpy as np

    from trading.actions.cohort import check_cohort
    from trading.actions.instruments import ensure_instruments
    from trading.cohorts.catalog import open_catalog
    from trading.cohorts.installed import installed_families, installed_profiles
    from trading.cohorts.population import seats_of
    from trading.cohorts.setup import engine_setup, market_of, volatility_of
    from trading.marketdata.loader import load_candles
    from trading.quant import engine
    from trading.quant.scoring import HourlyDay, confidence

    print("in memory      agents   load ms   run ms   metrics ms   total ms   M agent-bars/s")
    for n in sizes:
        cohort = _cohort(window, n, 1)
        check_cohort(cohort)
        catalog = open_catalog()

        def load(cohort: Any = cohort, catalog: Any = catalog) -> Any:
            frame = load_candles(catalog, cohort.venue, cohort.symbols, cohort.interval, cohort.start_ms, cohort.end_ms)
            return market_of(frame, catalog)

        frame = load_candles(catalog, cohort.venue, cohort.symbols, "1m", cohort.start_ms, cohort.end_ms)
        instruments = ensure_instruments(frame=frame, actor=None)
        volatility = volatility_of(frame)
        families = installed_families()
        seats = seats_of(cohort, profiles=installed_profiles(), families=families, volatility=volatility)
        setup = engine_setup(cohort, seats, instruments, volatility=volatility, families=families)
        market = load()

        def simulate(setup: Any = setup, market: Any = market) -> Any:
            return engine.run(
                market, setup.agents, instruments=setup.instruments, costs=setup.costs, wallet=setup.wallet
            )

        run = simulate()
        draws = np.array([float(seat.draw) for seat in seats])

        def measure(run: Any = run, draws: Any = draws) -> object:
            equity = run.marks.agents["equity"]
            opening = np.vstack([draws, equity[23:-1:24]])
            days = [
                HourlyDay(opening[d], equity[24 * d : 24 * d + 24], run.marks.agents["gross"][24 * d : 24 * d + 24])
                for d in range(3)
            ]
            return [day.variance for day in days], confidence(np.vstack([day.roi for day in days]))

        parts = [_median(work, repeat) for work in (load, simulate, measure)]
        bars = market.n_bars * n / parts[1] / 1e6
        ms = [1000 * part for part in parts]
        print(f"{'':13} {n:>7,} {ms[0]:>9.1f} {ms[1]:>8.1f} {ms[2]:>12.1f} {sum(ms):>10.1f} {bars:>16.1f}")


def _whole(window: Any, sizes: list[int], repeat: int) -> None:
    """launch_cohort and drive_cohort to the end, everything in the database."""
    from fundops.core.actions.users import create_user
    from fundops.core.roles import Role
    from trading.actions.cohort import launch_cohort
    from trading.actions.cohort_drive import drive_cohort
    from treasury.models import JournalLine

    manager = create_user(
        username="bench",
        email="bench@bench.invalid",
        password="a long benchmark phrase 7",  # noqa: S106 - of a database that goes with the run
        roles=[Role.PORTFOLIO_MANAGER],
        actor=None,
    )
    print("\nwhole          agents   seconds   fills   journal lines")
    for n in sizes:

        def work(n: int = n) -> Any:
            cohort = launch_cohort(cohort=_cohort(window, n, 1), actor=manager, queued=False)
            done = drive_cohort(cohort_id=cohort.pk)
            assert done.status == "completed", done.failure
            return done

        seconds = _median(work, repeat if n <= 300 else 1)
        done = work()
        lines = JournalLine.objects.filter(account__book__path__startswith=done.book.path).count()
        print(f"{'':13} {n:>7,} {seconds:>9.2f} {done.run.fills_done:>7,} {lines:>15,}")


if __name__ == "__main__":
    main()
