"""A limit is changed as people do it: asked for, signed by passkey and by code, released, executed; and refusals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from compliance.actions.approval_execution import execute_request
from compliance.actions.approvals import expire_requests
from compliance.actions.people import link_account
from compliance.approvals.verifying import verify_approvals
from compliance.models import ApprovalRequest, RequestState
from compliance.selectors import relay_lag
from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from risk.models import RiskLimit
from tests.browser.conftest import PHONE, OpenPage, Watch
from tests.compliance.approvals.support import (
    KIND,
    People,
    approved,
    ask,
    fresh_code_proof,
    make_people,
    policy_document,
    set_policy,
    staff,
)
from tests.compliance.support import relay_process, wait_until
from tests.factories import PASSWORD, user_with
from treasury.models import Fund

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LIMIT = "risk.set_limit"
NEXT_SWAP = """() => { window.swapped = new Promise((done) =>
    document.addEventListener("htmx:afterSettle", () => done(true), { once: true })); }"""


@pytest.fixture
def people(transactional_db: None) -> People:
    made = make_people()
    set_policy(made, policy_document(KIND))
    set_policy(made, policy_document(LIMIT))
    return made


@pytest.fixture
def relay(tmp_path: Path, transactional_db: None) -> Iterator[None]:
    with relay_process(tmp_path / "anchors"):
        wait_until(lambda: relay_lag().alive, seconds=60, what="a leading relay")
        yield


def with_passkey(page: Page) -> None:
    """Enrols a passkey as anybody does, under Account security."""
    page.goto("/accounts/2fa/webauthn/add/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Add").click()
    page.wait_for_url("**/recovery-codes/**")


def risk_officer() -> User:
    """A risk officer without an app: they sign by passkey or not at all."""
    user = user_with(Role.RISK_OFFICER, username="petra")
    link_account(account=user, reference="staff-petra", full_name="Petra", actor=None)
    return user


@pytest.mark.usefixtures("people")
def test_what_is_typed_while_a_check_travels_stays(open_page: OpenPage, fund: Fund, watch: Watch) -> None:
    watch.allow("htmx:(afterRequest|sendAbort)")
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        held.append(route)
        if len(held) > 1:
            route.continue_()

    maker = open_page(Role.PORTFOLIO_MANAGER)
    maker.goto(f"/approvals/new/{LIMIT}/?book={fund.code}&metric=leverage&hard=3")
    soft, reason = maker.get_by_label("Soft level"), maker.get_by_label("Reason")
    maker.route("**/check/", hold_the_first)
    with maker.expect_request("**/check/"):
        soft.fill("9")
        reason.focus()
    soft.press("ControlOrMeta+a")
    soft.press("2")
    assert len(held) == 1, "nobody has left the field yet, so nothing else has been asked"
    maker.evaluate(NEXT_SWAP)
    held[0].continue_()
    maker.evaluate("() => window.swapped")
    expect(maker.locator("#preview")).to_contain_text("Hard level")
    expect(maker.locator("#refusal")).to_be_hidden()  # of the 9 that was sent first nothing is left
    expect(soft).to_have_value("2")
    expect(soft).to_be_focused()
    soft.press("5")
    expect(soft).to_have_value("25")  # the caret is where it was


@pytest.mark.usefixtures("people")
def test_an_element_added_right_after_a_field_was_filled_is_added(
    open_page: OpenPage, fund: Fund, watch: Watch
) -> None:
    watch.allow("htmx:(afterRequest|sendAbort)")
    held: list[Route] = []
    maker = open_page(Role.PORTFOLIO_MANAGER)
    maker.goto(f"/approvals/new/{LIMIT}/?book={fund.code}&metric=leverage&hard=3")
    maker.route("**/check/", lambda route: held.append(route))
    maker.get_by_label("Soft level").press("2")
    with maker.expect_request(lambda asked: "_add" in (asked.post_data or "")):
        maker.locator("[id='f---evidence']").get_by_role("button", name="Add").click()
    maker.get_by_label("Reason").focus()
    maker.evaluate("() => new Promise((done) => setTimeout(done, 400))")  # the check of the level is due meanwhile
    maker.unroute("**/check/")  # and what is held goes on
    expect(maker.get_by_label("Choose a file")).to_have_count(1)
    expect(maker.get_by_label("Soft level")).to_have_value("2")


@pytest.mark.usefixtures("relay")
def test_limit_from_its_draft_to_its_execution(
    open_page: OpenPage, people: People, fund: Fund, virtual_authenticator: Callable[[Page], str], watch: Watch
) -> None:
    watch.allow("403")  # the wrong code
    watch.allow("htmx:(afterRequest|sendAbort)")  # who leaves a page cuts off what it was fetching
    petra = risk_officer()
    maker = open_page(people.maker)
    maker.goto(f"/approvals/new/{LIMIT}/?book={fund.code}&metric=leverage&hard=3")
    expect(maker.get_by_label("Hard level")).to_have_value("3")
    maker.get_by_label("Soft level").fill("9")
    maker.get_by_label("Reason").fill("No strategy needs more.")
    expect(maker.locator("#refusal")).to_be_visible()  # the soft level above the hard one
    maker.get_by_label("Soft level").fill("2")
    maker.get_by_label("Reason").click()
    expect(maker.locator("#refusal")).to_be_hidden()
    expect(maker.locator("#preview")).to_contain_text("Hard level")
    maker.locator("[id='f---evidence']").get_by_role("button", name="Add").click()
    maker.get_by_label("Choose a file").set_input_files(
        {"name": "study.txt", "mimeType": "text/plain", "buffer": b"Leverage above 2.5 was never used."}
    )
    expect(maker.locator("[name='_.evidence.0.name']")).to_have_value("study.txt")
    expect(maker.locator("[name='_.evidence.0.sha256']")).to_have_value(re.compile(r"^[0-9a-f]{64}$"))
    maker.get_by_role("button", name="Save and submit").click()
    expect(maker.locator("#verdict")).to_contain_text("Waits for the approval of Operations and Risk officer")
    expect(maker.locator("#actions")).to_contain_text("Your roles do not vote on requests")
    request = ApprovalRequest.objects.get(kind=LIMIT)
    assert [row["name"] for row in request.evidence] == ["study.txt"]
    expect(maker.locator("#picture").get_by_role("link", name="study.txt")).to_be_visible()

    risk = open_page(petra)
    virtual_authenticator(risk)
    risk.goto(f"/approvals/{request.pk}/")
    expect(risk.locator("#actions")).to_contain_text("your account has none")
    with_passkey(risk)
    risk.goto("/approvals/")
    expect(risk.locator("#approvals-badge")).to_contain_text("1")
    risk.locator("#to-sign").get_by_role("link").click()
    expect(risk.locator("[data-countdown]").first).to_have_text(re.compile(r"\d+ h|\d+ min"))
    risk.get_by_label("Comment").fill("Sensible.")
    risk.get_by_role("button", name="Sign with your passkey").click()
    expect(risk.get_by_text("Still missing: Operations.")).to_be_visible()
    expect(risk.locator("#signatures")).to_contain_text("Holds")
    expect(risk.locator("#approvals-badge")).to_be_hidden()
    expect(maker.locator("#signatures")).to_contain_text("Petra")  # live, without a reload

    operations = open_page(people.operations)
    operations.goto(f"/approvals/{request.pk}/")
    operations.get_by_label("Code of your authenticator app").fill("000000")
    operations.get_by_role("button", name="Sign with the code").click()
    expect(operations.locator("#refused")).to_contain_text("The code is wrong or used already")
    operations.get_by_label("Code of your authenticator app").fill(fresh_code_proof(people.operations)["code"])
    operations.get_by_role("button", name="Sign with the code").click()
    expect(operations.locator("#verdict")).to_contain_text("Waits for a third person to release it")
    expect(operations.locator("#actions")).to_contain_text("You had a part in this request already")

    releaser = open_page(people.releaser)
    releaser.goto("/approvals/")
    releaser.locator("#to-release").get_by_role("link").click()
    releaser.get_by_role("button", name="Release").click()
    expect(releaser.locator("#verdict")).to_contain_text("A worker is about to execute it")

    assert execute_request(request_id=request.pk) is not None
    expect(releaser.locator("#verdict")).to_contain_text("What it says is in force")
    expect(releaser.locator("#outcome")).to_contain_text("Executed")
    expect(maker.locator("#verdict")).to_contain_text("What it says is in force")
    limit = RiskLimit.objects.in_force(clock.now()).get(book__path=fund.code, metric="leverage")
    assert (limit.soft, limit.hard) == (2, 3)
    assert verify_approvals()[1] == []
    maker.goto(f"/approvals/history/?kind={LIMIT}&state=executed")
    expect(maker.locator("#table tbody tr")).to_have_count(1)


def test_second_account_of_the_maker_is_told_why_it_may_not_approve(open_page: OpenPage, people: People) -> None:
    again = staff("maria2", Role.RISK_OFFICER, reference="staff-maria")
    request = ask(people)
    page = open_page(again)
    page.goto("/approvals/")
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    page.goto(f"/approvals/{request.pk}/")
    expect(page.locator("#actions")).to_contain_text("This is your own request, whichever account you use")
    expect(page.locator("#decide-form")).to_have_count(0)


def test_request_that_nobody_finished_says_that_it_has_expired(open_page: OpenPage, people: People) -> None:
    request = ask(people)
    page = open_page(people.risk)
    page.goto(f"/approvals/{request.pk}/")
    expect(page.locator("#verdict [data-countdown]")).to_have_text(re.compile(r"^23 h|^1 d"))
    expect(page.locator("#decide-form")).to_be_visible()
    with clock.frozen(clock.now() + timedelta(hours=25)):
        assert expire_requests() == 1
    page.reload()
    expect(page.locator("#verdict")).to_contain_text("Expired: nobody finished it in time")
    expect(page.locator("#decide-form")).to_have_count(0)
    expect(page.locator("#record")).to_contain_text("Expired")


def test_rejection_wants_a_reason_and_ends_it(open_page: OpenPage, people: People) -> None:
    request = ask(people)
    page = open_page(people.risk)
    page.goto(f"/approvals/{request.pk}/")
    page.get_by_label("Reject").check()
    page.get_by_label("Comment").fill("Too much for one day.")
    page.get_by_label("Code of your authenticator app").fill(fresh_code_proof(people.risk)["code"])
    page.get_by_role("button", name="Sign with the code").click()
    expect(page.locator("#verdict")).to_contain_text("Rejected: Too much for one day.")
    request.refresh_from_db()
    assert request.state == RequestState.REJECTED


def test_bands_of_a_policy_are_added_and_their_errors_shown(open_page: OpenPage, people: People) -> None:
    page = open_page(people.maker)
    page.goto(f"/approvals/new/compliance.set_policy/?document.kind={KIND}")
    expect(page.get_by_role("group", name="Band 1")).to_be_visible()
    page.locator("[id='f-document-bands']").get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("group", name="Band 2")).to_be_visible()
    page.get_by_role("group", name="Band 2").get_by_role("spinbutton").nth(1).fill("2")
    page.locator("[name='document.bands.1.releasers'][value=Operations]").check()
    expect(page.get_by_text("Only the last band may have no end.")).to_be_visible()
    page.locator("[name='document.bands.0.below']").fill("1000")
    page.locator("[name='document.bands.0.below']").press("Tab")
    expect(page.locator("#preview")).to_contain_text("Band 2")
    page.get_by_label("Reason").fill("Large amounts want two risk officers.")
    page.get_by_role("button", name="Save and submit").click()
    expect(page.locator("#verdict")).to_contain_text("Waits for the approval of Operations and Risk officer")
    made = ApprovalRequest.objects.filter(kind="compliance.set_policy").latest("created_at")
    assert [band["below"] for band in made.payload["document"]["bands"]] == ["1000", None]
    assert made.payload["document"]["bands"][1]["quorum"] == {"Risk officer": 2}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_gate_and_audit_fit_a_phone(open_page: OpenPage, people: People, theme: str) -> None:
    request = approved(people)
    page = open_page(people.reviewer, viewport=PHONE, color_scheme=theme)
    paths = ("", f"{request.pk}/", "new/", f"new/{KIND}/", "new/compliance.set_policy/", "history/", "policies/")
    for path in (*(f"/approvals/{part}" for part in (*paths, f"policies/{KIND}/", "people/")), "/audit/"):
        page.goto(path)
        expect(page.locator("h1")).to_be_visible()
        assert page.evaluate(WIDER) <= 0, path
