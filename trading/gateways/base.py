"""What a desk asks of a venue, whichever it is.

Rules that every gateway keeps, so that a desk may die at any instant:

* An order is known by the client's id. Submitting the same id again never makes a second order: the answer is the
  state of the first.
* A call that fails with OutcomeUnknownError may have happened. Its orders stay in flight until `query` tells; they
  are neither sent again under another id nor written off.
* REJECTED is the venue's word. What is refused before it is sent is DENIED, and no gateway ever sees it.
* Everything that happens to an account afterwards (fills, cancels, funding, protective orders) comes as numbered
  reports without gaps. Whoever remembers the last number it took in has missed nothing, after any restart.

Quantities and money are Decimals, times epoch milliseconds UTC, sides 1 (buy) and -1 (sell).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from fundops.core.errors import FundopsError


class GatewayError(FundopsError):
    """The base of what can go wrong between a desk and a venue."""

    title = "The venue could not be asked"


class OutcomeUnknownError(GatewayError):
    """Sent, and no answer: it may have happened. Ask with `query` before anything else."""

    title = "The venue did not answer"


class NotEnoughCashError(GatewayError):
    title = "The account has not that much in cash"


class UnknownAccountError(GatewayError):
    title = "No such account at the venue"


class VenueState(StrEnum):
    """An order's state in the venue's words."""

    WORKING = "working"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to send. ``limit_price`` None is a market order; ``tag`` says what for and comes back with fills."""

    account: str
    client_order_id: str
    symbol: str
    side: int
    quantity: Decimal
    limit_price: Decimal | None = None
    reduce_only: bool = False
    tag: str = "signal"
    sent_ms: int = 0


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as the venue knows it; the answer to submit, cancel and query alike."""

    account: str
    client_order_id: str
    venue_order_id: str
    symbol: str
    side: int
    quantity: Decimal
    filled: Decimal
    state: VenueState
    reason: str
    at_ms: int
    tag: str = ""
    protective: bool = False


@dataclass(frozen=True, slots=True)
class OrderReport:
    """The order changed (or, a protective one, came into being)."""

    number: int
    order: OrderView


@dataclass(frozen=True, slots=True)
class FillReport:
    """One execution. ``reference_price`` is the market's before spread and impact."""

    number: int
    account: str
    client_order_id: str
    venue_fill_id: str
    at_ms: int
    symbol: str
    side: int
    quantity: Decimal
    price: Decimal
    reference_price: Decimal
    notional: Decimal
    fee: Decimal
    spread_cost: Decimal
    impact_cost: Decimal
    realised: Decimal
    tag: str


@dataclass(frozen=True, slots=True)
class FundingReport:
    """Funding received (positive) or paid on a position."""

    number: int
    account: str
    at_ms: int
    symbol: str
    quantity: Decimal
    price: Decimal
    rate: float
    amount: Decimal


Report = OrderReport | FillReport | FundingReport


@dataclass(frozen=True, slots=True)
class Balances:
    """What an account holds, in the venue's own reckoning, at its last prices."""

    account: str
    cash: Decimal
    positions: Mapping[str, Decimal]
    equity: Decimal
    at_ms: int


@dataclass(frozen=True, slots=True)
class AccountRules:
    """What an account trades and what protects it; fixed when it is opened.

    ``instruments`` and ``protection`` are in the engine's terms (InstrumentRules, ExitRules fields by name): a venue
    without native stops keeps them on its own side of the gateway.
    """

    account: str
    venue: str
    interval_ms: int
    symbols: tuple[str, ...]
    market: str | None
    instruments: Sequence[Mapping[str, Any]]
    protection: Mapping[str, float]
    cost_profile: str
    bankroll: Decimal
    max_leverage: float
    first_bar_ms: int
    last_closes: Mapping[str, float] = field(default_factory=dict)


class Gateway(Protocol):
    """A venue's accounts and orders. Every call is bulk; every call may be repeated."""

    name: str

    def open_account(self, rules: AccountRules) -> None:
        """Makes the account ready; one that is open is left as it is."""
        ...

    def submit(self, orders: Sequence[NewOrder]) -> list[OrderView]:
        """Sends orders; raises OutcomeUnknownError when it is not known whether they arrived."""
        ...

    def cancel(self, account: str, client_order_ids: Collection[str]) -> list[OrderView]:
        """Asks to end orders; one that has ended already is answered as it is."""
        ...

    def query(self, account: str, client_order_ids: Collection[str]) -> dict[str, OrderView]:
        """Orders by id; an id that the venue never saw is left out."""
        ...

    def open_orders(self, accounts: Collection[str]) -> list[OrderView]:
        """All that still work, protective ones included: what a desk asks for after a restart."""
        ...

    def reports(self, after: Mapping[str, int]) -> dict[str, list[Report]]:
        """By account, everything after the number that the caller has taken in, in order."""
        ...

    def balances(self, accounts: Collection[str]) -> dict[str, Balances]:
        """What the accounts hold."""
        ...

    def transfer(self, account: str, amount: Decimal) -> None:
        """Cash into the account (positive) or out of it, once for each call: inside the transaction that books it.

        Raises NotEnoughCashError.
        """
        ...
