"""What the application's database role may do with each table.

Migrations run as the owner of the schema; every other process connects as a role that owns nothing. After each
migration that role gets SELECT, INSERT, UPDATE and DELETE, and on models marked ``append_only = True`` SELECT and
INSERT alone. When both URLs name the same role (an external database with one login) there is nothing to grant.

The rules that live in the database look for tables in their schema alone: a session's temporary table of the same name
stands in for nothing.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections
from psycopg import sql

_UNPINNED = """
    SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
     WHERE p.pronamespace = 'public'::regnamespace AND l.lanname IN ('sql', 'plpgsql') AND p.prokind = 'f'
       AND pg_get_userbyid(p.proowner) = current_user
       AND NOT EXISTS (SELECT FROM unnest(p.proconfig) setting WHERE starts_with(setting, 'search_path='))
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


def pin_search_paths(*, using: str = "default") -> list[str]:
    """Gives every function of ours that has none a search path without surprises; returns which."""
    with connections[using].cursor() as cursor:
        cursor.execute(_UNPINNED)
        names = [name for (name,) in cursor.fetchall()]
        for name in names:
            cursor.execute(f"ALTER FUNCTION {name} SET search_path = pg_catalog, public, pg_temp")
    return names


def grant_application_role(*, using: str = "default") -> None:
    """Makes the grants of the application role equal to what the models say."""
    role = settings.DATABASE_APP_ROLE
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user = %s OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [role, role])
        if cursor.fetchone()[0]:
            return
        name = sql.Identifier(role)
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(name))
        cursor.execute(
            sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}").format(name)
        )
        cursor.execute(sql.SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}").format(name))
        tables = set(connection.introspection.table_names(cursor))
        for model in apps.get_models(include_auto_created=True):
            # A table that a later migration makes gets its grants after that one.
            if getattr(model, "append_only", False) and model._meta.db_table in tables:
                cursor.execute(
                    sql.SQL("REVOKE UPDATE, DELETE, TRUNCATE ON {} FROM {}").format(
                        sql.Identifier(model._meta.db_table), name
                    )
                )


def grant_after_migrate(*, using: str, **_kwargs: Any) -> None:
    pin_search_paths(using=using)
    grant_application_role(using=using)
