"""`manage.py run_cohort`: what it runs, and what it answers to mistakes, never with a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from fundops.core.models import User
from trading.actions.cohort_drive import drive_cohort
from trading.models.cohort import Cohort, CohortMode, CohortStatus
from treasury.models import Fund

Make = Callable[..., Cohort]

SMALL = ("--agents", "2", "--days", "1", "--genomes", "random", "--seed", "3", "--start", "2025-03-02")


def run(*args: str) -> str:
    out = StringIO()
    call_command("run_cohort", *args, stdout=out)
    return out.getvalue()


def refused(*args: str) -> str:
    with pytest.raises(CommandError) as caught:
        run(*SMALL, *args)
    assert not Cohort.objects.exclude(status=CohortStatus.COMPLETED).exists()
    return str(caught.value)


@pytest.mark.usefixtures("fund", "candles", "manager")
def test_it_runs_a_cohort_and_prints_its_days() -> None:
    document = json.loads(run(*SMALL, "--json"))
    cohort = Cohort.objects.get(pk=document["id"])
    assert (cohort.status, cohort.agent_count, cohort.seed) == (CohortStatus.COMPLETED, 2, 3)
    assert [day["date"] for day in document["days"]] == ["2025-03-02"]
    assert len(document["leaders"]) == 2
    assert "Leaders of day 1" in run(*SMALL)


@pytest.mark.usefixtures("fund", "candles", "manager")
@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--bankroll", "abc"), "argument --bankroll: 'abc' is no number"),
        (("--bankroll", "NaN"), "'NaN' is no number"),
        (("--gross", "inf"), "'inf' is no number"),
        (("--bankroll", "10"), "bankroll: Ensure this value is greater than or equal to 50"),
        (("--agents", "many"), "argument --agents: 'many' is no whole number"),
        (("--agents", "0"), "agent_count: Ensure this value is greater than or equal to 1"),
        (("--days", "-1"), "argument --days: '-1' is no whole number"),
        (("--days", "0"), "days: Ensure this value is greater than or equal to 1"),
        (("--start", "yesterday"), "argument --start: 'yesterday' is no day"),
        (("--fund", "NOPE"), "There is no fund 'NOPE': there are TEST"),
        (("--parents", "abc"), "argument --parents: 'abc' is no cohort's number"),
        (("--genomes", "best", "--parents", "999998,999999"), "There is no cohort 999998, 999999"),
        (("--genomes", "best"), "parents: Choose the earlier cohorts"),
        (("--forward", "0"), "A speed of 0 is below the market's own"),
        (("--forward", "fast"), "'fast' is no number"),
        (("--symbols", "NOPEUSDT"), "symbols: No 1m candles of NOPEUSDT"),
        (("--user", "nobody"), "No account 'nobody'"),
        (("--costs", "nowhere"), "No cost profile is called 'nowhere'"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(args: tuple[str, ...], says: str) -> None:
    assert says in refused(*args)


@pytest.mark.usefixtures("candles", "manager")
def test_without_any_fund_it_says_what_to_do(db: None) -> None:
    assert not Fund.objects.exists()
    assert "There is no fund: open one first" in refused()


@pytest.mark.usefixtures("candles")
def test_parents_are_taken_in_the_order_given(launched: Make) -> None:
    first, second = (drive_cohort(cohort_id=launched(days=1, agent_count=2, seed=n).pk) for n in (1, 2))
    run(*SMALL, "--genomes", "best", "--parents", f"{second.pk},{first.pk}", "--json")
    assert set(Cohort.objects.latest("pk").parents.all()) == {first, second}


@pytest.mark.usefixtures("fund", "candles")
def test_forward_is_left_to_the_workers(manager: User) -> None:
    assert "the workers drive it" in run(*SMALL, "--forward", "60")
    cohort = Cohort.objects.get()
    assert (cohort.mode, cohort.speed, cohort.status) == (CohortMode.FORWARD, 60.0, CohortStatus.QUEUED)
    assert cohort.launched_by == manager
