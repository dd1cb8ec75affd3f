"""The stress pages: runs on demand with progress, history, positions, and what loses a share of the equity."""

from __future__ import annotations

import threading
from html import unescape

import numpy as np
import pytest
from django.db import connection
from django.urls import reverse

from compliance.models import AuditEvent
from fundops.core.errors import PermissionMissingError
from fundops.core.models import User
from fundops.core.roles import Role
from risk.actions.stress import ensure_standard_scenarios, run_stress
from risk.actions.stress_runs import ask_for_stress, cancel_stress_run, drive_stress_run
from risk.errors import NothingToStressError, ScenarioError, StressRunningError, StressRunOverError
from risk.models import StressResult, StressRun, StressRunState, StressScenario
from risk.overview import book_risk
from risk.reverse import reverse_stress_of
from risk.sources import install_source
from risk.tasks import drive_stress_run as drive_task
from risk.tasks import tick_stress_runs
from tests.factories import user_with
from tests.gate import executing
from tests.portal.support import client_of
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, position
from treasury.models import Book

READERS = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.AUDITOR}
RNG = np.random.default_rng(31)


@pytest.fixture
def officer(db: None) -> User:
    return user_with(Role.RISK_OFFICER)


@pytest.fixture
def trading(tree: Tree, source: WrittenSource) -> WrittenSource:
    """Long 1,000 of BTC and 500 of ETH on an equity of 2,000."""
    source.books = {
        tree.root.pk: figures(2000.0),
        tree.trend.pk: figures(1500.0),
        tree.agent.pk: figures(1500.0, position("BTC", 10.0), position("ETH", 5.0)),
        tree.carry.pk: figures(500.0),
    }
    source.returns = {"BTC": RNG.normal(0, 0.03, 365), "ETH": RNG.normal(0, 0.03, 365)}
    ensure_standard_scenarios(actor=None)
    return source


def test_every_role_at_every_page(trading: WrittenSource, tree: Tree, officer: User) -> None:
    run_stress(actor=None, books=[tree.root])
    run = ask_for_stress(book=tree.root, actor=officer)
    scenario = reverse("portal:risk-scenario", args=["market-crash-30"])
    reads = [reverse("portal:risk-stress"), scenario, reverse("portal:risk-stress-run", args=[run.pk])]
    reads.append(f"{reverse('portal:risk-reverse')}?loss_pct=10")
    for role in Role:
        client = client_of(user_with(role))
        for path in reads:
            assert client.get(path).status_code == (200 if role in READERS else 403), (role, path)
        wanted = 302 if role is Role.RISK_OFFICER else 403
        assert client.post(reverse("portal:risk-stress-ask"), {"book": "MAIN"}).status_code == wanted
        assert client.post(reverse("portal:risk-stress-cancel", args=[run.pk])).status_code == wanted


def test_a_run_goes_from_the_button_to_its_results(trading: WrittenSource, tree: Tree, officer: User) -> None:
    client = client_of(officer)
    assert client.post(reverse("portal:risk-stress-ask"), {"book": "MAIN/trend"})["Location"].endswith("#run")
    run = StressRun.objects.get()
    page = f"{reverse('portal:risk-stress')}?book=MAIN/trend"
    assert "0 of 12 scenarios" in client.get(page).content.decode()
    progress = client.get(reverse("portal:risk-stress-run", args=[run.pk]))
    assert 'hx-trigger="every 1s"' in progress.content.decode() and "HX-Refresh" not in progress
    drive_task(run.pk)
    run.refresh_from_db()
    assert (run.state, run.done, run.total) == ("finished", 12, 12)
    assert StressResult.objects.filter(book=tree.trend).count() == 12
    over = client.get(reverse("portal:risk-stress-run", args=[run.pk]))
    assert over["HX-Refresh"] == "true" and "every 1s" not in over.content.decode()
    html = client.get(page).content.decode()
    assert "All markets fall 30 %" in html and "450.00\N{NO-BREAK SPACE}USDT" in html, "30 % of 1,500"
    kinds = list(AuditEvent.objects.filter(kind__startswith="risk.stress.").values_list("kind", flat=True))
    assert kinds.count("risk.stress.asked") == kinds.count("risk.stress.finished") == 1
    drive_task(run.pk)
    assert StressResult.objects.count() == 12, "what is over is left alone"


def test_one_scenario_shows_its_loss_by_position_and_its_history(
    trading: WrittenSource, tree: Tree, officer: User
) -> None:
    client = client_of(officer)
    client.post(reverse("portal:risk-stress-ask"), {"book": "MAIN", "scenario": "market-crash-30"})
    drive_task(StressRun.objects.get().pk)
    trading.books[tree.agent.pk] = figures(1500.0, position("BTC", 20.0))
    run_stress(actor=None, books=[tree.root], scenarios=StressScenario.objects.filter(code="market-crash-30"))
    html = client.get(f"{reverse('portal:risk-scenario', args=['market-crash-30'])}?book=MAIN").content.decode()
    assert "600.00\N{NO-BREAK SPACE}USDT" in html, "30 % of 2,000"
    assert "breached" in html, "600 of 2,000 is more than 25 %"
    assert '"categories": ["BTC"]' in unescape(html) and "-600.0" in html
    assert html.count('<tr><th scope="row"><time') == 2
    assert client.get(reverse("portal:risk-scenario", args=["nothing"])).status_code == 404


def test_a_run_can_be_cancelled_and_keeps_what_it_has(trading: WrittenSource, tree: Tree, officer: User) -> None:
    run = ask_for_stress(book=tree.root, actor=officer)
    with pytest.raises(StressRunningError, match="0 of 12"):
        ask_for_stress(book=tree.root, actor=officer)
    client = client_of(officer)
    assert client.post(reverse("portal:risk-stress-ask"), {"book": "MAIN"}).status_code == 302
    assert StressRun.objects.count() == 1
    client.post(reverse("portal:risk-stress-cancel", args=[run.pk]))
    drive_task(run.pk)
    run.refresh_from_db()
    assert (run.state, run.done) == ("cancelled", 0)
    with pytest.raises(StressRunOverError):
        cancel_stress_run(run=run, actor=officer)
    assert not StressResult.objects.exists()


def test_a_run_left_behind_goes_on_where_it_stood(trading: WrittenSource, tree: Tree, officer: User) -> None:
    run = ask_for_stress(book=tree.root, actor=officer)
    StressRun.objects.filter(pk=run.pk).update(state=StressRunState.RUNNING, done=10)
    tick_stress_runs()
    run.refresh_from_db()
    assert (run.state, run.done) == ("finished", 12)
    assert StressResult.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_workers_do_not_run_the_same(trading: WrittenSource, tree: Tree, officer: User) -> None:
    run = ask_for_stress(book=tree.root, actor=officer)
    told: list[object] = []

    def other() -> None:
        try:
            told.append(drive_stress_run(run_id=run.pk))
        finally:
            connection.close()

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", [0x73747273, run.pk])
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert told == [None]
    run.refresh_from_db()
    assert run.state == "queued"


def test_what_stops_a_run_is_said(trading: WrittenSource, tree: Tree, officer: User) -> None:
    run = ask_for_stress(book=tree.root, actor=officer)
    before = install_source(None)
    try:
        drive_task(run.pk)
    finally:
        install_source(before)
    run.refresh_from_db()
    assert run.state == "failed"
    assert "No source of positions and prices" in run.failure
    html = client_of(officer).get(reverse("portal:risk-stress")).content.decode()
    assert "No source of positions and prices" in html


def test_who_may_not_run_is_refused_by_the_action_too(trading: WrittenSource, tree: Tree) -> None:
    with pytest.raises(PermissionMissingError):
        ask_for_stress(book=tree.root, actor=user_with(Role.PORTFOLIO_MANAGER))


def test_nothing_to_stress(tree: Tree, source: WrittenSource, officer: User) -> None:
    assert ask_for_stress(book=tree.trend, actor=officer).total == 12, "the standard set is made at need"
    with executing("risk.save_scenario", {"code": "x", "name": "X", "scenario": "correlation"}):
        StressScenario.objects.update(is_active=False)
    with pytest.raises(NothingToStressError, match="No scenario is active"):
        ask_for_stress(book=tree.root, actor=officer)
    Book.objects.filter(pk=tree.carry.pk).update(closed_at=NOW)
    tree.carry.refresh_from_db()
    with pytest.raises(NothingToStressError, match="closed"):
        ask_for_stress(book=tree.carry, actor=officer)
    html = client_of(officer).get(f"{reverse('portal:risk-stress')}?book=MAIN/carry").content.decode()
    assert "This book is closed" in html


# --- Reverse ------------------------------------------------------------------------------------------------
def test_what_loses_a_fifth(trading: WrittenSource, tree: Tree, officer: User) -> None:
    """400 of 1,500 in all: a fall of 26.67 % of everything; the most plausible move loses exactly as much."""
    found = reverse_stress_of(book_risk(tree.root), 0.2)
    assert found.target == pytest.approx(400.0)
    assert found.uniform == pytest.approx(400 / 1500)
    assert sum(m.pnl for m in found.moves) == pytest.approx(-400.0)
    returns = np.column_stack([trading.returns["BTC"], trading.returns["ETH"]])
    x = np.array([1000.0, 500.0])
    deviation = float(np.sqrt(x @ np.cov(returns, rowvar=False) @ x))
    assert found.distance == pytest.approx(400 / deviation)
    worst = returns @ x
    assert found.worst[0].loss == pytest.approx(-worst.min())
    assert found.worst[0].days_ago == len(worst) - 1 - int(worst.argmin())
    html = client_of(officer).get(f"{reverse('portal:risk-reverse')}?book=MAIN&loss_pct=20").content.decode()
    assert "a fall of" in html and "26.7%" in html and "400.00\N{NO-BREAK SPACE}USDT" in html


@pytest.mark.parametrize("asked", ["", "0", "-5", "101", "nan", "inf", "words"])
def test_a_share_that_is_none_is_refused_in_words(
    trading: WrittenSource, tree: Tree, officer: User, asked: str
) -> None:
    response = client_of(officer).get(f"{reverse('portal:risk-reverse')}?book=MAIN&loss_pct={asked}")
    assert response.status_code == 200
    assert "Give a share of equity above 0 %, up to 100 %." in response.content.decode()


def test_no_price_falls_by_more_than_all_of_it(trading: WrittenSource, tree: Tree) -> None:
    """Seven tenths of 2,000 from positions of 1,500 takes nearly all of them; hedged ones cannot lose it at all."""
    trading.books[tree.agent.pk] = figures(1500.0, position("BTC", 4.0), position("ETH", 4.0))
    found = reverse_stress_of(book_risk(tree.root), 0.7)
    assert found.moves == [] and found.distance is None
    assert "more than 100 %" in found.reason
    assert found.uniform is None and found.uniform_reason == "no uniform move loses this much"


def test_reverse_stress_of_little(trading: WrittenSource, tree: Tree) -> None:
    with pytest.raises(ScenarioError):
        reverse_stress_of(book_risk(tree.root), float("nan"))
    assert reverse_stress_of(book_risk(tree.carry), 0.2).reason == "The book holds nothing that moves with a market."
    trading.returns = {name: series[:1] for name, series in trading.returns.items()}
    found = reverse_stress_of(book_risk(tree.root), 0.2)
    assert found.moves == [] and found.reason == "Needs 20 days of returns; has 1."
    assert found.uniform == pytest.approx(400 / 1500), "which needs no history"
    trading.books[tree.root.pk] = figures(-5.0)
    assert reverse_stress_of(book_risk(tree.root), 0.2).reason == "There is no equity to lose."
