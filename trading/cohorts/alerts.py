"""What a person should hear about, from the engine's breaches: once a day for each kind and agent."""

from __future__ import annotations

from collections.abc import Sequence

from fundops.core.clock import from_ms
from trading.models.cohort import Cohort, CohortAgent, CohortAlert
from trading.quant.engine import BreachKind, FillReason, Run

_KINDS = {
    BreachKind.PARENT_DRAWDOWN: CohortAlert.Kind.PARENT_DRAWDOWN,
    BreachKind.PARENT_UTILISATION: CohortAlert.Kind.UTILISATION,
    BreachKind.AGENT_LEVERAGE: CohortAlert.Kind.LEVERAGE_BREACH,
    BreachKind.AGENT_BANKRUPT: CohortAlert.Kind.BANKRUPT,
}


def alerts_of(cohort: Cohort, agents: Sequence[CohortAgent], run: Run, day: int) -> list[CohortAlert]:
    """Unsaved alerts, the first of each kind and agent; the table keeps one a day."""
    found: dict[tuple[str, int], CohortAlert] = {}

    def raise_once(kind: CohortAlert.Kind, agent: int, ts_ms: int, value: float, limit: float | None) -> None:
        if (kind, agent) not in found:
            subject = agents[agent] if agent >= 0 else None
            found[kind, agent] = CohortAlert(
                cohort=cohort,
                agent=subject,
                day=day,
                at=from_ms(ts_ms),
                kind=kind,
                value=value,
                threshold=limit,
                message=_sentence(kind, subject, value, limit),
            )

    for row in run.breaches:
        kind = _KINDS[BreachKind(int(row["kind"]))]
        raise_once(kind, int(row["agent"]), int(row["ts_ms"]), float(row["value"]), float(row["limit"]))
    for row in run.fills[run.fills["reason"] == FillReason.LIQUIDATION]:
        raise_once(CohortAlert.Kind.LIQUIDATION, int(row["agent"]), int(row["ts_ms"]), float(row["price"]), None)
    return list(found.values())


def _sentence(kind: CohortAlert.Kind, agent: CohortAgent | None, value: float, limit: float | None) -> str:
    match kind:
        case CohortAlert.Kind.PARENT_DRAWDOWN:
            return f"The bankroll is {value:.2%} below its peak (alert at {limit:.2%})."
        case CohortAlert.Kind.UTILISATION:
            return f"{value:.1%} of the bankroll is in use (alert at {limit:.1%})."
        case CohortAlert.Kind.LEVERAGE_BREACH:
            return f"{agent} holds {value:.2f} times its equity (ceiling {limit:.2f})."
        case CohortAlert.Kind.BANKRUPT:
            return f"{agent} has lost its whole draw."
        case CohortAlert.Kind.LIQUIDATION:
            return f"{agent} was liquidated at {value:g}."
