"""What a stretch leaves behind besides the books: fills, rejections, the origin of every figure, and the news of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fundops.core.clock import from_ms
from fundops.core.copying import copy_rows
from fundops.core.money import to_decimal
from trading.cohorts.guard import Record
from trading.cohorts.population import Seat
from trading.models.cohort import (
    AgentDay,
    Cohort,
    CohortAgent,
    CohortAlert,
    CohortDay,
    CohortFill,
    CohortRejection,
    CohortRun,
)
from trading.quant import engine
from trading.quant.engine import FillReason, Market, Run, Side
from trading.quant.engine.codes import reason_name
from trading.strategies.spec import StrategyFamily

LEADERS = 5


def write_fills(cohort: Cohort, agents: Sequence[CohortAgent], run: Run, *, first_number: int) -> int:
    """Stores the fills, numbered on from ``first_number``."""
    keys = [agent.pk for agent in agents]
    symbols = cohort.symbols
    fields = [
        "cohort",
        "number",
        "agent",
        "at",
        "symbol",
        "side",
        "quantity",
        "price",
        "reference_price",
        "fee",
        "spread_cost",
        "impact_cost",
        "realised",
        "reason",
    ]
    return copy_rows(
        CohortFill,
        fields,
        (
            (
                cohort.pk,
                number,
                keys[row["agent"]],
                from_ms(int(row["ts_ms"])),
                symbols[row["symbol"]],
                Side(int(row["side"])).name.lower(),
                *(
                    to_decimal(float(row[name]))
                    for name in (
                        "qty",
                        "price",
                        "reference",
                        "fee",
                        "spread_cost",
                        "impact_cost",
                        "realised",
                    )
                ),
                FillReason(int(row["reason"])).name.lower(),
            )
            for number, row in enumerate(run.fills, start=first_number)
        ),
    )


def write_rejections(cohort: Cohort, agents: Sequence[CohortAgent], run: Run, *, first_number: int) -> int:
    """Stores refused and cut orders, signed by their side."""
    keys = [agent.pk for agent in agents]
    return copy_rows(
        CohortRejection,
        ("cohort", "number", "agent", "at", "symbol", "reason", "wanted", "permitted"),
        (
            (
                cohort.pk,
                number,
                keys[row["agent"]],
                from_ms(int(row["ts_ms"])),
                cohort.symbols[row["symbol"]],
                reason_name(int(row["reason"])),
                to_decimal(float(row["wanted"] * row["side"])),
                to_decimal(float(row["permitted"] * row["side"])),
            )
            for number, row in enumerate(run.rejections, start=first_number)
        ),
    )


def last_closes(bars: Market, known: Mapping[str, float]) -> dict[str, float]:
    """The last close of each symbol, keeping the known one where this stretch has none."""
    closes = dict(known)
    for column, symbol in enumerate(bars.symbols):
        traded = bars.close[:, column][np.isfinite(bars.close[:, column])]
        if traded.size:
            closes[symbol] = float(traded[-1])
    return closes


def provenance(
    cohort: Cohort,
    seats: Sequence[Seat],
    families: Mapping[str, StrategyFamily],
    volatility: Mapping[str, float],
    data_sha256: str,
    limits: Record | None,
) -> dict[str, Any]:
    """From what this cohort can be computed again: versions, hashes, seed, the volatilities fixed at its launch, and
    what its orders are judged by (a forward cohort adds to that whenever it changes).
    """
    used = sorted({seat.genome.family for seat in seats})
    return {
        "engine_version": engine.ENGINE_VERSION,
        "families": {name: families[name].key for name in used},
        "cost_model": engine.load_cost_profile(cohort.cost_profile).model_dump(mode="json"),
        "seed": cohort.seed,
        "data_sha256": data_sha256,
        "daily_volatility": dict(volatility),
        "limits": [] if limits is None else [limits],
    }


def news(
    cohort: Cohort,
    run: CohortRun,
    rows: Sequence[AgentDay],
    parent: CohortDay,
    alerts: Sequence[CohortAlert],
    *,
    fills: int,
) -> dict[str, Any]:
    """What the pages are told after a stretch: small, whatever the number of agents."""
    leaders = sorted(rows, key=lambda row: row.rank)[:LEADERS]
    return {
        "day": parent.day,
        "days": cohort.days,
        "complete": parent.complete,
        "at_ms": run.next_bar_ms,
        "progress": round((run.next_bar_ms - cohort.start_ms) / (cohort.end_ms - cohort.start_ms), 6),
        "equity": parent.equity,
        "roi_frac": parent.roi_frac,
        "drawdown_frac": parent.drawdown_frac,
        "utilisation_frac": parent.utilisation_frac,
        "fills": fills,
        "fills_total": run.fills_done,
        "largest_difference": parent.largest_difference,
        "leaders": [{"number": row.agent.number, "roi_frac": row.roi_frac} for row in leaders],
        "alerts": [alert.message for alert in alerts],
    }
