"""The limit of any test: against brute force, closed forms, and rules that might have beaten it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm

from trading.quant.evidence.errors import EvidenceError
from trading.quant.evidence.power import (
    critical_of_best,
    days_to_see,
    detectable_sharpe,
    exchangeable,
    limit_of_power,
    power_of,
    t_of_days,
)
from trading.quant.evidence.skill import critical_score

Float64 = npt.NDArray[np.float64]

DRAWS = 200_000


def test_three_days_of_sharpe_five_show_a_t_of_045() -> None:
    assert t_of_days(5, 3) == pytest.approx(0.4533, abs=1e-4)


def test_geometry_of_equal_correlation_is_that_of_the_inverse_matrix() -> None:
    for n, rho in ((2, 0.5), (30, 0.15), (30, 0.9)):
        matrix = np.full((n, n), rho)
        np.fill_diagonal(matrix, 1.0)
        inverse = np.linalg.inv(matrix)
        shape = exchangeable(n, rho)
        assert shape.gain**2 == pytest.approx(inverse[0, 0])
        assert shape.between == pytest.approx(inverse[0, 1] / inverse[0, 0])
    assert exchangeable(30, 0.0).gain == 1.0


def _simulated(n: int, rho: float, delta: float, seed: int = 1) -> Float64:
    """Draws of Y = R^-1 X, standardised, the first agent having the skill."""
    rng = np.random.default_rng(seed)
    x = math.sqrt(rho) * rng.standard_normal((DRAWS, 1)) + math.sqrt(1 - rho) * rng.standard_normal((DRAWS, n))
    x[:, 0] += delta
    matrix = np.full((n, n), rho)
    np.fill_diagonal(matrix, 1.0)
    inverse = np.linalg.inv(matrix)
    return np.asarray(x @ inverse / math.sqrt(inverse[0, 0]))


@pytest.mark.parametrize(("n", "rho"), [(2, 0.5), (10, 0.0), (30, 0.15), (30, 0.6)])
def test_limit_and_its_critical_value_agree_with_brute_force(n: int, rho: float) -> None:
    c = critical_of_best(n, rho, 0.05)
    false = np.mean(_simulated(n, rho, 0.0).max(axis=1) > c)
    assert false == pytest.approx(0.05, abs=3.5 * math.sqrt(0.05 * 0.95 / DRAWS))
    for sharpe, days in ((5.0, 33.0), (8.0, 33.0), (3.0, 183.0)):
        y = _simulated(n, rho, t_of_days(sharpe, days), seed=2)
        named = np.mean((y.argmax(axis=1) == 0) & (y[:, 0] > c))
        error = math.sqrt(named * (1 - named) / DRAWS)
        assert limit_of_power(sharpe, days, n, rho) == pytest.approx(named, abs=4 * error + 1e-4)


def test_limit_of_one_agent_is_the_one_sided_normal_test() -> None:
    for sharpe in (0.0, 2.0, 5.0):
        assert limit_of_power(sharpe, 90, 1) == pytest.approx(norm.sf(norm.isf(0.05) - t_of_days(sharpe, 90)))


def test_without_skill_the_limit_is_an_even_share_of_the_false_positives() -> None:
    assert limit_of_power(0.0, 33, 30, 0.15) == pytest.approx(0.05 / 30, rel=0.01)


def test_no_other_rule_of_the_same_size_beats_the_limit() -> None:
    """Raw results, differences to the mean, to the median, to the runner-up: each calibrated to the same rate."""
    n, rho, delta = 30, 0.5, 2.5
    rules: dict[str, Callable[[Float64], Float64]] = {
        "raw": lambda x: x,
        "to the mean": lambda x: x - x.mean(axis=1, keepdims=True),
        "to the median": lambda x: x - np.median(x, axis=1, keepdims=True),
    }
    rng = np.random.default_rng(3)
    noise = math.sqrt(rho) * rng.standard_normal((DRAWS, 1)) + math.sqrt(1 - rho) * rng.standard_normal((DRAWS, n))
    skilled = noise.copy()
    skilled[:, 0] += delta
    days = 365 * (delta / 5.0) ** 2
    limit = limit_of_power(5.0, days, n, rho)
    for name, rule in rules.items():
        c = np.quantile(rule(noise).max(axis=1), 0.95)
        y = rule(skilled)
        power = np.mean((y.argmax(axis=1) == 0) & (y.max(axis=1) > c))
        assert power <= limit + 0.004, name


def test_power_and_its_inverses_agree() -> None:
    terms = {"trials": 30.0, "level": 0.05, "gain": 1.1}
    sharpe = detectable_sharpe(93, **terms)
    assert sharpe is not None
    assert power_of(sharpe, 93, **terms) == pytest.approx(0.8)
    days = days_to_see(sharpe, **terms)
    assert days == pytest.approx(93)
    assert power_of(0.0, 93, **terms) == pytest.approx(norm.sf(critical_score(0.05, 30)))
    assert detectable_sharpe(0, **terms) is None
    assert days_to_see(0, **terms) is None
    assert power_of(5, 3, trials=30, level=0.05) < 0.01


def test_impossible_questions_are_refused() -> None:
    with pytest.raises(EvidenceError):
        exchangeable(0, 0.1)
    with pytest.raises(EvidenceError):
        limit_of_power(1.0, -1.0)
    with pytest.raises(EvidenceError):
        exchangeable(30, 1.0)
