"""From a line of plain words to an intent, by a grammar. What is not in it is asked about, never guessed.

The grammar (lark, LALR) knows amounts with currencies and suffixes, durations, counts, markets and the verbs with their
synonyms. Any other word is kept as unknown, and one unknown word is enough for a question: text that tries to talk the
assistant into something is text with unknown words.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput

from portal.assistant.intents import (
    EXAMPLES,
    LARGEST,
    MOST_AGENTS,
    MOST_DAYS,
    SMALLEST,
    BankrollSummary,
    CohortStatus,
    FundTomorrow,
    Grow,
    Intent,
    Question,
    ReviewPromotion,
    StartCohort,
)

#: Longer lines are no commands.
LONGEST = 200

#: What each class of words stands for. Within a class they are synonyms.
WORDS: dict[str, tuple[str, ...]] = {
    "GROW": ("grow", "growing", "increase", "multiply", "trade", "trading", "invest", "compound"),
    "START": ("start", "launch", "run", "begin", "create", "open", "make"),
    "COHORT": ("cohort", "cohorts", "paper cohort", "group of agents"),
    "FUND": ("fund", "funding", "finance", "allocate", "back"),
    "TOMORROW": ("tomorrow", "next", "next day", "tomorrow morning"),
    "REVIEW": ("review", "promotion", "promote", "ready", "readiness", "go live", "go-live", "day 3", "day-3"),
    "STATUS": ("status", "doing", "going", "performing", "performance", "how", "results"),
    "BANKROLL": ("bankroll", "bankrolls", "capital", "money", "cash"),
    "SUMMARY": ("summary", "summarise", "summarize", "overview", "show", "report"),
    "AND": ("and", "plus", "&"),
    "DAY": ("day", "days", "d"),
    "WEEK": ("week", "weeks", "wk", "wks"),
    "FORTNIGHT": ("fortnight", "fortnights"),
    "MONTH": ("month", "months"),
    "AGENTS": ("agents", "agent", "bots", "bot", "traders"),
    "ONE": ("a", "an", "one"),
    "FILLER": (
        "please", "the", "my", "our", "me", "i", "we", "with", "for", "over", "on", "in", "of", "to", "at", "from",
        "should", "what", "which", "is", "are", "be", "it", "that", "this", "let", "us", "want", "would", "like", "can",
        "you", "using", "during", "within", "across", "trades", "amount", "out", "up", "into", "each", "?", "!", ".",
        ":", "new", "latest", "last", "candidate", "today", "now", "do", "does", "there",
    ),
}  # fmt: skip
CURRENCIES: dict[str, str] = {
    "$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD", "bucks": "USD", "us dollars": "USD",
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR", "£": "GBP", "gbp": "GBP", "pounds": "GBP",
    "usdt": "USDT", "tether": "USDT", "usdc": "USDC",
}  # fmt: skip
NAMES: dict[str, str] = {
    "bitcoin": "BTC", "ether": "ETH", "ethereum": "ETH", "solana": "SOL", "cardano": "ADA", "ripple": "XRP",
    "avalanche": "AVAX", "dogecoin": "DOGE", "litecoin": "LTC", "polkadot": "DOT",
}  # fmt: skip
_SUFFIX = {"k": 1_000, "m": 1_000_000, "thousand": 1_000, "million": 1_000_000, "grand": 1_000, "hundred": 100}
_DAYS = {"DAY": 1, "WEEK": 7, "FORTNIGHT": 14, "MONTH": 30}

_RULES = r"""
start: item*
?item: duration | count | money | cohort_number | number | symbol | word | unknown
duration: (NUMBER | ONE) (DAY | WEEK | FORTNIGHT | MONTH)
count: NUMBER AGENTS
money: CURRENCY NUMBER [SUFFIX] | NUMBER [SUFFIX] CURRENCY | NUMBER SUFFIX
cohort_number: COHORT "#" NUMBER
number: NUMBER
symbol: SYMBOL
word: GROW | START | COHORT | FUND | TOMORROW | REVIEW | STATUS | BANKROLL | SUMMARY | AND | ONE | FILLER
    | DAY | WEEK | FORTNIGHT | MONTH | AGENTS | SUFFIX | CURRENCY | ","
unknown: UNKNOWN | "#"

NUMBER.5: /-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?(?![\w])/
        | /-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?(?=[kKmM€£$](?![a-zA-Z]))/
        | /-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?(?=(d|wk|wks|usdt?|usdc|eur|gbp)\b)/i
UNKNOWN.-5: /[^\s,#]+/
%ignore /\s+/
"""


@dataclass(slots=True)
class Heard:
    """What a line says, before anybody makes sense of it."""

    classes: set[str] = field(default_factory=set)
    money: list[tuple[Decimal, str | None]] = field(default_factory=list)
    numbers: list[Decimal] = field(default_factory=list)
    days: list[Decimal] = field(default_factory=list)
    agents: list[Decimal] = field(default_factory=list)
    cohorts: list[Decimal] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def understand(text: str, *, symbols: Collection[str]) -> Intent | Question:
    """The intent of a line, or the question to ask back. ``symbols`` are the markets at hand, as the catalog names them
    (BTCUSDT); a base asset (BTC, bitcoin) names all of its markets. Pure: nothing is read or started.
    """
    line = text.strip()
    if not line:
        return Question("What would you like to do?", examples=EXAMPLES)
    if len(line) > LONGEST:
        return Question(
            f"That is too long for a command ({len(line)} characters, at most {LONGEST}).", examples=EXAMPLES
        )
    try:
        heard = hear(line, symbols=symbols)
    except UnexpectedInput:
        return Question("I cannot make sense of the order of these words.", examples=EXAMPLES)
    if heard.unknown:
        return _about_unknown(heard.unknown, symbols)
    return _intent_of(heard)


def hear(line: str, *, symbols: Collection[str]) -> Heard:
    """The words of a line by what they are."""
    tree = _parser(tuple(sorted(symbols))).parse(line)
    heard = Heard()
    _Listener(heard, tuple(sorted(symbols))).transform(tree)
    return heard


@lru_cache(maxsize=8)
def _parser(symbols: tuple[str, ...]) -> Lark:
    spoken = sorted({*symbols, *(_base(s) for s in symbols), *NAMES}, key=lambda s: (-len(s), s))
    terminals = [
        _terminal("SYMBOL", spoken, 4),
        _terminal("CURRENCY", CURRENCIES, 3),
        _terminal("SUFFIX", _SUFFIX, 2),
        *(_terminal(name, words, 1) for name, words in WORDS.items()),
    ]
    return Lark(_RULES + "\n".join(terminals), parser="lalr", lexer="contextual", maybe_placeholders=True)


def _terminal(name: str, words: Collection[str], priority: int) -> str:
    """A terminal of whole words, longest first, in any case."""
    parts = []
    for word in sorted(words, key=lambda w: (-len(w), w)):
        written = re.escape(word).replace("/", r"\/").replace(r"\ ", r"\s+")
        parts.append(written + (r"(?![\w])" if word[-1].isalnum() else ""))
    return f"{name}.{priority}: /({'|'.join(parts)})/i"


def _base(symbol: str) -> str:
    for quote in ("USDT", "USDC", "BUSD", "USD", "EUR", "BTC"):
        if symbol.upper().endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)].rstrip("/-:_")
    return symbol


class _Listener(Transformer[Token, None]):
    """Walks the tree once and sorts what it holds."""

    def __init__(self, heard: Heard, symbols: Sequence[str]) -> None:
        super().__init__()
        self.heard, self.symbols = heard, symbols

    def duration(self, parts: list[Any]) -> None:
        amount, unit = parts
        times = Decimal(1) if amount.type == "ONE" else _number(amount)
        self.heard.days.append(times * _DAYS[unit.type])

    def count(self, parts: list[Any]) -> None:
        self.heard.agents.append(_number(parts[0]))

    def money(self, parts: list[Any]) -> None:
        held = [p for p in parts if p is not None]
        amount = next(_number(p) for p in held if p.type == "NUMBER")
        factor = next((_SUFFIX[p.lower()] for p in held if p.type == "SUFFIX"), 1)
        currency = next((CURRENCIES[" ".join(p.lower().split())] for p in held if p.type == "CURRENCY"), None)
        self.heard.money.append((amount * factor, currency))

    def cohort_number(self, parts: list[Any]) -> None:
        self.heard.classes.add("COHORT")
        self.heard.cohorts.append(_number(parts[1]))

    def number(self, parts: list[Any]) -> None:
        self.heard.numbers.append(_number(parts[0]))

    def symbol(self, parts: list[Any]) -> None:
        said = NAMES.get(parts[0].lower(), parts[0].upper())
        found = [s for s in self.symbols if s.upper() == said] or [s for s in self.symbols if _base(s).upper() == said]
        if found:
            self.heard.symbols += [s for s in found if s not in self.heard.symbols]
        else:
            self.heard.unknown.append(str(parts[0]))

    def word(self, parts: list[Any]) -> None:
        if parts:
            self.heard.classes.add(parts[0].type)

    def unknown(self, parts: list[Any]) -> None:
        self.heard.unknown.append(str(parts[0]) if parts else "#")


def _number(token: Token) -> Decimal:
    return Decimal(token.replace(",", ""))


# --- Making sense ---------------------------------------------------------------------------------------------
def _about_unknown(words: Sequence[str], symbols: Collection[str]) -> Question:
    known = [*(w for words in WORDS.values() for w in words), *CURRENCIES, *NAMES, *(s.lower() for s in symbols)]
    first = words[0].strip("?.!,;:")
    near = difflib.get_close_matches(first.lower(), known, n=1, cutoff=0.75)
    guess = f" Did you mean “{near[0]}”?" if near else ""
    if re.fullmatch(r"[A-Z]{3,12}", first) and first.lower() not in known:
        return Question(
            f"There are no candles of {first} at hand. Choose markets that are, or import it.", tuple(words)
        )
    shown = ", ".join(f"“{w[:40]}”" for w in dict.fromkeys(words[:3]))
    return Question(f"I do not know what {shown} means here.{guess}", tuple(words), EXAMPLES)


def _intent_of(heard: Heard) -> Intent | Question:
    said = heard.classes
    wanted = {
        name
        for name, there in {
            "start": "START" in said and "COHORT" in said,
            "grow": "GROW" in said,
            "fund": "FUND" in said or ("TOMORROW" in said and "GROW" not in said),
            "review": "REVIEW" in said,
        }.items()
        if there
    }
    if len(wanted) > 1:
        asked = " or ".join(sorted(_SPOKEN[name] for name in wanted))
        return Question(f"Do you want to {asked}? Ask for one at a time.", examples=EXAMPLES)
    match next(iter(wanted), ""):
        case "start":
            return _start(heard)
        case "grow":
            return _grow(heard)
        case "fund":
            return FundTomorrow()
        case "review":
            return _about_cohort(heard, ReviewPromotion)
    if "COHORT" in said and said & {"STATUS", "SUMMARY"}:
        return _about_cohort(heard, CohortStatus)
    if "BANKROLL" in said:
        return BankrollSummary()
    return Question("I am not sure what to do with that. Which of these comes nearest?", examples=EXAMPLES)


_SPOKEN = {
    "start": "start a cohort",
    "grow": "grow an amount",
    "fund": "hear what to fund tomorrow",
    "review": "review a promotion",
}


def _about_cohort(heard: Heard, kind: type[ReviewPromotion] | type[CohortStatus]) -> Intent | Question:
    numbers = [*heard.cohorts, *heard.numbers]
    if len(numbers) > 1:
        return Question("Which cohort do you mean? Name one number.", ("cohort",))
    if not numbers:
        return kind()
    if numbers[0] != int(numbers[0]) or numbers[0] < 1:
        return Question(f"{numbers[0]} is no cohort's number.", ("cohort",))
    return kind(int(numbers[0]))


@dataclass(frozen=True, slots=True)
class _Slots:
    amount: Decimal | None
    currency: str | None
    days: int | None
    agents: int | None


def _start(heard: Heard) -> Intent | Question:
    slots = _slots(heard)
    if isinstance(slots, Question):
        return slots
    return StartCohort(slots.amount, slots.days, slots.currency, tuple(heard.symbols), slots.agents)


def _grow(heard: Heard) -> Intent | Question:
    slots = _slots(heard)
    if isinstance(slots, Question):
        return slots
    if slots.amount is None:
        return Question("How much do you want to trade?", ("amount",), ("Grow 500 USDT over 7 days",))
    if slots.days is None:
        return Question(f"For how many days do you want to trade {slots.amount:,f}?", ("days",), ("over 7 days",))
    return Grow(slots.amount, slots.days, slots.currency, tuple(heard.symbols), slots.agents)


def _slots(heard: Heard) -> _Slots | Question:
    """The amount, days and agents of a line, each said once and within its bounds, or the question about one."""
    # A bare number beside no other amount is the amount: "trade 1,000 for 10 days".
    amounts = [*heard.money, *((n, None) for n in (*heard.numbers, *heard.cohorts))]
    for name, values in (("amount", amounts), ("number of days", heard.days), ("number of agents", heard.agents)):
        if len(values) > 1:
            return Question(f"You named more than one {name}. Which is it?", (name,))
    amount, currency = amounts[0] if amounts else (None, None)
    if amount is not None and not SMALLEST <= amount <= LARGEST:
        return Question(f"An amount lies between {SMALLEST:,f} and {LARGEST:,f}; {amount:,f} does not.", ("amount",))
    if amount is not None and amount != amount.quantize(Decimal("0.01")):
        return Question("An amount has at most two decimals.", ("amount",))
    days = _whole(heard.days, 1, MOST_DAYS, "days")
    agents = _whole(heard.agents, 1, MOST_AGENTS, "agents")
    for slot in (days, agents):
        if isinstance(slot, Question):
            return slot
    assert not isinstance(days, Question)  # noqa: S101 - said above
    assert not isinstance(agents, Question)  # noqa: S101
    return _Slots(amount, currency, days, agents)


def _whole(values: Sequence[Decimal], least: int, most: int, what: str) -> int | Question | None:
    if not values:
        return None
    value = values[0]
    if value != int(value) or not least <= value <= most:
        return Question(f"The {what} are a whole number from {least} to {most:,}; {value:,f} is not.", (what,))
    return int(value)
