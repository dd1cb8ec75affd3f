"""Candles through the actions: mirror, quarantine, audit events, permissions, and healing after a crash."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from django.db import connection
from django.db.utils import Error as DatabaseError

from compliance.models import AuditEvent
from fundops.core import clock
from fundops.core.errors import PermissionMissingError
from fundops.core.roles import Role
from tests.factories import user_with
from tests.trading.marketdata.helpers import MAY_4, NOW_MS, as_csv, assert_same_bars, make_bars, write
from tests.trading.marketdata.test_download import Clock, Venue
from trading.actions import marketdata as actions
from trading.marketdata.bars import SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.download import Pacer, TransientSourceError
from trading.marketdata.errors import CatalogError, DownloadError
from trading.marketdata.formats import ReadOptions
from trading.marketdata.importer import ImportOptions
from trading.marketdata.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from trading.marketdata.synthetic import SyntheticSpec
from trading.models.marketdata import CandleSet, DataQuarantine
from trading.selectors import marketdata as selectors

pytestmark = pytest.mark.django_db

BINANCE = ImportOptions(read=ReadOptions(venue="binance"))


@pytest.fixture(autouse=True)
def catalog_url(tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.MARKET_DATA_URL = str(tmp_path / "catalog")
    with clock.frozen(clock.from_ms(NOW_MS)):
        yield


def import_text(tmp_path: Path, text: str, *, name: str = "BTCUSDT_1m.csv", **more: Any) -> actions.ImportOutcome:
    path = write(tmp_path / name, text)
    return actions.import_candles(paths=[path], options=BINANCE, actor=more.get("actor"))


def spoiled(n: int = 60) -> str:
    lines = as_csv(make_bars(n)).splitlines()
    lines[11] = lines[11].replace(",", ",-", 1)
    lines[21] += ",extra"
    return "\n".join(lines)


def test_import_mirrors_the_manifest_and_files_the_bad_rows(tmp_path: Path) -> None:
    operations = user_with(Role.OPERATIONS)
    outcome = import_text(tmp_path, spoiled(), actor=operations)
    assert [r.accepted for r in outcome.reports] == [58]
    candle_set = CandleSet.objects.get()
    assert str(candle_set) == "BTCUSDT 1m on binance"
    assert (candle_set.rows, candle_set.missing, candle_set.quarantined, candle_set.parts) == (58, 2, 2, 1)
    assert candle_set.first_at == datetime(2025, 5, 4, tzinfo=UTC)
    assert candle_set.complete_frac == pytest.approx(58 / 60)
    assert not candle_set.synthetic
    rows = {row.line: row for row in DataQuarantine.objects.all()}
    assert {line: row.reason for line, row in rows.items()} == {12: "non_positive_price", 22: "field_count"}
    assert rows[12].raw["open"].startswith("-")
    assert rows[12].bar_at == datetime(2025, 5, 4, 0, 10, tzinfo=UTC)
    assert rows[12].reason_text == "a price is zero or negative"
    event = AuditEvent.objects.get(kind="trading.candles.imported")
    assert event.actor == operations
    assert (event.payload["rows_in"], event.payload["accepted"]) == (60, 58)


def test_import_again_adds_nothing_but_an_event(tmp_path: Path) -> None:
    for _ in range(2):
        import_text(tmp_path, spoiled())
    assert CandleSet.objects.count() == 1
    assert DataQuarantine.objects.count() == 2
    events = list(AuditEvent.objects.filter(kind="trading.candles.imported").order_by("pk"))
    assert [e.payload["unchanged"] for e in events] == [0, 58]


def test_failing_file_is_reported_and_the_others_come_in(tmp_path: Path) -> None:
    good = write(tmp_path / "BTCUSDT_1m.csv", as_csv(make_bars(5)))
    bad = write(tmp_path / "ETHUSDT_1m.csv", "a,b\n1,2\n")
    outcome = actions.import_candles(paths=[bad, good], options=BINANCE, actor=None)
    assert [failure.path for failure in outcome.failures] == [str(bad)]
    assert "no time column" in outcome.as_json()["failures"][0]["error"]
    assert CandleSet.objects.get().symbol == "BTCUSDT"


@pytest.mark.parametrize("role", [Role.INVESTOR, Role.AUDITOR, Role.CLIENT_RELATIONS])
def test_who_may_not_import_is_told_which_permission_is_missing(tmp_path: Path, role: Role) -> None:
    actor = user_with(role)
    with pytest.raises(PermissionMissingError, match=r"trading\.import_candles"):
        import_text(tmp_path, spoiled(), actor=actor)
    with pytest.raises(PermissionMissingError):
        actions.sync_catalog(actor=actor)
    assert not CandleSet.objects.exists()


def test_database_that_failed_after_the_files_were_written_is_healed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the process died here")

    with monkeypatch.context() as patch:
        patch.setattr(actions, "publish", fail)
        with pytest.raises(RuntimeError):
            import_text(tmp_path, spoiled())
    assert not CandleSet.objects.exists()
    assert not DataQuarantine.objects.exists()
    assert actions.sync_catalog(actor=None) == 1
    assert CandleSet.objects.get().rows == 58
    assert DataQuarantine.objects.count() == 2
    assert actions.sync_catalog(actor=None) == 1
    assert AuditEvent.objects.filter(kind="trading.candles.mirrored").count() == 1


def test_sync_empties_sets_whose_files_are_gone(tmp_path: Path) -> None:
    import_text(tmp_path, spoiled())
    selectors.open_catalog().delete(SeriesKey("binance", "BTCUSDT", MINUTE_MS))
    assert actions.sync_catalog(actor=None) == 0
    candle_set = CandleSet.objects.get()
    assert (candle_set.rows, candle_set.first_at) == (0, None)
    assert selectors.candle_set_gaps(candle_set.pk) == []
    assert DataQuarantine.objects.count() == 2


def test_quarantine_cannot_be_changed_or_deleted(tmp_path: Path) -> None:
    import_text(tmp_path, spoiled())
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("UPDATE trading_dataquarantine SET reason = 'fine'")


@pytest.mark.django_db(transaction=True)
def test_not_even_the_owner_changes_quarantine(tmp_path: Path, superuser: psycopg.Connection[Any]) -> None:
    import_text(tmp_path, spoiled())
    for statement in ("DELETE FROM trading_dataquarantine", "TRUNCATE trading_dataquarantine"):
        with pytest.raises(psycopg.Error):
            superuser.execute(statement)
    assert DataQuarantine.objects.count() == 2


def test_synthetic_sets_are_labelled_and_the_database_refuses_the_label_elsewhere() -> None:
    sets = actions.synthesise_candles(spec=SyntheticSpec(("BTCUSDT",), MAY_4, 100, seed=1), actor=None)
    assert [(s.venue, s.synthetic, s.rows) for s in sets] == [("synthetic", True, 100)]
    with pytest.raises(DatabaseError):
        CandleSet.objects.update(venue="binance")


def test_resampling_leaves_incomplete_bars_out_unless_told(tmp_path: Path) -> None:
    bars = make_bars(180).take(np.r_[0:70, 71:180])
    import_text(tmp_path, as_csv(bars))
    key = SeriesKey("binance", "BTCUSDT", MINUTE_MS)
    outcome = actions.resample_candles(key=key, to_ms=HOUR_MS, actor=None)
    assert (outcome.accepted, outcome.incomplete_ms) == (2, [MAY_4 + HOUR_MS])
    assert outcome.candle_set.interval == "1h"
    kept = actions.resample_candles(key=key, to_ms=HOUR_MS, actor=None, keep_incomplete=True)
    assert (kept.accepted, kept.unchanged, kept.candle_set.rows) == (1, 2, 3)


def test_backfill_takes_finer_bars_first_and_then_the_venue(tmp_path: Path) -> None:
    fine = make_bars(1000)
    venue = Venue(bars=fine, venue="binance")
    fine_key, coarse = (
        SeriesKey("binance", "BTCUSDT", MINUTE_MS),
        SeriesKey("binance", "BTCUSDT", 5 * MINUTE_MS),
    )
    import_text(tmp_path, as_csv(fine))
    actions.resample_candles(key=fine_key, to_ms=5 * MINUTE_MS, actor=None)
    catalog = selectors.open_catalog()
    whole = catalog.read_bars(coarse, 0, 10**14)
    catalog.delete(coarse)
    catalog.delete(fine_key)
    catalog.merge(coarse, whole.take(np.r_[0:20, 25:30, 34:200]), source="file")
    catalog.merge(fine_key, fine.take(slice(100, 125)), source="file")
    waiting = Clock()
    venue.edit = lambda rows: [row for row in _five_minutes(whole) if venue.calls[-1][0] <= int(row[0] or 0)]
    outcome = actions.backfill_candles(
        key=coarse, actor=None, source=venue, pacer=Pacer(1, waiting.now_ms, waiting.sleep)
    )
    assert (outcome.before, outcome.from_finer, outcome.from_venue, outcome.left) == (9, 5, 4, [])
    assert outcome.finer_interval == "1m"
    stored = catalog.read_bars(coarse, 0, 10**14)
    assert_same_bars(stored, whole)
    event = AuditEvent.objects.get(kind="trading.candles.backfilled")
    assert event.payload["left"] == 0


def _five_minutes(bars: Any) -> list[list[float]]:
    names = ("ts_ms", "open", "high", "low", "close", "volume")
    return [[getattr(bars, name)[i].item() for name in names] for i in range(len(bars))]


def test_download_that_breaks_off_records_what_came(tmp_path: Path) -> None:
    waiting = Clock()
    venue = Venue(failures=[None, None, *[TransientSourceError("down")] * 6])

    def run() -> Any:
        return actions.download_candles(
            source=venue,
            symbol="BTCUSDT",
            interval_ms=MINUTE_MS,
            since_ms=MAY_4,
            until_ms=MAY_4 + DAY_MS,
            actor=None,
            pacer=Pacer(1, waiting.now_ms, waiting.sleep),
        )

    with pytest.raises(DownloadError):
        run()
    assert CandleSet.objects.get().rows == 200
    assert run().accepted == 800
    assert CandleSet.objects.get().rows == 1000
    events = AuditEvent.objects.filter(kind="trading.candles.downloaded").order_by("pk")
    assert [e.payload["completed"] for e in events] == [False, True]


def test_writers_hold_a_lock_in_the_database(tmp_path: Path) -> None:
    catalog = actions.open_catalog_for_writing()
    held: list[int] = []
    storage_write = catalog.storage.write

    def spy(path: str, data: bytes) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
            held.append(cursor.fetchone()[0])
        storage_write(path, data)

    catalog.storage.write = spy  # type: ignore[method-assign]
    catalog.merge(SeriesKey("binance", "BTCUSDT", MINUTE_MS), make_bars(5), source="x")
    assert held == [1, 1]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert cursor.fetchone()[0] == 0


def test_selectors_filter_and_count(tmp_path: Path) -> None:
    import_text(tmp_path, spoiled())
    import_text(tmp_path, as_csv(make_bars(5)), name="ETHUSDT_1m.csv")
    btc = selectors.candle_set_list(symbol="BTCUSDT").get()
    assert [s.symbol for s in selectors.candle_set_list(venue="binance", synthetic=False)] == [
        "BTCUSDT",
        "ETHUSDT",
    ]
    assert not selectors.candle_set_list(synthetic=True).exists()
    assert [gap.bars for gap in selectors.candle_set_gaps(btc.pk)] == [1, 1]
    assert len(selectors.candle_set_bars(btc.pk, last=10)) == 10
    assert selectors.quarantine_list(candle_set_id=btc.pk, reason="field_count").get().line == 22
    assert [(c.reason, c.rows) for c in selectors.quarantine_reasons()] == [
        ("field_count", 1),
        ("non_positive_price", 1),
    ]
    frame = selectors.load_candles("binance", ["BTCUSDT", "ETHUSDT"], "1m", MAY_4, MAY_4 + HOUR_MS)
    assert frame.close.shape == (60, 2)


def test_lists_cost_one_query(tmp_path: Path, django_assert_num_queries: Any) -> None:
    import_text(tmp_path, spoiled())
    with django_assert_num_queries(1):
        assert [str(row.candle_set) for row in selectors.quarantine_list()] == ["BTCUSDT 1m on binance"] * 2


def test_unreachable_catalog_is_a_clear_error(tmp_path: Path, settings: Any) -> None:
    settings.MARKET_DATA_URL = str(write(tmp_path / "a file", "x"))
    with pytest.raises(CatalogError, match="MARKET_DATA_URL"):
        Catalog.open(settings.MARKET_DATA_URL).merge(SeriesKey("x", "BTCUSDT", MINUTE_MS), make_bars(1), source="x")
