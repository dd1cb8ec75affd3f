"""Leverage and overrides in the browser: who opens them, what they say, what may be done there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

import pytest
from django.test import Client

from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from portal.leverage_board import at_risk, leverage_rows
from risk.actions.leverage import decide_leverage, lower_leverage, start_leverage
from risk.leverage import install_performance_source
from risk.models import GuardrailOverride, LeverageDecision, OverrideEnd
from risk.quant.leverage import Observation, Performance
from tests.compliance.approvals.support import People
from tests.factories import user_with
from tests.portal.support import READERS
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, position
from tests.risk.leverage_support import GOOD, LEVERAGE, LIMIT, OVERRIDE, OVERRIDES, did, through_the_gate
from treasury.models import Book

ON_DUTY = READERS - {Role.AUDITOR}
END = NOW + timedelta(hours=8)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


@pytest.fixture
def people(leverage_world: People, now: datetime) -> People:
    return leverage_world


class TwoWeeks:
    """Every Book did the same: 14 good days, half a percent below its peak."""

    def performance(self, book: Book, *, observation: Observation, window: int, at: datetime) -> Performance | None:
        return did(GOOD, at, 0.005, equity=1000.0, source="test")

    def ended(self, book_ids: Collection[int]) -> set[int]:
        return set()


@pytest.fixture
def did_well() -> Iterator[None]:
    before = install_performance_source(TwoWeeks())
    yield
    install_performance_source(before)


@pytest.fixture
def levered(people: People, tree: Tree, source: WrittenSource, did_well: None) -> Tree:
    """The trend strategy at 2x, lowered to 1x by hand; carry at 2x with 2.5 times its equity held."""
    through_the_gate(people, LEVERAGE, {})
    source.books = {
        tree.root.pk: figures(2000.0),
        tree.trend.pk: figures(1000.0),
        tree.agent.pk: figures(1000.0, position("BTC", 5.0)),
        tree.carry.pk: figures(1000.0, position("ETH", 25.0)),
    }
    for book in (tree.trend, tree.carry):
        start_leverage(book=book, actor=None)
    lower_leverage(book=tree.trend, reason="Roll it back.", actor=people.operations)
    return tree


@pytest.fixture
def overridden(people: People, tree: Tree) -> GuardrailOverride:
    through_the_gate(people, OVERRIDES, {})
    through_the_gate(people, LIMIT, {"book": tree.trend.path, "metric": "leverage", "hard": "2"})
    asked = {"book": tree.trend.path, "metric": "leverage", "level": "2.5", "ends_at": END.isoformat()}
    through_the_gate(people, OVERRIDE, asked)
    return GuardrailOverride.objects.get()


# --- Who ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", list(Role))
def test_each_role_opens_what_the_matrix_says(levered: Tree, overridden: GuardrailOverride, role: Role) -> None:
    client = browser(user_with(role))
    seen = 200 if role in READERS else 403
    for address in ("/risk/leverage/", "/risk/leverage/over-time.json", "/risk/overrides/"):
        assert client.get(address).status_code == seen, address
    assert client.get("/banners/").status_code == (404 if role is Role.INVESTOR else 200)
    done = 302 if role in ON_DUTY else 403
    lower = {"book": levered.carry.path, "reason": "Enough."}
    assert client.post("/risk/leverage/lower/", lower).status_code == done
    assert LeverageDecision.objects.filter(book=levered.carry, rule="by_hand").exists() is (role in ON_DUTY)
    assert client.post(f"/risk/overrides/{overridden.pk}/end/", {"reason": "Done."}).status_code == done
    assert OverrideEnd.objects.exists() is (role in ON_DUTY)


@pytest.mark.parametrize("role", list(Role))
def test_every_member_of_staff_sees_the_banner_on_every_page(overridden: GuardrailOverride, role: Role) -> None:
    client = browser(user_with(role))
    for address in ("/", "/accounts/2fa/"):
        shown = client.get(address).content.decode()
        assert ("Guardrail overridden." in shown) is (role is not Role.INVESTOR), address
    with clock.frozen(END):
        assert "Guardrail overridden." not in page(client, "/")


def test_the_banner_says_what_and_how_long(overridden: GuardrailOverride) -> None:
    shown = page(browser(user_with(Role.CLIENT_RELATIONS)), "/")
    for words in ("Leverage of", "MAIN/trend", "2.50x", "instead of", "2.00x", "2026-03-02 20:00 UTC"):
        assert words in shown
    assert "/risk/overrides/" not in shown


# --- What it says -------------------------------------------------------------------------------------------------
def test_the_page_shows_tier_next_step_triggers_money_and_rollback(levered: Tree) -> None:
    shown = page(browser(user_with(Role.RISK_OFFICER)), "/risk/leverage/")
    for words in (
        "MAIN/trend",
        "MAIN/carry",
        "Sharpe 3.68 of 1.50 over 14 of 14 days, drawdown 0.5 % of 3 %",
        "Next: up to",
        "Loss above 2 % in a day",
        "Drawdown above 10 %",
        "Roll it back.",
        "0 h of 14.0 days since the step down",
        "Beyond its tier",
        "version 1",
        "/approvals/new/risk.set_leverage_policy/",
        "Lower at once",
    ):
        assert words in shown, words
    assert "2,000.00" in shown, "both bankrolls together"


def test_the_figures_of_the_board(levered: Tree, people: People) -> None:
    rows = {r.book.code: r for r in leverage_rows(people.operations)}
    carry, trend = rows["carry"], rows["trend"]
    assert carry.in_force == 2
    assert (carry.bankroll, carry.allowed, carry.exposure) == (1000.0, 2000.0, 2500.0)
    assert carry.beyond and not trend.beyond
    assert carry.lost_until_step_down == pytest.approx(20.0)
    assert trend.rollback is not None and trend.rollback.recovering == "0 h of 14.0 days since the step down"
    assert carry.rollback is None
    assert [state for _, state in carry.tiers] == ["on", "on", "next"] + ["off"] * 7
    assert at_risk(list(rows.values())) == {"USDT": (2000.0, 3000.0)}


def test_without_a_policy_the_page_says_what_to_do(tree: Tree) -> None:
    shown = page(browser(user_with(Role.RISK_OFFICER)), "/risk/leverage/")
    assert "There is no leverage policy." in shown and "/approvals/new/risk.set_leverage_policy/" in shown
    assert "/approvals/new/" not in page(browser(user_with(Role.AUDITOR)), "/risk/leverage/")
    assert "Without one nothing is overridden" in page(browser(user_with(Role.AUDITOR)), "/risk/overrides/")


def test_the_board_is_a_fragment_of_its_own(levered: Tree) -> None:
    client = browser(user_with(Role.OPERATIONS))
    answer = client.get("/risk/leverage/", headers={"HX-Request": "true", "HX-Target": "leverage-board"})
    assert answer["HX-Trigger"] == "leverage-moved"
    assert b"<html" not in answer.content and b"MAIN/carry" in answer.content


def test_the_log_filters_and_exports(levered: Tree) -> None:
    client = browser(user_with(Role.AUDITOR))
    rows = json.loads(client.get("/risk/leverage/?_export=json").content)
    assert len(rows) == 3
    assert {row["Rule"] for row in rows} == {"start", "by_hand"}
    lines = client.get("/risk/leverage/?_export=csv&rule=by_hand").content.decode().splitlines()
    assert len(lines) == 2 and "MAIN/trend,by_hand,2.00,1.00" in lines[1]
    decide_leverage(book=levered.carry, performance=did(GOOD, NOW), actor=None)
    assert len(json.loads(client.get("/risk/leverage/?_export=json").content)) == 4
    assert len(json.loads(client.get("/risk/leverage/?_export=json&changed=true").content)) == 3


def test_the_picture_over_time_ends_now(levered: Tree) -> None:
    with clock.frozen(NOW + timedelta(hours=1)):
        drawn = browser(user_with(Role.AUDITOR)).get("/risk/leverage/over-time.json").json()
    ms = int(NOW.timestamp() * 1000)
    by_name = {s["name"]: s["data"] for s in drawn["series"]}
    assert by_name["MAIN/trend"] == [[ms, 2.0], [ms, 1.0], [ms + 3_600_000, 1.0]]
    assert {level["label"]: level["y"] for level in drawn["levels"]} == {"cap": 10.0, "floor": 1.0}


# --- What may be done ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"to": "9", "reason": "More!"}, "Give a leverage from 1x to below 2x."),
        ({"to": "luck", "reason": "x"}, "Give a leverage as a number"),
        ({"to": "1", "reason": ""}, "Say why the leverage is lowered."),
    ],
)
def test_what_is_refused_says_why(levered: Tree, sent: dict[str, str], said: str) -> None:
    client = browser(user_with(Role.OPERATIONS))
    answer = client.post("/risk/leverage/lower/", {"book": levered.carry.path} | sent, follow=True)
    assert said in answer.content.decode()
    assert not LeverageDecision.objects.filter(book=levered.carry, rule="by_hand").exists()


def test_an_override_is_listed_ended_and_kept_in_the_log(overridden: GuardrailOverride) -> None:
    client = browser(user_with(Role.OPERATIONS))
    shown = page(client, "/risk/overrides/")
    for words in ("2.50x", "2.00x", "MAIN/trend", "in force", "End the override", "24 h", "/approvals/new/risk.over"):
        assert words in shown, words
    client.post(f"/risk/overrides/{overridden.pk}/end/", {"reason": "Done."})
    shown = page(client, "/risk/overrides/")
    assert "Every guardrail holds" in shown and "ended early" in shown and "Done." in shown
    again = client.post(f"/risk/overrides/{overridden.pk}/end/", {"reason": "Again."}, follow=True)
    assert "This override is over already" in again.content.decode()
    exported = json.loads(client.get("/risk/overrides/?_export=json&standing=over").content)
    assert [row["State"] for row in exported] == ["ended early"]
    assert json.loads(client.get("/risk/overrides/?_export=json&standing=now").content) == []


def test_the_form_of_a_new_policy_starts_from_the_rules_in_force(people: People, tree: Tree) -> None:
    through_the_gate(people, LEVERAGE, {"cap": "7", "window": 45})
    shown = page(browser(people.maker), "/approvals/new/risk.set_leverage_policy/")
    assert 'value="7"' in shown and 'value="45"' in shown and "Smallest sample" in shown
    through_the_gate(people, OVERRIDES, {"max_hours": 11})
    assert 'value="11"' in page(browser(people.maker), "/approvals/new/risk.set_override_policy/")
    assert "Or: trigger of the kill switch" in page(browser(people.maker), "/approvals/new/risk.override_guardrail/")
