"""Loading candles: the catalog against plain pandas on the same bars, with its scale curve; importing a CSV.

    python -m benchmarks.bench_marketdata [--quick]

Prints milliseconds, the best of several, and ratios: ``first`` with nothing cached in the process (the
operating system has the files), ``again`` for the same window a second time. Peers read what a person
without a catalog would have: one CSV or one Parquet file a symbol that holds exactly the window, put on the
same grid with NaN for missing minutes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from trading.marketdata.bars import FIELDS, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.formats import ReadOptions
from trading.marketdata.importer import Importer, ImportOptions
from trading.marketdata.intervals import DAY_MS, MINUTE_MS
from trading.marketdata.loader import CandleFrame, load_candles
from trading.marketdata.partcache import SHARED
from trading.marketdata.synthetic import SyntheticSpec, store_synthetic, synthesise

START_MS = 1_746_316_800_000
SHAPES = ((8, 3), (8, 31), (30, 3), (30, 31))


def best_ms(run: Callable[[], object], times: int) -> float:
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        found.append((time.perf_counter() - begin) * 1000)
    return min(found)


def from_pandas(folder: Path, symbols: list[str], days: int, kind: str) -> dict[str, np.ndarray]:
    """The same arrays by hand: read, cut, reindex, stack."""
    grid = pd.RangeIndex(START_MS, START_MS + days * DAY_MS, MINUTE_MS)
    frames = []
    for symbol in symbols:
        path = folder / f"{symbol}.{kind}"
        frame = pd.read_parquet(path) if kind == "parquet" else pd.read_csv(path)
        frames.append(frame.set_index("ts").reindex(grid))
    return {name: np.column_stack([frame[name].to_numpy() for frame in frames]) for name in FIELDS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, no month of thirty symbols")
    quick = parser.parse_args().quick
    times = 3 if quick else 7
    shapes = SHAPES[:3] if quick else SHAPES
    symbols = [f"S{i:02d}USDT" for i in range(max(n for n, _ in shapes))]
    days = max(d for _, d in shapes)
    market = synthesise(SyntheticSpec(tuple(symbols), START_MS, days * 1440, seed=1, correlation=0.5))
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        catalog = Catalog.open(str(folder / "catalog"))
        begin = time.perf_counter()
        store_synthetic(catalog, market)
        written = time.perf_counter() - begin
        bars_written = len(symbols) * days * 1440
        print(f"storing {len(symbols)} symbols x {days} days of 1m: {bars_written / written:,.0f} bars a second")
        titles = ("symbols x days", "first", "again", "pd.parquet", "ratio", "ratio again", "pd.csv", "ratio")
        print(" ".join(f"{title:>14}" for title in titles))
        for n, d in shapes:
            chosen = symbols[:n]
            end_ms = START_MS + d * DAY_MS
            for symbol in chosen:
                bars = market.bars[symbol].between(START_MS, end_ms)
                table = pd.DataFrame({"ts": bars.ts_ms, **{name: getattr(bars, name) for name in FIELDS}})
                table.to_parquet(folder / f"{symbol}.parquet", compression="zstd")
                table.to_csv(folder / f"{symbol}.csv", index=False)

            def ours(chosen: list[str] = chosen, end_ms: int = end_ms) -> CandleFrame:
                return load_candles(catalog, "synthetic", chosen, "1m", START_MS, end_ms)

            check, loaded = from_pandas(folder, chosen, d, "parquet"), ours()
            if not all(np.array_equal(getattr(loaded, name), check[name]) for name in FIELDS):
                raise SystemExit("The catalog and pandas disagree: no timing means anything.")

            def first(ours: Callable[[], object] = ours) -> object:
                SHARED.clear()
                return ours()

            mine, again = best_ms(first, times), best_ms(ours, times)
            parquet = best_ms(lambda c=chosen, d=d: from_pandas(folder, c, d, "parquet"), times)  # type: ignore[misc]
            figures = [mine, again, parquet, parquet / mine, parquet / again]
            if n <= 8:
                csv = best_ms(lambda c=chosen, d=d: from_pandas(folder, c, d, "csv"), 2)  # type: ignore[misc]
                figures += [csv, csv / mine]
            print(f"{f'{n} x {d}':>14} " + " ".join(f"{figure:14.1f}" for figure in figures))
        _imports(folder, symbols[0], days)


def _imports(folder: Path, symbol: str, days: int) -> None:
    """A month of 1m from CSV: read, validate every bar, store; against only reading it with pandas."""
    path = folder / f"{symbol}.csv"
    options = ImportOptions(read=ReadOptions(venue="bench", symbol=symbol, interval_ms=MINUTE_MS))
    now_ms = START_MS + (days + 1) * DAY_MS
    key = SeriesKey("bench", symbol, MINUTE_MS)
    catalog = Catalog.open(str(folder / "imported"))

    def run() -> None:
        catalog.delete(key)
        Importer(catalog, now_ms=now_ms).import_file(path, options)

    mine, again = (
        best_ms(run, 3),
        best_ms(lambda: Importer(catalog, now_ms=now_ms).import_file(path, options), 3),
    )
    bare = best_ms(lambda: pd.read_csv(path), 3)
    rows = days * 1440
    print(f"importing {rows:,} rows of CSV: {mine:.0f} ms ({rows / mine * 1000:,.0f} rows a second), "
          f"again unchanged {again:.0f} ms; pd.read_csv alone {bare:.0f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
