"""Strategy profiles: named starting points for agents, kept as YAML in ``trading/profiles`` and beside the
user's own strategies.

A profile names a family and pins or narrows its parameters and exit rules. A number is a fixed value,
``{low, high}`` a range that agents are drawn from, and what is left out keeps the family's bounds
(parameters) or stays off (exit rules). A mistake is reported with file, line and what to write instead. Of
the profiles that ship one bad one refuses the whole set; a user's is refused alone, and everywhere they are
listed the refusal is too.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from trading.quant.genome import (
    EXIT_PARAMETERS,
    Genome,
    Range,
    checked_ranges,
    draw_exits,
    draw_parameters,
    draw_symbol,
)
from trading.strategies.errors import GenomeError, ProfileError, UnknownStrategyError
from trading.strategies.spec import StrategyFamily

PROFILES_DIR = Path(__file__).resolve().parent.parent / "profiles"

Interval = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"]
FamilyOf = Callable[[str], StrategyFamily]


class Span(BaseModel):
    """A closed range; a bare number means both ends are the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)

    @model_validator(mode="after")
    def _ordered(self) -> Span:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}; swap them")
        return self

    @property
    def pair(self) -> Range:
        return (self.low, self.high)


def _as_span(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float, dict, Span)):
        raise ValueError("write a number, or {low: ..., high: ...}")
    return {"low": value, "high": value} if isinstance(value, (int, float)) else value


SpanField = Annotated[Span, BeforeValidator(_as_span)]


class Exits(BaseModel):
    """Exit rules of a profile; what is left out is off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stop_loss_frac: SpanField = Span(low=0, high=0)
    take_profit_frac: SpanField = Span(low=0, high=0)
    trailing_stop_frac: SpanField = Span(low=0, high=0)
    time_limit_bars: SpanField = Span(low=0, high=0)
    cooldown_bars: SpanField = Span(low=0, high=0)

    @model_validator(mode="after")
    def _sensible(self) -> Exits:
        for p in EXIT_PARAMETERS:
            low, high = getattr(self, p.name).pair
            top = 10.0 if p.name == "take_profit_frac" else (1e9 if p.kind == "integer" else 0.999)
            if low < 0 or high > top:
                raise ValueError(f"{p.name} must lie between 0 (off) and {top:g}")
            if low == 0 < high:
                raise ValueError(f"{p.name}: a range cannot begin at 0, which means off; begin above it")
            if p.kind == "integer" and (low != int(low) or high != int(high)):
                raise ValueError(f"{p.name} counts bars: write whole numbers")
        return self


class ProfileBody(BaseModel):
    """One profile as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=3, max_length=80)
    description: str = Field(default="", max_length=400)
    family: str
    interval: Interval
    parameters: dict[str, SpanField] = Field(default_factory=dict)
    exits: Exits = Exits()


@dataclass(frozen=True, slots=True)
class Profile:
    """A checked profile. ``ranges`` holds only pinned or narrowed parameters; fixed ones have equal ends."""

    name: str
    title: str
    description: str
    family: str
    interval: str
    ranges: Mapping[str, Range]
    exit_ranges: Mapping[str, Range]
    path: Path
    line: int

    def genome(self, family: StrategyFamily, rng: np.random.Generator, *, symbols: Sequence[str]) -> Genome:
        """One genome drawn within the profile; everything pinned is as written. ``family`` is the
        profile's.
        """
        if family.key != self.family:
            raise GenomeError(f"The profile {self.name} belongs to {self.family}, not {family.key}.")
        params = draw_parameters(family.parameters, rng, validate=family.validate, ranges=self.ranges)
        return Genome(family.key, params, draw_exits(rng, self.exit_ranges), draw_symbol(family, rng, symbols))

    def as_dict(self) -> dict[str, Any]:
        def written(pair: Range) -> Any:
            return pair[0] if pair[0] == pair[1] else {"low": pair[0], "high": pair[1]}

        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "family": self.family,
            "interval": self.interval,
            "parameters": {k: written(v) for k, v in self.ranges.items()},
            "exits": {k: written(v) for k, v in self.exit_ranges.items() if v[1] > 0},
            "file": self.path.name,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake in a profile file."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


def load_profiles(family_of: FamilyOf, *, folder: Path = PROFILES_DIR) -> dict[str, Profile]:
    """Every profile of ``folder``/*.yaml by name, in the order of files and lines.

    ``family_of`` finds a family by key or name (a Registry's ``family``). Raises ProfileError with every
    finding in ``extra["problems"]``, each with file and line.
    """
    profiles: dict[str, Profile] = {}
    findings: list[Finding] = []
    for path in sorted(folder.glob("*.yaml")):
        for found in _read_file(path, family_of):
            if isinstance(found, Finding):
                findings.append(found)
            elif found.name in profiles:
                first = profiles[found.name]
                text = f"{found.name} is already defined in {first.path.name}:{first.line}; choose another name."
                findings.append(Finding(path, found.line, text))
            else:
                profiles[found.name] = found
    if findings:
        listed = "\n".join(map(str, findings))
        raise ProfileError(
            f"{len(findings)} mistake{'s' if len(findings) > 1 else ''} in the profiles:\n{listed}",
            problems=[{"path": str(f.path), "line": f.line, "reason": f.reason} for f in findings],
        )
    return profiles


def load_user_profiles(
    family_of: FamilyOf, *, folder: Path, taken: Mapping[str, Profile]
) -> tuple[dict[str, Profile], list[Finding]]:
    """The profiles of ``folder``/*.yaml that are right, by name, and what is wrong with the others.

    A name in ``taken`` stays with who has it.
    """
    profiles: dict[str, Profile] = {}
    findings: list[Finding] = []
    for path in user_profile_files(folder):
        for found in _read_file(path, family_of):
            if isinstance(found, Finding):
                findings.append(found)
            elif (first := taken.get(found.name) or profiles.get(found.name)) is not None:
                text = f"{found.name} is already defined in {first.path.name}:{first.line}; choose another name."
                findings.append(Finding(path, found.line, text))
            else:
                profiles[found.name] = found
    return profiles, findings


def user_profile_files(folder: Path) -> list[Path]:
    """The files of profiles in a user's folder; it may be absent, and names that begin with _ are skipped."""
    return sorted(path for path in folder.glob("*.yaml") if not path.name.startswith("_"))


def find_profile(profiles: Mapping[str, Profile], name: str) -> Profile:
    """By name; raises UnknownStrategyError that suggests what was meant."""
    if name in profiles:
        return profiles[name]
    close = difflib.get_close_matches(name, profiles, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(profiles)}."
    raise UnknownStrategyError(f"There is no profile '{name}'. {hint}", key=name)


def _read_file(path: Path, family_of: FamilyOf) -> list[Profile | Finding]:
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return [Finding(path, mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}.")]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return [Finding(path, 1, f"not YAML: {error}")]
    except OSError as error:
        return [Finding(path, 1, f"cannot be read: {error}.")]
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        return [Finding(path, 1, "write profiles as 'name:' followed by indented fields.")]
    out: list[Profile | Finding] = []
    seen: dict[str, int] = {}
    for key, node in root.value:
        line = key.start_mark.line + 1
        name = str(key.value)
        if name in seen:
            out.append(Finding(path, line, f"{name} is already defined in line {seen[name]}; choose another name."))
            continue
        seen[name] = line
        out += _read_profile(path, name, line, node, family_of)
    return out


def _read_profile(path: Path, name: str, line: int, node: yaml.Node, family_of: FamilyOf) -> list[Profile | Finding]:
    lines: dict[tuple[str, ...], int] = {(): line}
    doubled = _map_lines(node, (), lines)
    if doubled:
        return [Finding(path, at, f"{'.'.join(where)} is written twice; keep one.") for where, at in doubled]
    if not name.isidentifier() or not name.islower():
        return [Finding(path, line, f"the name {name!r} must be small letters, digits and underscores.")]
    constructor = yaml.SafeLoader("")
    try:
        body = ProfileBody.model_validate(constructor.construct_object(node, deep=True))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        return [Finding(path, mark.line + 1 if mark else line, f"{error.problem}")]
    except ValidationError as error:
        return [
            Finding(path, _line_of(lines, e["loc"]), _explain(e["loc"], e["msg"], e["type"]))
            for e in error.errors(include_url=False)
        ]
    return _check_against_family(path, name, line, lines, body, family_of)


def _check_against_family(
    path: Path,
    name: str,
    line: int,
    lines: Mapping[tuple[str, ...], int],
    body: ProfileBody,
    family_of: FamilyOf,
) -> list[Profile | Finding]:
    try:
        family = family_of(body.family)
    except UnknownStrategyError as error:
        return [Finding(path, _line_of(lines, ("family",)), error.message)]
    findings: list[Profile | Finding] = []
    for parameter, span in body.parameters.items():
        try:
            checked_ranges(family.parameters, {parameter: span.pair})
        except GenomeError as error:
            findings.append(Finding(path, _line_of(lines, ("parameters", parameter)), error.message))
    if findings:
        return findings
    ranges = {k: v.pair for k, v in body.parameters.items()}
    try:
        draw_parameters(family.parameters, np.random.default_rng(0), validate=family.validate, ranges=ranges)
    except GenomeError as error:
        return [Finding(path, _line_of(lines, ("parameters",)), error.message)]
    exits = {p.name: getattr(body.exits, p.name).pair for p in EXIT_PARAMETERS}
    return [Profile(name, body.title, body.description, family.key, body.interval, ranges, exits, path, line)]


def _map_lines(
    node: yaml.Node, where: tuple[str, ...], lines: dict[tuple[str, ...], int]
) -> list[tuple[tuple[str, ...], int]]:
    """Fill the line of every field; returns the fields that are written twice."""
    doubled = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*where, str(key.value))
            if place in lines:
                doubled.append((place, key.start_mark.line + 1))
            lines[place] = key.start_mark.line + 1
            doubled += _map_lines(value, place, lines)
    return doubled


def _line_of(lines: Mapping[tuple[str, ...], int], where: Sequence[str | int]) -> int:
    place = tuple(str(part) for part in where)
    while place not in lines:
        place = place[:-1]
    return lines[place]


def _explain(where: Sequence[str | int], message: str, kind: str) -> str:
    field = ".".join(str(part) for part in where) or "the profile"
    if kind == "missing":
        return f"{field} is missing; add it."
    if kind == "extra_forbidden":
        known = Exits.model_fields if len(where) > 1 and where[0] == "exits" else ProfileBody.model_fields
        close = difflib.get_close_matches(str(where[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}."
        return f"{field} is unknown; {hint}"
    return f"{field}: {message.removeprefix('Value error, ')}."
