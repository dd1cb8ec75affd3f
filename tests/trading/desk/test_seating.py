"""Who may sit in a council, what the signers see of it, and what live results do to its weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from compliance.actions.proposing import propose
from compliance.approvals.errors import PayloadError
from tests.gate import ensure_policy, maker_of
from tests.trading.desk.support import by_family, deploy, finished
from tests.trading.desk.test_voices import companions
from trading.desk.errors import DeploymentSpecError
from trading.models.cohort import Cohort, CohortAgent
from trading.models.promotion import ReviewState
from trading.promotion.records import keep_record
from trading.promotion.weights import FAMILY_LEFT, GENOME_LEFT

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(900)]


def shown(agent: CohortAgent, **terms: Any) -> dict[str, str]:
    """What signers of a deployment see."""
    ensure_policy("trading.deploy")
    payload = {"agent": agent.pk, "bankroll": "100", "reason": "Looking.", **terms}
    request = propose(kind="trading.deploy", payload=payload, reason="Looking.", actor=maker_of("trading.deploy"))
    content = json.loads(request.statements.get().canonical)
    return {field["label"]: field["then"] for field in content.get("fields") or content["displayed"]}


def test_signers_see_every_voice_with_weight_and_quorum(cohort: Cohort) -> None:
    own = by_family(cohort, "buy_and_hold")
    first, second = companions(own, 2)
    voices = [{"agent": first.pk, "weight": "2"}, {"agent": second.pk}]
    seen = shown(own, voices=voices, quorum_frac="0.6")
    assert seen["Council"].startswith("3 voices")
    assert seen["Quorum"] == "60.0% of the weight must have an opinion"
    assert "own genome" in seen["Voice 1"]
    assert "weight 1, 25.0% of the council" in seen["Voice 1"]
    assert first.family in seen["Voice 2"]
    assert first.genome_hash[:12] in seen["Voice 2"]
    assert "weight 2, 50.0% of the council" in seen["Voice 2"]
    assert "Voice 4" not in seen
    assert shown(own)["Council"] == "its own genome alone, weight 1"


@pytest.mark.parametrize(
    "wrong", [{"voices": [{"agent": 1, "weight": "0"}]}, {"quorum_frac": "0"}, {"quorum_frac": "1.1"}, {"voices": [{}]}]
)
def test_a_payload_without_sense_is_refused(cohort: Cohort, wrong: dict[str, Any]) -> None:
    with pytest.raises(PayloadError):
        deploy(by_family(cohort, "buy_and_hold"), **wrong)


def test_who_may_not_speak_is_named_before_anybody_signs(cohort: Cohort, launched: Callable[..., Cohort]) -> None:
    own = by_family(cohort, "buy_and_hold")
    friend = companions(own, 1)[0]
    stranger = cohort.agents.exclude(symbol__in=["", own.symbol]).first()
    unreviewed = finished(launched(days=1, seed=9)).agents.order_by("number")[0]
    for voices, why in (
        ([own.pk], "one genome has one voice"),
        ([friend.pk, friend.pk], "one genome has one voice"),
        ([stranger.pk if stranger else 0], "speaks of .* alone"),
        ([unreviewed.pk], "has not been reviewed"),
        ([10**9], "There is no agent"),
    ):
        with pytest.raises(DeploymentSpecError, match=why):
            deploy(own, voices=[{"agent": pk} for pk in voices])


def test_a_rollback_weighs_every_voice_of_its_genome_and_family_and_whoever_sits_down_next(cohort: Cohort) -> None:
    own = by_family(cohort, "buy_and_hold")
    friend = companions(own, 1)[0]
    failed = deploy(friend, bankroll="60")
    sister = deploy(friend, bankroll="60")
    beside = deploy(own, bankroll="60", voices=[{"agent": friend.pk, "weight": "2"}])
    apart = deploy(own, bankroll="60")
    with transaction.atomic():
        keep_record(failed, outcome=ReviewState.ROLLED_BACK, cause="drawdown")
        keep_record(failed, outcome=ReviewState.ROLLED_BACK, cause="drawdown")
    left = Decimal(str(GENOME_LEFT))
    assert sister.voices.get().weight == left
    assert [v.weight for v in beside.voices.all()] == [1, 2 * left]
    assert apart.voices.get().weight == 1
    seen = shown(own, voices=[{"agent": friend.pk, "weight": "2"}])
    assert "weight 2, of which live results leave 50.0%, 50.0% of the council" in seen["Voice 2"]
    seated = deploy(own, bankroll="60", voices=[{"agent": friend.pk, "weight": "2"}]).voices.get(number=2)
    assert seated.seated_weight == seated.weight == 1
    with transaction.atomic():
        keep_record(apart, outcome=ReviewState.GRADUATED, cause="timer")
    assert beside.voices.get(number=1).weight == 1, "a graduation takes nothing"
    assert 0 < FAMILY_LEFT < 1
