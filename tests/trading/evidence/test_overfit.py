"""CSCV against a naive reference, against the splits of a field library, and on tables whose answer is known."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import rankdata
from skfolio.model_selection import CombinatorialPurgedCV  # type: ignore[import-untyped]

from trading.quant.evidence.errors import EvidenceError
from trading.quant.evidence.overfit import blocks_for, cscv

Float64 = npt.NDArray[np.float64]


def _naive(table: Float64, blocks: int) -> list[float]:
    """The paper's steps one by one, over the rows themselves."""
    parts = np.array_split(np.arange(len(table)), blocks)
    out = []
    for chosen in combinations(range(blocks), blocks // 2):
        rows = np.concatenate([parts[k] for k in chosen])
        rest = np.setdiff1d(np.arange(len(table)), rows)
        inside = table[rows].mean(axis=0) / table[rows].std(axis=0, ddof=1)
        outside = table[rest].mean(axis=0) / table[rest].std(axis=0, ddof=1)
        rank = rankdata(outside)[np.argmax(inside)]
        relative = rank / (table.shape[1] + 1)
        out.append(math.log(relative / (1 - relative)))
    return out


def test_logits_equal_the_naive_reference() -> None:
    table = np.random.default_rng(3).standard_normal((120, 7))
    found = cscv(table, blocks=6)
    assert found.logits == pytest.approx(np.array(_naive(table, 6)))
    assert found.pbo == pytest.approx(np.mean(np.array(_naive(table, 6)) <= 0))
    assert (found.blocks, found.n_trials, found.n_observations) == (6, 7, 120)


def test_halves_are_those_of_the_combinatorial_split_of_a_field_library() -> None:
    """skfolio's combinatorial folds without purging: the same logits, split by split, in whatever order."""
    table = np.random.default_rng(4).standard_normal((80, 5))
    splits = CombinatorialPurgedCV(n_folds=8, n_test_folds=4, purged_size=0, embargo_size=0)
    logits = []
    for train, tests in splits.split(table):
        rest = np.concatenate(tests)
        inside = table[train].mean(axis=0) / table[train].std(axis=0, ddof=1)
        outside = table[rest].mean(axis=0) / table[rest].std(axis=0, ddof=1)
        relative = rankdata(outside)[np.argmax(inside)] / 6
        logits.append(math.log(relative / (1 - relative)))
    assert np.sort(cscv(table, blocks=8).logits) == pytest.approx(np.sort(logits))


def test_one_trial_that_is_better_everywhere_is_not_overfit() -> None:
    table = np.random.default_rng(5).standard_normal((400, 10))
    table[:, 4] += 1.0
    found = cscv(table)
    assert found.pbo == 0
    assert found.loss == 0
    assert found.blocks == 16


def test_noise_is_overfit_about_half_the_time() -> None:
    values = [cscv(np.random.default_rng(seed).standard_normal((160, 10)), blocks=8).pbo for seed in range(200)]
    assert np.mean([v for v in values if v is not None]) == pytest.approx(0.5, abs=0.05)


def test_trial_that_wins_early_and_loses_late_is_overfit() -> None:
    """What is best in one half is worst in the other: every logit lies below zero."""
    rng = np.random.default_rng(6)
    table = 0.1 * rng.standard_normal((64, 8))
    for k in range(8):
        table[8 * k : 8 * k + 8, k] += 3.0  # each trial lives off one block alone
    assert cscv(table, blocks=8).pbo == 1.0


def test_too_little_says_nothing() -> None:
    assert blocks_for(23) == 0
    assert cscv(np.random.default_rng(1).standard_normal((20, 5))).pbo is None
    assert cscv(np.zeros((200, 5))).pbo is None
    with pytest.raises(EvidenceError, match="even number"):
        cscv(np.zeros((20, 5)), blocks=5)
    with pytest.raises(EvidenceError, match="full table"):
        cscv(np.full((50, 2), np.nan))
