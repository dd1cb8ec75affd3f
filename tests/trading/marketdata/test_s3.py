"""The catalog in a bucket: the same behaviour against an S3 server on a real socket."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

from tests.trading.marketdata.helpers import MAY_4, as_csv, assert_same_bars, import_one, make_bars, write
from trading.marketdata.bars import SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.errors import CatalogError
from trading.marketdata.importer import Importer
from trading.marketdata.intervals import DAY_MS, MINUTE_MS
from trading.marketdata.loader import load_candles

KEY = SeriesKey("binance", "BTCUSDT", MINUTE_MS)
NOW_MS = MAY_4 + 100 * DAY_MS


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with contextlib.redirect_stderr(io.StringIO()):
        server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def credentials(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket="candles")


def test_endpoint_from_the_environment_and_a_whole_round(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    catalog = Catalog.open("s3://candles/fund/one")
    bars = make_bars(4000)
    importer = Importer(catalog, now_ms=NOW_MS)
    path = write(tmp_path / "binance_BTCUSDT_1m.csv", as_csv(bars).replace("\n", "\nbad\n", 1))
    report = import_one(importer, path)
    assert (report.accepted, len(report.quarantined)) == (4000, 1)
    assert import_one(importer, path).unchanged == 4000
    elsewhere = Catalog.open("s3://candles/fund/one")
    assert_same_bars(elsewhere.read_bars(KEY, 0, 10**14), bars)
    assert [m.key for m in elsewhere.manifests()] == [KEY]
    assert len(elsewhere.quarantine(KEY)) == 1
    assert elsewhere.damaged_parts(KEY) == []
    frame = load_candles(elsewhere, "binance", ["BTCUSDT"], "1m", MAY_4, MAY_4 + DAY_MS)
    assert frame.missing == 0
    assert list(Catalog.open("s3://candles/fund/two").manifests()) == []


def test_endpoint_in_the_url_and_replacing_and_deleting(endpoint: str) -> None:
    catalog = Catalog.open(f"s3://candles/b?endpoint_override={urlsplit(endpoint).netloc}&scheme=http")
    first, second = make_bars(100), make_bars(100, seed=2)
    catalog.merge(KEY, first, source="a")
    assert catalog.merge(KEY, second, source="b", replace=True).replaced == 100
    assert_same_bars(catalog.read_bars(KEY, 0, 10**14), second)
    assert len(catalog.storage.files("candles")) == 1
    catalog.delete(KEY)
    assert catalog.manifest(KEY) is None
    assert catalog.storage.files("candles") == []


def test_missing_bucket_is_our_error(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(CatalogError, match="no-such-bucket"):
        Catalog.open("s3://no-such-bucket/x").merge(KEY, make_bars(3), source="a")


def test_dead_host_is_our_error(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{reserved.getsockname()[1]}")
        catalog = Catalog.open("s3://candles/x")
        for use in (lambda: catalog.manifest(KEY), lambda: list(catalog.manifests())):
            with pytest.raises(CatalogError, match="s3://candles/x"):
                use()
