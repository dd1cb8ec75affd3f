"""What can go wrong with market data; every message says what to do."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class MarketDataError(FundopsError):
    """Root of the failures of this package."""

    title = "Market data refused"


class SourceFormatError(MarketDataError):
    """A file that cannot be read as candles or funding; names the file and, where known, the line."""

    def __init__(self, path: str, message: str, *, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else path
        super().__init__(f"{where}: {message}", path=path, line=line)
        self.path = path
        self.line = line


class UnknownFormatError(SourceFormatError):
    """No reader recognises the file."""


class IntervalError(MarketDataError):
    """An interval nobody can store: unknown spelling, or one that does not divide a day."""


class TimezoneError(MarketDataError):
    """A time zone option that names no zone."""


class TimezoneSuspectedError(SourceFormatError):
    """The stamps look like local time. Refused until a person says which zone they are in."""

    def __init__(self, path: str, message: str, *, suggestion: str) -> None:
        super().__init__(path, message)
        self.suggestion = suggestion
        self.extra["suggestion"] = suggestion


class WrongTickerSuspectedError(SourceFormatError):
    """The prices are those of another instrument than the name says."""


class SeriesNameError(MarketDataError):
    """A venue, symbol or kind that cannot name a series."""


class CatalogError(MarketDataError):
    """The catalog itself is damaged, unreachable, or asked to do what it must not."""


class SyntheticMixError(CatalogError):
    """Invented bars were about to be stored with real ones, or real ones with invented."""


class CandlesMissingError(CatalogError):
    """The series asked for is not in the catalog."""

    status = 404
    title = "No such candles"


class DownloadError(MarketDataError):
    """A venue did not give what was asked, after all retries."""

    status = 502
    title = "Download failed"
