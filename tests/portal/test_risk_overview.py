"""The risk overview: who may open it, what it says of a fund that trades, and of one of which little is known."""

from __future__ import annotations

import json
import re
from datetime import date
from html import unescape
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from compliance.models import AuditEvent
from fundops.core.models import User
from fundops.core.roles import Role
from risk.actions.breaches import evaluate_limits
from risk.models import LimitBreach, RiskLimit
from risk.overview import book_risk, components, movement
from risk.sources import install_source
from tests.factories import user_with
from tests.gate import by_gate, executing
from tests.portal.support import client_of
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, position
from treasury.actions.books import ensure_asset, open_book
from treasury.models import AssetKind, Book, BookKind

pytestmark = pytest.mark.usefixtures("ruled_world")

READERS = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.AUDITOR}
RNG = np.random.default_rng(21)


@pytest.fixture
def officer(db: None) -> User:
    return user_with(Role.RISK_OFFICER)


@pytest.fixture
def trading(tree: Tree, source: WrittenSource) -> WrittenSource:
    """The agent is long 2,000 of BTC and short 600 of ETH, carry holds 500 of ETH; the fund is worth 3,000."""
    source.books = {
        tree.root.pk: figures(3000.0, day_open_equity=3100.0, peak_equity=3200.0),
        tree.trend.pk: figures(1500.0),
        tree.agent.pk: figures(1500.0, position("BTC", 20.0), position("ETH", -6.0, venue="bybit")),
        tree.carry.pk: figures(1500.0, position("ETH", 5.0)),
    }
    source.returns = {"BTC": RNG.normal(0, 0.03, 700), "ETH": RNG.normal(0, 0.04, 700)}
    return source


def set_limit(book: Book, metric: str, **levels: str) -> None:
    by_gate("risk.set_limit", {"book": book.path, "metric": metric, **levels})


def pages_of(book: Book) -> list[str]:
    return [
        reverse("portal:risk"),
        f"{reverse('portal:risk')}?book={book.path}",
        f"{reverse('portal:risk-var')}?book={book.path}",
        reverse("portal:risk-stress"),
        f"{reverse('portal:risk-reverse')}?book={book.path}&loss_pct=20",
    ]


def payload(html: str, name: str) -> Any:
    found = re.search(rf'<div hidden id="{name}">(.*?)</div>', html, re.DOTALL)
    assert found is not None, name
    return json.loads(unescape(found.group(1)))


@pytest.mark.parametrize("role", sorted(Role))
def test_every_role_at_every_page(trading: WrittenSource, tree: Tree, role: Role) -> None:
    client = client_of(user_with(role))
    for path in pages_of(tree.root):
        assert client.get(path).status_code == (200 if role in READERS else 403), (role, path)


def test_nobody_signed_in_is_sent_to_sign_in_or_refused(trading: WrittenSource, tree: Tree) -> None:
    for path in pages_of(tree.root):
        assert Client().get(path).status_code in {302, 401, 403}


def test_the_figures_of_the_fund(trading: WrittenSource, tree: Tree, officer: User) -> None:
    html = client_of(officer).get(reverse("portal:risk")).content.decode()
    assert "3,000.00\N{NO-BREAK SPACE}USDT" in html
    assert "\N{MINUS SIGN}100.00\N{NO-BREAK SPACE}USDT" in html, "the loss of the day"
    assert "3,100.00\N{NO-BREAK SPACE}USDT" in html, "gross: 2,000 + 600 + 500"
    assert "1.03x of equity" in html
    assert "6.25%" in html, "drawdown from 3,200"
    by_asset = payload(html, "by-asset-data")
    by_book = payload(html, "by-book-data")
    assert by_asset["categories"][0] == "BTC"
    totals = [sum(part["series"][1]["data"]) for part in (by_asset, by_book)]
    assert totals[0] == pytest.approx(totals[1])
    heat = payload(html, "exposure-data")
    cells = {(heat["ys"][y]["label"], heat["xs"][x]): value for x, y, value in heat["cells"] if value is not None}
    assert cells == {
        ("trend", "BTC"): pytest.approx(2 / 3),
        ("trend", "ETH"): pytest.approx(-0.2),
        ("carry", "ETH"): pytest.approx(1 / 6),
    }
    matrix = payload(html, "correlation-data")
    assert [c[2] for c in matrix["cells"] if c[0] == c[1]] == pytest.approx([1.0, 1.0])


def test_gauges_show_value_levels_and_the_book_whose_limit_binds(
    trading: WrittenSource, tree: Tree, officer: User
) -> None:
    set_limit(tree.root, "leverage", soft="1", hard="2")
    set_limit(tree.trend, "leverage", hard="3")
    set_limit(tree.root, "order_notional", hard="500")
    client = client_of(officer)
    html = client.get(f"{reverse('portal:risk')}?book={tree.trend.path}").content.decode()
    headroom = html[html.index('id="headroom"') : html.index('id="breaches"')]
    assert "1.73x" in headroom, "2,600 over 1,500"
    assert "2.00x" in headroom and "3.00x" not in headroom, "the tightest hard level binds"
    assert f'from <a href="{reverse("portal:risk")}?book=MAIN">MAIN</a>' in headroom
    assert "soft passed" in headroom
    assert "1 limit on single orders" in headroom


def test_marginal_figures_stand_beside_the_components(trading: WrittenSource, tree: Tree, officer: User) -> None:
    html = client_of(officer).get(reverse("portal:risk")).content.decode()
    for name, rows in (("parts-by-book", {"trend", "carry"}), ("parts-by-asset", {"BTC", "ETH"})):
        part = html[html.index(f'id="{name}"') :].split("</table>")[0]
        assert set(re.findall(r'<th scope="row">(.*?)</th>', part)) == rows
        assert "Marg. VaR" in part and "Marg. ES" in part
    risk = book_risk(tree.root)
    found = components(risk, [tree.trend, tree.carry], 0.99)
    for one in (*found.by_asset, *found.by_book):
        assert one.marginal_var is not None and one.marginal_es is not None
        assert one.marginal_var * one.exposure == pytest.approx(one.var)
        assert one.marginal_es * one.exposure == pytest.approx(one.es)
    assert sum(c.var for c in found.by_book) == pytest.approx(found.var)


def test_a_breach_is_listed_with_its_age_and_acknowledged(trading: WrittenSource, tree: Tree, officer: User) -> None:
    set_limit(tree.root, "leverage", hard="1")
    evaluate_limits(actor=None)
    breach = LimitBreach.objects.get(book=tree.root)
    client = client_of(officer)
    html = client.get(reverse("portal:risk")).content.decode()
    live = html[html.index('id="breaches"') : html.index('id="var-card"')]
    assert "Hard" in live and "1.03x" in live and "1.00x" in live and "open 0" in live
    url = reverse("portal:risk-acknowledge", args=[breach.pk])
    assert client.post(url, {"note": " "}).status_code == 302
    breach.refresh_from_db()
    assert breach.status == "open", "without a word it stays open"
    assert client.post(url, {"note": "Hedging now", "next": "/risk/?book=MAIN"})["Location"] == "/risk/?book=MAIN"
    assert client.post(url, {"note": "Again", "next": "https://evil.example/"})["Location"].startswith("/risk/")
    breach.refresh_from_db()
    assert (breach.status, breach.note, breach.acknowledged_by) == ("acknowledged", "Again", officer)
    assert AuditEvent.objects.filter(kind="risk.breach.acknowledged").count() == 2
    for role in (Role.PORTFOLIO_MANAGER, Role.AUDITOR, Role.INVESTOR, Role.COMPLIANCE_OFFICER):
        assert client_of(user_with(role)).post(url, {"note": "x"}).status_code == 403


def test_the_home_page_tells_of_open_breaches(trading: WrittenSource, tree: Tree, officer: User) -> None:
    set_limit(tree.root, "leverage", soft="0.5")
    set_limit(tree.trend, "gross_exposure", hard="1000")
    assert "breach" not in client_of(officer).get(reverse("portal:home")).content.decode()
    evaluate_limits(actor=None)
    html = client_of(officer).get(reverse("portal:home")).content.decode()
    assert "2 hard and 3 soft limit breaches open" in html, "trend and its agent are past 1,000; three past 0.5"
    LimitBreach.objects.update(status="acknowledged", acknowledged_by=officer)
    assert "limit breach" not in client_of(officer).get(reverse("portal:home")).content.decode()
    assert (
        "limit breach" not in client_of(user_with(Role.CLIENT_RELATIONS)).get(reverse("portal:home")).content.decode()
    )


def test_the_var_card_shows_every_method_and_its_backtest(trading: WrittenSource, tree: Tree, officer: User) -> None:
    client = client_of(officer)
    html = client.get(f"{reverse('portal:risk-var')}?book=MAIN").content.decode()
    for name in ("Historical", "Age-weighted", "Filtered historical (GARCH)", "Cornish-Fisher"):
        assert name in html
    chart = payload(html, "backtest-data")
    pnl, var, _es, hits = (s["data"] for s in chart["series"])
    assert len(pnl) == len(var) == 615 - 250
    beyond = [t for t, value in hits if value is not None]
    assert beyond == [t for (t, x), (_, v) in zip(pnl, var, strict=True) if x < v]
    assert pnl[-1][0] == 1_772_323_200_000, "the last whole day is 1 March 2026"
    assert "Acerbi" in html and "Kupiec" in html and "Christoffersen" in html
    other = client.get(f"{reverse('portal:risk-var')}?book=MAIN&alpha=0.95&method=cornish_fisher").content.decode()
    assert payload(other, "backtest-data")["series"][1]["name"] == "VaR 95.0%"


def test_the_fragment_is_the_board_alone(trading: WrittenSource, tree: Tree, officer: User) -> None:
    response = client_of(officer).get(reverse("portal:risk"), headers={"HX-Target": "risk-now"})
    assert response["HX-Trigger-After-Settle"] == "risk-moved"
    html = response.content.decode()
    assert "<html" not in html
    assert 'id="risk-board"' in html and 'data-live-topic="risk"' in html


def test_a_book_that_is_not_there_is_not_found(trading: WrittenSource, tree: Tree, officer: User) -> None:
    client = client_of(officer)
    for url in ("portal:risk", "portal:risk-var", "portal:risk-stress", "portal:risk-reverse"):
        assert client.get(f"{reverse(url)}?book=MAIN/nothing").status_code == 404


# --- Little is known ----------------------------------------------------------------------------------------
def test_without_any_fund_it_says_so(db: None, officer: User) -> None:
    client = client_of(officer)
    assert "There is no fund yet" in client.get(reverse("portal:risk")).content.decode()
    assert "There is no fund yet" in client.get(reverse("portal:risk-stress")).content.decode()
    assert client.get(reverse("portal:risk-var")).status_code == 204
    assert client.get(f"{reverse('portal:risk-reverse')}?loss_pct=5").status_code == 204


def test_without_a_source_every_figure_is_a_dash(tree: Tree, officer: User) -> None:
    set_limit(tree.root, "leverage", hard="1")
    before = install_source(None)
    try:
        for path in pages_of(tree.root):
            html = client_of(officer).get(path).content.decode()
            assert "NaN" not in html and ">nan" not in html
        html = client_of(officer).get(reverse("portal:risk")).content.decode()
    finally:
        install_source(before)
    assert "no source of positions and prices is installed" in html
    assert "not known" in html[html.index('id="headroom"') : html.index('id="breaches"')]


@pytest.mark.parametrize("days", [0, 1, 2, 25, 99, 100])
def test_short_histories_give_a_reason_and_never_a_figure(
    trading: WrittenSource, tree: Tree, officer: User, days: int
) -> None:
    trading.returns = {name: series[:days] for name, series in trading.returns.items()}
    client = client_of(officer)
    for path in pages_of(tree.root):
        response = client.get(path)
        assert response.status_code == 200
        assert not re.search(r"\bnan\b|NaN|Infinity", response.content.decode())
    html = client.get(f"{reverse('portal:risk-var')}?book=MAIN&alpha=0.99").content.decode()
    if days == 0:
        assert "Not known: daily returns of BTC, ETH." in html
    elif days < 100:
        assert f"Needs 100 days of returns; there are {days}." in html
    assert "needs 200 days of returns: 100 before the first forecast" in html or days == 0


def test_an_empty_fund_has_zeroes_where_zero_is_the_truth(tree: Tree, source: WrittenSource, officer: User) -> None:
    source.books = {b.pk: figures(1000.0) for b in (tree.root, tree.trend, tree.agent, tree.carry)}
    client = client_of(officer)
    for path in pages_of(tree.root):
        assert client.get(path).status_code == 200
    html = client.get(reverse("portal:risk")).content.decode()
    assert "Nothing is held that moves with a market." in html
    html = client.get(reverse("portal:risk-var")).content.decode()
    assert "there is no risk to test" in html


def test_a_position_without_a_price_is_named(trading: WrittenSource, tree: Tree, officer: User) -> None:
    trading.books[tree.carry.pk] = figures(None, position("LUNA", 5.0, None))
    trading.books[tree.root.pk] = figures(None)
    client = client_of(officer)
    for path in pages_of(tree.root):
        response = client.get(path)
        assert response.status_code == 200
        assert "NaN" not in response.content.decode()
    html = client.get(reverse("portal:risk")).content.decode()
    assert "price of LUNA" in html
    assert "equity" in html


def test_prices_that_are_no_numbers_are_not_known(trading: WrittenSource, tree: Tree, officer: User) -> None:
    trading.returns["ETH"][-1] = np.nan
    html = client_of(officer).get(reverse("portal:risk")).content.decode()
    assert "daily returns of ETH" in html


def test_a_benchmark_that_lives_longer_takes_no_days_away(trading: WrittenSource, tree: Tree, officer: User) -> None:
    """ETH ends five days before BTC: a Book that holds ETH alone is measured up to there, and its beta with it."""
    trading.returns["ETH"] = np.append(trading.returns["BTC"][:695] * 2, np.full(5, np.nan))
    ensure_asset(code="BTC", name="Bitcoin", kind=AssetKind.CRYPTO, places=8, actor=None)
    risk = book_risk(tree.carry)
    assert (risk.problems, risk.days) == ((), 610)
    moved = movement(risk)
    assert moved.benchmark == "BTC" and moved.beta is not None
    assert moved.beta.beta == pytest.approx(2 * 500 / 1500), "twice the move on a third of the equity"
    assert "daily returns of ETH" in client_of(officer).get(reverse("portal:risk")).content.decode(), "BTC is held too"


def test_a_closed_book_is_not_measured(trading: WrittenSource, tree: Tree, officer: User) -> None:
    Book.objects.filter(pk=tree.carry.pk).update(closed_at=NOW)
    client = client_of(officer)
    assert "This book is closed" in client.get(f"{reverse('portal:risk')}?book=MAIN/carry").content.decode()
    assert client.get(f"{reverse('portal:risk-var')}?book=MAIN/carry").status_code == 204


# --- Size ---------------------------------------------------------------------------------------------------
def test_three_hundred_books_open_under_fifty_queries(trading: WrittenSource, tree: Tree, officer: User) -> None:
    for i in range(12):
        strategy = open_book(
            parent=tree.root, code=f"s{i}", name=f"s{i}", kind=BookKind.STRATEGY, opened_on=date(2026, 1, 1), actor=None
        )
        trading.books[strategy.pk] = figures(100.0)
        for j in range(24):
            agent = open_book(
                parent=strategy, code=f"a{j}", name="a", kind=BookKind.AGENT, opened_on=date(2026, 1, 1), actor=None
            )
            trading.books[agent.pk] = figures(100.0, position("BTC", float(j + 1)))
    with executing("risk.set_limit", {"book": tree.root.path, "metric": "leverage", "hard": "1"}):
        for book in Book.objects.filter(parent=tree.root):
            RiskLimit.objects.create(book=book, metric="gross_exposure", hard=1, effective_from=NOW)
    evaluate_limits(actor=None)
    assert Book.objects.count() > 300
    assert LimitBreach.objects.count() > 300
    client = client_of(officer)
    client.get(reverse("portal:risk"))
    with CaptureQueriesContext(connection) as seen:
        response = client.get(reverse("portal:risk"))
    assert response.status_code == 200
    assert len(seen) <= 50, [q["sql"][:120] for q in seen]
    html = response.content.decode()
    assert "the first 50, hard ones first" in html
    below = html[html.index('id="below"') :]
    assert below.count('<span class="tag tag-bad">25</span>') == 12, "each strategy is past its limit with its agents"
