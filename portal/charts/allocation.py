"""A division of capital before and after, as bars (the contract is at the head of static/js/charts.js)."""

from __future__ import annotations

from typing import Any

from risk.approvals_allocation import AllocateCapital


def capital(payload: AllocateCapital, base: str) -> dict[str, Any]:
    return _bars(
        payload, base, [float(x.before) for x in payload.lines], [float(x.after) for x in payload.lines], empty=""
    )


def risk_shares(payload: AllocateCapital) -> dict[str, Any]:
    """What each Book carries of the risk; a hedge carries a negative share."""
    before = [None if x.risk_before is None else float(x.risk_before) for x in payload.lines]
    after = [None if x.risk_after is None else float(x.risk_after) for x in payload.lines]
    return _bars(payload, "share", before, after, empty="The sample cannot carry shares of risk.")


def _bars(payload: AllocateCapital, unit: str, before: list[Any], after: list[Any], *, empty: str) -> dict[str, Any]:
    known = any(x is not None for x in (*before, *after))
    return {
        "as_of": payload.as_of.isoformat(),
        "synthetic": False,
        "unit": unit,
        "categories": [line.book.rpartition("/")[2] for line in payload.lines],
        "series": [{"name": "Now", "data": before}, {"name": "Proposed", "data": after}] if known else [],
        "horizontal": True,
        "height": 80 + 38 * len(payload.lines),
        "empty": empty,
    }
