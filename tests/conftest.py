"""The suite's ground: a real PostgreSQL whose schema one role owns and another uses, and a real Redis.

Tests run as the application's role, exactly as the product does; only the schema is made by its owner, and only
`superuser` may tamper.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections
from django.test import TransactionTestCase
from django.test.utils import setup_databases, teardown_databases

from risk.switches import forget_everything

# Found examples are the same in every run; how many there are is each test's own matter.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.load_profile("steady")

#: Fixtures of a small fund with cohorts, for every folder of tests.
pytest_plugins = ["tests.cohort_fixtures"]

_LOGIN = ("USER", "PASSWORD")


def _become(login: dict[str, Any] | None) -> None:
    assert login is not None, "the tests need the owner's URL"
    connection.close()
    for key in _LOGIN:
        connection.settings_dict[key] = login[key]


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest, django_test_environment: None, django_db_blocker: Any
) -> Iterator[None]:
    """Creates the test database as the schema's owner, then works as the application's role."""
    app = {key: connection.settings_dict[key] for key in _LOGIN}
    suffix = getattr(request.config, "workerinput", {}).get("workerid", "main")
    with django_db_blocker.unblock():
        _become(settings.DATABASE_OWNER)
        connection.settings_dict.setdefault("TEST", {})["NAME"] = f"test_fundops_{suffix}_{_run_id()}"
        made = setup_databases(verbosity=0, interactive=False, aliases={"default": False}, serialized_aliases=())
        _become(app)
    yield
    with django_db_blocker.unblock():
        connections.close_all()
        with _superuser_connection() as session:  # a request that was cut off may have left its thread connected
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()"
            )
        _become(settings.DATABASE_OWNER)
        teardown_databases(made, verbosity=0)


def _run_id() -> str:
    import os  # noqa: PLC0415

    return str(os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid())


def _superuser_connection() -> psycopg.Connection[Any]:
    """A superuser's own session on the test database: the attacker of the tamper tests."""
    secret = settings.ENV.database_superuser_url
    assert secret is not None, "the tests need a superuser's URL to play the attacker"
    base = secret.get_secret_value()
    return psycopg.connect(base, dbname=connection.settings_dict["NAME"], autocommit=True)


@pytest.fixture
def superuser(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    with _superuser_connection() as session:
        yield session


def _empty_all_tables(self: TransactionTestCase) -> None:
    """Replaces Django's flush: append-only tables refuse TRUNCATE to everyone but a superuser in replica mode."""
    connections.close_all()
    with _superuser_connection() as session:
        tables = session.execute(
            "SELECT string_agg(format('%I', tablename), ', ') FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename NOT IN ('django_migrations', 'django_content_type', 'auth_permission', 'auth_group',"
            " 'auth_group_permissions')"
        ).fetchone()
        session.execute("SET session_replication_role = replica")
        if tables and tables[0]:
            session.execute(f"TRUNCATE {tables[0]} RESTART IDENTITY")
    forget_everything()  # numbers begin anew: what Redis knows of these books is of others now


TransactionTestCase._fixture_teardown = _empty_all_tables  # type: ignore[attr-defined]
