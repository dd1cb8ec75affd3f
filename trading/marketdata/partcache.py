"""Decoded parts, kept for the next load of the same window.

A part's path carries the beginning of its hash and its content never changes, so an entry can never be stale.
Arrays are read-only; the least recently used parts go first when the bound is reached.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from trading.marketdata.bars import Bars

ROW_BYTES = 48  # a stamp and five values
DEFAULT_BYTES = 96 * 1024**2


class PartCache:
    """Bounded by bytes; safe between threads."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self.max_bytes = max_bytes
        self._parts: OrderedDict[tuple[str, str], Bars] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._parts)

    def get(self, url: str, path: str) -> Bars | None:
        with self._lock:
            bars = self._parts.get((url, path))
            if bars is not None:
                self._parts.move_to_end((url, path))
            return bars

    def put(self, url: str, path: str, bars: Bars) -> None:
        with self._lock:
            if (url, path) in self._parts:
                return
            self._parts[url, path] = bars
            self._bytes += len(bars) * ROW_BYTES
            while self._bytes > self.max_bytes and self._parts:
                _, dropped = self._parts.popitem(last=False)
                self._bytes -= len(dropped) * ROW_BYTES

    def clear(self) -> None:
        with self._lock:
            self._parts.clear()
            self._bytes = 0


SHARED = PartCache()
