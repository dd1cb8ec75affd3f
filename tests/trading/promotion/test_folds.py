"""Which days a replay may use."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trading.promotion.folds import DAY_MS, Window, replay_folds


def _days(first: int, last: int) -> Window:
    return Window(first * DAY_MS, last * DAY_MS)


def test_folds_of_a_cohort_in_the_middle_of_sixty_days() -> None:
    """Warm-up of seven days before the first; a day's distance before the cohort; seven days of warm-up after it."""
    folds = replay_folds(
        coverage=_days(0, 60), forbidden=[_days(40, 43)], fold_days=3, warmup_days=7, embargo_days=1, most_days=180
    )
    starts = [fold.start_ms // DAY_MS for fold in folds]
    assert starts == [9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 51, 54, 57]
    assert all(fold.end_ms - fold.start_ms == 3 * DAY_MS for fold in folds)


def test_longest_history_is_cut_to_the_newest_days() -> None:
    folds = replay_folds(coverage=_days(0, 400), forbidden=[], fold_days=3, warmup_days=7, embargo_days=1, most_days=10)
    assert [fold.start_ms // DAY_MS for fold in folds] == [391, 394, 397]
    assert replay_folds(
        coverage=_days(0, 9), forbidden=[], fold_days=3, warmup_days=7, embargo_days=1, most_days=90
    ) == []  # fmt: skip


@given(
    length=st.integers(1, 120),
    windows=st.lists(st.tuples(st.integers(0, 120), st.integers(1, 10)), max_size=4),
    fold=st.integers(1, 5),
    warmup=st.integers(1, 10),
    embargo=st.integers(1, 5),
    most=st.integers(0, 60),
)
def test_folds_never_touch_what_is_forbidden(
    length: int, windows: list[tuple[int, int]], fold: int, warmup: int, embargo: int, most: int
) -> None:
    forbidden = [_days(first, first + n) for first, n in windows]
    folds = replay_folds(
        coverage=_days(0, length),
        forbidden=forbidden,
        fold_days=fold,
        warmup_days=warmup,
        embargo_days=embargo,
        most_days=most,
    )
    assert len(folds) * fold <= most
    for k, one in enumerate(folds):
        assert one.start_ms % DAY_MS == 0
        assert one.start_ms - warmup * DAY_MS >= 0
        assert one.end_ms <= length * DAY_MS
        assert k == 0 or folds[k - 1].end_ms <= one.start_ms
        for window in forbidden:
            before = one.end_ms <= window.start_ms - embargo * DAY_MS
            after = one.start_ms - max(warmup, embargo) * DAY_MS >= window.end_ms
            assert before or after
