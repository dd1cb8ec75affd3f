"""A catalog in a temporary folder, and an importer into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trading.marketdata.helpers import NOW_MS
from trading.marketdata.catalog import Catalog
from trading.marketdata.importer import Importer


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog.open(str(tmp_path / "catalog"))


@pytest.fixture
def importer(catalog: Catalog) -> Importer:
    return Importer(catalog, now_ms=NOW_MS)
