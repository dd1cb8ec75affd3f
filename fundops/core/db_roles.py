"""What the application's database role may do with each table.

Migrations run as the owner of the schema; every other process connects as a role that owns nothing. After each
migration that role gets SELECT, INSERT, UPDATE and DELETE, and on models marked ``append_only = True`` SELECT and
INSERT alone. When both URLs name the same role (an external database with one login) there is nothing to grant.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections
from psycopg import sql


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
    grant_application_role(using=using)
