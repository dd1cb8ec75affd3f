"""The risk pages in Chromium: they fit, break no policy, and move without taking anything from their reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from compliance.selectors import relay_lag
from fundops.core.roles import Role
from risk.actions.breaches import evaluate_limits
from risk.actions.stress import ensure_standard_scenarios, run_stress
from risk.models import RiskLimit
from tests.browser.conftest import PHONE, OpenPage
from tests.compliance.support import relay_process, wait_until
from tests.gate import by_gate
from tests.risk.conftest import Tree, WrittenSource, figures, now, position, source, tree

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
RNG = np.random.default_rng(41)

__all__ = ["now", "source", "tree"]


@pytest.fixture
def trading(transactional_db: None, tree: Tree, source: WrittenSource) -> WrittenSource:
    source.books = {
        tree.root.pk: figures(3000.0),
        tree.trend.pk: figures(1500.0),
        tree.agent.pk: figures(1500.0, position("BTC", 20.0), position("ETH", -6.0)),
        tree.carry.pk: figures(1500.0, position("ETH", 5.0)),
    }
    source.returns = {"BTC": RNG.normal(0, 0.03, 600), "ETH": RNG.normal(0, 0.04, 600)}
    source.windows = {"BTC": np.array([100.0, 80.0]), "ETH": np.array([100.0, 70.0])}
    by_gate("risk.set_limit", {"book": "MAIN", "metric": "leverage", "soft": "0.5"})
    by_gate("risk.set_limit", {"book": "MAIN/carry", "metric": "gross_exposure", "hard": "1000"})
    evaluate_limits(actor=None)
    ensure_standard_scenarios(actor=None)
    run_stress(actor=None, books=[tree.root])
    return source


def test_the_pages_fit_a_desk_and_a_phone(trading: WrittenSource, open_page: OpenPage) -> None:
    for options in ({}, {"viewport": PHONE, "color_scheme": "dark"}):
        page = open_page(Role.RISK_OFFICER, **options)
        page.goto("/risk/")
        expect(page.locator("#var")).to_contain_text("Acerbi and Szekely")
        expect(page.locator("#headroom .gauge")).to_have_count(1)
        expect(page.locator("[id^=backtest-] canvas").first).to_be_attached()
        expect(page.locator("#exposure canvas").first).to_be_attached()
        assert page.evaluate(WIDER) == 0
        limits = (
            "/risk/limits/",
            "/risk/limits/?book=MAIN/carry&state=",
            f"/risk/limits/{RiskLimit.objects.earliest('pk').pk}/",
        )
        for path in (
            *limits,
            "/risk/stress/",
            "/risk/stress/market-crash-30/",
            "/risk/allocation/",
            "/books/",
            "/books/MAIN/",
        ):
            page.goto(path)
            assert page.evaluate(WIDER) == 0, path
        page.goto("/risk/stress/")
        expect(page.locator("#reverse-answer")).to_contain_text("The loss")


def test_the_board_moves_and_keeps_what_the_reader_does(
    trading: WrittenSource,
    tree: Tree,
    open_page: OpenPage,
    tmp_path: Path,
) -> None:
    page = open_page(Role.RISK_OFFICER)
    with relay_process(tmp_path / "anchors"):
        wait_until(lambda: relay_lag().alive, seconds=60, what="a leading relay")
        page.goto("/risk/")
        expect(page.locator("body[data-live-state=live]")).to_be_attached()
        expect(page.locator("#var")).to_contain_text("Acerbi and Szekely")
        page.locator("#var-alpha").select_option("0.95")
        expect(page.locator("#var")).to_contain_text("VaR")
        expect(page.locator("#var-alpha")).to_have_value("0.95")
        before = page.locator("#breaches .card-header").inner_text()
        page.locator("#breaches summary", has_text="Acknowledge").first.click()
        note = page.locator("#" + str(page.locator("#breaches input[name=note]").first.get_attribute("id")))
        note.fill("Half a thought")
        trading.books[tree.carry.pk] = figures(1500.0, position("ETH", 50.0))
        evaluate_limits(actor=None)
        expect(page.locator("#breaches .card-header")).not_to_have_text(before, timeout=30_000)
        expect(page.locator("#headroom")).to_contain_text("2.53x")
        expect(note).to_have_value("Half a thought")
        expect(note).to_be_visible()
        figures_of = "e => JSON.parse(document.getElementById('exposure-data').textContent).cells.length"
        assert page.locator("#exposure").evaluate(figures_of) >= 3
        expect(page.locator("#var-alpha")).to_have_value("0.95")
        expect(page.locator("[id^=backtest-] canvas").first).to_be_attached()
