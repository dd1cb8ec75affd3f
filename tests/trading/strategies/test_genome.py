"""Genomes: draws within bounds, breeding, canonical JSON, and documents that are refused field by field."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.quant.engine.rules import ExitRules, agent_parameters, check_agent
from trading.quant.genome import (
    EXIT_PARAMETERS,
    Genome,
    crossover,
    draw_value,
    genome_problems,
    genome_schema,
    mutate,
    parse_genome,
    random_genome,
)
from trading.strategies.errors import GenomeError
from trading.strategies.registry import builtin_families
from trading.strategies.spec import Parameter, Scope, StrategyFamily

FAMILIES = builtin_families()
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
CROSS = FAMILIES["sma_crossover@1"]


def family_of(key: str) -> StrategyFamily:
    return FAMILIES[key]


def accepted_by_the_engine(genome: Genome) -> bool:
    family = FAMILIES[genome.family]
    agent = genome.agent(family, draw=100.0)
    agent_parameters(agent, "test")
    check_agent(agent, "test", {s: k for k, s in enumerate(SYMBOLS)})
    return True


@settings(max_examples=150, deadline=None)
@given(key=st.sampled_from(sorted(FAMILIES)), seed=st.integers(0, 2**32))
def test_every_random_mutated_and_crossed_genome_obeys_bounds_rules_and_schema(key: str, seed: int) -> None:
    family = FAMILIES[key]
    rng = np.random.default_rng(seed)
    first, second = (random_genome(family, rng, symbols=SYMBOLS) for _ in range(2))
    mutant = mutate(first, family, rng, rate=0.9, scale=0.5, symbols=SYMBOLS)
    child = crossover(mutant, second, family, rng)
    for genome in (first, second, mutant, child):
        assert accepted_by_the_engine(genome)
        document = json.loads(genome.canonical_json())
        assert genome_problems(document, family) == []
        jsonschema.validate(document, genome_schema(family))
        again = parse_genome(genome.canonical_json(), family_of)
        assert again == genome
        assert again.content_hash == genome.content_hash
        for p in EXIT_PARAMETERS:
            value = getattr(genome.exits, p.name)
            assert value == 0 or p.low <= value <= p.high


def test_the_same_seed_gives_the_same_genome_in_another_process() -> None:
    code = (
        "import numpy as np; from trading.quant.genome import random_genome;"
        "from trading.strategies.registry import builtin_families;"
        "print(random_genome(builtin_families()['macd_trend@1'], np.random.default_rng(7),"
        " symbols=('A', 'B')).content_hash)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    here = random_genome(FAMILIES["macd_trend@1"], np.random.default_rng(7), symbols=("A", "B"))
    assert here.content_hash == other


def test_canonical_json_is_stable_and_short() -> None:
    genome = Genome(
        "sma_crossover@1",
        {"slow": 80.0, "fast": 20.0, "allow_short": 1.0},
        ExitRules(stop_loss_frac=0.025, cooldown_bars=15),
        "BTCUSDT",
    )
    assert genome.canonical_json() == (
        '{"exits":{"cooldown_bars":15,"stop_loss_frac":0.025},"family":"sma_crossover@1","format":1,'
        '"params":{"allow_short":1,"fast":20,"slow":80},"symbol":"BTCUSDT"}'
    )
    assert genome.content_hash == "eeab8211fba7cdb7b08fc2b9a8f2be9dce1ef35f2c2c206a6b990a3752f50238"
    shuffled = replace(genome, params={"allow_short": 1, "fast": 20, "slow": 80})
    assert shuffled.content_hash == genome.content_hash
    assert replace(genome, symbol="ETHUSDT").content_hash != genome.content_hash


def test_genomes_carry_every_exit_rule_of_the_engine() -> None:
    assert {p.name for p in EXIT_PARAMETERS} == {f.name for f in fields(ExitRules)}


def test_draws_are_even_on_the_scale_that_was_asked_for() -> None:
    rng = np.random.default_rng(1)
    log = np.array([draw_value(Parameter("a", 1, 10_000, 10, log=True), rng) for _ in range(4000)])
    assert np.mean(log < 100) == pytest.approx(0.5, abs=0.03)
    linear = np.array([draw_value(Parameter("a", 0, 10, 1), rng) for _ in range(4000)])
    assert linear.mean() == pytest.approx(5.0, abs=0.2)
    whole = np.array([draw_value(Parameter("a", 1, 4, 1, "integer"), rng) for _ in range(4000)])
    assert np.bincount(whole.astype(int))[1:] / 4000 == pytest.approx([0.25] * 4, abs=0.03)
    coarse = {draw_value(Parameter("a", 1, 3, 1, "integer", log=True), rng) for _ in range(500)}
    assert coarse == {1.0, 2.0, 3.0}


def test_narrowed_ranges_are_kept_by_draws_and_mutations() -> None:
    rng = np.random.default_rng(2)
    ranges = {"fast": (8.0, 12.0), "slow": (200.0, 200.0)}
    exits = {"stop_loss_frac": (0.01, 0.02), "take_profit_frac": (0.0, 0.0)}
    for _ in range(200):
        genome = random_genome(CROSS, rng, symbols=SYMBOLS, ranges=ranges, exit_ranges=exits)
        genome = mutate(genome, CROSS, rng, rate=1.0, ranges=ranges)
        assert 8 <= genome.params["fast"] <= 12
        assert genome.params["slow"] == 200
    unmutated = random_genome(CROSS, rng, symbols=SYMBOLS, exit_ranges=exits)
    assert 0.01 <= unmutated.exits.stop_loss_frac <= 0.02
    assert unmutated.exits.take_profit_frac == 0


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"quick": (1.0, 2.0)}, "no parameter 'quick'"),
        ({"fast": (1.0, 20.0)}, "must lie within 3 to 120"),
        ({"fast": (12.0, 8.0)}, "must lie within"),
        ({"fast": (8.2, 8.8)}, "no whole number"),
        ({"fast": (100.0, 120.0), "slow": (10.0, 50.0)}, "widen them"),
    ],
)
def test_impossible_ranges_are_refused(ranges: dict[str, tuple[float, float]], message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        random_genome(CROSS, np.random.default_rng(0), symbols=SYMBOLS, ranges=ranges)


def test_mutation_moves_some_genes_by_small_steps_and_rate_zero_moves_none() -> None:
    rng = np.random.default_rng(3)
    start = Genome(CROSS.key, {"fast": 20.0, "slow": 80.0, "allow_short": 1.0}, ExitRules(), "BTCUSDT")
    assert mutate(start, CROSS, rng, rate=0.0) == start
    moved = [mutate(start, CROSS, rng, rate=0.5, scale=0.05).params["slow"] for _ in range(300)]
    assert np.mean(np.array(moved) == 80.0) == pytest.approx(0.5, abs=0.1)
    assert 40 < min(moved) < 80 < max(moved) < 160


def test_crossover_takes_every_gene_from_a_parent_and_refuses_strangers() -> None:
    rng = np.random.default_rng(4)
    first = Genome(CROSS.key, {"fast": 5.0, "slow": 50.0, "allow_short": 0.0}, ExitRules(0.01), "BTCUSDT")
    second = Genome(CROSS.key, {"fast": 30.0, "slow": 90.0, "allow_short": 1.0}, ExitRules(0.02), "ETHUSDT")
    children = [crossover(first, second, CROSS, rng) for _ in range(100)]
    assert {c.params["fast"] for c in children} == {5.0, 30.0}
    assert {c.exits.stop_loss_frac for c in children} == {0.01, 0.02}
    assert {c.symbol for c in children} == {"BTCUSDT", "ETHUSDT"}
    with pytest.raises(GenomeError, match="one family"):
        crossover(first, replace(second, family="ema_crossover@1"), CROSS, rng)


GOOD: dict[str, Any] = {
    "family": "sma_crossover@1",
    "params": {"fast": 5, "slow": 50, "allow_short": 0},
    "exits": {"stop_loss_frac": 0.01},
    "symbol": "BTCUSDT",
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"params": {"fast": 5, "slow": 50}}, "params.allow_short: is missing"),
        (
            {"params": {"fast": 5.5, "slow": 50, "allow_short": 0}},
            "params.fast: is 5.5; it must be a whole number",
        ),
        (
            {"params": {"fast": 5, "slow": 5000, "allow_short": 0}},
            "params.slow: is 5000; it must lie between",
        ),
        ({"params": {"fast": True, "slow": 50, "allow_short": 0}}, "params.fast: is True"),
        ({"params": {"fast": 5, "slow": "x", "allow_short": 0}}, "params.slow: is 'x'"),
        ({"params": {"fast": 5, "slow": 50, "allow_short": 0, "z": 1}}, "params.z: unknown"),
        ({"params": {"fast": 60, "slow": 50, "allow_short": 0}}, "must be smaller than slow"),
        ({"params": 3}, "params: must be an object"),
        ({"exits": {"stop_loss_frac": 1.0}}, "exits.stop_loss_frac: is 1; it must lie between"),
        ({"exits": {"stop": 0.1}}, "exits.stop: unknown"),
        ({"exits": []}, "exits: must be an object"),
        ({"symbol": None}, "symbol: is None; sma_crossover@1 trades one symbol"),
        ({"format": 2}, "format: is 2"),
        ({"colour": "red"}, "colour: unknown field"),
    ],
)
def test_a_wrong_document_is_refused_with_the_path_of_the_field(change: dict[str, Any], problem: str) -> None:
    document = {**GOOD, **change}
    with pytest.raises(GenomeError) as refusal:
        parse_genome(document, family_of)
    assert any(problem in text for text in refusal.value.extra["problems"])
    schema_refuses = not jsonschema.Draft202012Validator(genome_schema(CROSS)).is_valid(document)
    assert schema_refuses or "smaller than slow" in problem  # the cross-parameter rule is beyond JSON Schema


def test_documents_that_are_no_genomes_at_all_are_refused() -> None:
    with pytest.raises(GenomeError, match=r"Not JSON: .* line 1"):
        parse_genome("{", family_of)
    with pytest.raises(GenomeError, match="names its family"):
        parse_genome("[]", family_of)
    with pytest.raises(GenomeError, match="names its family"):
        parse_genome({"params": {}}, family_of)


def test_a_panel_genome_has_no_symbol() -> None:
    family = next(f for f in FAMILIES.values() if f.scope is Scope.PANEL)
    genome = random_genome(family, np.random.default_rng(5), symbols=SYMBOLS)
    assert genome.symbol is None
    document = {**genome.as_dict(), "symbol": "BTCUSDT"}
    assert any("trades all symbols" in p for p in genome_problems(document, family))
