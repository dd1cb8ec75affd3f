"""The Parquet catalog of bars: parts by venue, symbol, interval and day, a manifest a series, a quarantine a
series.

    manifests/candles/<kind>/<venue>/<symbol>/<interval>.json
    candles/kind=<kind>/venue=<venue>/symbol=<symbol>/interval=<interval>/day=<day>/<sha256 begins>.parquet
    quarantine/candles/<kind>/<venue>/<symbol>/<interval>.parquet

Bars of an hour and more share a part a month (``month=``), daily bars one a year (``year=``). Writing the
same bars again changes nothing; a bar that contradicts a stored one goes to quarantine unless told to replace
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np

from trading.marketdata.bars import BadRow, Bars, Bools, Kind, Reason, SeriesKey
from trading.marketdata.errors import CandlesMissingError, CatalogError, SyntheticMixError
from trading.marketdata.gaps import GapRange, find_gaps
from trading.marketdata.intervals import period_name, period_of
from trading.marketdata.manifest import Manifest, Part, manifest_path
from trading.marketdata.partcache import SHARED, PartCache
from trading.marketdata.partfile import (
    decode_bars,
    decode_quarantine,
    encode_bars,
    encode_quarantine,
    gaps_inside,
    sorted_merge,
)
from trading.marketdata.storage import Storage, open_storage

_MAX_TAILS = 16

WriterLock = Callable[[str], AbstractContextManager[None]]


@dataclass(slots=True)
class MergeResult:
    """What became of the bars given: ``len(bars) == accepted + unchanged + replaced + len(refused)``.

    ``displaced`` are stored bars that gave way; they were counted when they came in.
    """

    manifest: Manifest
    accepted: int = 0
    unchanged: int = 0
    replaced: int = 0
    refused: list[BadRow] = field(default_factory=list)
    displaced: list[BadRow] = field(default_factory=list)


class Catalog:
    """Reads and writes one catalog. Readers need no lock; writers of one series take turns."""

    def __init__(self, storage: Storage, *, lock: WriterLock | None = None, cache: PartCache = SHARED) -> None:
        self.storage = storage
        self._cache = cache
        self._lock = lock or storage.lock

    @classmethod
    def open(cls, url: str, *, lock: WriterLock | None = None) -> Catalog:
        """``lock`` keeps other writers of a name out; by default the storage's own, which on S3 is none."""
        return cls(open_storage(url), lock=lock)

    @property
    def url(self) -> str:
        return self.storage.url

    # --- reading
    # ---------------------------------------------------------------------------------------------

    def manifest(self, key: SeriesKey) -> Manifest | None:
        path = manifest_path(key)
        data = self.storage.read(path)
        return None if data is None else Manifest.from_json(data, f"{self.url}/{path}")

    def require(self, key: SeriesKey) -> Manifest:
        manifest = self.manifest(key)
        if manifest is None or not manifest.parts:
            raise CandlesMissingError(
                f"There are no candles of {key} in {self.url}: import them with 'manage.py import_candles' "
                f"or fetch "
                f"them with 'manage.py download_candles {key.venue} {key.symbol}'."
            )
        return manifest

    def manifests(self, *, venue: str | None = None, kind: Kind | None = None) -> Iterator[Manifest]:
        """Every series, ordered by kind, venue, symbol and interval."""
        wanted = []
        for path in self.storage.files("manifests/candles"):
            names = path.split("/")
            if not path.endswith(".json") or len(names) != 6:
                continue
            if (kind is None or names[2] == kind) and (venue is None or names[3] == venue):
                wanted.append(path)
        for path, data in zip(wanted, self.storage.read_many(wanted), strict=True):
            if data is not None:
                yield Manifest.from_json(data, f"{self.url}/{path}")

    def read_bars(self, key: SeriesKey, start_ms: int, end_ms: int) -> Bars:
        """Stored bars opening in [start, end); none where the series is unknown."""
        manifest = self.manifest(key)
        return Bars.empty() if manifest is None else self.read_from(manifest, start_ms, end_ms)

    def read_from(self, manifest: Manifest, start_ms: int, end_ms: int) -> Bars:
        """The same, with the manifest at hand. A writer may replace a part between the reads: look again."""
        for _ in range(5):
            parts = manifest.overlapping(start_ms, end_ms)
            found = self._parts(parts)
            lost = [part.path for part, bars in zip(parts, found, strict=True) if bars is None]
            if not lost:
                return Bars.concat([bars for bars in found if bars is not None]).between(start_ms, end_ms)
            fresh = self.manifest(manifest.key)
            if fresh is None or fresh == manifest:
                break
            manifest = fresh
        raise CatalogError(
            f"{self.url} lacks {lost[0]}, which its manifest names: restore the file, or import that period "
            "again with --replace."
        )

    def _parts(self, parts: Sequence[Part]) -> list[Bars | None]:
        """The bars of each part, None where its file is gone; CatalogError where one was tampered with."""
        found = [self._cache.get(self.url, part.path) for part in parts]
        absent = [i for i, bars in enumerate(found) if bars is None]
        for i, data in zip(absent, self.storage.read_many([parts[i].path for i in absent]), strict=True):
            if data is None:
                continue
            part = parts[i]
            if hashlib.sha256(data).hexdigest() != part.sha256:
                raise CatalogError(
                    f"{self.url}/{part.path} is damaged: it is not what was written. Restore the file, or "
                    "import that period again with --replace."
                )
            bars = decode_bars(data, part.path)
            self._cache.put(self.url, part.path, bars)
            found[i] = bars
        return found

    def gaps(self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None) -> list[GapRange]:
        """Missing bars in [start, end), by default between the first and the last stored bar."""
        manifest = self.require(key)
        first, last = manifest.first_ms or 0, manifest.last_ms or 0
        if key.kind is Kind.FUNDING:
            return []
        bars = self.read_from(manifest, first if start_ms is None else start_ms, last + 1 if end_ms is None else end_ms)
        return find_gaps(bars.ts_ms, key.interval_ms, start_ms=start_ms, end_ms=end_ms)

    def quarantine(self, key: SeriesKey) -> list[tuple[str, BadRow]]:
        """Digest and row of everything refused for the series, in the order it was found."""
        path = _quarantine_path(key)
        data = self.storage.read(path)
        return [] if data is None else decode_quarantine(data, f"{self.url}/{path}")

    def damaged_parts(self, key: SeriesKey) -> list[str]:
        """Parts that are gone or whose content no longer has the manifest's hash, as sentences."""
        problems = []
        for part in self.require(key).parts:
            data = self.storage.read(part.path)
            if data is None:
                problems.append(f"{part.path} is missing")
            elif hashlib.sha256(data).hexdigest() != part.sha256:
                problems.append(f"{part.path} was changed after it was written")
        return problems

    # --- writing
    # ---------------------------------------------------------------------------------------------

    def merge(
        self,
        key: SeriesKey,
        bars: Bars,
        *,
        source: str,
        synthetic: bool = False,
        replace: bool = False,
        bad: Sequence[BadRow] = (),
        tail_may_be_open: bool = False,
    ) -> MergeResult:
        """Adds bars that are valid, ascending and on the grid, and files the bad rows found with them.

        ``tail_may_be_open`` says that the last bar may have been taken before it closed: a later source may
        then correct it. Raises SyntheticMixError when invented bars would enter a real venue or the other way
        round.
        """
        if synthetic != key.synthetic:
            raise SyntheticMixError(
                f"{'Synthetic' if synthetic else 'Real'} bars cannot be stored as {key}: synthetic bars "
                f"live under the "
                "venue 'synthetic', and nothing else does."
            )
        with self._lock(manifest_path(key)):
            before = self.manifest(key) or Manifest(key, synthetic=synthetic)
            result = MergeResult(before)
            fresh_parts = [
                part
                for period, slice_ in _by_period(bars, key.interval_ms)
                if (part := self._merge_part(before, period, slice_, source, result, replace=replace)) is not None
            ]
            # A bar that stands inside a later source has closed.
            tails = set(before.open_tails) - set(bars.ts_ms[:-1].tolist())
            if tail_may_be_open and len(bars) and int(bars.ts_ms[-1]) == max(before.last_ms or 0, int(bars.ts_ms[-1])):
                tails.add(int(bars.ts_ms[-1]))
            found = self._file_quarantine(key, [*bad, *result.refused, *result.displaced])
            after = before.with_parts(fresh_parts, open_tails=tuple(sorted(tails)[-_MAX_TAILS:]), quarantined=found)
            if after != before:
                self.storage.write(manifest_path(key), after.to_json())
            for part in fresh_parts:
                old = before.part(part.period)
                if old is not None and old.path != part.path:
                    self.storage.delete(old.path)
            result.manifest = after
        return result

    def delete(self, key: SeriesKey) -> None:
        """Takes a series out, its quarantine included. The manifest goes first: a crash leaves only
        orphans.
        """
        with self._lock(manifest_path(key)):
            manifest = self.manifest(key)
            self.storage.delete(manifest_path(key))
            self.storage.delete(_quarantine_path(key))
            for part in manifest.parts if manifest else ():
                self.storage.delete(part.path)

    def sweep(self, key: SeriesKey) -> int:
        """Deletes part files that a crash left without a manifest naming them; returns how many."""
        with self._lock(manifest_path(key)):
            manifest = self.manifest(key)
            named = {part.path for part in manifest.parts} if manifest else set()
            orphans = [path for path in self.storage.files(_series_folder(key)) if path not in named]
            for path in orphans:
                self.storage.delete(path)
        return len(orphans)

    def _merge_part(
        self, before: Manifest, period: str, new: Bars, source: str, result: MergeResult, *, replace: bool
    ) -> Part | None:
        key = before.key
        old_part = before.part(period)
        if old_part is None:
            result.accepted += len(new)
            return self._write_part(key, period, new, source)
        stored = self._stored(old_part, replace=replace)
        where = np.searchsorted(stored.ts_ms, new.ts_ms)
        clipped = np.minimum(where, max(len(stored) - 1, 0))
        known = (stored.ts_ms[clipped] == new.ts_ms) if len(stored) else np.zeros(len(new), np.bool_)
        old_rows = stored.take(clipped[known])
        new_rows = new.take(known)
        same = old_rows.same_values(new_rows)
        wins = self._newer_wins(before, old_rows, new_rows, same, source, result, replace=replace)
        result.unchanged += int(same.sum())
        result.replaced += int(wins.sum())
        result.accepted += int((~known).sum())
        if known.all() and not wins.any():
            return None
        gone = np.zeros(len(stored), np.bool_)
        gone[clipped[known][wins]] = True
        arriving = sorted_merge(new.take(~known), new_rows.take(wins))
        merged = sorted_merge(stored.take(~gone), arriving)
        sources = dict.fromkeys([*old_part.source.split(" + "), source])
        return self._write_part(key, period, merged, " + ".join(list(sources)[-4:]))

    def _stored(self, part: Part, *, replace: bool) -> Bars:
        """What a part holds; a lost or damaged one counts as empty when it is to be replaced anyway."""
        try:
            (bars,) = self._parts([part])
        except CatalogError:
            if not replace:
                raise
            return Bars.empty()
        if bars is None and not replace:
            raise CatalogError(
                f"{self.url} lacks {part.path}, which its manifest names: restore it, or import with --replace."
            )
        return Bars.empty() if bars is None else bars

    def _newer_wins(
        self,
        before: Manifest,
        old: Bars,
        new: Bars,
        same: Bools,
        source: str,
        result: MergeResult,
        *,
        replace: bool,
    ) -> Bools:
        """Decides each contradiction; files the loser."""
        wins = np.zeros(len(old), np.bool_)
        for i in np.flatnonzero(~same).tolist():
            ts_ms = int(old.ts_ms[i])
            was_open = ts_ms in before.open_tails and _grew(old, new, i)
            wins[i] = replace or was_open
            raw = {name: repr(value) for name, value in (old if wins[i] else new).row(i).items()}
            if wins[i]:
                why = "it was the last bar of its source and had not closed" if was_open else "replaced on request"
                result.displaced.append(BadRow(Reason.DISPLACED, source, None, raw, ts_ms, why))
            elif _grew(new, old, i) and new.volume[i] < old.volume[i] and i == len(new) - 1:
                why = "the catalog holds a later state of this bar"
                result.refused.append(BadRow(Reason.UNFINISHED, source, None, raw, ts_ms, why))
            else:
                kept = ", ".join(f"{name} {value:g}" for name, value in list(old.row(i).items())[1:])
                result.refused.append(BadRow(Reason.CONFLICTS_WITH_STORED, source, None, raw, ts_ms, f"kept: {kept}"))
        return wins

    def _write_part(self, key: SeriesKey, period: str, bars: Bars, source: str) -> Part:
        data = encode_bars(key, bars)
        digest = hashlib.sha256(data).hexdigest()
        unit = period_name(key.interval_ms)
        path = f"{_series_folder(key)}/{unit}={period}/{digest[:16]}.parquet"
        self.storage.write(path, data)
        gaps = 0 if key.kind is Kind.FUNDING else gaps_inside(bars, key.interval_ms)
        first, last = int(bars.ts_ms[0]), int(bars.ts_ms[-1])
        return Part(period, path, len(bars), first, last, gaps, digest, source, key.synthetic, len(data))

    def _file_quarantine(self, key: SeriesKey, rows: Iterable[BadRow]) -> int:
        """Appends what is new; returns how many rows the quarantine of the series holds."""
        known = self.quarantine(key)
        digests = {digest for digest, _ in known}
        fresh = []
        for row in rows:
            digest = row.digest(str(key))
            if digest not in digests:
                digests.add(digest)
                fresh.append((digest, row))
        if fresh:
            self.storage.write(_quarantine_path(key), encode_quarantine([*known, *fresh]))
        return len(known) + len(fresh)


def _grew(old: Bars, new: Bars, i: int) -> bool:
    """Whether ``new`` can be the same bar seen later: same open, wider range, more volume."""
    return bool(
        old.open[i] == new.open[i]
        and new.high[i] >= old.high[i]
        and new.low[i] <= old.low[i]
        and new.volume[i] >= old.volume[i]
    )


def _by_period(bars: Bars, interval_ms: int) -> Iterator[tuple[str, Bars]]:
    if not len(bars):
        return
    unit = period_name(interval_ms)
    day = bars.ts_ms // 86_400_000
    starts = np.flatnonzero(np.append(True, day[1:] != day[:-1])).tolist()
    begin, current = 0, period_of(int(bars.ts_ms[0]), unit)
    for start in starts[1:]:
        period = period_of(int(bars.ts_ms[start]), unit)
        if period != current:
            yield current, bars.take(slice(begin, start))
            begin, current = start, period
    yield current, bars.take(slice(begin, len(bars)))


def _series_folder(key: SeriesKey) -> str:
    return f"candles/kind={key.kind}/venue={key.venue}/symbol={key.symbol}/interval={key.interval}"


def _quarantine_path(key: SeriesKey) -> str:
    return f"quarantine/candles/{key.kind}/{key.venue}/{key.symbol}/{key.interval}.parquet"
