"""Genomes: one point in a family's parameter space with its exit rules and symbol, drawn, bred, written and
read.

A genome is data. Its canonical JSON has sorted keys, whole numbers as integers and the shortest decimals
that give the same float64 back; the SHA-256 of it names the genome for ever. All randomness comes from the
generator passed in.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trading.quant.engine.rules import AgentSpec, ExitRules
from trading.strategies.errors import GenomeError
from trading.strategies.spec import Float64, Parameter, Scope, StrategyFamily

#: Part of every document; raised when its meaning changes.
FORMAT = 1
_TRIES = 1_000

#: What a random exit rule may be; each is switched off (0) with probability one half, the cooldown included.
EXIT_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("stop_loss_frac", 0.002, 0.25, 0.03, log=True, unit="fraction", help="Loss that closes."),
    Parameter("take_profit_frac", 0.002, 0.5, 0.06, log=True, unit="fraction", help="Profit that closes."),
    Parameter("trailing_stop_frac", 0.002, 0.25, 0.04, log=True, unit="fraction", help="Fall from the best."),
    Parameter("time_limit_bars", 10, 5_000, 480, "integer", log=True, unit="bars", help="Longest holding."),
    Parameter("cooldown_bars", 1, 240, 15, "integer", log=True, unit="bars", help="Rest after a rule exit."),
)
_EXIT_NAMES = tuple(p.name for p in EXIT_PARAMETERS)

#: A narrowed range (low, high) or a fixed value for a gene.
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Genome:
    """``family`` is the key name@version; ``symbol`` is None for PANEL families, which trade all symbols.

    ``params`` holds every parameter of the family by name. Exit rules of 0 are off.
    """

    family: str
    params: Mapping[str, float]
    exits: ExitRules = field(default_factory=ExitRules)
    symbol: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "family": self.family,
            "params": {k: _plain(v) for k, v in sorted(self.params.items())},
            "exits": {n: _plain(getattr(self.exits, n)) for n in _EXIT_NAMES if getattr(self.exits, n)},
            "symbol": self.symbol,
        }

    def canonical_json(self) -> str:
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def content_hash(self) -> str:
        """SHA-256 of the canonical JSON, 64 hex digits."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def vector(self, family: StrategyFamily) -> Float64:
        """The parameters in the family's order, as its step wants them."""
        return np.array([self.params[p.name] for p in family.parameters], dtype=np.float64)

    def agent(
        self, family: StrategyFamily, *, draw: float, leverage: float = 1.0, max_leverage: float = 0.0
    ) -> AgentSpec:
        """The agent that plays this genome with ``draw`` of capital in quote units."""
        return AgentSpec(
            family=family,
            params=self.vector(family),
            draw=draw,
            symbol=self.symbol,
            exits=self.exits,
            leverage=leverage,
            max_leverage=max_leverage,
        )


def _plain(value: float) -> float | int:
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)


# --- drawing ------------------------------------------------------------------------------------------------


def _within(parameter: Parameter, value: float, low: float, high: float) -> float:
    if parameter.kind == "integer":
        return float(min(math.floor(high), max(math.ceil(low), round(value))))
    return min(high, max(low, float(f"{value:.6g}")))


def draw_value(parameter: Parameter, rng: np.random.Generator, narrowed: Range | None = None) -> float:
    """One uniform draw within the bounds, on a log scale where the parameter asks for it; reals keep six
    digits.
    """
    low, high = narrowed or (parameter.low, parameter.high)
    if low == high:
        return low
    if parameter.kind == "integer" and not parameter.log:
        return float(rng.integers(math.ceil(low), math.floor(high), endpoint=True))
    if parameter.log:
        edge = 0.5 if parameter.kind == "integer" else 0.0
        drawn = math.exp(rng.uniform(math.log(max(low - edge, low / 2)), math.log(high + edge)))
        return _within(parameter, drawn, low, high)
    return _within(parameter, rng.uniform(low, high), low, high)


def draw_parameters(
    parameters: Sequence[Parameter],
    rng: np.random.Generator,
    *,
    validate: Callable[[Mapping[str, float]], str | None] = lambda _values: None,
    ranges: Mapping[str, Range] | None = None,
) -> dict[str, float]:
    """Draw all parameters anew until the cross-parameter rule holds.

    Raises GenomeError when 1,000 draws break it: then the narrowed ranges contradict the rule.
    """
    narrowed = checked_ranges(parameters, ranges or {})
    complaint: str | None = None
    for _ in range(_TRIES):
        values = {p.name: draw_value(p, rng, narrowed.get(p.name)) for p in parameters}
        complaint = validate(values)
        if complaint is None:
            return values
    raise GenomeError(f"No draw within the ranges obeys the strategy's rule; widen them. The last said: {complaint}")


def checked_ranges(parameters: Sequence[Parameter], ranges: Mapping[str, Range]) -> dict[str, Range]:
    """``ranges`` once every name exists and every range lies within its parameter's bounds; else
    GenomeError.
    """
    known = {p.name: p for p in parameters}
    out = {}
    for name, (low, high) in ranges.items():
        if name not in known:
            raise GenomeError(f"There is no parameter '{name}'; there are {', '.join(known) or 'none'}.")
        p = known[name]
        if not p.low <= low <= high <= p.high:
            raise GenomeError(f"{name}: the range {low:g} to {high:g} must lie within {p.low:g} to {p.high:g}.")
        if p.kind == "integer" and math.ceil(low) > math.floor(high):
            raise GenomeError(f"{name}: there is no whole number between {low:g} and {high:g}.")
        out[name] = (low, high)
    return out


def draw_exits(rng: np.random.Generator, ranges: Mapping[str, Range] | None = None) -> ExitRules:
    """Random exit rules. A rule named in ``ranges`` is drawn from its range (0, 0 is off); every other is
    on with probability one half and then drawn within EXIT_PARAMETERS. Cooldown without a rule that exits
    does nothing.
    """
    named = ranges or {}
    values: dict[str, float] = {}
    for p in EXIT_PARAMETERS:
        on = rng.random() < 0.5
        if p.name in named:
            low, high = named[p.name]
            values[p.name] = 0.0 if high == 0 else draw_value(p, rng, (low, high))
        else:
            drawn = draw_value(p, rng)
            values[p.name] = drawn if on else 0.0
    return _exit_rules(values)


def _exit_rules(values: Mapping[str, float]) -> ExitRules:
    return ExitRules(
        stop_loss_frac=float(values.get("stop_loss_frac", 0.0)),
        take_profit_frac=float(values.get("take_profit_frac", 0.0)),
        trailing_stop_frac=float(values.get("trailing_stop_frac", 0.0)),
        time_limit_bars=int(values.get("time_limit_bars", 0)),
        cooldown_bars=int(values.get("cooldown_bars", 0)),
    )


def random_genome(
    family: StrategyFamily,
    rng: np.random.Generator,
    *,
    symbols: Sequence[str],
    ranges: Mapping[str, Range] | None = None,
    exit_ranges: Mapping[str, Range] | None = None,
) -> Genome:
    """A genome drawn within the family's bounds, or within narrower ``ranges``; the symbol is drawn
    evenly.
    """
    params = draw_parameters(family.parameters, rng, validate=family.validate, ranges=ranges)
    return Genome(family.key, params, draw_exits(rng, exit_ranges), draw_symbol(family, rng, symbols))


def draw_symbol(family: StrategyFamily, rng: np.random.Generator, symbols: Sequence[str]) -> str | None:
    if family.scope is Scope.PANEL:
        return None
    if not symbols:
        raise GenomeError("A genome of one symbol needs at least one symbol to choose from.")
    return symbols[int(rng.integers(len(symbols)))]


# --- breeding -----------------------------------------------------------------------------------------------


def mutate(
    genome: Genome,
    family: StrategyFamily,
    rng: np.random.Generator,
    *,
    rate: float = 0.25,
    scale: float = 0.15,
    symbols: Sequence[str] = (),
    ranges: Mapping[str, Range] | None = None,
) -> Genome:
    """A neighbour: each gene moves with probability ``rate`` by a normal step of ``scale`` x its range (log
    range where asked), clipped to its bounds; exit rules move likewise and flip on or off at a fifth of the
    rate; the symbol is redrawn with probability ``rate`` when ``symbols`` are given. The cross-parameter
    rule holds afterwards.
    """
    narrowed = checked_ranges(family.parameters, ranges or {})
    for _ in range(_TRIES):
        params = {
            p.name: _stepped(p, genome.params[p.name], rng, rate, scale, narrowed.get(p.name))
            for p in family.parameters
        }
        if family.validate(params) is None:
            break
    else:
        raise GenomeError("No mutation obeys the strategy's rule; use a smaller scale or wider ranges.")
    exits = {}
    for p in EXIT_PARAMETERS:
        value = float(getattr(genome.exits, p.name))
        if rng.random() < rate / 5:
            value = draw_value(p, rng) if value == 0 else 0.0
        exits[p.name] = value if value == 0 else _stepped(p, value, rng, rate, scale, None)
    moved = bool(symbols) and rng.random() < rate
    symbol = draw_symbol(family, rng, symbols) if moved else genome.symbol
    return Genome(genome.family, params, _exit_rules(exits), symbol)


def _stepped(
    p: Parameter, value: float, rng: np.random.Generator, rate: float, scale: float, narrowed: Range | None
) -> float:
    low, high = narrowed or (p.low, p.high)
    move = rng.random() < rate
    step = rng.normal(0.0, scale)
    if not move or low == high:
        return min(high, max(low, value))
    stepped = math.exp(math.log(value) + step * math.log(high / low)) if p.log else value + step * (high - low)
    if p.kind == "integer" and round(stepped) == value:
        stepped = value + math.copysign(1.0, step)
    return _within(p, stepped, low, high)


def crossover(first: Genome, second: Genome, family: StrategyFamily, rng: np.random.Generator) -> Genome:
    """A child that takes each gene, each exit rule and the symbol from either parent with equal chance.

    Both must be of ``family``. When no mixture within 1,000 obeys the cross-parameter rule the child's
    parameters are the first parent's.
    """
    if not first.family == second.family == family.key:
        raise GenomeError(f"Only genomes of one family mix: {first.family}, {second.family} and {family.key} differ.")
    params = dict(first.params)
    for _ in range(_TRIES):
        mixed = {p.name: (first if rng.random() < 0.5 else second).params[p.name] for p in family.parameters}
        if family.validate(mixed) is None:
            params = mixed
            break
    exits = {n: float(getattr((first if rng.random() < 0.5 else second).exits, n)) for n in _EXIT_NAMES}
    return Genome(family.key, params, _exit_rules(exits), (first if rng.random() < 0.5 else second).symbol)


# --- reading and writing ------------------------------------------------------------------------------------


def genome_schema(family: StrategyFamily) -> dict[str, Any]:
    """JSON Schema (2020-12) of this family's genome documents. The cross-parameter rule is beyond it."""

    def gene(p: Parameter) -> dict[str, Any]:
        return {
            "type": "integer" if p.kind == "integer" else "number",
            "minimum": _plain(p.low),
            "maximum": _plain(p.high),
            "description": f"{p.help} {f'[{p.unit}]' if p.unit else ''}".strip(),
        }

    def rule(p: Parameter) -> dict[str, Any]:
        top = {} if p.name == "take_profit_frac" or p.kind == "integer" else {"exclusiveMaximum": 1}
        return {"type": "integer" if p.kind == "integer" else "number", "minimum": 0, **top}

    single = family.scope is Scope.SINGLE
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Genome of {family.key}",
        "type": "object",
        "additionalProperties": False,
        "required": ["family", "params", *(["symbol"] if single else [])],
        "properties": {
            "format": {"const": FORMAT},
            "family": {"const": family.key},
            "params": {
                "type": "object",
                "additionalProperties": False,
                "required": [p.name for p in family.parameters],
                "properties": {p.name: gene(p) for p in family.parameters},
            },
            "exits": {
                "type": "object",
                "additionalProperties": False,
                "properties": {p.name: rule(p) for p in EXIT_PARAMETERS},
            },
            "symbol": {"type": "string", "minLength": 1} if single else {"type": "null"},
        },
    }


def genome_problems(document: object, family: StrategyFamily) -> list[str]:
    """Every reason why ``document`` is no genome of ``family``, each beginning with the path of the field."""
    if not isinstance(document, Mapping):
        return ["the document must be an object with family, params, exits and symbol."]
    allowed = {"format", "family", "params", "exits", "symbol"}
    out = [
        f"{name}: unknown field; there are {', '.join(sorted(allowed))}." for name in document if name not in allowed
    ]
    if document.get("format", FORMAT) != FORMAT:
        out.append(f"format: is {document['format']!r}; this version reads {FORMAT}.")
    if document.get("family") != family.key:
        out.append(f"family: is {document.get('family')!r}, not {family.key!r}.")
    symbol = document.get("symbol")
    if family.scope is Scope.SINGLE and not (isinstance(symbol, str) and symbol):
        out.append(f"symbol: is {symbol!r}; {family.key} trades one symbol, name it.")
    if family.scope is Scope.PANEL and symbol is not None:
        out.append(f"symbol: is {symbol!r}; {family.key} trades all symbols, leave it out.")
    params = document.get("params")
    if isinstance(params, Mapping):
        out += _gene_problems("params", params, family.parameters, required=True)
    else:
        out.append("params: must be an object with one number for each parameter.")
    exits = document.get("exits", {})
    if isinstance(exits, Mapping):
        wide = tuple(_wide_exit(p) for p in EXIT_PARAMETERS)
        out += _gene_problems("exits", exits, wide, required=False)
    else:
        out.append("exits: must be an object of exit rules.")
    if not out and isinstance(params, Mapping):
        complaint = family.validate({k: float(v) for k, v in params.items()})
        if complaint:
            out.append(f"params: {complaint}")
    return out


def _wide_exit(p: Parameter) -> Parameter:
    high = 2.0**40 if p.kind == "integer" else (1e6 if p.name == "take_profit_frac" else math.nextafter(1.0, 0.0))
    return Parameter(p.name, 0.0, high, 0.0, p.kind)


def _gene_problems(
    where: str, values: Mapping[str, object], parameters: Sequence[Parameter], *, required: bool
) -> list[str]:
    known = {p.name: p for p in parameters}
    out = [f"{where}.{n}: unknown; there are {', '.join(known) or 'none'}." for n in values if n not in known]
    for name, p in known.items():
        if name not in values:
            if required:
                out.append(f"{where}.{name}: is missing.")
            continue
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            out.append(f"{where}.{name}: is {value!r}; it must be a finite number.")
        elif not p.low <= value <= p.high:
            out.append(f"{where}.{name}: is {value:g}; it must lie between {p.low:g} and {p.high:g}.")
        elif p.kind == "integer" and value != int(value):
            out.append(f"{where}.{name}: is {value:g}; it must be a whole number.")
    return out


def parse_genome(document: str | bytes | Mapping[str, Any], family_of: Callable[[str], StrategyFamily]) -> Genome:
    """Read a genome from JSON text or a mapping; ``family_of`` finds a family by key (it may raise its own
    error).

    Raises GenomeError that lists every problem with the path of its field (``extra["problems"]``).
    """
    if isinstance(document, (str, bytes)):
        try:
            document = json.loads(document)
        except json.JSONDecodeError as error:
            raise GenomeError(f"Not JSON: {error.msg} at line {error.lineno} column {error.colno}.") from error
    if not isinstance(document, Mapping) or not isinstance(document.get("family"), str):
        raise GenomeError("A genome is an object that names its family, such as sma_crossover@1.")
    family = family_of(document["family"])
    found = genome_problems({**document, "family": family.key}, family)
    if found:
        raise GenomeError("The genome is wrong: " + " ".join(found), problems=found)
    exits = {k: float(v) for k, v in document.get("exits", {}).items()}
    params = {p.name: float(document["params"][p.name]) for p in family.parameters}
    return Genome(family.key, params, _exit_rules(exits), document.get("symbol"))
