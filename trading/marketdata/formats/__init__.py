"""The registry of candle formats: the one place where a new one is added, and where a file is sniffed."""

from __future__ import annotations

from trading.marketdata.errors import UnknownFormatError
from trading.marketdata.formats.arrow_files import FEATHER, PARQUET
from trading.marketdata.formats.base import Format, Probe, ReadOptions
from trading.marketdata.formats.binance_zip import BINANCE_ZIP
from trading.marketdata.formats.csv_text import CSV
from trading.marketdata.formats.freqtrade_json import FREQTRADE_JSON
from trading.marketdata.formats.funding_files import FUNDING_CSV, FUNDING_TABLE
from trading.marketdata.formats.lean import LEAN

# The first that recognises a file reads it; the unspecific CSV stands last.
FORMATS: tuple[Format, ...] = (
    FUNDING_TABLE,
    PARQUET,
    FEATHER,
    BINANCE_ZIP,
    LEAN,
    FREQTRADE_JSON,
    FUNDING_CSV,
    CSV,
)


def format_names() -> list[str]:
    return [fmt.name for fmt in FORMATS]


def sniff(probe: Probe, name: str | None = None) -> Format:
    """The format of a file, or the one asked for by name; raises UnknownFormatError."""
    if name is not None:
        for fmt in FORMATS:
            if fmt.name == name:
                return fmt
        raise UnknownFormatError(str(probe.path), f"'{name}' is no format: choose from {', '.join(format_names())}.")
    if not probe.content.strip():
        raise UnknownFormatError(str(probe.path), "is empty.")
    for fmt in FORMATS:
        if fmt.recognises(probe):
            return fmt
    raise UnknownFormatError(
        str(probe.path),
        f"is no file of candles or funding that this program knows ({', '.join(format_names())}).",
    )


__all__ = ["FORMATS", "Format", "Probe", "ReadOptions", "format_names", "sniff"]
