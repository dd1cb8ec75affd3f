"""A deployment in memory: rows, rules and compiled strategies. What cannot change is made once a process."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from trading.cohorts.installed import installed_families
from trading.cohorts.setup import engine_instrument
from trading.desk.sizing import MarketRules, Sizing
from trading.desk.voices import Voice, voice_of
from trading.gateways.base import AccountRules
from trading.models.deployments import CouncilVoice, Deployment
from trading.models.instruments import Instrument
from trading.quant import engine
from trading.quant.engine.market import Market
from trading.quant.engine.rules import decimal_step
from treasury.models import AccountKind, Book, LedgerAccount
from treasury.models.books import PATH_SEPARATOR

_KEPT = 2_000


@dataclass(slots=True)
class Parts:
    """What of a deployment never changes, in the engine's terms."""

    grid: Market
    instruments: list[engine.InstrumentRules]
    costs: engine.CostModel
    rules: dict[str, MarketRules]
    position_assets: dict[str, int]
    quote_asset: int
    accounts: dict[AccountKind, int]
    line: tuple[int, ...]  # its Book and those above it
    voices: dict[int, Voice]


@dataclass(slots=True)
class Desk:
    """A deployment, ready to work a bar. ``leverage`` is what it sizes with (`trading.desk.leverage`)."""

    deployment: Deployment
    parts: Parts
    voices: list[Voice]
    leverage: Decimal

    @property
    def own(self) -> Voice:
        """The deployment's own genome: the first voice."""
        return self.voices[0]

    @property
    def slot_symbols(self) -> tuple[str, ...]:
        """The markets it may trade."""
        market = self.deployment.genome.get("symbol")
        return tuple(self.deployment.symbols) if market is None else (market,)

    @property
    def sizing(self) -> Sizing:
        return Sizing(
            draw=float(self.deployment.bankroll),
            leverage=float(self.leverage),
            time_limit_bars=int(self.deployment.genome.get("exits", {}).get("time_limit_bars", 0)),
        )

    @property
    def cooldown_bars(self) -> int:
        return int(self.deployment.genome.get("exits", {}).get("cooldown_bars", 0))

    def account_rules(self, last_closes: Mapping[str, float]) -> AccountRules:
        """What the gateway is to know of the account."""
        deployment = self.deployment
        return AccountRules(
            account=deployment.account,
            venue=deployment.venue,
            interval_ms=deployment.interval_ms,
            symbols=tuple(deployment.symbols),
            market=deployment.genome.get("symbol"),
            instruments=[_document(rules) for rules in self.parts.instruments],
            protection={k: float(v) for k, v in deployment.genome.get("exits", {}).items() if k.endswith("_frac")},
            cost_profile=deployment.cost_profile,
            bankroll=deployment.bankroll,
            max_leverage=float(deployment.leverage_ceiling),
            first_bar_ms=deployment.start_ms,
            last_closes=dict(last_closes),
        )


def _document(rules: engine.InstrumentRules) -> dict[str, float | int | str]:
    return {
        "symbol": rules.symbol,
        "kind": int(rules.kind),
        "tick": rules.tick,
        "lot": rules.lot,
        "min_notional": rules.min_notional,
        "maintenance_margin_rate": rules.maintenance_margin_rate,
        "max_leverage": rules.max_leverage,
        "daily_volatility": rules.daily_volatility,
        "multiplier": rules.multiplier,
    }


_parts: OrderedDict[tuple[str, int], Parts] = OrderedDict()


def load_desks(deployments: Sequence[Deployment]) -> list[Desk]:
    """These deployments as desks. Weights of voices are read anew; a few queries for all."""
    voices: dict[int, list[CouncilVoice]] = defaultdict(list)
    for row in CouncilVoice.objects.filter(deployment__in=deployments).order_by("deployment", "number"):
        voices[row.deployment_id].append(row)
    missing = [d for d in deployments if _key(d) not in _parts]
    for deployment, parts in _make_parts(missing):
        _parts[_key(deployment)] = parts
        while len(_parts) > _KEPT:
            _parts.popitem(last=False)
    desks = []
    for deployment in deployments:
        parts = _parts[_key(deployment)]
        voices_here = [_voice(row, parts) for row in voices[deployment.pk]]
        desks.append(Desk(deployment, parts, voices_here, deployment.leverage))
    return desks


def _key(deployment: Deployment) -> tuple[str, int]:
    """The genome's hash beside the number: another database's deployment of that number is another one."""
    return f"{deployment.genome_hash}:{deployment.opened_at.timestamp()}:{deployment.bankroll}", deployment.pk


def _voice(row: CouncilVoice, parts: Parts) -> Voice:
    known = parts.voices.get(row.number)
    if known is None or known.row.genome != row.genome:
        known = voice_of(
            row,
            families=installed_families(),
            grid=parts.grid,
            instruments=parts.instruments,
            costs=parts.costs,
        )
        parts.voices[row.number] = known
    known.row = row
    return known


def _make_parts(deployments: Collection[Deployment]) -> list[tuple[Deployment, Parts]]:
    if not deployments:
        return []
    rows: dict[tuple[str, str], Instrument] = {
        (i.venue, i.symbol): i for i in Instrument.objects.filter(venue__in={d.venue for d in deployments})
    }
    accounts: dict[int, dict[AccountKind, int]] = defaultdict(dict)
    for pk, book_id, kind in LedgerAccount.objects.filter(book__in=[d.book_id for d in deployments]).values_list(
        "pk", "book_id", "kind"
    ):
        accounts[book_id][AccountKind(kind)] = pk
    lines = _lines([deployment.book for deployment in deployments])
    made = []
    for deployment in deployments:
        instruments = [rows[deployment.venue, symbol] for symbol in deployment.symbols]
        engine_rules = [engine_instrument(i, deployment.daily_volatility[i.symbol]) for i in instruments]
        made.append(
            (
                deployment,
                Parts(
                    grid=empty_market(deployment.symbols, deployment.interval_ms),
                    instruments=engine_rules,
                    costs=engine.load_cost_profile(deployment.cost_profile),
                    rules={rules.symbol: market_rules(rules) for rules in engine_rules},
                    position_assets={i.symbol: i.position_asset_id for i in instruments},
                    quote_asset=instruments[0].quote_asset_id,
                    accounts=accounts[deployment.book_id],
                    line=lines[deployment.book_id],
                    voices={},
                ),
            )
        )
    return made


def _lines(books: Collection[Book]) -> dict[int, tuple[int, ...]]:
    """Of each Book its own id and those of all above it."""
    paths = {book.pk: list(accumulate(book.path.split(PATH_SEPARATOR), _below)) for book in books}
    asked = {path for above in paths.values() for path in above}
    ids = dict(Book.objects.filter(path__in=asked).values_list("path", "pk"))
    return {pk: tuple(ids[path] for path in above) for pk, above in paths.items()}


def _below(path: str, code: str) -> str:
    return f"{path}{PATH_SEPARATOR}{code}"


def market_rules(rules: engine.InstrumentRules) -> MarketRules:
    """An instrument as the desk sizes by it."""
    whole, power = decimal_step(rules.lot)
    return MarketRules(
        symbol=rules.symbol,
        lot_whole=float(whole),
        lot_power=float(power),
        multiplier=rules.multiplier,
        min_notional=rules.min_notional,
        spot=rules.kind is engine.InstrumentKind.SPOT,
    )


def empty_market(symbols: Sequence[str], interval_ms: int) -> Market:
    """A market of these symbols without bars: names and grid for what is prepared before any bar."""
    nothing: npt.NDArray[np.float64] = np.empty((0, len(symbols)))
    return Market(
        symbols=tuple(symbols),
        ts_ms=np.empty(0, dtype=np.int64),
        interval_ms=interval_ms,
        open=nothing, high=nothing, low=nothing, close=nothing, volume=nothing,
    )  # fmt: skip
