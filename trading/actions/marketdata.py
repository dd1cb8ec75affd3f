"""Bringing candles in: import, download, resampling, synthesis, backfill, and reading a catalog anew.

Files are written first, outside any transaction, and writing them again changes nothing; then one transaction
mirrors the manifest, files the quarantine and writes the audit event. A crash between the two is healed by
the next run, or by ``sync_catalog``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from trading.marketdata.bars import SYNTHETIC_VENUE, BadRow, Bars, Kind, SeriesKey
from trading.marketdata.catalog import Catalog, MergeResult
from trading.marketdata.download import (
    CandleSource,
    DownloadReport,
    Pacer,
    Progress,
    backfill_gaps,
    download_series,
)
from trading.marketdata.gaps import GapRange, missing_count
from trading.marketdata.importer import FileFailure, Importer, ImportOptions, SeriesReport, import_files
from trading.marketdata.intervals import interval_label
from trading.marketdata.manifest import Manifest
from trading.marketdata.resample import resample
from trading.marketdata.storage import open_storage
from trading.marketdata.synthetic import SyntheticSpec, store_synthetic, synthesise
from trading.models.marketdata import CandleSet, DataQuarantine

PERMISSION = "trading.import_candles"
TOPICS = ("candles",)
_BATCH = 2_000


@dataclass(slots=True)
class ImportOutcome:
    """Series that came in, and files that could not."""

    reports: list[SeriesReport] = field(default_factory=list)
    failures: list[FileFailure] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "series": [report.as_json() for report in self.reports],
            "failures": [{"path": f.path, "error": f.error.message, **f.error.extra} for f in self.failures],
        }


@dataclass(slots=True)
class ResampleOutcome:
    """``incomplete_ms`` are the buckets that lacked a bar; ``kept_incomplete`` says whether they were
    stored.
    """

    candle_set: CandleSet
    accepted: int
    unchanged: int
    replaced: int
    incomplete_ms: list[int]
    kept_incomplete: bool


def open_catalog_for_writing() -> Catalog:
    """The catalog at MARKET_DATA_URL; writers of one series take turns across processes and machines."""
    storage = open_storage(settings.MARKET_DATA_URL)

    @contextmanager
    def lock(name: str) -> Iterator[None]:
        digest = hashlib.blake2b(f"{storage.url}/{name}".encode(), digest_size=8).digest()
        number = int.from_bytes(digest, "big", signed=True)
        with storage.lock(name):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", [number])
            try:
                yield
            finally:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [number])

    return Catalog(storage, lock=lock)


def import_candles(
    *,
    paths: Sequence[Path],
    options: ImportOptions,
    actor: User | None,
    progress: Callable[[str, int, int], None] | None = None,
) -> ImportOutcome:
    """Imports files of candles or funding. A file that fails is reported, the others come in.

    ``actor`` None is the system itself (the command line). Raises PermissionMissingError.
    """
    _authorise(actor)
    importer = Importer(open_catalog_for_writing(), now_ms=clock.now_ms())
    outcome = ImportOutcome()
    for result in import_files(importer, paths, options, progress=progress):
        if isinstance(result, FileFailure):
            outcome.failures.append(result)
            continue
        outcome.reports.append(result)
        _record(
            result.manifest,
            [*result.quarantined, *result.displaced],
            kind="trading.candles.imported",
            actor=actor,
            payload={
                "source": result.source,
                "rows_in": result.rows_in,
                "accepted": result.accepted,
                "unchanged": result.unchanged,
                "replaced": result.replaced,
                "quarantined": result.reasons,
            },
        )
    return outcome


def download_candles(
    *,
    source: CandleSource,
    symbol: str,
    interval_ms: int,
    since_ms: int,
    until_ms: int,
    actor: User | None,
    pacer: Pacer,
    progress: Progress | None = None,
    refetch: bool = False,
) -> DownloadReport:
    """Fetches one symbol from a venue into the catalog; run again after a failure, it goes on where it
    stopped.

    What arrived before a failure is recorded too. Raises DownloadError, PermissionMissingError.
    """
    _authorise(actor)
    catalog = open_catalog_for_writing()
    key = SeriesKey(source.venue, source.resolve(symbol), interval_ms)
    report: DownloadReport | None = None
    try:
        report = download_series(
            source, catalog, key, since_ms, until_ms, pacer=pacer, progress=progress, refetch=refetch
        )
    finally:
        manifest = report.manifest if report is not None else catalog.manifest(key)
        if manifest is not None:
            bad = [row for _, row in catalog.quarantine(key)] if manifest.quarantined else []
            _record(
                manifest,
                bad,
                kind="trading.candles.downloaded",
                actor=actor,
                payload={"completed": report is not None, **(report.as_json() if report else {})},
            )
    return report


def resample_candles(
    *, key: SeriesKey, to_ms: int, actor: User | None, keep_incomplete: bool = False
) -> ResampleOutcome:
    """Makes coarser bars of a stored series. Buckets that lack a bar are left out unless told otherwise.

    Raises CandlesMissingError, IntervalError, PermissionMissingError.
    """
    _authorise(actor)
    catalog = open_catalog_for_writing()
    manifest = catalog.require(key)
    result = resample(
        catalog.read_from(manifest, manifest.first_ms or 0, (manifest.last_ms or 0) + 1),
        key.interval_ms,
        to_ms,
    )
    bars = result.bars if keep_incomplete else result.only_complete()
    target = SeriesKey(key.venue, key.symbol, to_ms, key.kind)
    merged = catalog.merge(target, bars, source=f"resampled from {key.interval}", synthetic=key.synthetic, replace=True)
    incomplete = result.incomplete_ms()
    candle_set = _record(
        merged.manifest,
        merged.displaced,
        kind="trading.candles.resampled",
        actor=actor,
        payload={
            "from": key.interval,
            "accepted": merged.accepted,
            "unchanged": merged.unchanged,
            "replaced": merged.replaced,
            "incomplete": len(incomplete),
            "kept_incomplete": keep_incomplete,
        },
    )
    return ResampleOutcome(candle_set, merged.accepted, merged.unchanged, merged.replaced, incomplete, keep_incomplete)


def synthesise_candles(*, spec: SyntheticSpec, actor: User | None) -> list[CandleSet]:
    """Invents a market and stores it under the venue ``synthetic``, labelled so everywhere."""
    _authorise(actor)
    market = synthesise(spec)
    results = store_synthetic(open_catalog_for_writing(), market)
    return [
        _record(
            merged.manifest,
            [],
            kind="trading.candles.synthesised",
            actor=actor,
            payload={"seed": spec.seed, "minutes": spec.minutes, "accepted": merged.accepted},
        )
        for merged in results
    ]


@dataclass(slots=True)
class BackfillOutcome:
    """Missing bars before, filled from finer candles, filled by the venue, and what is left."""

    before: int
    from_finer: int
    from_venue: int
    left: list[GapRange]
    finer_interval: str | None = None


def backfill_candles(
    *, key: SeriesKey, actor: User | None, source: CandleSource | None = None, pacer: Pacer | None = None
) -> BackfillOutcome:
    """Fills gaps with what a source can give: first finer bars of the same market in the catalog, then the
    venue.
    """
    _authorise(actor)
    catalog = open_catalog_for_writing()
    gaps = catalog.gaps(key)
    before = missing_count(gaps)
    finer, interval = _fill_from_finer(catalog, key, gaps) if gaps else (0, None)
    gaps = catalog.gaps(key) if finer else gaps
    bad: list[BadRow] = []
    from_venue = 0
    if gaps and source is not None and pacer is not None and key.kind is Kind.TRADE:
        source.resolve(key.symbol)
        report = backfill_gaps(source, catalog, key, gaps, pacer=pacer)
        from_venue, bad = report.accepted, [*report.quarantined, *report.displaced]
        gaps = catalog.gaps(key)
    _record(
        catalog.require(key),
        bad,
        kind="trading.candles.backfilled",
        actor=actor,
        payload={
            "missing": before,
            "from_finer": finer,
            "from_venue": from_venue,
            "left": missing_count(gaps),
        },
    )
    return BackfillOutcome(before, finer, from_venue, gaps, interval)


def sync_catalog(*, actor: User | None) -> int:
    """Makes the database mirror the catalog, for one that was moved here or written while the database was
    away.

    Sets whose manifest is gone keep their row with no bars. Returns how many sets the catalog holds.
    """
    _authorise(actor)
    catalog = Catalog.open(settings.MARKET_DATA_URL)
    seen = []
    for manifest in catalog.manifests():
        bad = [row for _, row in catalog.quarantine(manifest.key)] if manifest.quarantined else []
        candle_set = CandleSet.objects.filter(**_identity(manifest.key)).first()
        if candle_set is None or candle_set.sha256 != content_hash(manifest) or candle_set.quarantined != len(bad):
            candle_set = _record(
                manifest, bad, kind="trading.candles.mirrored", actor=actor, payload={"rows": manifest.rows}
            )
        seen.append(candle_set.pk)
    CandleSet.objects.exclude(pk__in=seen).update(
        rows=0, missing=0, parts=0, size_bytes=0, first_at=None, last_at=None, updated_at=clock.now()
    )
    return len(seen)


def content_hash(manifest: Manifest) -> str:
    """SHA-256 over the hashes of all parts: the same bars in the same parts have the same one."""
    return hashlib.sha256("".join(part.sha256 for part in manifest.parts).encode()).hexdigest()


def _authorise(actor: User | None) -> None:
    if actor is not None:
        require(actor, PERMISSION)


def _record(
    manifest: Manifest, bad: Iterable[BadRow], *, kind: str, actor: User | None, payload: dict[str, Any]
) -> CandleSet:
    key, now = manifest.key, clock.now()
    with transaction.atomic():
        values = {
            "interval": key.interval,
            "synthetic": manifest.synthetic,
            "rows": manifest.rows,
            "missing": manifest.missing,
            "quarantined": manifest.quarantined,
            "parts": len(manifest.parts),
            "size_bytes": manifest.size,
            "first_at": None if manifest.first_ms is None else clock.from_ms(manifest.first_ms),
            "last_at": None if manifest.last_ms is None else clock.from_ms(manifest.last_ms),
            "source": manifest.parts[-1].source[:400] if manifest.parts else "",
            "sha256": content_hash(manifest),
            "updated_at": now,
        }
        candle_set, _ = CandleSet.objects.update_or_create(
            **_identity(key), defaults=values, create_defaults=values | {"created_at": now}
        )
        rows = (
            DataQuarantine(
                candle_set=candle_set,
                digest=row.digest(str(key)),
                reason=str(row.reason),
                detail=row.detail[:500],
                bar_at=_bar_time(row.ts_ms),
                source=row.source[:400],
                line=row.line,
                raw=dict(row.raw),
                found_at=now,
            )
            for row in bad
        )
        DataQuarantine.objects.bulk_create(rows, batch_size=_BATCH, ignore_conflicts=True)
        publish(kind, actor=actor, obj=candle_set, payload={"series": str(key), **payload}, topics=TOPICS)
    return candle_set


def _identity(key: SeriesKey) -> dict[str, Any]:
    return {"venue": key.venue, "symbol": key.symbol, "interval_ms": key.interval_ms, "kind": str(key.kind)}


def _bar_time(ts_ms: int | None) -> Any:
    try:
        return None if ts_ms is None else clock.from_ms(ts_ms)
    except OverflowError:
        return None


def _fill_from_finer(catalog: Catalog, key: SeriesKey, gaps: Sequence[GapRange]) -> tuple[int, str | None]:
    """Only whole buckets are taken: a bar made of part of its minutes would be an invention."""
    finer = sorted(
        (
            m
            for m in catalog.manifests(venue=key.venue, kind=key.kind)
            if m.key.symbol == key.symbol and m.key.interval_ms < key.interval_ms
            and key.interval_ms % m.key.interval_ms == 0 and m.parts
        ),
        key=lambda m: -m.key.interval_ms,
    )  # fmt: skip
    filled, used = 0, None
    for manifest in finer:
        found = [
            resample(
                catalog.read_from(manifest, gap.first_ms, gap.last_ms + key.interval_ms),
                manifest.key.interval_ms,
                key.interval_ms,
            ).only_complete()
            for gap in gaps
        ]
        merged: MergeResult = catalog.merge(
            key,
            Bars.concat(found),
            source=f"backfilled from {interval_label(manifest.key.interval_ms)}",
            synthetic=key.venue == SYNTHETIC_VENUE,
        )
        filled += merged.accepted
        used = used or (manifest.key.interval if merged.accepted else None)
        if merged.accepted:
            gaps = catalog.gaps(key)
        if not gaps:
            break
    return filled, used
