"""The council: strategies vote with weights, and a quorum makes it a decision. Pure.

A vote is a strategy's standing target for a market. The council's target is the weighted mean of those who have an
opinion; where their weight is less than the quorum's share of all weight, nothing is decided and what is held stays.
A council of one says what its one voice says, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vote:
    """One voice's opinion on one market. ``target`` None is none; ``why`` says so in words."""

    voice: int
    name: str
    weight: float
    target: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the council says of one market. ``target`` None: no quorum, nothing is decided."""

    symbol: str
    target: float | None
    support_frac: float
    votes: tuple[Vote, ...]


def resolve(symbol: str, votes: Sequence[Vote], *, quorum_frac: float) -> Resolution:
    """The weighted mean of the opinions, if those who have one carry ``quorum_frac`` of the whole weight.

    A council whose weights are all zero has no quorum.
    """
    total = sum(vote.weight for vote in votes)
    speaking = [(vote.weight, vote.target) for vote in votes if vote.target is not None and vote.weight > 0]
    weight = sum(w for w, _ in speaking)
    support = weight / total if total > 0 else 0.0
    if not speaking or support < quorum_frac:
        return Resolution(symbol, None, support, tuple(votes))
    if len(speaking) == 1:
        return Resolution(symbol, speaking[0][1], support, tuple(votes))
    mean = sum(w * t for w, t in speaking) / weight
    return Resolution(symbol, mean, support, tuple(votes))
