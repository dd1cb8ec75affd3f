"""What every reader shares: the options of a person, a probe of the file, safe decompression, number
columns.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from trading.marketdata.bars import FIELDS, Float64s, Kind, RawSeries, Reason
from trading.marketdata.errors import SourceFormatError
from trading.marketdata.symbols import PathHints, canonical_symbol, hints_from_path
from trading.marketdata.texts import Texts

MAX_BYTES = 2 * 1024**3
_HEAD = 65_536
_EMPTY_WORDS = frozenset({"", "na", "n/a", "null", "none", "nan", "-", "nil"})


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the person said on the command line; None where nothing was said."""

    venue: str | None = None
    symbol: str | None = None
    interval_ms: int | None = None
    zone: tzinfo | None = None
    kind: Kind | None = None
    price_scale: float | None = None

    @property
    def zone_or_utc(self) -> tzinfo:
        return self.zone or UTC


@dataclass(frozen=True, slots=True)
class Format:
    """One readable format. ``read`` yields a series for each symbol (and side) of the file."""

    name: str
    description: str
    recognises: Callable[[Probe], bool]
    read: Callable[[Probe, ReadOptions], Iterator[RawSeries]]


class Probe:
    """A file, opened as far as somebody asks. All failures of decompression are SourceFormatErrors."""

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path = path
        self._content = content

    @property
    def source(self) -> str:
        return self.path.name

    def error(self, message: str, *, line: int | None = None) -> SourceFormatError:
        return SourceFormatError(str(self.path), message, line=line)

    @cached_property
    def content(self) -> bytes:
        """The file as it lies on the disk."""
        if self._content is not None:
            return self._content
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise self.error("larger than 2 GiB: split it.")
            return self.path.read_bytes()
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror or error}.") from error

    @cached_property
    def hints(self) -> PathHints:
        return hints_from_path(self.path)

    @property
    def is_zip(self) -> bool:
        return self.content[:4] in (b"PK\x03\x04", b"PK\x05\x06")

    @property
    def is_gzip(self) -> bool:
        return self.content[:2] == b"\x1f\x8b"

    @property
    def is_parquet(self) -> bool:
        return self.content[:4] == b"PAR1"

    @property
    def is_feather(self) -> bool:
        return self.content[:6] == b"ARROW1" or self.content[:4] == b"FEA1"

    @cached_property
    def members(self) -> list[str]:
        """Names of the files inside a zip, folders left out."""
        try:
            with zipfile.ZipFile(io.BytesIO(self.content)) as archive:
                return [info.filename for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise self.error(f"is a damaged zip file ({error}).") from error

    def member(self, name: str) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(self.content)) as archive, archive.open(name) as file:
                return self._bounded(file.read)
        except (
            zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, RuntimeError, NotImplementedError,
            zlib.error, struct.error,
        ) as error:  # fmt: skip
            raise self.error(f"{name} inside cannot be unpacked ({error}).") from error

    @cached_property
    def plain(self) -> bytes:
        """The content with gzip taken off, or the only member of a zip."""
        if self.is_zip:
            if len(self.members) != 1:
                raise self.error(f"holds {len(self.members)} files; a zip of candles holds one CSV file.")
            return self.member(self.members[0])
        if not self.is_gzip:
            return self.content
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(self.content)) as file:
                return self._bounded(file.read)
        except (OSError, EOFError, zlib.error, struct.error) as error:
            raise self.error(f"is a damaged gzip file ({error}).") from error

    @cached_property
    def head(self) -> bytes:
        return self.plain[:_HEAD]

    @cached_property
    def text(self) -> str:
        return decode_text(self, self.plain)

    @property
    def written_ms(self) -> int | None:
        """When the content was written: gzip's own date, else the file's. None for zips, whose dates have no
        zone.
        """
        if self.is_zip:
            return None
        if self.is_gzip and len(self.content) >= 8:
            seconds = int.from_bytes(self.content[4:8], "little")
            if seconds:
                return seconds * 1000
        try:
            return int(self.path.stat().st_mtime * 1000)
        except OSError:
            return None

    def _bounded(self, read: Callable[[int], bytes]) -> bytes:
        data = read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise self.error("unpacks to more than 2 GiB: split it.")
        return data


def decode_text(probe: Probe, data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise probe.error(
            "is not UTF-8 text; save it as UTF-8, or name its format with --format.", line=line
        ) from error


def series_venue(probe: Probe, options: ReadOptions) -> str:
    venue = options.venue or probe.hints.venue
    if venue is None:
        raise probe.error("does not say which venue it is from: give --venue.")
    return venue


def series_symbol(probe: Probe, options: ReadOptions) -> str:
    symbol = options.symbol or probe.hints.symbol
    if not symbol:
        raise probe.error("does not say which symbol it holds: give --symbol.")
    return canonical_symbol(symbol)


def parse_floats(texts: Sequence[str], *, decimal_comma: bool = False) -> tuple[Float64s, dict[int, Reason]]:
    """Numbers of a text column; NaN with a reason where there is none."""
    if isinstance(texts, Texts) and not decimal_comma:
        numbers = texts.cast(pa.float64())
        if numbers is not None:
            return numbers.to_numpy(), {}
    if decimal_comma:
        texts = [text.replace(",", ".") for text in texts]
    try:
        return np.array(texts, dtype=np.str_).astype(np.float64), {}
    except ValueError:
        pass
    out = np.full(len(texts), np.nan)
    bad: dict[int, Reason] = {}
    for i, text in enumerate(texts):
        cleaned = text.strip()
        try:
            out[i] = float(cleaned)
        except ValueError:
            bad[i] = Reason.MISSING_VALUE if cleaned.lower() in _EMPTY_WORDS else Reason.UNPARSABLE
    return out, bad


def empty_values(n: int) -> dict[str, Float64s]:
    return {name: np.full(n, np.nan) for name in FIELDS}
