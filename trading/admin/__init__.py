"""The administrators' view of trading: to read, never to change what the books and catalogs say."""

from trading.admin.marketdata import CandleSetAdmin, DataQuarantineAdmin

__all__ = ["CandleSetAdmin", "DataQuarantineAdmin"]
