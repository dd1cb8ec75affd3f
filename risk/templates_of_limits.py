"""Template sets of limits: validated YAML in risk/limit_templates."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from risk.errors import TemplateError
from risk.models import HardAction
from risk.quant.metrics import MONEY_METRICS, Metric
from risk.quant.pretrade import InvalidLimitError, Limit, validate_limit

FOLDER = Path(__file__).resolve().parent / "limit_templates"


def _exact(value: object) -> object:
    """YAML's floats by their shortest form, so that 0.1 is a tenth."""
    return Decimal(repr(value)) if isinstance(value, float) else value


Level = Annotated[Decimal | None, BeforeValidator(_exact)]


class TemplateLimit(BaseModel):
    """One limit of a set; levels are shares or counts, so that a set fits a Book of any size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Metric
    soft: Level = None
    hard: Level = None
    action: HardAction = HardAction.ALERT

    @model_validator(mode="after")
    def makes_sense(self) -> TemplateLimit:
        if self.metric in MONEY_METRICS:
            raise ValueError(f"{self.metric.value} is money and depends on the book's size; use its share.")
        try:
            validate_limit(
                Limit(
                    self.metric,
                    None if self.hard is None else float(self.hard),
                    None if self.soft is None else float(self.soft),
                )
            )
        except InvalidLimitError as error:
            raise ValueError(str(error)) from error
        return self


class LimitTemplate(BaseModel):
    """A named set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1, max_length=80)
    about: str = Field(min_length=1, max_length=400)
    limits: tuple[TemplateLimit, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def one_a_metric(self) -> LimitTemplate:
        metrics = [x.metric for x in self.limits]
        doubled = {m.value for m in metrics if metrics.count(m) > 1}
        if doubled:
            raise ValueError(f"given twice: {', '.join(sorted(doubled))}")
        return self


def template_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def load_template(name: str) -> LimitTemplate:
    """The set of this name; raises TemplateError with what to correct."""
    if name not in template_names():
        raise TemplateError(f"There is no template '{name[:60]}'. Choose one of {', '.join(template_names())}.")
    return parse_template((FOLDER / f"{name}.yaml").read_text(), name=name)


def parse_template(text: str, *, name: str) -> LimitTemplate:
    """A set from YAML text; raises TemplateError naming the place."""
    try:
        return LimitTemplate.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise TemplateError(f"Template '{name}' is no YAML: {error}", template=name) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(x) for x in first["loc"])
        raise TemplateError(f"Template '{name}', {where or 'top'}: {first['msg']}", template=name) from error
