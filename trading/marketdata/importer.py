"""From a file to the catalog: sniff, read, validate, look for traps, merge, and account for every row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trading.marketdata.bars import BadRow, Bars, Kind, RawSeries, Reason, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.errors import MarketDataError, SourceFormatError, TimezoneSuspectedError
from trading.marketdata.formats import Probe, ReadOptions, sniff
from trading.marketdata.gaps import GapRange, find_gaps
from trading.marketdata.intervals import SECOND_MS, interval_label
from trading.marketdata.manifest import Manifest
from trading.marketdata.traps import suspect_ticker, suspect_zone
from trading.marketdata.validation import ValidationRules, infer_interval, validate_series


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Everything a person may say about files to import."""

    read: ReadOptions = field(default_factory=ReadOptions)
    format: str | None = None
    stamp: str = "auto"
    last_bar_open: bool = False
    replace: bool = False
    trust_ticker: bool = False


@dataclass(slots=True)
class SeriesReport:
    """What became of the rows of one series of one file; ``reconciles`` is always true."""

    key: SeriesKey
    source: str
    format: str
    rows_in: int
    accepted: int
    unchanged: int
    replaced: int
    quarantined: list[BadRow]
    displaced: list[BadRow]
    gaps: list[GapRange]
    notes: list[str]
    manifest: Manifest

    @property
    def reconciles(self) -> bool:
        return self.rows_in == self.accepted + self.unchanged + self.replaced + len(self.quarantined)

    @property
    def reasons(self) -> dict[str, int]:
        return dict(Counter(str(row.reason) for row in self.quarantined))

    def as_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "format": self.format,
            "venue": self.key.venue,
            "symbol": self.key.symbol,
            "interval": self.key.interval,
            "kind": str(self.key.kind),
            "synthetic": self.key.synthetic,
            "rows_in": self.rows_in,
            "accepted": self.accepted,
            "unchanged": self.unchanged,
            "replaced": self.replaced,
            "quarantined": len(self.quarantined),
            "reasons": self.reasons,
            "missing": sum(gap.bars for gap in self.gaps),
            "gaps": [str(gap) for gap in self.gaps[:20]],
            "notes": self.notes,
        }


@dataclass(slots=True)
class FileFailure:
    """A file that could not be imported, with the sentence for the person."""

    path: str
    error: MarketDataError


ProgressCallback = Callable[[str, int, int], None]


class Importer:
    """Imports files into one catalog. ``now_ms`` decides which bars have closed."""

    def __init__(self, catalog: Catalog, *, now_ms: int) -> None:
        self.catalog = catalog
        self.now_ms = now_ms
        self._known: list[Manifest] | None = None

    def import_file(self, path: Path, options: ImportOptions, *, content: bytes | None = None) -> list[SeriesReport]:
        """One report a series; raises a MarketDataError when the file as a whole cannot be used.

        All series are read and validated before the first is written, so a file with a broken end leaves
        nothing.
        """
        probe = Probe(path, content)
        fmt = sniff(probe, options.format)
        rules = ValidationRules(
            now_ms=self.now_ms,
            last_bar_open=options.last_bar_open,
            stamp=options.stamp,
            zone_given=options.read.zone is not None,
            prefer_last=options.replace,
        )
        read = []
        for raw in fmt.read(probe, options.read):
            if options.read.interval_ms is None:
                _doubt_interval(raw)
            if raw.rows_in:
                read.append((raw, validate_series(raw, rules)))
        if not read:
            wanted = f" of {options.read.symbol}" if options.read.symbol else ""
            raise SourceFormatError(str(path), f"holds no candles{wanted}.")
        checked = []
        for raw, valid in read:
            key = SeriesKey(raw.venue, raw.symbol, valid.interval_ms, raw.kind)
            bars, doubted = self._check_traps(key, raw, valid.bars, valid.lines.tolist(), options, valid.notes)
            checked.append((key, raw, valid, bars, [*valid.bad, *doubted]))
        reports = []
        for key, raw, valid, bars, bad in checked:
            merged = self.catalog.merge(
                key,
                bars,
                source=raw.source,
                synthetic=key.synthetic,
                replace=options.replace,
                bad=bad,
                tail_may_be_open=not options.last_bar_open and key.kind is not Kind.FUNDING,
            )
            self._remember(merged.manifest)
            reports.append(
                SeriesReport(
                    key=key,
                    source=raw.source,
                    format=fmt.name,
                    rows_in=valid.rows_in,
                    accepted=merged.accepted,
                    unchanged=merged.unchanged,
                    replaced=merged.replaced,
                    quarantined=[*bad, *merged.refused],
                    displaced=merged.displaced,
                    gaps=[] if key.kind is Kind.FUNDING else find_gaps(bars.ts_ms, key.interval_ms),
                    notes=valid.notes,
                    manifest=merged.manifest,
                )
            )
        return reports

    def _check_traps(
        self,
        key: SeriesKey,
        raw: RawSeries,
        bars: Bars,
        lines: Sequence[int],
        options: ImportOptions,
        notes: list[str],
    ) -> tuple[Bars, list[BadRow]]:
        if key.synthetic or key.kind is Kind.FUNDING or not len(bars):
            return bars, []
        known = self._catalogued()
        zone = suspect_zone(self.catalog, known, key, bars)
        if zone is not None:
            hint = f"UTC{zone.hours:+g}" if float(zone.hours).is_integer() else _clock(zone.hours)
            if options.read.zone is None:
                raise TimezoneSuspectedError(
                    raw.path or raw.source,
                    f"{key.symbol} moves with {zone.reference} only when its times are read as {hint} "
                    f"(correlation of "
                    f"returns {zone.correlation:.2f}, as they stand {zone.correlation_as_is:.2f}). Pass "
                    f"--timezone "
                    f"{hint}, or --timezone UTC to take the stamps as they are.",
                    suggestion=hint,
                )
            notes.append(f"Returns agree with {zone.reference} only {zone.hours:+g} h away: check --timezone.")
        if options.trust_ticker:
            return bars, []
        ticker = suspect_ticker(self.catalog, known, key, bars)
        if ticker is None:
            return bars, []
        notes.append(f"Wrong ticker suspected: {ticker}. Pass --trust-ticker if the file is right.")
        doubted = [
            BadRow(
                Reason.WRONG_TICKER,
                raw.source,
                line,
                {name: repr(value) for name, value in bars.row(i).items()},
                int(bars.ts_ms[i]),
                str(ticker),
            )
            for i, line in enumerate(lines)
        ]
        return Bars.empty(), doubted

    def _catalogued(self) -> list[Manifest]:
        if self._known is None:
            self._known = list(self.catalog.manifests())
        return self._known

    def _remember(self, manifest: Manifest) -> None:
        if self._known is not None:
            self._known = [m for m in self._known if m.key != manifest.key] + [manifest]


def import_files(
    importer: Importer,
    paths: Sequence[Path],
    options: ImportOptions,
    *,
    progress: ProgressCallback | None = None,
) -> Iterator[SeriesReport | FileFailure]:
    """Imports files one after the other; a file that fails is reported and the rest goes on."""
    for number, path in enumerate(paths):
        if progress:
            progress(path.name, number, len(paths))
        try:
            yield from importer.import_file(path, options)
        except MarketDataError as error:
            yield FileFailure(str(path), error)
    if progress:
        progress("", len(paths), len(paths))


def expand_paths(paths: Iterable[Path]) -> list[Path]:
    """Files as given, folders as the data files below them; raises SourceFormatError where there is
    nothing.
    """
    out: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.is_file() and _is_data_name(p.name))
            if not found:
                raise SourceFormatError(str(path), "holds no data files (csv, csv.gz, zip, parquet, feather, json).")
            out += found
        elif path.is_file():
            out.append(path)
        else:
            raise SourceFormatError(str(path), "does not exist.")
    return out


def _doubt_interval(raw: RawSeries) -> None:
    """A name that promises coarser bars than the rows are is not believed: most rows would miss its grid."""
    if raw.kind is Kind.FUNDING or raw.interval_ms is None or len(raw) < 20:
        return
    step_ms = infer_interval(raw.ts_us)
    if step_ms and SECOND_MS <= step_ms < raw.interval_ms and raw.interval_ms % step_ms == 0:
        named, found = interval_label(raw.interval_ms), interval_label(step_ms)
        raw.notes.append(f"The name says {named}, the rows are {found} apart: taken as {found}.")
        raw.interval_ms = step_ms


def _is_data_name(name: str) -> bool:
    lowered = name.lower()
    endings = (".csv", ".csv.gz", ".txt", ".zip", ".parquet", ".feather", ".json", ".json.gz")
    return not lowered.startswith(".") and lowered.endswith(endings)


def _clock(hours: float) -> str:
    minutes = round(abs(hours) * 60)
    return f"{'-' if hours < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


__all__ = [
    "FileFailure", "ImportOptions", "Importer", "SeriesReport", "expand_paths", "import_files",
]  # fmt: skip
