"""The demo: a fund with people for every role, candles, three finished cohorts and one that trades live.

Run twice it adds nothing: everything is looked for before it is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from fundops.core import clock
from fundops.core.actions.users import create_user
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.roles import Role
from portal import demo_gate
from trading.actions.cohort import launch_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.actions.marketdata import synthesise_candles
from trading.marketdata.synthetic import SyntheticSpec
from trading.models.cohort import INTERVAL_MINUTES, Cohort, CohortMode, CohortStatus, GenomeSource
from trading.models.marketdata import CandleSet
from trading.quant.engine import list_cost_profiles
from trading.selectors.cohort import Window, latest_window
from treasury.actions.books import ensure_asset, open_fund
from treasury.models import AssetKind, Fund

FUND_CODE = "DEMO"
#: Simulated seconds for each real one: a bar of a minute every fifth of a second.
FORWARD_SPEED = 300.0
COHORT_DAYS = 3
SYNTHETIC_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "AVAXUSDT", "SUIUSDT", "LINKUSDT")
SYNTHETIC_DAYS = 14
SYNTHETIC_SEED = 7
#: Real candles that are picked up where a folder of them lies beside the project.
SAMPLE_DATA = Path(settings.BASE_DIR).parent / "shared" / "data"
SAMPLE_SETS = (
    ("candles/binance_perp_1m_2025-05", "binance_perp"),
    ("funding/binance_perp_funding_2025-03_2025-06.csv.gz", "binance_perp"),
)
#: Venues whose endpoint gives only the latest few hundred candles: an interval that makes days of them.
SHORT_HISTORY = {"kraken": ("15m", 6), "coinbase": ("5m", 9)}
DOLLAR_SYMBOLS = ("BTCUSD", "ETHUSD", "SOLUSD", "XRPUSD")

CAST: tuple[tuple[str, str, Role], ...] = (
    ("paula", "Paula Mendes", Role.PORTFOLIO_MANAGER),
    ("rachel", "Rachel Okafor", Role.RISK_OFFICER),
    ("oscar", "Oscar Lindqvist", Role.OPERATIONS),
    ("clara", "Clara Novak", Role.COMPLIANCE_OFFICER),
    ("robin", "Robin Castellanos", Role.CLIENT_RELATIONS),
    ("ines", "Ines Haddad", Role.INVESTOR),
    ("arthur", "Arthur Brandt", Role.AUDITOR),
    ("ada", "Ada Whitfield", Role.ADMINISTRATOR),
    # Seconds of those who sign: nobody signs everything.
    ("ravi", "Ravi Menon", Role.RISK_OFFICER),
    ("olga", "Olga Duarte", Role.OPERATIONS),
)

Say = Callable[[str], None]


class NoCandlesError(FundopsError):
    """Neither given, found nor made candles cover the days that the cohorts need."""

    title = "No candles"


@dataclass(frozen=True, slots=True)
class Credential:
    username: str
    password: str
    name: str
    role: Role


def _costs(venue: str) -> str:
    """The cost profile of the venue, or the first there is."""
    return next((name for name in list_cost_profiles() if venue.startswith(name)), "binance")


def make_people() -> list[Credential]:
    """An account for every role; returns the passwords of those made now, which are kept nowhere else."""
    made = []
    for username, name, role in CAST:
        if User.objects.filter(username=username).exists():
            continue
        password = secrets.token_urlsafe(9)
        user = create_user(
            username=username,
            email=f"{username}@demo.invalid",
            display_name=name,
            password=password,
            roles=[role],
            actor=None,
        )
        if role is Role.ADMINISTRATOR:
            User.objects.filter(pk=user.pk).update(is_staff=True)
        made.append(Credential(username, password, name, role))
    return made


def make_candles(*, path: Path | None, source: str | None, base_url: str | None, say: Say) -> None:
    """Candles, by preference: of ``path``, of ``source``, stored already, beside the project, invented."""
    if path is not None:
        call_command("import_candles", str(path))
    elif source:
        _download(source, base_url)
    elif CandleSet.objects.filter(kind="trade", rows__gt=0).exists():
        say("Candles are in the catalog already.")
    elif all((SAMPLE_DATA / name).exists() for name, _venue in SAMPLE_SETS):
        say("Importing real market data.")
        for name, venue in SAMPLE_SETS:
            call_command("import_candles", str(SAMPLE_DATA / name), venue=venue, stdout=StringIO())
    else:
        end = datetime.combine(clock.now().date(), time(), tzinfo=UTC)
        spec = SyntheticSpec(
            symbols=SYNTHETIC_SYMBOLS,
            start_ms=clock.to_ms(end - timedelta(days=SYNTHETIC_DAYS)),
            minutes=SYNTHETIC_DAYS * 1440,
            seed=SYNTHETIC_SEED,
        )
        synthesise_candles(spec=spec, actor=None)
        say(f"No real candles at hand: {SYNTHETIC_DAYS} days of {len(SYNTHETIC_SYMBOLS)} synthetic markets.")


def _download(source: str, base_url: str | None) -> None:
    """The longest recent stretch that the venue's public endpoint gives in one go."""
    name = source.lower()
    interval, days = SHORT_HISTORY.get(name, ("1m", 3 * COHORT_DAYS))
    symbols = DOLLAR_SYMBOLS if name in {"kraken", "coinbase"} else SYNTHETIC_SYMBOLS[:4]
    since = clock.now().date() - timedelta(days=days)
    call_command("download_candles", name, *symbols, interval=interval, since=since.isoformat(), base_url=base_url)


def make_fund() -> Fund:
    fund = Fund.objects.filter(code=FUND_CODE).first()
    if fund is not None:
        return fund
    usdt = ensure_asset(code="USDT", name="Tether USD", kind=AssetKind.CRYPTO, places=2, actor=None)
    return open_fund(code=FUND_CODE, name="Demo Fund", base_asset=usdt, opened_on=date(2013, 1, 1), actor=None)


def make_gate(fund: Fund, *, say: Say) -> list[demo_gate.App]:
    """People, rules, a limit and a request that waits; returns the authenticator apps made now."""
    demo_gate.link_people(CAST)
    apps = demo_gate.give_apps()
    demo_gate.make_rules(say=say)
    demo_gate.make_requests(fund, say=say)
    return apps


def make_cohorts(fund: Fund, *, say: Say) -> list[Cohort]:
    """Three finished cohorts of three days, and one that trades three days on accelerated time.

    They take the latest days at hand, one after the other: parents, their heirs, then the forward one; with fewer
    than nine days they overlap.
    """
    window = _longest_window()
    manager = User.objects.get(username="paula")
    last = window.days - COHORT_DAYS
    profiles = _once(manager, fund, window, name="Profiles", seed=1, say=say)
    random = _once(manager, fund, window, name="Random genomes", genome_source=GenomeSource.RANDOM, seed=2, say=say)
    best = _once(
        manager,
        fund,
        window,
        name="Best of both",
        offset=min(COHORT_DAYS, last),
        genome_source=GenomeSource.BEST,
        seed=3,
        parents=[profiles, random],
        say=say,
    )
    forward = _once(
        manager,
        fund,
        window,
        name="Forward, accelerated",
        offset=last,
        mode=CohortMode.FORWARD,
        speed=FORWARD_SPEED,
        seed=4,
        say=say,
    )
    return [profiles, random, best, forward]


@dataclass(frozen=True, slots=True)
class DemoWindow:
    interval: str
    days: int
    market: Window


def _longest_window() -> DemoWindow:
    """The finest candles that cover three whole days, over up to nine days."""
    for interval in INTERVAL_MINUTES:
        for days in range(3 * COHORT_DAYS, COHORT_DAYS - 1, -1):
            market = latest_window(interval=interval, days=days)
            if market is not None:
                return DemoWindow(interval, days, market)
    raise NoCandlesError("The cohorts need three whole UTC days of candles of an hour or finer: import more.")


def _once(
    actor: User,
    fund: Fund,
    window: DemoWindow,
    *,
    name: str,
    say: Say,
    seed: int,
    offset: int = 0,
    mode: str = CohortMode.REPLAY,
    speed: float = 1.0,
    genome_source: str = GenomeSource.PROFILES,
    parents: list[Cohort] | None = None,
) -> Cohort:
    """The cohort of that name, made and (a replay) run when there is none that worked."""
    found = Cohort.objects.filter(fund=fund, name=name).exclude(status=CohortStatus.FAILED).first()
    if found is None:
        found = launch_cohort(
            cohort=Cohort(
                fund=fund,
                name=name,
                mode=mode,
                speed=speed,
                venue=window.market.venue,
                symbols=list(window.market.symbols),
                interval=window.interval,
                start=window.market.start + timedelta(days=offset),
                days=COHORT_DAYS,
                bankroll=Decimal(1000),
                genome_source=genome_source,
                cost_profile=_costs(window.market.venue),
                seed=seed,
            ),
            parents=parents or [],
            actor=actor,
            queued=False,
        )
    if found.mode == CohortMode.REPLAY and found.is_live:
        found = drive_cohort(cohort_id=found.pk)
        if found.status == CohortStatus.FAILED:
            raise NoCandlesError(f"The cohort '{name}' failed: {found.failure}")
    last = found.cohort_days.order_by("-day").first()
    if last is not None:
        say(f"Cohort '{name}': {last.trades} trades on its last day, return {last.roi_frac:+.2%}.")
    return found
