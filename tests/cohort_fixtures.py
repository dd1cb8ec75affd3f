"""A small fund and four days of an invented market: enough for cohorts of two markets and three days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from trading.actions.cohort import launch_cohort
from trading.marketdata.catalog import Catalog
from trading.marketdata.synthetic import SyntheticSpec, store_synthetic, synthesise
from trading.models.cohort import Cohort, GenomeSource
from treasury.actions.books import ensure_asset, open_fund
from treasury.models import AssetKind, Fund

START = date(2025, 3, 2)
LONG_DAYS = 35
SYMBOLS = ["BTCUSDT", "ETHUSDT"]


@pytest.fixture(scope="session")
def market_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days of 1m candles from 2025-03-01, seed 11."""
    folder = tmp_path_factory.mktemp("market")
    start_ms = clock.to_ms(datetime(2025, 3, 1, tzinfo=UTC))
    spec = SyntheticSpec(symbols=tuple(SYMBOLS), start_ms=start_ms, minutes=4 * 1440, seed=11)
    store_synthetic(Catalog.open(str(folder)), synthesise(spec))
    return folder


@pytest.fixture(scope="session")
def long_market_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five weeks of 1m candles from 2025-02-01, seed 12."""
    folder = tmp_path_factory.mktemp("long-market")
    start_ms = clock.to_ms(datetime(2025, 2, 1, tzinfo=UTC))
    spec = SyntheticSpec(symbols=tuple(SYMBOLS), start_ms=start_ms, minutes=LONG_DAYS * 1440, seed=12)
    store_synthetic(Catalog.open(str(folder)), synthesise(spec))
    return folder


@pytest.fixture
def candles(settings: Settings, market_folder: Path) -> Path:
    settings.MARKET_DATA_URL = str(market_folder)
    return market_folder


def make_fund() -> Fund:
    usdt = ensure_asset(code="USDT", name="Tether USD", kind=AssetKind.CRYPTO, places=2, actor=None)
    return open_fund(code="TEST", name="Test Fund", base_asset=usdt, opened_on=date(2020, 1, 1), actor=None)


def cohort_of(fund: Fund, **changes: Any) -> Cohort:
    """An unsaved cohort: six random agents on both markets over three days, unless told otherwise."""
    fields: dict[str, Any] = {
        "fund": fund,
        "venue": "synthetic",
        "symbols": list(SYMBOLS),
        "start": START,
        "days": 3,
        "agent_count": 6,
        "bankroll": Decimal(1000),
        "genome_source": GenomeSource.RANDOM,
        "seed": 5,
    }
    return Cohort(**(fields | changes))


@pytest.fixture
def fund(db: None) -> Fund:
    return make_fund()


@pytest.fixture
def manager(db: None) -> User:
    return user_with(Role.PORTFOLIO_MANAGER)


@pytest.fixture
def specification(fund: Fund, candles: Path) -> Callable[..., Cohort]:
    """Unsaved cohorts of the fund (`cohort_of`)."""
    return lambda **changes: cohort_of(**{"fund": fund} | changes)


@pytest.fixture
def launched(specification: Callable[..., Cohort], manager: User) -> Callable[..., Cohort]:
    """Launched cohorts, left to the test to drive."""

    def launch(**changes: Any) -> Cohort:
        return launch_cohort(cohort=specification(**changes), actor=manager, queued=False)

    return launch
