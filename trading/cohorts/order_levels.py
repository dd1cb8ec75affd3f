"""Which soft levels of limits on orders a stretch of a cohort has passed: what their breaches are made of.

The engine holds orders to hard levels alone. What its orders passed besides is read off what they came to: each fill at
the price at which it met the market, beside the volume of its bar and the last close before it, as the engine judged
it; and each order that a hard level denied or cut, at the open of its bar.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from risk.actions.order_breaches import ORDER_ONLY, PassedLevel
from risk.quant.metrics import Metric
from trading.models.cohort import Cohort, CohortAgent, CohortRun
from trading.quant import engine
from trading.quant.engine import EngineState, FillReason
from trading.quant.engine.codes import OWN_LIMIT, LimitReason, limit_reason, reason_name

Record = Mapping[str, Any]
Line = Mapping[str, Any]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Traded:
    """A stretch as it was traded: the cohort with its agents and instruments in the engine's order, its run as the
    stretch began, the bars and what came of them."""

    cohort: Cohort
    agents: Sequence[CohortAgent]
    instruments: Sequence[engine.InstrumentRules]
    run: CohortRun
    bars: engine.Market
    outcome: engine.Run

    @property
    def refused(self) -> npt.NDArray[Any]:
        """Orders that a limit has denied or cut."""
        return self.outcome.rejections[self.outcome.rejections["reason"] >= OWN_LIMIT]


def passed_levels(traded: Traded, record: Record | None) -> list[PassedLevel]:
    """In time order. An inherited level is passed by the cohort's Book, an agent's own by the agent's."""
    if record is None or not any(_watched(line) for line in _all_lines(record)):
        return []
    shares = any(_watched(line) and line["metric"] == Metric.ORDER_NOTIONAL_FRAC for line in _all_lines(record))
    of_fills, of_refusals = _equity_before(traded) if shares else (None, None)
    found = [*_of_fills(traded, record, of_fills), *_of_refusals(traded, record, of_refusals)]
    return [passed for _, passed in sorted(found, key=lambda one: one[0])]


def _all_lines(record: Record) -> Iterator[Line]:
    yield from record["limits"]
    for own in record["agents"].values():
        yield from own


def _watched(line: Line) -> bool:
    return line["metric"] in ORDER_ONLY and line["soft"] is not None and line.get("soft_limit") is not None


def _lines_of(record: Record, agent: CohortAgent) -> Sequence[Line]:
    lines: Sequence[Line] = record["agents"].get(str(agent.number), record["limits"])
    return lines


def _passed(cohort: Cohort, agent: CohortAgent, line: Line, value: float, *, hard: bool = False) -> PassedLevel:
    own = line.get("soft_book") == agent.book_id
    book = agent.book_id if own else cohort.book_id or agent.book_id
    return PassedLevel(book, int(line["soft_limit"]), value if math.isfinite(value) else None, hard)


def _of_fills(traded: Traded, record: Record, equity: Float64 | None) -> Iterator[tuple[int, PassedLevel]]:
    """Fills past a soft level; a liquidation is the venue's, and no order."""
    fills = traded.outcome.fills
    if not len(fills):
        return
    values = _values(traded, fills, fills["qty"], fills["reference"], equity)
    for number, agent in enumerate(traded.agents):
        mine = (fills["agent"] == number) & (fills["reason"] != FillReason.LIQUIDATION)
        for line in _lines_of(record, agent):
            if not _watched(line):
                continue
            value = values[Metric(line["metric"])]
            here = mine & (value > float(line["soft"]))
            if line["symbol"]:
                here = here & (fills["symbol"] == traded.bars.symbols.index(line["symbol"]))
            for row in np.flatnonzero(here):
                yield int(fills["ts_ms"][row]), _passed(traded.cohort, agent, line, float(value[row]))


def _of_refusals(traded: Traded, record: Record, equity: Float64 | None) -> Iterator[tuple[int, PassedLevel]]:
    """Orders that a hard level with a soft one beside it denied or cut, as they were asked."""
    refused = traded.refused
    if not len(refused):
        return
    opens = traded.bars.open[_bar(traded, refused), refused["symbol"]]
    values = _values(traded, refused, refused["wanted"], opens, equity)
    for place, row in enumerate(refused):
        reason = limit_reason(reason_name(int(row["reason"])))
        if reason is None or not reason.known or reason.metric not in ORDER_ONLY:
            continue
        agent = traded.agents[int(row["agent"])]
        line = _line_behind(record, agent, reason, traded.bars.symbols[int(row["symbol"])])
        if line is not None:
            # An exit asks at its level within the bar, which the row does not say: it was beyond the limit at least.
            value = max(float(values[reason.metric][place]), float(line["hard"]))
            yield int(row["ts_ms"]), _passed(traded.cohort, agent, line, value, hard=True)


def _line_behind(record: Record, agent: CohortAgent, reason: LimitReason, symbol: str) -> Line | None:
    """The tightest line with a soft level that spoke."""
    lines = _lines_of(record, agent) if reason.own else record["limits"]
    spoke = [x for x in lines if _watched(x) and x["metric"] == reason.metric and x["symbol"] in ("", symbol)]
    return min((x for x in spoke if x["hard"] is not None), key=lambda x: float(x["hard"]), default=None)


def _bar(traded: Traded, rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.searchsorted(traded.bars.ts_ms, rows["ts_ms"])


def _values(
    traded: Traded, rows: npt.NDArray[Any], quantity: Float64, price: Float64, equity: Float64 | None
) -> Mapping[Metric, Float64]:
    """Each metric of each order; NaN where it is not known, over equity only where that is given."""
    bar, column = _bar(traded, rows), rows["symbol"]
    units = quantity * np.array([i.multiplier for i in traded.instruments])[column]
    notional = units * price
    share = np.full(len(rows), math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        if equity is not None:
            share = np.where(equity > 0, notional / equity, np.inf)
        return {
            Metric.ORDER_NOTIONAL: notional,
            Metric.ORDER_NOTIONAL_FRAC: share,
            Metric.PARTICIPATION_FRAC: units / traded.bars.volume[bar, column],
            Metric.PRICE_COLLAR_FRAC: np.abs(price / closes_before(traded)[bar, column] - 1.0),
        }


def state_before(traded: Traded) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the engine's state as the stretch began; none before a run's first."""
    saved = traded.run.engine_state
    return EngineState.from_bytes(bytes(saved)).arrays if saved else {}


def closes_before(traded: Traded) -> Float64:
    """The last close before each bar (n_bars, n_symbols); NaN before a market's first."""
    closes = state_before(traded).get("last_close", np.zeros(len(traded.bars.symbols)))
    known = np.where(closes > 0.0, closes, math.nan)
    return np.vstack([known, traded.bars.marks(known).T[:-1]])


def _equity_before(traded: Traded) -> tuple[Float64, Float64]:
    """The equity of the agent before each fill (n_fills,) and each refusal (n_refused,), at the last closes."""
    outcome, instruments = traded.outcome, traded.instruments
    cash = np.array([float(agent.draw) for agent in traded.agents])
    held = np.zeros((len(traded.agents), len(instruments)))
    arrays = state_before(traded)
    if arrays:
        where = outcome.final.slot_agent, outcome.final.slot_symbol
        cash = arrays["agents"]["cash"] / 1e8
        held[where] = arrays["slots"]["lots"] * np.array([i.lot for i in instruments])[where[1]]
    multiplier = np.array([i.multiplier for i in instruments])
    closes, fills, funding, refused = closes_before(traded), outcome.fills, outcome.funding, traded.refused

    def equity(row: Any, bar: int) -> float:
        mine = held[int(row["agent"])]
        return float(cash[int(row["agent"])] + np.where(mine == 0.0, 0.0, mine * multiplier * closes[bar]).sum())

    of_fills, of_refusals = np.empty(len(fills)), np.empty(len(refused))
    # In one bar funding comes first, and what was refused of an order before what was filled of it.
    events = sorted(
        [(int(row["bar"]), 0, k) for k, row in enumerate(funding)]
        + [(int(row["bar"]), 1, k) for k, row in enumerate(refused)]
        + [(int(row["bar"]), 2, k) for k, row in enumerate(fills)]
    )
    bars_of = _bar(traded, refused), _bar(traded, fills)
    for _, kind, k in events:
        if kind == 0:
            cash[funding["agent"][k]] += funding["amount"][k]
        elif kind == 1:
            of_refusals[k] = equity(refused[k], int(bars_of[0][k]))
        else:
            fill = fills[k]
            of_fills[k] = equity(fill, int(bars_of[1][k]))
            cash[fill["agent"]] -= fill["side"] * fill["notional"] + fill["fee"]
            held[fill["agent"], fill["symbol"]] = fill["position"]
    return of_fills, of_refusals
