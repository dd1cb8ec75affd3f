"""The page of limits: who opens it, what is in force when, where it comes from, and how it is changed."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from fundops.core import clock
from fundops.core.roles import Role
from risk.actions.breaches import evaluate_limits
from risk.models import HardAction, RiskLimit
from risk.quant.metrics import Metric
from risk.sources import BookFigures, install_source
from tests.factories import user_with
from tests.portal.support import client_of
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, make_tree, position
from tests.risk.gated import end_limit, put_limit, put_template
from tests.worlds import WORLDS, World

READERS = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.AUDITOR}
LIMITS = "/risk/limits/"


@pytest.fixture
def officer(db: None) -> Client:
    return client_of(user_with(Role.RISK_OFFICER))


def _figures(tree: Tree) -> dict[int, BookFigures]:
    return {
        tree.root.pk: figures(1000.0),
        tree.trend.pk: figures(500.0),
        tree.agent.pk: figures(500.0, position("BTC", 20.0)),
        tree.carry.pk: figures(500.0, position("ETH", 2.0)),
    }


def _limit_tree() -> tuple[Tree, dict[str, RiskLimit]]:
    with clock.frozen(NOW):
        tree = make_tree()
    written = WrittenSource(_figures(tree))
    before = install_source(written)
    with clock.frozen(NOW - timedelta(days=2)):
        put_limit(book=tree.root, metric=Metric.LEVERAGE, hard=Decimal(3))
        retired = put_limit(book=tree.trend, metric=Metric.OPEN_POSITIONS, hard=Decimal(5))
    with clock.frozen(NOW - timedelta(days=1)):
        fund = put_limit(book=tree.root, metric=Metric.LEVERAGE, soft=Decimal(1), hard=Decimal(2))
        end_limit(retired)
        put_template(book=tree.carry, template="conservative")
        trend = put_limit(book=tree.trend, metric=Metric.GROSS_EXPOSURE, hard=Decimal(1600), action=HardAction.REDUCE)
        small = put_limit(book=tree.trend, metric=Metric.POSITION_NOTIONAL, symbol="BTC", hard=Decimal(4000))
        planned = put_limit(
            book=tree.root, metric=Metric.ORDER_NOTIONAL, hard=Decimal(9), effective_from=NOW + timedelta(days=1)
        )
    install_source(before)
    return tree, {"fund": fund, "trend": trend, "small": small, "planned": planned, "retired": retired}


WORLDS["limits_world"] = World(_limit_tree)


@pytest.fixture
def limits_world(db: None, request: pytest.FixtureRequest) -> tuple[Tree, dict[str, RiskLimit]]:
    made: tuple[Tree, dict[str, RiskLimit]] = WORLDS["limits_world"].given(request)
    return made


@pytest.fixture
def limited(
    limits_world: tuple[Tree, dict[str, RiskLimit]], now: datetime, source: WrittenSource
) -> dict[str, RiskLimit]:
    """The fund at 1.1x of a hard 2x, changed once; trend past its money; one planned, one retired, a set on carry."""
    tree, limits = limits_world
    source.books = _figures(tree)
    return limits


def exported(client: Client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"{LIMITS}?_export=csv{query}")
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def named(rows: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(row["Book"], row["Limit"]) for row in rows}


@pytest.mark.parametrize("role", sorted(Role))
def test_every_role_at_the_pages(limited: dict[str, RiskLimit], role: Role) -> None:
    client = client_of(user_with(role))
    for path in (LIMITS, f"{LIMITS}{limited['fund'].pk}/", f"{LIMITS}?_export=json"):
        assert client.get(path).status_code == (200 if role in READERS else 403), (role, path)
    assert (LIMITS in client.get("/").content.decode()) == (role in READERS), "the way there"


def test_nobody_signed_in_is_sent_away(limited: dict[str, RiskLimit]) -> None:
    for path in (LIMITS, f"{LIMITS}{limited['fund'].pk}/"):
        assert Client().get(path).status_code in {302, 401, 403}


def test_limits_by_state(limited: dict[str, RiskLimit], officer: Client) -> None:
    now = exported(officer, "&book=MAIN/trend")
    assert named(now) == {
        ("MAIN", "leverage"), ("MAIN/trend", "gross_exposure"), ("MAIN/trend", "position_notional BTC")
    }  # fmt: skip
    assert {row["State"] for row in now} == {"now"}
    assert named(exported(officer, "&state=future")) == {("MAIN", "order_notional")}
    past = exported(officer, "&state=past")
    assert named(past) == {("MAIN", "leverage"), ("MAIN/trend", "open_positions")}
    assert all(row["Until"] and not row["Now"] for row in past)
    every = exported(officer, "&state=")
    assert len(every) == RiskLimit.objects.count() == len(exported(officer)) + 3


def test_origin_tells_own_inherited_and_template(limited: dict[str, RiskLimit], officer: Client) -> None:
    origins = {(r["Book"], r["Limit"]): r["Origin"] for r in exported(officer, "&book=MAIN/trend")}
    assert origins[("MAIN", "leverage")] == "inherited"
    assert origins[("MAIN/trend", "gross_exposure")] == "own"
    below = {r["Origin"] for r in exported(officer, "&book=MAIN")}
    assert below == {"own", "below", "below conservative"}
    assert named(exported(officer, "&book=MAIN/trend&origin=inherited")) == {("MAIN", "leverage")}
    assert ("MAIN", "leverage") not in named(exported(officer, "&book=MAIN/trend&origin=own"))
    assert {r["Book"] for r in exported(officer, "&origin=template")} == {"MAIN/carry"}
    assert {r["Book"] for r in exported(officer, "&book=TREN")} == {"MAIN/trend"}, "a part of a path is searched for"
    assert exported(officer, "&metric=leverage&book=MAIN&origin=own")[0]["Hard"] == "2"


def test_where_each_stands_and_the_tightest_first(limited: dict[str, RiskLimit], officer: Client) -> None:
    first = exported(officer, "&book=MAIN/trend&sort=headroom")[0]
    assert first["Limit"] == "gross_exposure" and float(first["Now"]) == 2000.0
    assert float(first["Headroom"]) == pytest.approx(-0.25)
    rows = exported(officer, "&sort=headroom")
    known = [float(r["Headroom"]) for r in rows if r["Headroom"]]
    assert known == sorted(known) and not rows[-1]["Headroom"], "what has no value between orders comes last"
    back = exported(officer, "&sort=-headroom")
    assert float(back[0]["Headroom"]) == known[-1] and not back[-1]["Headroom"]
    html = officer.get(f"{LIMITS}?book=MAIN/trend").content.decode()
    assert "passed by" in html and "hard passed" in html and "2.20x" in html
    body = json.loads(officer.get(f"{LIMITS}?_export=json&metric=leverage&book=MAIN&origin=own").content)
    assert [(r["Book"], r["Limit"], r["Now"]) for r in body] == [("MAIN", "leverage", 2.2)]


def test_links_lead_to_the_forms_with_what_is_in_force(limited: dict[str, RiskLimit], officer: Client) -> None:
    html = officer.get(f"{LIMITS}?book=MAIN/trend").content.decode()
    change = "/approvals/new/risk.set_limit/?book=MAIN%2Ftrend&amp;metric=position_notional&amp;symbol=BTC"
    retire = f"/approvals/new/risk.retire_limit/?limit={limited['small'].pk}"
    template = "/approvals/new/risk.apply_template/?template=standard&amp;book=MAIN%2Ftrend"
    assert change in html and retire in html and template in html
    assert 'value="4000"' in officer.get(change.replace("&amp;", "&")).content.decode(), "the level of today"
    assert officer.get(retire).status_code == 200
    assert officer.get(template.replace("&amp;", "&")).status_code == 200
    planned = officer.get(f"{LIMITS}?state=future").content.decode()
    assert f"retire_limit/?limit={limited['planned'].pk}" in planned and ">Change<" not in planned
    assert "/approvals/new/" not in client_of(user_with(Role.AUDITOR)).get(LIMITS).content.decode()


def test_one_limit_shows_its_levels_over_time(limited: dict[str, RiskLimit], officer: Client) -> None:
    evaluate_limits(actor=None)
    html = officer.get(f"{LIMITS}{limited['fund'].pk}/").content.decode()
    assert "3.00x" in html and "2.00x" in html and "2.20x" in html
    assert html.count("in force</span>") == 1 and html.count(">past</span>") == 1
    assert 'data-live-topic="risk"' in html and "Approval request" in html
    former = RiskLimit.objects.get(book=limited["fund"].book, metric="leverage", hard=3)
    assert officer.get(f"{LIMITS}{former.pk}/").content.decode().count("2.20x") == html.count("2.20x"), "the same limit"
    gone = officer.get(f"{LIMITS}{limited['retired'].pk}/").content.decode()
    assert "No level is in force now" in gone and "Set again" in gone and "retire_limit" not in gone
    waiting = officer.get(f"{LIMITS}{limited['planned'].pk}/").content.decode()
    assert f"retire_limit/?limit={limited['planned'].pk}" in waiting and "set_limit" not in waiting
    assert officer.get(f"{LIMITS}999999/").status_code == 404


def test_nothing_known_and_nothing_there(tree: Tree, source: WrittenSource, officer: Client) -> None:
    put_limit(book=tree.root, metric=Metric.LEVERAGE, hard=Decimal(2))
    limit = RiskLimit.objects.get()
    assert exported(officer)[0]["Now"] == "", "nothing measures the books"
    assert officer.get(f"{LIMITS}{limit.pk}/").status_code == 200
    assert "Clear the filter" in officer.get(f"{LIMITS}?book=nowhere").content.decode()
    for odd in ("state=sometimes", "metric=mood", "sort=mood", "origin=x", "page=99999", "book=%00"):
        assert officer.get(f"{LIMITS}?{odd}").status_code in {200, 404}, odd


def test_gauges_of_the_overview_lead_there(limited: dict[str, RiskLimit], officer: Client) -> None:
    html = officer.get(f"{reverse('portal:risk')}?book=MAIN/trend").content.decode()
    head = html[html.index('id="headroom"') : html.index('id="breaches"')]
    assert f'href="{LIMITS}?book=MAIN/trend"' in head
    assert f'href="{LIMITS}{limited["fund"].pk}/"' in head
    assert "/approvals/new/risk.set_limit/?book=MAIN&amp;metric=leverage" in head, "where the level is set"
    assert f"/approvals/new/risk.retire_limit/?limit={limited['trend'].pk}" in head
    auditor = client_of(user_with(Role.AUDITOR)).get(reverse("portal:risk")).content.decode()
    assert f"{LIMITS}{limited['fund'].pk}/" in auditor and "risk.set_limit" not in auditor
