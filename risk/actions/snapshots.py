"""Risk snapshots: the figures of Books, kept as they were known."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime
from typing import Any

import numpy as np
from django.db import transaction

from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from risk.measuring import ALPHA, HISTORY_DAYS, MeasuredBooks, measure_books
from risk.models import RiskSnapshot
from risk.quant.contributions import contributions
from risk.quant.measures import volatility
from risk.quant.metrics import CODES, Metric
from risk.quant.rolling import VarMethod, tail_risk
from risk.quant.tail import FloatArray
from risk.sources import risk_source
from treasury.models import Book, BookKind


def snapshot_risk(
    *,
    actor: User | None,
    book_ids: Collection[int] | None = None,
    at: datetime | None = None,
    alpha: float = ALPHA,
    method: VarMethod = VarMethod.HISTORICAL,
) -> list[RiskSnapshot]:
    """Takes a snapshot of Books with all below them: those of `book_ids`, or every open Book that is no
    agent's.

    VaR and ES are of one day, from up to 365 days of returns of today's positions; contributions by symbol
    come from the historical scenarios. Raises SourceMissingError where nothing measures the books.
    """
    moment = at or clock.now()
    source = risk_source()
    chosen = Book.objects.filter(closed_at=None)
    chosen = chosen.exclude(kind=BookKind.AGENT) if book_ids is None else chosen.filter(pk__in=book_ids)
    wanted = list(chosen.order_by("path").values_list("pk", flat=True))
    measured = measure_books(at=moment, book_ids=wanted, tail=False)
    returns = source.daily_returns(measured.symbols, HISTORY_DAYS, moment) if measured.symbols else np.zeros((0, 0))
    rows = [_snapshot(measured, pk, returns, moment, alpha, method) for pk in wanted]
    with transaction.atomic():
        made = RiskSnapshot.objects.bulk_create(rows)
        publish(
            "risk.snapshot.taken",
            actor=actor,
            payload={"books": len(made), "at": moment, "alpha": alpha, "method": method},
            topics=["risk", *(f"book:{pk}" for pk in wanted[:100])],
        )
    return made


def _snapshot(
    measured: MeasuredBooks, book_id: int, returns: FloatArray, at: datetime, alpha: float, method: VarMethod
) -> RiskSnapshot:
    row = measured.row(book_id)
    x, figures = measured.exposure[row], measured.figures[row]
    held = x != 0
    missing = [
        f"returns of {symbol}"
        for symbol, column, here in zip(measured.symbols, returns.T, held, strict=False)
        if here and not np.isfinite(column).all()
    ]
    if figures.equity is None:
        missing.append("equity")
    if np.isnan(x).any():
        missing.append("positions")
    known = not missing and returns.shape[0] > 0
    pnl = returns[:, held] @ x[held] if known else np.full(returns.shape[0], math.nan)
    risk = tail_risk(pnl, alpha, method)
    parts = contributions(x, returns, alpha) if known else None
    if held.any() and math.isnan(risk.var) and not missing:
        missing.append(f"enough history for {alpha:.0%}: {returns.shape[0]} days")
    equity = figures.equity
    spread = volatility(pnl / equity) if equity is not None and equity > 0 else math.nan

    def value(metric: Metric) -> float | None:
        return _known(float(measured.measured.values[row, CODES[metric]]))

    return RiskSnapshot(
        book_id=book_id,
        at=at,
        equity=equity,
        day_open_equity=figures.day_open_equity,
        peak_equity=figures.peak_equity,
        received=figures.received,
        gross_exposure=value(Metric.GROSS_EXPOSURE),
        net_exposure=value(Metric.NET_EXPOSURE),
        leverage=value(Metric.LEVERAGE),
        drawdown_frac=value(Metric.DRAWDOWN_FRAC),
        volatility=_known(spread),
        alpha=alpha,
        method=method.value,
        var=_known(risk.var),
        es=_known(risk.es),
        sample_size=int(returns.shape[0]),
        contributions=[] if parts is None else _by_symbol(measured.symbols, x, parts),
        missing=missing,
    )


def _by_symbol(symbols: tuple[str, ...], x: FloatArray, parts: Any) -> list[dict[str, Any]]:
    rows = [
        {
            "symbol": symbol,
            "exposure": float(x[i]),
            "component_var": _known(float(parts.component_var[0, i])),
            "component_es": _known(float(parts.component_es[0, i])),
            "marginal_var": _known(float(parts.marginal_var[i])),
            "marginal_es": _known(float(parts.marginal_es[i])),
        }
        for i, symbol in enumerate(symbols)
        if x[i] != 0
    ]
    return sorted(rows, key=lambda r: -abs(r["component_es"] or 0.0))


def _known(x: float) -> float | None:
    return x if math.isfinite(x) else None
