"""The fixed-size state between two runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class EngineState:
    """Everything a run needs to go on: positions, cash, orders, strategy states, volumes, peaks. Its size does not grow.

    ``fingerprint`` identifies agents, rules and costs; going on with others is refused.
    """

    fingerprint: str
    arrays: dict[str, npt.NDArray[np.generic]]

    def to_bytes(self) -> bytes:
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, data: bytes) -> EngineState:
        """Raises EngineStateError for another version or damaged bytes."""
        raise NotImplementedError
