"""The suite's ground: a real PostgreSQL whose schema one role owns and another uses, and a real Redis.

Tests run as the application's role, exactly as the product does; only the schema is made by its owner, and only
`superuser` may tamper.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection, connections
from django.test import TransactionTestCase
from django.test.utils import setup_databases

from risk.switches import forget_everything
from tests.cohort_fixtures import (  # noqa: F401 - fixtures
    candles,
    fund,
    launched,
    long_market_folder,
    manager,
    market_folder,
    specification,
)
from tests.worlds import (  # noqa: F401 - fixtures, and all that there are of their kind
    WORLDS,
    access_world,
    candidate_world,
    desk_world,
    gate_world,
    leverage_world,
    offered_world,
    ruled_world,
    watched_world,
)

# Found examples are the same in every run; how many there are is each test's own matter.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.load_profile("steady")

#: Runs of fewer tests compile only the kernels they need.
_WHOLE_RUN = 1_000
_LOGIN = ("USER", "PASSWORD")
#: Of the databases of this run, whichever its workers are.
_PREFIX = f"test_fundops_{os.getppid() if 'PYTEST_XDIST_WORKER' in os.environ else os.getpid()}_"
#: Held until the session that asked for it ends.
_ONE_WORKER_AT_A_TIME = "SELECT pg_advisory_lock(hashtext('the databases of tests'))"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """File by file, those first that drive browsers and processes, then the longest: the workers end together."""
    length = Counter(item.path for item in items)
    long = {item.path for item in items if item.get_closest_marker("browser") or item.get_closest_marker("soak")}
    items.sort(key=lambda item: (item.path not in long, -length[item.path], item.path))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is imported by now stays: the collector need not look at it again. A whole run has one process compile the
    engine while the workers begin.
    """
    gc.collect()
    gc.freeze()
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw0" and len(session.items) > _WHOLE_RUN:
        compiler = subprocess.Popen([sys.executable, "-m", "tests.kernels"], cwd=settings.BASE_DIR)

        def end() -> None:
            compiler.kill()
            compiler.wait()

        session.config.add_cleanup(end)


def _become(login: dict[str, Any] | None) -> None:
    assert login is not None, "the tests need the owner's URL"
    connection.close()
    for key in _LOGIN:
        connection.settings_dict[key] = login[key]


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest, django_test_environment: None, django_db_blocker: Any
) -> Iterator[None]:
    """A database of this worker's own, copied from the run's template; then works as the application's role."""
    app = {key: connection.settings_dict[key] for key in _LOGIN}
    original = connection.settings_dict["NAME"]
    template, own = _template(), _own(request.config)
    with django_db_blocker.unblock(), _superuser_connection(original) as session:
        session.execute(_ONE_WORKER_AT_A_TIME)
        if template not in _databases_of_this_run(session):
            _migrate(template)
        _copy_template(session, own)
    _become(app)
    _stand_on(own)
    yield
    with django_db_blocker.unblock(), _superuser_connection(original) as session:
        connections.close_all()
        session.execute(_ONE_WORKER_AT_A_TIME)
        for made in [own, *(world.database for world in WORLDS.values() if world.database)]:
            session.execute(f'DROP DATABASE "{made}" WITH (FORCE)')  # a cut-off request's thread may still be connected
        if _databases_of_this_run(session) == {template}:
            session.execute(f'DROP DATABASE "{template}"')
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = original


def _template() -> str:
    return f"{_PREFIX}template"


def _own(config: pytest.Config) -> str:
    """The database on which this worker's tests stand, unless they ask for a world."""
    return f"{_PREFIX}{getattr(config, 'workerinput', {}).get('workerid', 'main')}"


def _copy_template(session: psycopg.Connection[Any], name: str) -> None:
    owner = settings.DATABASE_OWNER
    assert owner is not None, "the tests need the owner's URL"
    session.execute(f'CREATE DATABASE "{name}" TEMPLATE "{_template()}" OWNER "{owner["USER"]}"')


def _stand_on(name: str) -> None:
    """From here on the connection is to the database of this name."""
    connection.close()
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name
    cache.clear()  # numbers of accounts mean others here,
    forget_everything()  # and those of Books


def _commits(request: pytest.FixtureRequest) -> bool:
    marker = request.node.get_closest_marker("django_db")
    return "transactional_db" in request.fixturenames or bool(marker and marker.kwargs.get("transaction"))


@pytest.fixture
def _ground(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> None:
    """The database that the test's transaction begins on: the empty one, or that of the world it asks for."""
    own = _own(request.config)
    asked = None if _commits(request) else next((name for name in WORLDS if name in request.fixturenames), None)
    with django_db_blocker.unblock():
        if asked and not WORLDS[asked].database:
            with _superuser_connection() as session:
                session.execute(_ONE_WORKER_AT_A_TIME)
                _copy_template(session, f"{own}_{asked}")
            _stand_on(f"{own}_{asked}")
            WORLDS[asked].make_in(f"{own}_{asked}", request)
        ground = (asked and WORLDS[asked].database) or own
        if connection.settings_dict["NAME"] != ground:
            _stand_on(ground)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """A module begins on the empty database: what starts once a module, like a server, belongs to no world."""
    yield
    stands_on = connection.settings_dict["NAME"]
    if nextitem and nextitem.path != item.path and stands_on in {world.database for world in WORLDS.values()}:
        _stand_on(_own(item.config))


@pytest.fixture
def _django_db_helper(_ground: None, _django_db_helper: None) -> None:
    """Pytest-django's own, once the connection is to the right database."""


def _migrate(name: str) -> None:
    """Makes the template as the schema's owner: some twenty seconds' work that the other workers need not repeat."""
    _become(settings.DATABASE_OWNER)
    connection.settings_dict.setdefault("TEST", {})["NAME"] = name
    setup_databases(verbosity=0, interactive=False, aliases={"default": False}, serialized_aliases=())
    connections.close_all()  # a template is copied only while nobody is connected to it


def _databases_of_this_run(session: psycopg.Connection[Any]) -> set[str]:
    found = session.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [_PREFIX])
    return {name for (name,) in found}


def _superuser_connection(database: str | None = None) -> psycopg.Connection[Any]:
    """A superuser's own session, on the test database unless told: the attacker of the tamper tests."""
    secret = settings.ENV.database_superuser_url
    assert secret is not None, "the tests need a superuser's URL to play the attacker"
    name = database or connection.settings_dict["NAME"]
    return psycopg.connect(secret.get_secret_value(), dbname=name, autocommit=True)


@pytest.fixture
def superuser(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    with _superuser_connection() as session:
        yield session


_EMPTY_WHAT_IS_FILLED = """
DO $$
DECLARE
    kept CONSTANT name[] := ARRAY['django_migrations', 'django_content_type', 'auth_permission', 'auth_group',
        'auth_group_permissions'];  -- what migrations put there
    emptied regclass;
    filled boolean;
BEGIN
    FOR emptied IN SELECT oid FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> ALL (kept)
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', emptied) INTO filled;
        IF filled THEN
            EXECUTE format('DELETE FROM %s', emptied);
        END IF;
    END LOOP;
    PERFORM setval(seqrelid, seqstart, false)
        FROM pg_sequence
        JOIN pg_depend ON objid = seqrelid AND deptype IN ('a', 'i')
        JOIN pg_class ON pg_class.oid = refobjid
        WHERE relname <> ALL (kept) AND pg_sequence_last_value(seqrelid) IS NOT NULL;
END $$
"""


def _empty_all_tables(self: TransactionTestCase) -> None:
    """Replaces Django's flush: append-only tables give up their rows only to a superuser in replica mode.

    A test fills a handful of the tables: to look into each and delete is many times quicker than to truncate all.
    """
    connections.close_all()
    with _superuser_connection() as session:
        session.execute("SET session_replication_role = replica")
        session.execute(_EMPTY_WHAT_IS_FILLED)
    forget_everything()  # numbers begin anew: what Redis knows of these books is of others now


TransactionTestCase._fixture_teardown = _empty_all_tables  # type: ignore[attr-defined]
