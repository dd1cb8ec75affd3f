"""Market data without the database: the Parquet catalog, importers, validation, resampling, downloads,
synthesis.

Everything here works on arrays, files and an injected clock. What Django shows of it (``CandleSet``,
``DataQuarantine``) is written by ``trading.actions.marketdata`` from the results of these modules.
"""
