"""Trading is stopped by one person with one word, everybody sees it, and two signatures and a release bring it back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from compliance.actions.approval_execution import execute_request
from compliance.models import ApprovalRequest
from compliance.selectors import relay_lag
from fundops.core.roles import Role
from risk.actions.switches import stop_trading
from risk.models import KillSwitch
from risk.quant.pretrade import BookState, LimitSet, OrderIntent, Side, TradingMode, check_order
from risk.switch_gate import RESTORE
from risk.switches import trading_mode_for
from tests.browser.conftest import PHONE, OpenPage
from tests.compliance.approvals.support import People, fresh_code_proof, make_people, policy_document, set_policy
from tests.compliance.support import relay_process, wait_until
from treasury.models import Book, Fund

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def people(transactional_db: None) -> People:
    made = make_people()
    set_policy(made, policy_document(RESTORE))
    return made


@pytest.fixture
def relay(tmp_path: Path, transactional_db: None) -> Iterator[None]:
    with relay_process(tmp_path / "anchors"):
        wait_until(lambda: relay_lag().alive, seconds=60, what="a leading relay")
        yield


def order_passes(book: Book) -> bool:
    """Whether an order of one unit may be sent for this Book now."""
    state = BookState(
        equity=1000.0,
        day_open_equity=1000.0,
        peak_equity=1000.0,
        positions=(),
        elsewhere=(),
        orders_in_window=0,
        seconds_since_loss=None,
        var=0.0,
        es=0.0,
        mode=trading_mode_for(book_id=book.pk),
    )
    intent = OrderIntent(symbol="BTC", venue="kraken", side=Side.BUY, quantity=1.0, unit_notional=1.0)
    return check_order(state, intent, LimitSet([])).allowed


def sign(page: Page, people: People, who: str, request: ApprovalRequest) -> None:
    page.goto(f"/approvals/{request.pk}/")
    page.get_by_label("Code of your authenticator app").fill(fresh_code_proof(getattr(people, who))["code"])
    page.get_by_role("button", name="Sign with the code").click()


@pytest.mark.usefixtures("relay")
def test_stop_by_one_restore_by_others(open_page: OpenPage, people: People, fund: Fund) -> None:
    book = Book.objects.get(fund=fund, parent=None)
    assert order_passes(book)
    colleague = open_page(Role.CLIENT_RELATIONS)
    colleague.goto("/roles/")
    expect(colleague.locator("body[data-live-state=live]")).to_be_attached()
    expect(colleague.locator("#trading-banner")).to_have_count(0)

    # Without a mouse: to the button, the reason, Enter.
    maker = open_page(people.maker)
    maker.goto("/risk/guardrails/")
    expect(maker.locator("#guardrails-board")).to_contain_text("Trading is active everywhere")
    maker.get_by_role("link", name="Stop all trading").focus()
    maker.keyboard.press("Enter")
    expect(maker.get_by_role("dialog")).to_be_visible()
    maker.keyboard.press("Escape")
    expect(maker.get_by_role("dialog")).to_be_hidden()
    maker.keyboard.press("Enter")
    expect(maker.get_by_label("Why? Everybody reads it.")).to_be_focused()
    maker.keyboard.type("Fills look wrong at the venue.")
    maker.keyboard.press("Enter")
    expect(maker.locator("#guardrails-board")).to_contain_text("All trading is halted")
    expect(maker.locator("#trading-banner")).to_contain_text("Fills look wrong at the venue.")
    expect(colleague.locator("#trading-banner")).to_contain_text("All trading is halted")  # live, without a reload
    assert not order_passes(book)

    maker.get_by_role("link", name="Propose to restore").click()
    expect(maker.locator("#preview")).to_contain_text("HALTED")
    maker.get_by_label("Reason").fill("It was our own reading of the fills.")
    maker.get_by_role("button", name="Save and submit").click()
    expect(maker.locator("#verdict")).to_contain_text("Waits for the approval of Operations and Risk officer")
    request = ApprovalRequest.objects.get(kind=RESTORE)
    risk, operations, releaser = (open_page(p) for p in (people.risk, people.operations, people.releaser))
    sign(risk, people, "risk", request)
    expect(risk.get_by_text("Still missing: Operations.")).to_be_visible()
    sign(operations, people, "operations", request)
    expect(operations.locator("#verdict")).to_contain_text("Waits for a third person to release it")
    releaser.goto("/risk/guardrails/")
    releaser.get_by_role("link", name="Restore is asked for").click()
    releaser.get_by_role("button", name="Release").click()
    expect(releaser.locator("#verdict")).to_contain_text("A worker is about to execute it")
    assert not order_passes(book), "released is not executed"
    record = execute_request(request_id=request.pk)
    assert record is not None and record.outcome == "executed", record
    expect(colleague.locator("#trading-banner")).to_have_count(0)
    maker.goto("/risk/guardrails/")
    expect(maker.locator("#guardrails-board")).to_contain_text("Trading is active everywhere")
    expect(maker.locator("#history tbody tr")).to_have_count(2)
    assert order_passes(book)
    stop_trading(reason="From elsewhere.", actor=None, book=book, mode=TradingMode.REDUCING)
    row = maker.locator("#switches tbody tr").filter(has_text=fund.code)
    expect(row).to_contain_text("Only closing")  # live, too
    expect(row).to_contain_text("From elsewhere.")
    maker.locator("#history").get_by_role("link", name="request").click()
    expect(maker.locator("#verdict")).to_contain_text("What it says is in force")


def test_without_scripts_a_stop_is_two_pages(open_page: OpenPage, fund: Fund) -> None:
    page = open_page(Role.OPERATIONS, java_script_enabled=False)
    page.goto("/risk/guardrails/")
    page.get_by_role("link", name="Stop", exact=True).first.click()
    page.get_by_label("Why? Everybody reads it.").fill("By hand.")
    page.get_by_role("button", name="Stop now").click()
    assert KillSwitch.objects.get().reason == "By hand."
    expect(page.locator("#trading-banner")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_fits_a_phone(open_page: OpenPage, fund: Fund, theme: str) -> None:
    book = Book.objects.get(fund=fund, parent=None)
    stop_trading(reason="A reason that is long enough to need more than one line of a phone.", actor=None, book=book)
    page = open_page(Role.RISK_OFFICER, viewport=PHONE, color_scheme=theme)
    for path in ("/risk/guardrails/", "/risk/guardrails/stop/"):
        page.goto(path, wait_until="networkidle")
        assert page.evaluate(WIDER) <= 0, path
