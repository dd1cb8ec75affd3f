"""The allocation page: what it shows, who may propose, and that exactly what was shown is what is asked for."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from django.core import signing
from django.urls import reverse

from compliance.models import ApprovalRequest
from fundops.core.roles import Role
from risk.actions.budgets import ALLOCATE_CAPITAL
from risk.models import CapitalBudget
from tests.compliance.approvals.support import staff
from tests.factories import user_with
from tests.gate import carry, ensure_policy
from tests.portal.support import client_of
from tests.risk.conftest import Tree, WrittenSource, figures, position
from treasury.actions.books import open_book
from treasury.models import BookKind

pytestmark = pytest.mark.usefixtures("ruled_world")

READERS = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.AUDITOR}
RNG = np.random.default_rng(29)
PAGE = "portal:risk-allocation"


@pytest.fixture
def trading(tree: Tree, source: WrittenSource) -> WrittenSource:
    source.books = {
        tree.root.pk: figures(2000.0),
        tree.trend.pk: figures(1000.0),
        tree.agent.pk: figures(1000.0, position("BTC", 20.0)),
        tree.carry.pk: figures(1000.0, position("ETH", 4.0)),
    }
    source.returns = {"BTC": RNG.normal(0, 0.03, 365), "ETH": RNG.normal(0, 0.03, 365)}
    return source


def answers(tree: Tree, **changes: Any) -> dict[str, Any]:
    return {
        "book": "MAIN",
        "objective": "risk_budget",
        "measure": "variance",
        "max_turnover": "50",
        "minimum": "0",
        "maximum": "100",
        "among": [tree.trend.pk, tree.carry.pk],
    } | changes


def sealed(html: str) -> str:
    found = re.search(r'name="sealed" value="([^"]+)"', html)
    assert found is not None
    return found.group(1)


def test_at_first_those_books_are_chosen_that_trade_and_whose_risk_is_known(trading: WrittenSource, tree: Tree) -> None:
    client = client_of(user_with(Role.RISK_OFFICER))

    def ticked() -> list[int]:
        html = client.get(reverse(PAGE)).content.decode()
        return [int(pk) for pk in re.findall(r'name="among" value="(\d+)" checked', html)]

    assert sorted(ticked()) == sorted([tree.trend.pk, tree.carry.pk])
    trading.books[tree.carry.pk] = figures(1000.0)
    assert ticked() == [tree.trend.pk]
    assert "It holds nothing: its risk is not known." in client.get(reverse(PAGE)).content.decode()
    other = open_book(
        parent=tree.root,
        code="other",
        name="Other",
        kind=BookKind.STRATEGY,
        opened_on=tree.root.opened_on,
        actor=None,
    )
    trading.books |= {
        tree.carry.pk: figures(1000.0, position("ETH", 4.0)),
        other.pk: figures(1000.0, position("ETH", 1.0), at_rest=True),
    }
    assert sorted(ticked()) == sorted([tree.trend.pk, tree.carry.pk])
    assert "What traded in it has ended." in client.get(reverse(PAGE)).content.decode()
    trading.books[tree.carry.pk] = figures(1000.0)
    assert sorted(ticked()) == sorted([tree.trend.pk, other.pk]), "one alone is no division"


@pytest.mark.parametrize("role", sorted(Role))
def test_every_role_at_the_page(trading: WrittenSource, tree: Tree, role: Role) -> None:
    client = client_of(user_with(role))
    wanted = 200 if role in READERS else 403
    assert client.get(reverse(PAGE)).status_code == wanted
    response = client.get(reverse(PAGE), answers(tree))
    assert response.status_code == wanted
    proposes = role in {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER}
    assert ("Propose this division" in response.content.decode()) is proposes
    post = client.post(reverse("portal:risk-allocation-propose"), {"sealed": "x", "reason": "y"})
    assert post.status_code == (302 if proposes else 403)


def test_the_proposal_shows_before_after_and_why(trading: WrittenSource, tree: Tree) -> None:
    html = client_of(user_with(Role.RISK_OFFICER)).get(reverse(PAGE), answers(tree)).content.decode()
    assert "1,500.00\N{NO-BREAK SPACE}USDT" in html and "500.00\N{NO-BREAK SPACE}USDT" in html
    assert "The turnover limit of 50.0% stops it" in html
    assert "its risk budget is 50.0%, its capital falls to 25.0%" in html


def test_what_was_shown_is_asked_for_and_then_in_force(trading: WrittenSource, tree: Tree) -> None:
    ensure_policy(ALLOCATE_CAPITAL)
    manager = staff("mira", Role.PORTFOLIO_MANAGER)
    client = client_of(manager)
    shown = sealed(client.get(reverse(PAGE), answers(tree)).content.decode())
    trading.returns = {name: series[::-1] * 3 for name, series in trading.returns.items()}
    response = client.post(reverse("portal:risk-allocation-propose"), {"sealed": shown, "reason": "Less of trend"})
    request = ApprovalRequest.objects.get(kind=ALLOCATE_CAPITAL)
    assert response["Location"] == reverse("portal:approval", args=[request.pk])
    assert request.reason == "Less of trend"
    assert [line["after"] for line in request.payload["lines"]] == ["1500.00000000", "500.00000000"]
    assert not CapitalBudget.objects.exists()
    carry(request)
    assert {b.book.code: b.capital for b in CapitalBudget.objects.select_related("book")} == {
        "carry": 1500,
        "trend": 500,
    }
    html = client.get(reverse(PAGE)).content.decode()
    assert "1,500.00" in html[html.index("Budgets in force") :]


def test_what_was_not_shown_or_has_no_reason_is_refused(trading: WrittenSource, tree: Tree) -> None:
    ensure_policy(ALLOCATE_CAPITAL)
    client = client_of(staff("mira", Role.PORTFOLIO_MANAGER))
    url = reverse("portal:risk-allocation-propose")
    shown = sealed(client.get(reverse(PAGE), answers(tree)).content.decode())
    forged = signing.dumps({"parent": "MAIN", "lines": []}, salt="another")
    for data in ({"sealed": forged, "reason": "x"}, {"sealed": "", "reason": "x"}, {"sealed": shown, "reason": " "}):
        assert client.post(url, data).status_code == 302
    assert not ApprovalRequest.objects.filter(kind=ALLOCATE_CAPITAL).exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"maximum": "40"}, "No 2 weights between"),
        ({"minimum": "60", "maximum": "50"}, "The least is above the most."),
        ({"max_turnover": "-1"}, "greater than or equal to 0"),
        ({"max_turnover": "nan"}, "Enter a number."),
        ({"among": []}, "Choose at least two books."),
        ({"among": ["999999"]}, "not one of the available choices"),
        ({"objective": "luck"}, "not one of the available choices"),
        ({"objective": "maximum_ratio", "maximum": "inf"}, "Enter a number."),
    ],
)
def test_questions_that_make_no_sense_are_answered(
    trading: WrittenSource, tree: Tree, change: dict[str, Any], says: str
) -> None:
    response = client_of(user_with(Role.RISK_OFFICER)).get(reverse(PAGE), answers(tree, **change))
    assert response.status_code in {200, 422}
    assert says in response.content.decode().replace("&#x27;", "'")
    assert "Propose this division" not in response.content.decode()


def test_budgets_are_for_all_or_for_none(trading: WrittenSource, tree: Tree) -> None:
    client = client_of(user_with(Role.RISK_OFFICER))
    one = answers(tree, **{f"budget_{tree.trend.pk}": "30"})
    assert "to none for risk parity" in client.get(reverse(PAGE), one).content.decode()
    both = one | {f"budget_{tree.carry.pk}": "70", "max_turnover": ""}
    html = client.get(reverse(PAGE), both).content.decode()
    assert "its risk budget is 70.0%" in html and "its risk budget is 30.0%" in html


def test_a_fund_of_which_little_is_known_says_why(tree: Tree, source: WrittenSource) -> None:
    client = client_of(user_with(Role.RISK_OFFICER))
    source.books = {b.pk: figures(1000.0) for b in (tree.root, tree.trend, tree.agent, tree.carry)}
    assert "holds nothing" in client.get(reverse(PAGE), answers(tree)).content.decode()
    source.books[tree.agent.pk] = figures(1000.0, position("BTC", 1.0))
    source.books[tree.carry.pk] = figures(1000.0, position("BTC", 1.0))
    source.returns = {"BTC": np.array([0.01])}
    assert "1 days of returns cannot carry" in client.get(reverse(PAGE), answers(tree)).content.decode()
    source.returns = {}
    assert "daily returns of BTC are not known" in client.get(reverse(PAGE), answers(tree)).content.decode()
    source.books = {}
    assert "are not known" in client.get(reverse(PAGE), answers(tree)).content.decode()
    assert "No open book lies below" in client.get(f"{reverse(PAGE)}?book=MAIN/carry").content.decode()


def test_without_a_fund_it_says_so(db: None) -> None:
    assert "There is no fund yet" in client_of(user_with(Role.RISK_OFFICER)).get(reverse(PAGE)).content.decode()
