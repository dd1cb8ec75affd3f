"""Councils of two and three voices at a desk: the vote, the weights and the quorum decide what is traded."""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import pairwise

import pytest
from django.db import DatabaseError, connection, transaction

from compliance.models import ApprovalRequest
from tests.gate import by_gate, ensure_policy, maker_of
from tests.portal.test_deployment_pages import signed_in
from tests.trading.desk.support import by_family, replay_of, work_off
from trading.actions.council import weigh_down
from trading.cohorts.installed import installed_families
from trading.desk.errors import DeploymentSpecError
from trading.models.cohort import Cohort, CohortAgent
from trading.models.deployments import CouncilVoice, Deployment, Order, TradingCycle

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(900)]


def companions(agent: CohortAgent, count: int) -> list[CohortAgent]:
    """Others of its cohort that speak of its market and are not always of one mind."""
    others = agent.cohort.agents.exclude(pk=agent.pk).order_by("number")
    found = [one for one in others if one.symbol in ("", agent.symbol) and not one.family.startswith("buy_and")]
    busy = sorted(found, key=lambda one: (-one.fills.count(), one.number))
    assert len(busy) >= count
    return busy[:count]


def council(cohort: Cohort, *weights: str, hours: float = 2, **terms: object) -> Deployment:
    own = by_family(cohort, "buy_and_hold")
    voices = [
        {"agent": one.pk, "weight": weight} for one, weight in zip(companions(own, len(weights)), weights, strict=True)
    ]
    return replay_of(own, hours=hours, voices=voices, **terms)


def said(deployment: Deployment) -> list[dict[str, object]]:
    cycles = TradingCycle.objects.filter(deployment=deployment).order_by("bar_ms")
    return [message for cycle in cycles for message in cycle.messages if message["agent"] == "quant"]


def mean_of(message: dict[str, object]) -> float:
    """What the votes of a message come to, counted here once more."""
    votes = [vote for vote in message["votes"] if vote["target"] is not None]  # type: ignore[attr-defined]
    whole = sum(vote["seated"] for vote in votes)
    return float(math.fsum(vote["weight"] * vote["target"] for vote in votes) / whole)


@pytest.mark.parametrize("weights", [("3",), ("1", "0.5")])
def test_what_is_traded_is_the_weighted_mean_of_all_voices(cohort: Cohort, weights: tuple[str, ...]) -> None:
    deployment = work_off(council(cohort, *weights))
    messages = said(deployment)
    assert {len(message["votes"]) for message in messages} == {len(weights) + 1}  # type: ignore[arg-type]
    split = [m for m in messages if len({v["target"] for v in m["votes"]}) > 1]  # type: ignore[attr-defined]
    assert split, "they are of different minds at times"
    for message in messages:
        assert message["target"] == pytest.approx(mean_of(message), abs=1e-12)
    assert {message["target"] for message in messages} - {0.0, 1.0, -1.0}, "no voice alone says this"
    changes = [after for before, after in pairwise(messages) if before["target"] != after["target"]]
    assert {message["stance"] for message in changes} == {"change"}
    assert Order.objects.filter(deployment=deployment, reason="signal").exists()


def test_the_quorum_decides_whether_anything_is_traded(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    """A voice whose strategy is not installed any more is silent: its weight counts for the quorum alone."""
    half, most = council(cohort, "1", quorum_frac="0.5"), council(cohort, "1", quorum_frac="0.6")
    other = half.voices.get(number=2)
    left = {name: family for name, family in installed_families().items() if name != other.family}
    monkeypatch.setattr("trading.desk.loaded.installed_families", lambda: left)
    work_off(half)
    assert {m["stance"] for m in said(most)} == {"no_quorum"}
    assert not Order.objects.filter(deployment=most).exists()
    assert Order.objects.filter(deployment=half).exists(), "a half is enough for the other"
    assert {m["support_frac"] for m in said(half)} == {0.5}


def test_a_lone_voice_weighed_down_trades_smaller_and_then_not_at_all(cohort: Cohort) -> None:
    agent = by_family(cohort, "buy_and_hold")
    whole, half, spent = (replay_of(agent, hours=0.5) for _ in range(3))
    weigh_down(voice=half.voices.get(), left=0.5, reason="A sister was rolled back.")
    weigh_down(voice=spent.voices.get(), left=0.25, reason="Two sisters were rolled back.")
    work_off(whole)
    sizes = [Order.objects.filter(deployment=d).earliest("pk").quantity for d in (whole, half)]
    assert sizes[1] / sizes[0] == pytest.approx(Decimal("0.5"), rel=Decimal("0.01"))
    assert not Order.objects.filter(deployment=spent).exists()
    assert "It holds nothing any more" in str(said(spent)[0]["reasons"])


def test_a_council_that_is_spent_closes_what_it_holds(cohort: Cohort) -> None:
    deployment = replay_of(by_family(cohort, "buy_and_hold"), hours=1)
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms + 30 * 60_000)
    work_off(deployment)
    assert deployment.positions.exclude(quantity=0).exists()
    weigh_down(voice=deployment.voices.get(), left=0.25, reason="Two sisters were rolled back.")
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms + 60 * 60_000)
    work_off(deployment)
    assert not deployment.positions.exclude(quantity=0).exists()


def test_people_weigh_through_the_gate_alone(cohort: Cohort) -> None:
    deployment = council(cohort, "2")
    voice = deployment.voices.get(number=2)
    terms = {"deployment": deployment.pk, "voice": 2, "weight": "0.5", "reason": "It overtrades."}
    assert by_gate("trading.weigh_council", terms)["weight"] == "0.5"
    with pytest.raises(DatabaseError, match="approved request"), transaction.atomic():
        CouncilVoice.objects.filter(pk=voice.pk).update(weight=1)
    with pytest.raises(DatabaseError, match="weight alone"), transaction.atomic():
        CouncilVoice.objects.filter(pk=voice.pk).update(seated_weight=5)
    with pytest.raises(DatabaseError, match="not deleted"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM trading_councilvoice")
    by_gate("trading.weigh_council", terms | {"weight": "2", "reason": "It was right."})
    voice.refresh_from_db()
    assert voice.weight == 2, "back to its seat, by two signatures"
    with pytest.raises(DeploymentSpecError, match="seated with"):
        by_gate("trading.weigh_council", terms | {"weight": "2.1"})


def test_page_shows_every_voice_and_where_a_weight_is_asked_for(cohort: Cohort) -> None:
    deployment = work_off(council(cohort, "1", "0.5", hours=0.5))
    maker = maker_of("trading.weigh_council")
    page = signed_in(maker).get(f"/deployments/{deployment.pk}/").content.decode()
    talk = page[page.index('id="cycle"') :]
    for voice in deployment.voices.all():
        assert voice.name in page[: page.index('id="cycle"')]
        assert voice.name in talk
        link = f"/approvals/new/trading.weigh_council/?deployment={deployment.pk}&amp;voice={voice.number}"
        assert link in page
    ensure_policy("trading.weigh_council")
    form = signed_in(maker).get(f"/approvals/new/trading.weigh_council/?deployment={deployment.pk}&voice=2&weight=1")
    assert form.status_code == 200
    asked = signed_in(maker).post(
        f"/api/deployments/{deployment.pk}/weigh/",
        {"voice": 3, "weight": "0.25", "reason": "Less of it."},
        content_type="application/json",
    )
    assert asked.status_code == 202, asked.content
    assert ApprovalRequest.objects.get(kind="trading.weigh_council").payload["weight"] == "0.25000"
    council_told = signed_in(maker).get(f"/api/deployments/{deployment.pk}/council/").json()["results"]
    assert [one["seated_weight"] for one in council_told] == ["1.00000", "1.00000", "0.50000"]
