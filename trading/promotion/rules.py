"""The rules in force: the gate, and the watch over what passed it. Versions are made by the gate for change alone."""

from __future__ import annotations

from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trading.models.promotion import GatePolicyVersion
from trading.promotion.errors import GatePolicyError
from trading.promotion.policy import GatePolicy, default_policy

Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WatchPolicy(_Model):
    """When a promoted candidate is rolled back without anyone asking, and when its watch ends well."""

    days: Annotated[float, Field(gt=0, le=90)] = Field(default=7.0, description="Market time; then it ends.")
    drawdown_frac: Share = Field(default=0.05, description="From the peak of the slice's equity.")
    false_alarm: Annotated[float, Field(gt=0, le=0.5)] = Field(
        default=0.05, description="Chance that the test on returns stops a candidate that is as good as claimed."
    )
    shift: Annotated[float, Field(gt=0, le=3)] = Field(
        default=0.25, description="How much worse a mean the test is made for, in claimed deviations an hour."
    )
    inflation: Annotated[float, Field(gt=1, le=100)] = Field(
        default=2.0, description="How much more variance the test is made for."
    )
    cost_ratio: Annotated[float, Field(gt=1, le=100)] = Field(
        default=1.5, description="Costs a turnover, as realised over as in the cohort."
    )
    cost_min_fills: Annotated[int, Field(ge=1, le=10_000)] = 20
    heartbeat_s: Annotated[int, Field(ge=30, le=86_400)] = Field(
        default=120, description="Silence of its desk; half of it is a gap in the watch itself, so it is no shorter."
    )
    graduate_min_fills: Annotated[int, Field(ge=0, le=10_000)] = 5
    graduate_min_roi: Annotated[float, Field(ge=-1, le=1)] = 0.0
    request_hours: Annotated[int, Field(ge=1, le=720)] = Field(
        default=24, description="A review that got no capital in this time after it was compiled expires."
    )


class SizingPolicy(_Model):
    """What a full target of a deployment should be worth at most; signers see it beside what is asked."""

    target_volatility: Annotated[float, Field(gt=0, le=5, allow_inf_nan=False)] = Field(
        default=0.3, description="Of a deployment's bankroll, a year."
    )
    kelly_share: Share = Field(default=0.5, description="Of the full Kelly size; half of it loses a quarter of growth.")


class PromotionRules(_Model):
    """One version of all three."""

    gate: GatePolicy
    watch: WatchPolicy = WatchPolicy()
    sizing: SizingPolicy = SizingPolicy()

    @model_validator(mode="after")
    def _hangs_together(self) -> PromotionRules:
        stop, sized_for = self.watch.drawdown_frac, self.gate.slice.stop_frac
        if stop > sized_for:
            raise ValueError(
                f"the watch lets a slice fall by {stop:g} (watch.drawdown_frac) and slices are sized for "
                f"{sized_for:g} (gate.slice.stop_frac): it may not fall by more"
            )
        return self

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def as_text(self) -> str:
        """The rules as YAML, the way people propose them."""
        return yaml.safe_dump(self.as_json(), sort_keys=False, allow_unicode=True)


def parse_rules(text: str) -> PromotionRules:
    """Rules from YAML text; raises GatePolicyError naming every field to change."""
    try:
        return PromotionRules.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise GatePolicyError(f"The rules are no YAML: {error}") from error
    except ValidationError as error:
        told = [f"{'.'.join(map(str, e['loc'])) or 'rules'}: {e['msg']}" for e in error.errors()]
        raise GatePolicyError("Change the rules: " + "; ".join(told), problems=told) from error


def rules_in_force() -> tuple[int, PromotionRules]:
    """The version and the rules; version 0 are those the product comes with."""
    latest = GatePolicyVersion.objects.order_by("-version").first()
    if latest is None:
        return 0, PromotionRules(gate=default_policy())
    return latest.version, PromotionRules.model_validate(latest.document)


def rules_of(version: int) -> PromotionRules:
    """The rules of a version, for what was begun under it."""
    if version == 0:
        return PromotionRules(gate=default_policy())
    return PromotionRules.model_validate(GatePolicyVersion.objects.get(version=version).document)
