"""Who trades in a cohort: genomes by the source a person chose, and what each may draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice

import numpy as np
from django.db.models import Max

from fundops.core.money import allocate
from trading.errors import CohortSpecError
from trading.models.cohort import AgentDay, Allocation, Cohort, GenomeSource
from trading.promotion.weights import weights_of
from trading.quant.genome import Genome, parse_genome, random_genome
from trading.strategies.profiles import Profile
from trading.strategies.spec import StrategyFamily


@dataclass(frozen=True, slots=True)
class Member:
    """A genome to trade, and the profile it came from, if any."""

    genome: Genome
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Seat:
    """An agent to be: what it plays and what it may draw."""

    genome: Genome
    profile: str
    draw: Decimal


def seats_of(
    cohort: Cohort,
    *,
    profiles: Mapping[str, Profile],
    families: Mapping[str, StrategyFamily],
    volatility: Mapping[str, float],
) -> list[Seat]:
    """The cohort's agents in their order; ``volatility`` (daily, by symbol) weights the draws where asked."""
    members = choose_members(cohort, profiles=profiles, families=families)
    parts = draws(cohort, members, volatility)
    return [Seat(m.genome, m.profile, part) for m, part in zip(members, parts, strict=True)]


def choose_members(
    cohort: Cohort, *, profiles: Mapping[str, Profile], families: Mapping[str, StrategyFamily]
) -> list[Member]:
    """``agent_count`` members, a function of the cohort's seed alone (and of earlier results for BEST)."""
    rng = np.random.default_rng(cohort.seed)
    if cohort.genome_source == GenomeSource.BEST:
        return _best(cohort, families)
    if cohort.genome_source == GenomeSource.RANDOM:
        names = sorted(families)
        return [
            Member(random_genome(families[names[i % len(names)]], rng, symbols=cohort.symbols))
            for i in range(cohort.agent_count)
        ]
    chosen = [profiles[name] for name in (cohort.profiles or sorted(profiles))]
    return [
        Member(profile.genome(families[profile.family], rng, symbols=cohort.symbols), profile.name)
        for i in range(cohort.agent_count)
        for profile in [chosen[i % len(chosen)]]
    ]


def _best(cohort: Cohort, families: Mapping[str, StrategyFamily]) -> list[Member]:
    """The best distinct genomes of the parent cohorts by return on their last complete day, on markets of this cohort.

    What failed with real orders since counts for less (`trading.promotion.records`). With fewer of them than
    agents, the list starts over on the next market: a genome may trade several.
    """
    last_day = cohort.parents.aggregate(last=Max("cohort_days__day"))["last"]
    rows = (
        AgentDay.objects.filter(agent__cohort__in=cohort.parents.all(), complete=True, day=last_day)
        .select_related("agent")
        .order_by("-roi_frac", "agent__cohort_id", "agent__number")
    )
    members: dict[str, Member] = {}
    for row in _weighed(rows):
        if row.agent.family not in families:
            continue
        genome = parse_genome(row.agent.genome, families.__getitem__)
        if genome.symbol and genome.symbol not in cohort.symbols:
            continue
        members.setdefault(row.agent.genome_hash, Member(genome, row.agent.profile))
    if not members:
        raise CohortSpecError({"parents": ["None of these cohorts has a scored genome for the chosen markets."]})
    best = list(members.values())
    return list(islice(_over_markets(best, cohort.symbols), cohort.agent_count))


def _weighed(rows: Iterable[AgentDay]) -> list[AgentDay]:
    """Best first, a profit counting with the weight that live results have left its genome; a loss counts whole."""
    held = list(rows)
    weights = weights_of((row.agent.genome_hash, row.agent.family) for row in held)
    return sorted(held, key=lambda row: -_worth(float(row.roi_frac or 0), weights[row.agent.genome_hash]))


def _worth(roi: float, weight: float) -> float:
    return roi * weight if roi > 0 else roi


def _over_markets(best: Sequence[Member], symbols: Sequence[str]) -> Iterator[Member]:
    """``best`` first as they are, then moved to the next market, and so on without end."""
    shift = 0
    while True:
        for member in best:
            genome = member.genome
            if genome.symbol and shift:
                at = (symbols.index(genome.symbol) + shift) % len(symbols)
                genome = replace(genome, symbol=symbols[at])
            yield Member(genome, member.profile)
        shift += 1


def draws(cohort: Cohort, members: Sequence[Member], volatility: Mapping[str, float]) -> list[Decimal]:
    """What each agent draws on the bankroll; the parts sum to it exactly, to the cent.

    Risk-weighted draws are inverse to the daily volatility of the agent's market (the mean of all for one that
    trades all markets). Raises CohortSpecError when a part would be less than a cent.
    """
    if cohort.allocation == Allocation.EQUAL:
        weights = [Decimal(1)] * len(members)
    else:
        mean = sum(volatility.values()) / len(volatility)
        weights = [Decimal(repr(1.0 / volatility.get(m.genome.symbol or "", mean))) for m in members]
    parts = allocate(cohort.bankroll, weights, places=2)
    if min(parts) <= 0:
        raise CohortSpecError({"bankroll": [f"{cohort.bankroll} is too little for {len(members)} agents."]})
    return parts
