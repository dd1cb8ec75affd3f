"""The page of the roles shows what the database enforces."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from fundops.core.roles import ABOUT, MATRIX, Role
from portal.views.roles import matrix
from tests.factories import user_with

pytestmark = pytest.mark.django_db


def cell(permission: str, role: Role) -> bool | None:
    for area in matrix():
        for row in area.rows:
            if row.name == permission:
                return row.holds[list(Role).index(role)]
    return None


def test_matrix_says_what_has_perm_says() -> None:
    people = {role: user_with(role) for role in Role}
    for area in matrix():
        for row in area.rows:
            for held, (role, person) in zip(row.holds, people.items(), strict=True):
                assert held == person.has_perm(row.name), (row.name, role)


def test_matrix_follows_the_database_not_the_file() -> None:
    assert cell("trading.launch_cohort", Role.PORTFOLIO_MANAGER) is True
    assert cell("trading.launch_cohort", Role.ADMINISTRATOR) is False
    group = Group.objects.get(name=Role.PORTFOLIO_MANAGER.value)
    group.permissions.remove(Permission.objects.get(codename="launch_cohort"))
    assert cell("trading.launch_cohort", Role.PORTFOLIO_MANAGER) in {False, None}


def test_page_names_every_role_and_its_purpose(client: Client) -> None:
    client.force_login(user_with(Role.AUDITOR))
    page = client.get("/roles/").content.decode()
    for role in Role:
        assert role.value in page
        assert ABOUT[role] in page
    assert set(MATRIX) == set(Role) == set(ABOUT)
