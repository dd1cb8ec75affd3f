"""Backtests and sweeps leave a record that nobody can change, and a review counts them as it counts agents."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any, LiteralString

import numpy as np
import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from rest_framework.test import APIClient

from compliance.models import AuditEvent
from fundops.core.errors import PermissionMissingError
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from tests.trading.promotion.conftest import START
from tests.trading.promotion.own_ground import finished as finished
from tests.trading.promotion.own_ground import fund as fund
from tests.trading.promotion.own_ground import manager as manager
from trading.actions.trials import SweepRun, run_backtest, run_sweep
from trading.backtests import find_target, instruments_of
from trading.cohorts.catalog import open_catalog
from trading.cohorts.installed import installed_profiles, installed_strategies
from trading.cohorts.setup import market_of
from trading.models.cohort import Cohort
from trading.models.trials import TrialSet
from trading.promotion.compiling import compile_evidence
from trading.quant import engine
from trading.quant.genome import Genome
from trading.strategies.errors import GenomeError
from trading.strategies.registry import builtin_families

Make = Callable[..., Cohort]

pytestmark = pytest.mark.django_db

FIRST = datetime.combine(START, datetime.min.time(), tzinfo=UTC)
SETS = [{"fast": float(fast), "slow": float(slow)} for fast in range(5, 25) for slow in range(40, 240, 40)]


@pytest.fixture
def swept(candles: object, manager: User) -> Callable[..., SweepRun]:
    """Sweeps of a hundred averages of one market over two days of minutes."""

    def run(**changes: Any) -> SweepRun:
        asked: dict[str, Any] = {
            "actor": manager, "family": "sma_crossover", "params": SETS, "venue": "synthetic", "symbols": ["BTCUSDT"],
            "interval": "1m", "start": FIRST, "end": FIRST + timedelta(days=2), "threads": 1,
        }  # fmt: skip
        return run_sweep(**(asked | changes))

    return run


def test_a_sweep_is_the_engines_and_its_record_says_what_was_tried(
    swept: Callable[..., SweepRun], manager: User
) -> None:
    got = swept()
    family = builtin_families()["sma_crossover@1"]
    defaults = {p.name: p.default for p in family.parameters}
    params = np.array([[{**defaults, **one}[p.name] for p in family.parameters] for one in SETS])
    pure = engine.sweep(
        market_of(got.frame, open_catalog()), family, params, symbol="BTCUSDT", instruments=instruments_of(got.frame),
        costs=engine.load_cost_profile("binance"), wallet=engine.WalletRules(bankroll=1000.0), mark_every_ms=3_600_000,
    )  # fmt: skip
    np.testing.assert_array_equal(got.sweep.equity, pure.equity)
    kept = TrialSet.objects.get()
    assert (kept.kind, kept.family, kept.venue, kept.symbols) == ("sweep", "sma_crossover@1", "synthetic", ["BTCUSDT"])
    assert (kept.start, kept.end) == (FIRST, FIRST + timedelta(days=2))
    assert kept.sets == 100 == len(kept.trials)
    assert kept.run_by == manager
    returns = np.diff(pure.equity, axis=0, prepend=1000.0) / 1000.0
    ratios = [float(r.mean() / r.std(ddof=1)) for r in returns.T if r.std() > 0]
    assert kept.measured == len(ratios) > 50
    assert kept.sharpe_best == pytest.approx(max(ratios))
    assert kept.sharpe_mean == pytest.approx(np.mean(ratios))
    assert kept.sharpe_variance == pytest.approx(np.var(ratios, ddof=1))
    event = AuditEvent.objects.get(kind="trading.sweep.recorded")
    assert event.actor_id == manager.pk
    assert event.payload["content_hash"] == kept.content_hash
    assert event.payload["sets"] == 100


def test_the_same_sweep_again_is_no_new_trial(swept: Callable[..., SweepRun]) -> None:
    first = swept()
    again = swept(params=list(reversed(SETS)), actor=user_with(Role.RISK_OFFICER))
    assert again.trials == first.trials
    assert TrialSet.objects.count() == 1
    assert AuditEvent.objects.filter(kind="trading.sweep.recorded").count() == 1
    swept(params=SETS[:50])
    swept(end=FIRST + timedelta(days=1))
    assert TrialSet.objects.count() == 3


def test_who_may_not_run_gets_no_result_and_leaves_no_record(swept: Callable[..., SweepRun]) -> None:
    for role in set(Role) - {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER}:
        with pytest.raises(PermissionMissingError, match="run_trials"):
            swept(actor=user_with(role))
    assert not TrialSet.objects.exists()


def test_what_cannot_be_swept_is_refused_with_what_to_do(swept: Callable[..., SweepRun]) -> None:
    for wrong, said in (
        ({"params": []}, "at least one"),
        ({"params": [{"quick": 3.0}]}, "no parameter 'quick'"),
        ({"params": [{"fast": 100.0, "slow": 20.0}]}, "smaller than slow"),
        ({"symbols": ["BTCUSDT", "ETHUSDT"]}, "one at a time"),
        ({"exits": [engine.ExitRules()]}, "exit rules"),
    ):
        with pytest.raises(GenomeError, match=said):
            swept(**wrong)
    assert not TrialSet.objects.exists()


def test_a_sweep_on_the_window_raises_the_trials_and_others_do_not(
    finished: Make, swept: Callable[..., SweepRun], manager: User
) -> None:
    cohort = finished(days=2)
    alone = compile_evidence(cohort)
    assert (alone.trials.counted, alone.trials.records, alone.trials.outside) == (12, 0, 0)

    swept(start=FIRST - timedelta(days=3), end=FIRST)  # ends as it begins
    swept(start=FIRST + timedelta(days=2), end=FIRST + timedelta(days=3))  # begins as it ends
    assert compile_evidence(cohort).trials == alone.trials

    swept(symbols=["ETHUSDT"], params=SETS[:30])
    swept(start=FIRST + timedelta(days=1), end=FIRST + timedelta(days=3))
    more = compile_evidence(cohort)
    assert (more.trials.records, more.trials.outside, more.trials.counted) == (2, 130, 142)
    assert (more.trials.agents, more.trials.distinct) == (12, 12)
    assert {one.run_by for one in more.trials.recorded} == {manager.username}
    assert alone.combined and more.combined
    assert more.combined.trials == 142
    assert more.combined.needed > alone.combined.needed
    assert alone.deflated and more.deflated
    before = {point.trials: point.value for point in alone.deflated.curve}[12]
    after = {point.trials: point.value for point in more.deflated.curve}[142]
    assert before is not None and after is not None
    assert after < before
    assert any("130 are others from 2 recorded" in words for words in more.words)

    swept(start=FIRST, end=FIRST + timedelta(days=3))  # the same genomes on other days of the window
    again = compile_evidence(cohort)
    assert (again.trials.records, again.trials.counted) == (3, 142)


def test_a_genome_that_an_agent_traded_is_no_further_trial(finished: Make, manager: User) -> None:
    cohort = finished(days=1)
    agent = cohort.agents.exclude(symbol="").order_by("number")[0]
    document = agent.genome
    exits = engine.ExitRules(**document["exits"])
    kept = run_sweep(
        actor=manager, family=agent.family, params=[document["params"]], venue="synthetic", symbols=[agent.symbol],
        interval="1m", start=FIRST, end=FIRST + timedelta(days=1), exits=exits,
    ).trials  # fmt: skip
    alone = compile_evidence(cohort).trials
    assert (alone.records, alone.outside) == (1, 0)
    kept.pk, kept.content_hash, kept.interval = None, "of other bars", "5m"
    kept.save()
    assert compile_evidence(cohort).trials.outside == 1, "on bars of another length it is another trial"


def test_a_backtest_counts_each_market_as_a_trial(candles: object, manager: User) -> None:
    target = find_target(installed_strategies(), installed_profiles(), "bollinger_fade", [], seed=3)
    got = run_backtest(
        actor=manager, target=target, venue="synthetic", symbols=["BTCUSDT", "ETHUSDT"], interval="1m",
        start=FIRST, end=FIRST + timedelta(days=1), profile="bollinger_fade",
    )  # fmt: skip
    wanted = {
        bytes.fromhex(Genome(target.strategy.key, target.values, target.exits, symbol).content_hash)[:16]
        for symbol in ("BTCUSDT", "ETHUSDT")
    }
    assert got.trials.trials == wanted
    assert (got.trials.kind, got.trials.profile, got.trials.sets) == ("backtest", "bollinger_fade", 2)


def test_the_documents_sweep_runs_as_printed_on_other_candles(candles: object, settings: Any) -> None:
    text = (settings.BASE_DIR / "docs" / "strategies.md").read_text(encoding="utf-8")
    [printed] = re.findall(r"<!-- example: sweep -->\n```python\n(.*?)```", text, re.DOTALL)
    user_with(Role.PORTFOLIO_MANAGER, username="petra")
    here = {"binance": "synthetic", "5m": "1m", "2025, 5, 1": "2025, 3, 2"}
    for there, instead in here.items():
        assert there in printed
        printed = printed.replace(there, instead)
    names: dict[str, Any] = {}
    exec(printed, names)  # noqa: S102 - the example as the docs print it
    kept = TrialSet.objects.get()
    assert names["got"].trials == kept
    assert kept.sets == len(names["params"]) == 400
    assert names["best"] in names["params"]


def test_the_command_records_by_name_and_refuses_without_a_manager(candles: object) -> None:
    profile = next(iter(installed_profiles()))
    asked = ["backtest", profile, "--venue", "synthetic", "--symbols", "BTCUSDT", "--interval", "1m"]
    asked += ["--start", "2025-03-01", "--end", "2025-03-02"]
    with pytest.raises(CommandError, match="give --user"):
        call_command(*asked, stdout=StringIO())
    with pytest.raises(CommandError, match="run_trials"):
        call_command(*asked, "--user", user_with(Role.AUDITOR).username, stdout=StringIO())
    officer = user_with(Role.RISK_OFFICER)
    out = StringIO()
    call_command(*asked, "--user", officer.username, stdout=out)
    kept = TrialSet.objects.get()
    assert f"recorded as trial set {kept.pk}" in out.getvalue()
    assert (kept.run_by, kept.profile) == (officer, profile)


def test_the_api_lists_records_to_readers(swept: Callable[..., SweepRun]) -> None:
    kept = swept().trials
    client = APIClient()
    client.force_authenticate(user_with(Role.AUDITOR))
    [row] = client.get("/api/trials/?symbol=BTCUSDT&kind=sweep").json()["results"]
    assert (row["id"], row["sets"], row["content_hash"]) == (kept.pk, 100, kept.content_hash)
    assert client.get("/api/trials/?symbol=ETHUSDT").json()["count"] == 0
    assert client.get("/api/trials/?after=2025-03-03T00:00:00Z").json()["count"] == 0
    assert client.delete(f"/api/trials/{kept.pk}/").status_code == 405
    client.force_authenticate(user_with(Role.INVESTOR))
    assert client.get("/api/trials/").status_code == 403


@pytest.fixture(params=["app", "owner"])
def session(request: pytest.FixtureRequest, transactional_db: None) -> Any:
    """A session of its own on the test database, as either role."""
    login: dict[str, Any] | None = settings.DATABASES["default"] if request.param == "app" else settings.DATABASE_OWNER
    assert login is not None
    given = connection.get_connection_params()
    with psycopg.connect(
        host=given.get("host"), port=given.get("port"), dbname=given["dbname"],
        user=login["USER"], password=login["PASSWORD"], autocommit=True,
    ) as opened:  # fmt: skip
        yield opened


ATTACKS: tuple[LiteralString, ...] = (
    "UPDATE trading_trialset SET sets = 1",
    "UPDATE trading_trialset SET start = start + interval '90 days'",
    "DELETE FROM trading_trialset",
    "TRUNCATE trading_trialset",
)


@pytest.mark.django_db(transaction=True)
def test_no_role_of_the_database_changes_or_removes_a_record(session: Any, swept: Callable[..., SweepRun]) -> None:
    kept = swept(params=SETS[:5]).trials
    for attack in ATTACKS:
        with pytest.raises(psycopg.Error):
            session.execute(attack)
    assert TrialSet.objects.get() == kept
    assert TrialSet.objects.get().sets == 5
