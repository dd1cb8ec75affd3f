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
from django.db.models import Sum

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
from trading.models.cohort import INTERVAL_MINUTES, LIVE_STATUSES, Cohort, CohortMode, CohortStatus, GenomeSource
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
SYNTHETIC_DAYS = 42
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


def make_candles(*, path: Path | None, source: str | None, base_url: str | None, say: Say) -> str | None:
    """Candles, by preference: of ``path``, of ``source``, stored already, beside the project, invented.

    Returns the venue that was given, by a path the one most of its candles are of; None where nothing was.
    """
    if path is not None:
        before = clock.now()
        call_command("import_candles", str(path))
        return _imported_venue(path, since=before)
    if source:
        _download(source, base_url)
        return source.lower()
    if CandleSet.objects.filter(kind="trade", rows__gt=0).exists():
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
    return None


def _imported_venue(path: Path, *, since: datetime) -> str:
    sets = CandleSet.objects.filter(kind="trade", updated_at__gte=since).values("venue")
    most = sets.annotate(count=Sum("rows")).order_by("-count", "venue").first()
    if most is None:
        raise NoCandlesError(f"{path} holds no candles that a cohort could trade.")
    return str(most["venue"])


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


def make_cohorts(fund: Fund, *, venue: str | None = None, say: Say) -> list[Cohort]:
    """Three finished cohorts of three days, and one that trades three days on accelerated time.

    They take the latest days at hand, one after the other: parents, their heirs, then the forward one; with fewer
    than nine days they overlap. Of a ``venue`` that was given they trade the candles of just that one, anew where
    those that are there traded something else. The forward one is over in a quarter of an hour: there is always one
    that lives.
    """
    window = _longest_window(venue)
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
    return [profiles, random, best, _live_forward(manager, fund, window, offset=last, say=say)]


def _live_forward(manager: User, fund: Fund, window: DemoWindow, *, offset: int, say: Say) -> Cohort:
    """The forward cohort that trades now on that market, launched when none does."""
    all_forward = Cohort.objects.filter(fund=fund, mode=CohortMode.FORWARD, speed=FORWARD_SPEED)
    live = all_forward.filter(status__in=LIVE_STATUSES)
    if window.given:
        live = live.filter(venue=window.market.venue, start=window.market.start + timedelta(days=offset))
    number = all_forward.count()
    return live.first() or _once(
        manager,
        fund,
        window,
        name="Forward, accelerated" if number == 0 else f"Forward, accelerated, {number + 1}",
        offset=offset,
        mode=CohortMode.FORWARD,
        speed=FORWARD_SPEED,
        seed=4 + number,
        say=say,
    )


@dataclass(frozen=True, slots=True)
class DemoWindow:
    interval: str
    days: int
    market: Window
    #: Whether these candles were asked for, and not just found.
    given: bool = False


def _longest_window(venue: str | None) -> DemoWindow:
    """The finest candles, of one venue or of any, that cover three whole days, over up to nine days."""
    for interval in INTERVAL_MINUTES:
        for days in range(3 * COHORT_DAYS, COHORT_DAYS - 1, -1):
            market = latest_window(interval=interval, days=days, venue=venue)
            if market is not None:
                return DemoWindow(interval, days, market, given=venue is not None)
    of_it = f" of {venue}" if venue else ""
    raise NoCandlesError(f"The cohorts need three whole UTC days of candles{of_it} of an hour or finer: import more.")


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
    """The cohort of that name, made and (a replay) run when there is none that worked.

    On candles that were given it is the one that traded these; where the name is another's, venue and day follow it.
    """
    start = window.market.start + timedelta(days=offset)
    taken = Cohort.objects.filter(fund=fund).exclude(status=CohortStatus.FAILED)
    found = taken.filter(name=name).first()
    if found is not None and window.given and (found.venue, found.start) != (window.market.venue, start):
        name = f"{name}, {window.market.venue} {start:%d %b %Y}"
        found = taken.filter(name=name).first()
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
                start=start,
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
