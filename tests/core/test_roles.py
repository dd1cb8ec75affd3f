"""The groups in the database are the matrix."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.db import ProgrammingError, connection

from fundops.core.roles import MATRIX, Role


@pytest.mark.django_db
def test_roles_after_migration_equal_the_matrix() -> None:
    assert set(Group.objects.values_list("name", flat=True)) >= {role.value for role in Role}
    assert set(MATRIX) == set(Role)


@pytest.mark.django_db
def test_application_role_cannot_change_the_schema() -> None:
    with pytest.raises(ProgrammingError), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_user ADD COLUMN backdoor text")
