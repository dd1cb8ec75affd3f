"""A policy's rules as lines for a page, in the order and the words of the policy itself."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum

from pydantic import BaseModel

from risk.quant.leverage import LeverageRules
from risk.quant.metrics import Metric, describe

_UNITS = {"_h": " h", "_hours": " h", "_frac": "%"}
#: Names that read better than the field's own.
_LABELS = {
    "max_hours": "Longest",
    "max_factor": "Furthest, times the limit",
    "never": "Never overridden",
    "triggers": "Triggers that may be silenced",
    "observation": "Returns",
    "window": "Window",
    "min_observations": "Smallest sample",
    "min_sharpe": "Sharpe above",
    "max_drawdown_frac": "Drawdown below",
    "step_up_cooldown_h": "Rest before a step up",
    "recovery_h": "Rest after a step down",
}
_TIERS = {"start", "floor", "cap", "step"}


def lines_of(rules: BaseModel) -> list[tuple[str, str, str]]:
    """(name, value, what it means) of each rule."""
    out = []
    for name, field in type(rules).model_fields.items():
        if isinstance(rules, LeverageRules) and name == "step_down":
            values = [
                f"{r.said(rules.observation)}: {r.steps} step{'' if r.steps == 1 else 's'}" for r in rules.step_down
            ]
            out.append(("Steps down", "; ".join(values), "What lowers at once; the rule with the most steps counts."))
            continue
        value = getattr(rules, name)
        label = _LABELS.get(name, name.replace("_", " ").capitalize())
        out.append((label, _said(name, value), field.description or ""))
    return out


def _said(name: str, value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(_said("", item) for item in value) or "none"
    if isinstance(value, Metric):
        return describe(value).lower()
    if isinstance(value, Enum):
        return str(getattr(value, "label", value.value)).replace("_", " ")
    if isinstance(value, Decimal):
        if name.endswith("_frac"):
            return f"{float(value) * 100:.4g}%"
        plain = f"{value.normalize():f}"
        return f"{plain}x" if name in _TIERS else plain
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
    return f"{value}{unit}"
