"""What a person may want of the assistant, as data; and the question that is asked where it is not clear."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar

SMALLEST = Decimal(50)
LARGEST = Decimal(1_000_000)
MOST_DAYS = 90
MOST_AGENTS = 10_000


@dataclass(frozen=True, slots=True)
class Intent:
    """The base. ``NAME`` is the last part of its address, ``PERMISSION`` what it takes, ``ABOUT`` says what it does."""

    NAME: ClassVar[str] = ""
    PERMISSION: ClassVar[str] = ""
    ABOUT: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Grow(Intent):
    """Trade an amount for a number of days by a plan. `currency` as it was said; None is the markets' own. `mode` is
    replay or forward; None is whichever the candles allow."""

    NAME: ClassVar[str] = "grow"
    PERMISSION: ClassVar[str] = "trading.launch_cohort"
    ABOUT: ClassVar[str] = "Plans the days, launches a paper cohort and reports on it."

    amount: Decimal
    days: int
    currency: str | None = None
    symbols: tuple[str, ...] = ()
    agents: int | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class StartCohort(Intent):
    """Launch a paper cohort; what is left out is what the launch page would propose."""

    NAME: ClassVar[str] = "start-cohort"
    PERMISSION: ClassVar[str] = "trading.launch_cohort"
    ABOUT: ClassVar[str] = "Launches a paper cohort."

    amount: Decimal | None = None
    days: int | None = None
    currency: str | None = None
    symbols: tuple[str, ...] = ()
    agents: int | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class FundTomorrow(Intent):
    """What happened, what to fund next, and what waits for a signature."""

    NAME: ClassVar[str] = "fund-tomorrow"
    PERMISSION: ClassVar[str] = "trading.view_cohort"
    ABOUT: ClassVar[str] = "Sums up outcomes, recommends changes of the bankroll, lists what waits for approval."


@dataclass(frozen=True, slots=True)
class ReviewPromotion(Intent):
    """How ready a cohort's candidate is for capital; None is the latest cohort that has a review."""

    NAME: ClassVar[str] = "review-promotion"
    PERMISSION: ClassVar[str] = "trading.view_promotionreview"
    ABOUT: ClassVar[str] = "Says how ready a candidate is for micro-live capital, and why."

    cohort: int | None = None


@dataclass(frozen=True, slots=True)
class CohortStatus(Intent):
    """How cohorts do."""

    NAME: ClassVar[str] = "cohort-status"
    PERMISSION: ClassVar[str] = "trading.view_cohort"
    ABOUT: ClassVar[str] = "Says how cohorts are doing."

    cohort: int | None = None


@dataclass(frozen=True, slots=True)
class BankrollSummary(Intent):
    """What is in the bankroll, what is handed out, what it earned."""

    NAME: ClassVar[str] = "bankroll-summary"
    PERMISSION: ClassVar[str] = "treasury.view_book"
    ABOUT: ClassVar[str] = "Says what is in the bankroll and what is handed out."


INTENTS: tuple[type[Intent], ...] = (Grow, StartCohort, FundTomorrow, ReviewPromotion, CohortStatus, BankrollSummary)


@dataclass(frozen=True, slots=True)
class Question:
    """What the assistant asks back. Nothing has been started. ``about`` names the words or the field it is about."""

    text: str
    about: tuple[str, ...] = ()
    examples: tuple[str, ...] = field(default=())


EXAMPLES = (
    "Grow $500 over 7 days",
    "Start a cohort with 5k on BTC and ETH",
    "What should I fund tomorrow?",
    "Is cohort 12 ready for promotion?",
    "How are my cohorts doing?",
)
