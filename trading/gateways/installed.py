"""The gateways of this installation, by name."""

from __future__ import annotations

from functools import lru_cache

from trading.desk.errors import UnknownGatewayError
from trading.gateways.base import Gateway
from trading.gateways.paper import PaperGateway

NAMES = ("paper",)


@lru_cache(maxsize=8)
def gateway_of(name: str) -> Gateway:
    """The gateway of that name; raises UnknownGatewayError."""
    if name != "paper":
        raise UnknownGatewayError(f"There is no gateway '{name}'. Choose one of {', '.join(NAMES)}.", gateway=name)
    return PaperGateway()
