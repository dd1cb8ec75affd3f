"""The pages of screening: who opens them, what they decide there, and that they say what is so."""

from __future__ import annotations

import pytest
from django.test import Client

from compliance.actions.screening import raise_flag, restrict_instrument
from compliance.models import RestrictedInstrument, ScreeningFlag
from compliance.models.screening import FlagSeverity, RestrictionLevel, ScreeningRule
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with

READS_LIST = {
    Role.PORTFOLIO_MANAGER,
    Role.RISK_OFFICER,
    Role.OPERATIONS,
    Role.COMPLIANCE_OFFICER,
    Role.AUDITOR,
}
READS_FLAGS = {Role.RISK_OFFICER, Role.COMPLIANCE_OFFICER, Role.AUDITOR}
ENTRY = {"symbol": "layer", "level": "no_trading", "reason": "Insider list 7"}


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def officer(db: None) -> User:
    return user_with(Role.COMPLIANCE_OFFICER, username="carla")


@pytest.fixture
def flag(db: None) -> ScreeningFlag:
    return raise_flag(
        key="test:1",
        rule=ScreeningRule.LAYERING,
        severity=FlagSeverity.DENIED,
        subject="Trend of BTC",
        book_path="TEST/live",
        symbol="BTC",
        venue="binance",
        finding="5 of 5 sell orders were cancelled.",
        evidence={
            "order": {"order": "c-9", "side": "buy", "size": 2.0, "price": 100.0},
            "cancelled": [{"order": "c-1", "size": 10.0, "agents": [1, 2], "price": None}],
            "window_s": 60,
        },
    )


@pytest.mark.parametrize("role", list(Role))
def test_each_role_opens_what_the_matrix_says(flag: ScreeningFlag, role: Role) -> None:
    client = browser(user_with(role))
    listed = 200 if role in READS_LIST else 403
    assert client.get("/screening/").status_code == listed
    seen = 200 if role in READS_FLAGS else 403
    assert client.get("/screening/flags/").status_code == seen
    assert client.get(f"/screening/flags/{flag.pk}/").status_code == seen
    made = client.post("/screening/restrict/", ENTRY)
    assert made.status_code == (302 if role is Role.COMPLIANCE_OFFICER else 403)
    decided = client.post(f"/screening/flags/{flag.pk}/", {"state": "cleared", "note": "Seen."})
    assert decided.status_code == (302 if role is Role.COMPLIANCE_OFFICER else 403)
    assert RestrictedInstrument.objects.exists() is (role is Role.COMPLIANCE_OFFICER)


def test_list_offers_the_way_off_it_to_those_who_may_ask(officer: User) -> None:
    entry = restrict_instrument(symbol="LAYER", level=RestrictionLevel.NO_TRADING, reason="Insiders", actor=officer)
    ask = f"/approvals/new/compliance.lift_restriction/?restriction={entry.pk}"
    page = browser(officer).get("/screening/").content.decode()
    assert "LAYER" in page
    assert "No trading at all" in page
    assert ask in page
    assert ask not in browser(user_with(Role.PORTFOLIO_MANAGER)).get("/screening/").content.decode()


def test_refused_entry_says_why_and_keeps_what_was_typed(officer: User) -> None:
    answer = browser(officer).post("/screening/restrict/", ENTRY | {"level": "close_only", "venue": "kraken"})
    assert answer.status_code == 422
    assert "Close-only holds at every venue" in answer.content.decode()
    assert "Insider list 7" in answer.content.decode()


def test_flag_shows_its_evidence_and_needs_a_reason(officer: User, flag: ScreeningFlag) -> None:
    client = browser(officer)
    page = client.get(f"/screening/flags/{flag.pk}/").content.decode()
    for shown in ("5 of 5 sell orders were cancelled.", "c-1", "1, 2", "buy 2.0 at 100.0", "TEST/live"):
        assert shown in page
    assert client.post(f"/screening/flags/{flag.pk}/", {"state": "cleared", "note": ""}).status_code == 422
    client.post(f"/screening/flags/{flag.pk}/", {"state": "cleared", "note": "A test of the venue."})
    page = client.get(f"/screening/flags/{flag.pk}/").content.decode()
    assert "A test of the venue." in page
    assert "Decide</button>" not in page


def test_lists_export(officer: User, flag: ScreeningFlag) -> None:
    restrict_instrument(symbol="LAYER", level=RestrictionLevel.WATCH, reason="r", actor=officer)
    client = browser(officer)
    assert b"LAYER,watch" in client.get("/screening/?_export=csv").content
    assert b"layering" in client.get("/screening/flags/?_export=csv").content.lower()
