"""Which stored days a replay may use: folds as long as the cohort, purged of every window the genomes were chosen
on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Window:
    """Times in epoch ms, the end not included."""

    start_ms: int
    end_ms: int


def replay_folds(
    *,
    coverage: Window,
    forbidden: Sequence[Window],
    fold_days: int,
    warmup_days: int,
    embargo_days: int,
    most_days: int,
) -> list[Window]:
    """Folds of ``fold_days`` whole UTC days within ``coverage``, in order of time, at most ``most_days`` in all.

    A fold's days keep ``embargo_days`` away from every forbidden window on both sides, and the ``warmup_days``
    before it, which strategies only listen to, lie within the coverage and touch no forbidden window. The days
    nearest to the newest stored one are taken first.
    """
    length, warm, embargo = fold_days * DAY_MS, warmup_days * DAY_MS, embargo_days * DAY_MS
    last = coverage.end_ms // DAY_MS * DAY_MS
    folds: list[Window] = []
    end = last
    while len(folds) < most_days // fold_days and end - length - warm >= coverage.start_ms:
        start = end - length
        clash = max(
            (
                window.start_ms
                for window in forbidden
                if start < window.end_ms + max(embargo, warm) and end > window.start_ms - embargo
            ),
            default=None,
        )
        if clash is None:
            folds.append(Window(start, end))
            end = start
        else:
            end = min(end - DAY_MS, (clash - embargo) // DAY_MS * DAY_MS)
    return folds[::-1]
