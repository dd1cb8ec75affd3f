"""`/risk/guardrails/` and the banner of every page: for whom, what they show, and the stop."""

from __future__ import annotations

from datetime import date

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from fundops.core.models import User
from fundops.core.roles import STAFF_ROLES, Role
from risk.actions.switches import stop_trading, trip_switch
from risk.models import KillSwitch, StopCause
from risk.quant.pretrade import TradingMode
from risk.switch_gate import RESTORE, restore_payload
from risk.switch_signals import report_breaks
from tests.factories import everyone, user_with
from tests.gate import by_gate
from treasury.actions.books import ensure_asset, open_book, open_fund
from treasury.models import AssetKind, Book, BookKind

pytestmark = pytest.mark.usefixtures("ruled_world")

ON_DUTY = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.COMPLIANCE_OFFICER}
PAGE = "/risk/guardrails/"
STOP = "/risk/guardrails/stop/"


@pytest.fixture
def book(db: None) -> Book:
    usdt = ensure_asset(code="USDT", name="Tether", kind=AssetKind.CRYPTO, places=8, actor=None)
    fund = open_fund(code="MAIN", name="Main fund", base_asset=usdt, opened_on=date(2026, 1, 1), actor=None)
    root = Book.objects.get(fund=fund, parent=None)
    return open_book(
        parent=root, code="trend", name="Trend", kind=BookKind.STRATEGY, opened_on=date(2026, 1, 1), actor=None
    )


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text(client: Client, url: str = PAGE) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return answer.content.decode()


def test_those_on_duty_and_auditors_read_it_and_those_on_duty_stop(book: Book) -> None:
    for role, person in everyone().items():
        client = signed_in(person)
        reads, stops = role in ON_DUTY | {Role.AUDITOR}, role in ON_DUTY
        assert (client.get(PAGE).status_code == 200) == reads, role
        assert (client.get(STOP).status_code == 200) == stops, role
        answer = client.post(STOP, {"venue": role.name.lower(), "reason": "Now."})
        assert answer.status_code == (302 if stops else 403), role
        if reads:
            assert ("data-stop" in text(client)) == stops, role
    assert KillSwitch.objects.count() == len(ON_DUTY)


def test_the_page_says_who_stopped_what_when_and_why(book: Book) -> None:
    officer = user_with(Role.RISK_OFFICER, username="rosa", display_name="Rosa Risk")
    client = signed_in(officer)
    assert "Trading is active everywhere" in text(client)
    answer = client.post(STOP, {"book": book.path, "reason": "Odd <fills>.", "mode": "REDUCING"}, follow=True)
    shown = answer.content.decode()
    assert "MAIN/trend is reducing now." in shown and "Odd &lt;fills&gt;." in shown and "Rosa Risk" in shown
    assert "Trading is active, except in 1 place" in shown and "Only closing" in shown
    link = reverse("portal:approval-new", args=[RESTORE])
    switch = KillSwitch.objects.get()
    assert f"{link}?switch={switch.pk}&amp;version=1&amp;mode=ACTIVE" in shown


def test_a_stop_without_a_reason_is_asked_again_and_stops_nothing(book: Book) -> None:
    client = signed_in(user_with(Role.OPERATIONS))
    answer = client.post(STOP, {"reason": "  "})
    assert answer.status_code == 422 and "Say in a few words why" in answer.content.decode()
    assert client.post(STOP, {"reason": "x", "book": "MAIN/nowhere"}).status_code == 404
    assert not KillSwitch.objects.exists()


def test_the_banner_is_on_every_staff_page_until_trading_is_back(book: Book) -> None:
    people = everyone()
    switch = stop_trading(reason="Calm down.", actor=people[Role.RISK_OFFICER])
    for role in Role:
        shown = text(signed_in(people[role]), "/")
        assert ("All trading is halted." in shown and "Calm down." in shown) == (role in STAFF_ROLES), role
    assert signed_in(people[Role.INVESTOR]).get("/banners/").status_code == 404
    by_gate(RESTORE, restore_payload(switch))
    assert "trading-banner" not in text(signed_in(people[Role.RISK_OFFICER]), "/")


def test_the_banner_costs_no_query_while_all_is_active(book: Book) -> None:
    client = signed_in(user_with(Role.CLIENT_RELATIONS))
    text(client, "/banners/")
    with CaptureQueriesContext(connection) as captured:
        text(client, "/banners/")
    assert not [q["sql"] for q in captured if "risk_killswitch" in q["sql"] and "ORDER BY" in q["sql"]]


def test_triggers_show_value_threshold_and_headroom(book: Book) -> None:
    report_breaks(source="ledger", open_breaks=1, book=book)
    trip_switch(book=book, venue="kraken", cause=StopCause.ERROR_BURST, detail="12 errors", mode=TradingMode.REDUCING)
    shown = text(signed_in(user_with(Role.RISK_OFFICER)))
    assert "1 past the threshold" in shown and "Reconciliation break" in shown and "as shipped" in shown
    assert "trend at kraken" in shown and "12 errors" in shown and "by itself" in shown
    assert reverse("portal:approval-new", args=["risk.set_trigger_policy"]) in shown
    assert "Propose a threshold" not in text(signed_in(user_with(Role.OPERATIONS)))


def test_the_fragment_is_the_pages_own_board(book: Book) -> None:
    client = signed_in(user_with(Role.OPERATIONS))
    answer = client.get(PAGE, headers={"HX-Request": "true", "HX-Target": "guardrails-board"})
    shown = answer.content.decode().strip()
    assert 'id="guardrails-board"' in shown and "<html" not in shown


def test_reading_costs_do_not_grow_with_switches(book: Book) -> None:
    client = signed_in(user_with(Role.RISK_OFFICER))
    counts = []
    for n in range(2):
        for k in range(4):
            stop_trading(reason="x", actor=None, venue=f"v{n}{k}")
        text(client)
        with CaptureQueriesContext(connection) as captured:
            text(client)
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_an_empty_installation_has_a_page(db: None) -> None:
    shown = text(signed_in(user_with(Role.RISK_OFFICER)))
    assert "No fund yet" in shown and "Nothing was ever stopped" in shown
