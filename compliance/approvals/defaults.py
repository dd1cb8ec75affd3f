"""The rules the product comes with: `approval_policies.yaml` beside each app's code, checked when read.

A file has `rules` (named sets of bands, which every app may use) and `kinds` (which set of rules a kind of action
gets). They are proposals: a fund brings them into force by a signed request (`compliance.founding`), and changes them
by others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import yaml
from django.apps import apps
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compliance.approvals.errors import PolicyError
from compliance.approvals.policy import Band, PolicyDocument, read_policy

FILE_NAME = "approval_policies.yaml"


class RuleSet(BaseModel):
    """Bands under a name, and what they are for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str = Field(min_length=1, max_length=400)
    bands: tuple[Band, ...] = Field(min_length=1)


class DefaultsFile(BaseModel):
    """One app's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: dict[str, RuleSet] = Field(default_factory=dict)
    kinds: dict[str, str] = Field(default_factory=dict)


@cache
def default_policies() -> Mapping[str, PolicyDocument]:
    """The shipped rules of every kind, by kind; raises PolicyError naming the file and the place."""
    files = list(_files())
    rules: dict[str, RuleSet] = {}
    for path, file in files:
        for name, rule in file.rules.items():
            if name in rules:
                raise PolicyError(f"{path}: the rules '{name}' are given twice.")
            rules[name] = rule
    found: dict[str, PolicyDocument] = {}
    for path, file in files:
        for kind, name in file.kinds.items():
            if kind in found:
                raise PolicyError(f"{path}: the rules of '{kind}' are given twice.")
            if name not in rules:
                raise PolicyError(f"{path}: there are no rules '{name}' for '{kind}'.")
            found[kind] = read_policy({"kind": kind, "bands": [b.model_dump(mode="json") for b in rules[name].bands]})
    return found


def _files() -> Iterator[tuple[Path, DefaultsFile]]:
    for config in apps.get_app_configs():
        path = Path(config.path) / FILE_NAME
        if path.is_file():
            try:
                yield path, DefaultsFile.model_validate(yaml.safe_load(path.read_text()))
            except yaml.YAMLError as error:
                raise PolicyError(f"{path} is no YAML: {error}") from error
            except ValidationError as error:
                first = error.errors()[0]
                raise PolicyError(f"{path}, {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
