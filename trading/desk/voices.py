"""The strategies of a council in memory: each one's compiled step and its state, stepped bar by bar.

The very step and memory that a cohort's agent has (`trading.quant.engine`), with the trading left out.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trading.models.deployments import CouncilVoice
from trading.quant import engine
from trading.quant.engine import EngineState
from trading.quant.engine.market import HOUR_MS, Market
from trading.quant.engine.prepared import Prepared, fresh_state, prepare
from trading.quant.engine.runner import Pass, hear
from trading.quant.genome import Genome, parse_genome
from trading.strategies.errors import StrategyError
from trading.strategies.spec import StrategyFamily

_COUNT = struct.Struct("<I")
_SIZE = struct.Struct("<I")


@dataclass(slots=True)
class Voice:
    """One strategy at the table; ``cohort`` is None where its family is not installed any more.

    ``layout`` is any memory of it: what saved ones are read by.
    """

    row: CouncilVoice
    genome: Genome | None
    cohort: Prepared | None
    layout: EngineState | None
    warm_up: int
    slot_symbols: tuple[str, ...]


def voice_of(
    row: CouncilVoice,
    *,
    families: Mapping[str, StrategyFamily],
    grid: Market,
    instruments: Sequence[engine.InstrumentRules],
    costs: engine.CostModel,
) -> Voice:
    """A voice ready to be stepped on bars of ``grid``'s symbols."""
    try:
        genome = parse_genome(row.genome, families.__getitem__)
        family = families[row.family]
    except (KeyError, StrategyError):
        return Voice(row, None, None, None, 0, ())
    agent = genome.agent(family, draw=1.0)
    cohort = prepare(grid, [agent], instruments, costs, engine.WalletRules(bankroll=1.0), mark_ms=HOUR_MS)
    symbols = grid.symbols if genome.symbol is None else (genome.symbol,)
    warm_up = int(family.warm_up(genome.vector(family), len(grid.symbols)))
    return Voice(row, genome, cohort, fresh_state(cohort, 0), warm_up, symbols)


def opened_states(voices: Sequence[Voice], history: Market | None, first_bar_ms: int) -> list[EngineState | None]:
    """The voices' memories at the start: after all of ``history``, or fresh without one."""
    states: list[EngineState | None] = []
    for voice in voices:
        if voice.cohort is None:
            states.append(None)
            continue
        state = fresh_state(voice.cohort, first_bar_ms)
        if history is not None:
            listener = Pass(history, voice.cohort, state)
            listener.listen()
            state = listener.state
        states.append(state)
    return states


def step(voice: Voice, state: EngineState, bar: Market) -> EngineState:
    """The voice's memory after one bar; the one given is not changed."""
    assert voice.cohort is not None  # noqa: S101 - silent voices are not stepped
    return hear(bar, voice.cohort, state)


def standing(voice: Voice, state: EngineState) -> dict[str, float]:
    """The voice's present target by market."""
    targets = state.arrays["slots"]["last_target"]
    return {symbol: float(targets[slot]) for slot, symbol in enumerate(voice.slot_symbols)}


def pack(states: Sequence[EngineState | None]) -> bytes:
    """Memories as one blob, in the order of the voices."""
    blobs = [b"" if state is None else state.to_compact() for state in states]
    return _COUNT.pack(len(blobs)) + b"".join(_SIZE.pack(len(blob)) + blob for blob in blobs)


def unpack(blob: bytes, voices: Sequence[Voice]) -> list[EngineState | None]:
    """What `pack` packed, for the same voices; None for one whose strategy is not installed."""
    (count,) = _COUNT.unpack_from(blob)
    offset, states = _COUNT.size, []
    for _, voice in zip(range(count), voices, strict=True):
        (size,) = _SIZE.unpack_from(blob, offset)
        offset += _SIZE.size
        known = size and voice.layout is not None
        states.append(EngineState.from_compact(blob[offset : offset + size], voice.layout) if known else None)  # type: ignore[arg-type]
        offset += size
    return states
