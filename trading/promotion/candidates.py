"""Choosing a cohort's candidate and judging it, in one call; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trading.models.cohort import Cohort
from trading.promotion.compiling import compile_evidence
from trading.promotion.evidence import AgentLine, Evidence
from trading.promotion.gate import GateVerdict, evaluate_gate
from trading.promotion.policy import GatePolicy, default_policy
from trading.promotion.replaying import LiveAgent


@dataclass(frozen=True, slots=True)
class Candidates:
    """``running`` in the order of their evidence, the ``excluded`` with their reasons, and the gate's answer."""

    running: tuple[AgentLine, ...]
    excluded: tuple[AgentLine, ...]
    evidence: Evidence
    verdict: GateVerdict

    @property
    def candidate(self) -> AgentLine | None:
        number = self.evidence.candidate
        return None if number is None else self.evidence.line(number)


def promote_intraday_candidate(
    cohort: Cohort,
    *,
    policy: GatePolicy | None = None,
    live: Sequence[LiveAgent] = (),
    trials_elsewhere: int = 0,
    seed: int = 0,
) -> Candidates:
    """Ranks the agents of ``cohort``, screens them and judges the best.

    Every line carries its rank by return, by Sharpe ratio and by all evidence. The candidate is the best by evidence of
    those that pass the screens (trades, slippage, volume, depth, lots, drawdown, leverage), or by return where the
    policy says so: picking by return first forgets what the replay knows and costs most of the power (docs/gate.md).
    Raises EvidenceUnavailableError before the first whole day has been traded.
    """
    policy = policy or default_policy()
    evidence = compile_evidence(cohort, policy=policy, live=live, trials_elsewhere=trials_elsewhere, seed=seed)
    return Candidates(
        running=tuple(line for line in evidence.agents if line.screened),
        excluded=tuple(line for line in evidence.agents if not line.screened),
        evidence=evidence,
        verdict=evaluate_gate(policy, evidence),
    )
