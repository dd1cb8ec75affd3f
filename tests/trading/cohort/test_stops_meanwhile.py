"""A stop that comes while a forward cohort computes or keeps a stretch: none of its orders enters the books."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from pytest_django import Settings

from fundops.core import clock
from risk import switches
from risk.actions.switches import stop_trading
from risk.quant.pretrade import TradingMode
from trading.actions import cohort_run
from trading.actions.cohort_drive import drive_cohort, stretch_end_ms
from trading.cohorts import days
from trading.cohorts.modes import has_tightened, modes_in, tightest
from trading.models.cohort import Cohort, CohortFill, CohortMode, CohortRejection, CohortRun
from treasury.models import Book, JournalEntry

LAUNCH = datetime(2025, 3, 20, 12, 0, tzinfo=UTC)
#: Where the cohort stands, and how far each test takes it on; a stretch is an hour.
HOURS, MORE = 10, 6
END = (HOURS + MORE) * 60
Make = Callable[..., Cohort]


@pytest.fixture
def forward(launched: Make) -> Cohort:
    """Sixty times as fast as the market: a bar a second; it has traded for ten hours."""
    with clock.frozen(LAUNCH):
        cohort = launched(mode=CohortMode.FORWARD, speed=60.0, days=1, agent_count=12)
    drive(cohort, 0)
    return drive(cohort, HOURS * 60)


def drive(cohort: Cohort, seconds: float) -> Cohort:
    with clock.frozen(LAUNCH + timedelta(seconds=seconds)):
        return drive_cohort(cohort_id=cohort.pk)


def fills_after(cohort: Cohort, hours: int = HOURS) -> list[CohortFill]:
    since = clock.from_ms(cohort.start_ms + hours * 3_600_000)
    return list(CohortFill.objects.filter(cohort=cohort, at__gte=since).exclude(reason="liquidation"))


def stop_in_another_session(cohort: Cohort) -> None:
    """Committed by somebody else, whose word to Redis was lost."""
    login = connection.settings_dict
    with psycopg.connect(
        dbname=login["NAME"], user=login["USER"], password=login["PASSWORD"], host=login["HOST"],
        port=login["PORT"] or None, autocommit=True,
    ) as session:  # fmt: skip
        session.execute(
            "INSERT INTO risk_killswitch (book_id, venue, mode, cause, reason, detail, changed_at, version)"
            " VALUES (%s, '', 'HALTED', 'console', 'by hand', '{}', now(), 1)",
            [cohort.book_id],
        )


def after_the_first(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, then: Callable[[], None]) -> list[int]:
    """Lets ``then`` happen once, right after ``owner.name`` was first done; returns the calls as they come."""
    done, calls = getattr(owner, name), [0]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = done(*args, **kwargs)
        calls[0] += 1
        if calls[0] == 1:
            then()
        return found

    monkeypatch.setattr(owner, name, wrapped)
    return calls


@pytest.mark.django_db
def test_without_a_stop_the_next_hours_trade(forward: Cohort) -> None:
    drive(forward, END)
    assert fills_after(forward), "so that the tests below have something to keep out"


@pytest.mark.django_db
def test_a_stop_between_computing_and_keeping_has_the_stretch_computed_again(
    forward: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = after_the_first(monkeypatch, cohort_run, "_trade", lambda: _stop(forward.book))
    drive(forward, END)
    assert calls[0] == MORE + 1
    assert fills_after(forward) == []
    assert CohortRejection.objects.filter(cohort=forward, reason="mode_halted").exists()
    record = CohortRun.objects.get(cohort=forward).provenance["limits"][-1]
    assert (record["mode"], record["from_ms"]) == ("HALTED", forward.start_ms + HOURS * 3_600_000)


def _stop(book: Book | None) -> None:
    stop_trading(reason="Meanwhile.", actor=None, book=book)


@pytest.mark.django_db
def test_a_stop_of_one_agent_meanwhile_stops_that_agent_in_the_same_stretch(
    forward: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    busiest = list(CohortFill.objects.filter(cohort=forward).values_list("agent__number", flat=True))
    agent = forward.agents.get(number=max(set(busiest), key=busiest.count))
    after_the_first(monkeypatch, cohort_run, "_trade", lambda: _stop(agent.book))
    drive(forward, END)
    assert agent.pk not in {fill.agent_id for fill in fills_after(forward)}
    assert fills_after(forward)


@pytest.mark.django_db(transaction=True)
def test_a_stop_while_the_stretch_is_written_leaves_none_of_it_in_the_books(
    forward: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last word is the database's: it was committed after both questions, and nobody told Redis."""
    entries = JournalEntry.objects.count()
    calls = after_the_first(monkeypatch, days, "save", lambda: stop_in_another_session(forward))
    drive(forward, END)
    assert calls[0] > MORE, "written, taken back, written again; and for each hour that Redis is still believed"
    assert fills_after(forward) == []
    assert JournalEntry.objects.count() == entries
    run = CohortRun.objects.get(cohort=forward)
    assert run.next_bar_ms == forward.start_ms + (HOURS + MORE) * 3_600_000
    assert run.provenance["limits"][-1]["mode"] == "HALTED"


@pytest.mark.django_db
def test_when_nobody_answers_once_it_has_been_computed_its_orders_are_denied(
    forward: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stretch was begun as ACTIVE; what holds for it is the tightest that was said."""
    with monkeypatch.context() as away:
        away.setattr(cohort_run, "modes_now", lambda: None)
        drive(forward, END)
    assert fills_after(forward) == []
    assert CohortRejection.objects.filter(cohort=forward, reason="mode_unknown").exists()
    drive(forward, 24 * 60)
    assert fills_after(forward, HOURS + MORE), "the next stretch asks anew"


@contextmanager
def nobody_answers(settings: Settings) -> Iterator[None]:
    """Redis is another address, and nothing listens where the database was."""
    port, url = connection.settings_dict["PORT"], settings.REDIS_URL
    settings.REDIS_URL = "unix:///nowhere.sock"
    connection.close()
    connection.settings_dict["PORT"] = "1"
    try:
        yield
    finally:
        connection.settings_dict["PORT"] = port
        settings.REDIS_URL = url
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_when_neither_answers_the_mode_is_not_known_and_that_is_tighter_than_a_halt(
    forward: Cohort, settings: Settings
) -> None:
    with nobody_answers(settings):
        said = modes_in(switches.modes_now(), book_id=forward.book_id or 0, venue="synthetic", agent_books={1: 2})
    assert said == {"mode": None, "agent_modes": {}}
    assert has_tightened(said, {"mode": "HALTED", "agent_modes": {}})
    assert tightest(said, {"mode": "ACTIVE", "agent_modes": {"1": "HALTED"}}) == {"mode": None, "agent_modes": {}}


@pytest.mark.django_db(transaction=True)
def test_when_redis_is_gone_while_it_computes_the_database_answers(
    forward: Cohort, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    def gone() -> None:
        settings.REDIS_URL = "unix:///nowhere.sock"
        stop_in_another_session(forward)

    after_the_first(monkeypatch, cohort_run, "_trade", gone)
    drive(forward, END)
    assert fills_after(forward) == []
    assert CohortRun.objects.get(cohort=forward).provenance["limits"][-1]["mode"] == "HALTED"


@pytest.mark.django_db(transaction=True)
def test_when_both_are_gone_once_it_has_been_computed_nothing_is_kept(
    forward: Cohort, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    port, url = connection.settings_dict["PORT"], settings.REDIS_URL
    before = CohortRun.objects.get(cohort=forward).next_bar_ms

    def gone() -> None:
        settings.REDIS_URL = "unix:///nowhere.sock"
        connection.close()
        connection.settings_dict["PORT"] = "1"

    after_the_first(monkeypatch, cohort_run, "_trade", gone)
    try:
        with pytest.raises(Exception, match=r"connect"):
            drive(forward, END)
    finally:
        connection.settings_dict["PORT"] = port
        settings.REDIS_URL = url
        connection.close()
    assert CohortRun.objects.get(cohort=forward).next_bar_ms == before
    assert fills_after(forward) == []
    drive(forward, END)
    assert fills_after(forward), "what was computed in vain is computed again"


# --- The words -----------------------------------------------------------------------------------------------------
def test_modes_of_agents_are_those_of_the_cohort_where_nothing_else_is_said() -> None:
    halted = {"mode": "HALTED", "agent_modes": {}}
    one = {"mode": "ACTIVE", "agent_modes": {"2": "REDUCING"}}
    assert has_tightened(halted, one) and not has_tightened(one, halted)
    assert has_tightened(one, {"mode": "ACTIVE", "agent_modes": {}})
    assert not has_tightened(one, {"mode": "REDUCING", "agent_modes": {}})
    assert tightest(one, {"mode": "ACTIVE", "agent_modes": {"10": "HALTED"}}) == {
        "mode": "ACTIVE",
        "agent_modes": {"2": "REDUCING", "10": "HALTED"},
    }
    assert tightest(one, {"mode": "REDUCING", "agent_modes": {}}) == {"mode": "REDUCING", "agent_modes": {}}
    assert TradingMode(str(tightest(halted, one)["mode"])) is TradingMode.HALTED
    assert modes_in(None, book_id=0, venue="", agent_books={1: 2}) == {"mode": None, "agent_modes": {}}


@pytest.mark.django_db
def test_a_stretch_of_a_forward_cohort_is_an_hour_at_most_and_never_passes_midnight(specification: Make) -> None:
    forward, replay = specification(mode=CohortMode.FORWARD), specification()
    start, hour = forward.start_ms, 3_600_000
    assert stretch_end_ms(forward, start) == start + hour
    assert stretch_end_ms(forward, start + hour - 60_000) == start + hour
    assert stretch_end_ms(forward, start + 23 * hour) == start + 24 * hour
    assert stretch_end_ms(replay, start + hour) == start + 24 * hour
