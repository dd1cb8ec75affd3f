"""The picture of a plan: where such days have ended, as a range."""

from __future__ import annotations

from typing import Any

from portal.assistant.planning import Plan


def plan_chart(plan: Plan) -> dict[str, Any]:
    """Median and the range of nine in ten by day, in the markets' currency, with the stop."""
    amount = float(plan.terms["amount"])
    known = [day for day in plan.days if day.median is not None]
    series = [
        {"name": name, "style": style, "data": [[0, amount], *([day.day, getattr(day, field)] for day in known)]}
        for name, style, field in (
            ("High (95 of 100 end below)", "dashed", "high"),
            ("Middle", "primary", "median"),
            ("Low (5 of 100 end below)", "dashed", "low"),
        )
    ]
    return {
        "unit": plan.terms["quote"],
        "x": "value",
        "x_name": "days",
        "x_unit": "count",
        "synthetic": plan.terms["synthetic"],
        "series": series if known else [],
        "levels": [{"y": plan.days[0].stop, "label": "Stop", "tone": "bad"}] if plan.days else [],
        "zoom": False,
        "empty": "Too few traded hours are known to say what such days are like.",
    }
