"""The council: strategies vote with weights, and a quorum makes it a decision. Pure.

A vote is a strategy's standing target for a market. Weights are meant against what the voices were seated with: those
who have an opinion say the mean of their targets over their seated weights, so that a voice that live results have
weighed down pulls the target towards zero by what it lost. A council of one at its full weight says what its one voice
says, to the last bit; at half its weight it wants half.

Where those who have an opinion carry less than the quorum's share of all seated weight, nothing is decided and what is
held stays. Where all voices together could not make the quorum any more, the council is spent: it wants nothing held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vote:
    """One voice's opinion on one market. ``target`` None is none; ``why`` says so in words. ``seated`` is the weight it
    was seated with, left out where it still has all of it."""

    voice: int
    name: str
    weight: float
    target: float | None
    why: str = ""
    seated: float | None = None

    @property
    def seat(self) -> float:
        return self.weight if self.seated is None else self.seated


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the council says of one market. ``target`` None: no quorum, nothing is decided. ``support_frac`` is the
    weight of those who have an opinion over all seated weight; ``spent``: no vote could make the quorum any more."""

    symbol: str
    target: float | None
    support_frac: float
    votes: tuple[Vote, ...]
    spent: bool = False

    @property
    def weakened(self) -> bool:
        """Whether a voice has less weight than it was seated with."""
        return any(vote.weight < vote.seat for vote in self.votes)


def resolve(symbol: str, votes: Sequence[Vote], *, quorum_frac: float) -> Resolution:
    """The weighted opinions over the seated weights of those who have one, if they carry ``quorum_frac`` of all of it.

    A council that was seated without any weight has no quorum.
    """
    seated = sum(vote.seat for vote in votes)
    if seated <= 0:
        return Resolution(symbol, None, 0.0, tuple(votes))
    left = sum(vote.weight for vote in votes)
    speaking = [(vote.weight, vote.target, vote.seat) for vote in votes if vote.target is not None and vote.weight > 0]
    support = sum(weight for weight, _, _ in speaking) / seated
    if left <= 0 or left / seated < quorum_frac:
        return Resolution(symbol, 0.0, support, tuple(votes), spent=True)
    if not speaking or support < quorum_frac:
        return Resolution(symbol, None, support, tuple(votes))
    if len(speaking) == 1:
        weight, target, seat = speaking[0]
        return Resolution(symbol, target * (weight / seat), support, tuple(votes))
    mean = sum(w * t for w, t, _ in speaking) / sum(s for _, _, s in speaking)
    return Resolution(symbol, mean, support, tuple(votes))
