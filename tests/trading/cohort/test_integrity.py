"""What was launched and what a closed day measured hold against raw SQL, by the application's role and the owner's."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, LiteralString

import psycopg
import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from psycopg import sql

from trading.actions.cohort_drive import drive_cohort
from trading.models.cohort import Cohort, CohortStatus

Make = Callable[..., Cohort]
Session = psycopg.Connection[Any]


@pytest.fixture(params=["app", "owner"])
def session(request: pytest.FixtureRequest, transactional_db: None) -> Any:
    """A session of its own on the test database, as either role."""
    login: dict[str, Any] | None = settings.DATABASES["default"] if request.param == "app" else settings.DATABASE_OWNER
    assert login is not None
    given = connection.get_connection_params()
    with psycopg.connect(
        host=given.get("host"), port=given.get("port"), dbname=given["dbname"],
        user=login["USER"], password=login["PASSWORD"], autocommit=True,
    ) as opened:  # fmt: skip
        yield opened


def refused(session: Session, state: str, statement: LiteralString, *args: Any) -> str:
    with pytest.raises(psycopg.Error) as caught:
        session.execute(statement, args)
    assert caught.value.sqlstate == state, caught.value
    return str(caught.value)


LAUNCHED: dict[str, LiteralString] = {
    "seed": "seed = seed + 1",
    "bankroll": "bankroll = 2000",
    "window": "start = start + 1",
    "days": "days = 2",
    "gross ceiling": "gross_ceiling = 5",
    "net ceiling": "net_ceiling = 0.5",
    "leverage": "leverage_ceiling = 10",
    "market cap": "market_cap_frac = 1",
    "agents": "agent_count = 7",
    "markets": "symbols = '{BTCUSDT}'",
    "costs": "cost_profile = 'kraken'",
    "mode": "mode = 'forward'",
    "who": "launched_by_id = NULL",
    "book": "book_id = NULL",
}


def test_nothing_that_was_launched_changes(launched: Make, session: Session) -> None:
    cohort = drive_cohort(cohort_id=launched(days=1).pk)
    for change in LAUNCHED.values():
        statement = sql.SQL("UPDATE trading_cohort SET {} WHERE id = {}").format(sql.SQL(change), cohort.pk)
        with pytest.raises(psycopg.Error) as caught:
            session.execute(statement)
        assert caught.value.sqlstate == "23B04", change
    refused(session, "23B04", "DELETE FROM trading_cohort WHERE id = %s", cohort.pk)
    assert Cohort.objects.get(pk=cohort.pk) == cohort


def test_a_cohort_that_ended_does_not_live_again(launched: Make, session: Session) -> None:
    cohort = drive_cohort(cohort_id=launched(days=1).pk)
    assert "completed does not become running" in refused(
        session, "23B04", "UPDATE trading_cohort SET status = 'running' WHERE id = %s", cohort.pk
    )
    other = launched()
    Cohort.objects.filter(pk=other.pk).update(status=CohortStatus.FAILED)
    refused(session, "23B04", "UPDATE trading_cohort SET status = 'completed' WHERE id = %s", other.pk)


def test_parents_are_named_at_the_launch_and_kept(launched: Make, session: Session) -> None:
    cohort, other = drive_cohort(cohort_id=launched(days=1).pk), launched()
    refused(
        session, "23B04", "INSERT INTO trading_cohort_parents (from_cohort_id, to_cohort_id) VALUES (%s, %s)",
        cohort.pk, other.pk,
    )  # fmt: skip
    other.parents.set([cohort])
    refused(session, "23B04", "DELETE FROM trading_cohort_parents")


def test_closed_days_are_neither_changed_nor_removed(launched: Make, session: Session) -> None:
    cohort = drive_cohort(cohort_id=launched(days=1).pk)
    day = cohort.cohort_days.get()
    assert day.complete
    for statement in (
        "UPDATE trading_cohortday SET equity = equity + 1",
        "UPDATE trading_agentday SET rank = 1",
        "UPDATE trading_agentday SET complete = false",
        "DELETE FROM trading_agentday",
        "DELETE FROM trading_cohortday",
    ):
        refused(session, "23B04", statement)
    with pytest.raises(psycopg.Error):
        session.execute("TRUNCATE trading_agentday, trading_cohortday CASCADE")
    assert cohort.cohort_days.get().equity == day.equity


def test_the_bookmark_goes_forward_only(launched: Make, session: Session) -> None:
    cohort = drive_cohort(cohort_id=launched(days=1).pk)
    for statement in (
        "UPDATE trading_cohortrun SET next_bar_ms = next_bar_ms - 60000",
        "UPDATE trading_cohortrun SET fills_done = 0",
        "DELETE FROM trading_cohortrun",
    ):
        refused(session, "23B04", statement)
    assert drive_cohort(cohort_id=cohort.pk).status == CohortStatus.COMPLETED


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("cohort_agent_count_in_range", {"agent_count": 10_001}),
        ("cohort_bankroll_at_least_50", {"bankroll": 49}),
        ("cohort_has_a_day", {"days": 0}),
        ("cohort_at_most_a_year", {"days": 367}),
        ("cohort_has_a_market", {"symbols": []}),
        ("cohort_speed_positive", {"speed": 0.0}),
        ("cohort_ceilings_positive", {"leverage_ceiling": 0}),
        ("cohort_ceilings_positive", {"market_cap_frac": -1}),
        ("cohort_net_within_gross", {"net_ceiling": 2, "gross_ceiling": 1}),
        ("cohort_mode_known", {"mode": "sideways"}),
        ("cohort_status_known", {"status": "asleep"}),
        ("cohort_allocation_known", {"allocation": "by_mood"}),
        ("cohort_genome_source_known", {"genome_source": "nowhere"}),
    ],
)
def test_impossible_cohorts_are_refused_by_the_database(
    specification: Make, constraint: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        specification(quote="USDT", **changes).save()


def test_the_rules_can_be_taken_off_and_put_on_again(launched: Make, superuser: Session) -> None:
    """What the migration adds as SQL it also removes, with data in place."""
    drive_cohort(cohort_id=launched(days=1).pk)
    migration = import_module("trading.migrations.0009_cohort_integrity")
    with superuser.transaction(force_rollback=True):
        superuser.execute(migration.UNDO)
        superuser.execute("UPDATE trading_cohortday SET equity = equity")
        superuser.execute(migration.RULES)
        with pytest.raises(psycopg.Error), superuser.transaction():
            superuser.execute("UPDATE trading_cohortday SET equity = equity")
