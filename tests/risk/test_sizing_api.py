"""The sizing rule over the API: worked figures, the cap of a Book, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from fundops.core.roles import Role
from tests.factories import everyone, user_with

pytestmark = pytest.mark.django_db
GIVEN = {"equity": 1000, "volatility": 0.6, "target_volatility": 0.3, "expected_return": 0.2, "kelly_share": 0.5}


def ask(**changes: Any) -> Any:
    api = APIClient()
    api.force_authenticate(user_with(Role.RISK_OFFICER))
    return api.get("/api/risk/sizing/", {k: v for k, v in (GIVEN | changes).items() if v is not None})


@pytest.mark.parametrize(
    ("changes", "notional", "binding"),
    [
        ({}, 1000 * 0.5 * 0.2 / 0.36, "kelly"),  # below 0.3 / 0.6 of the equity
        ({"expected_return": 0.9}, 1000 * 0.3 / 0.6, "volatility_target"),  # Kelly at half would be 1.25
        ({"expected_return": 0.9, "exposure_headroom": 120}, 120, "exposure_cap"),
        ({"expected_return": -0.1}, 0, "kelly"),  # no edge
    ],
)
def test_worked_figures(changes: dict[str, Any], notional: float, binding: str) -> None:
    told = ask(**changes).json()
    assert told["notional"] == pytest.approx(notional)
    assert told["fraction"] == pytest.approx(notional / 1000)
    assert told["binding"] == binding


def test_what_is_not_known_is_null() -> None:
    told = ask(volatility=0).json()
    assert (told["notional"], told["fraction"], told["kelly"], told["binding"]) == (None, None, None, "unknown")


@pytest.mark.parametrize(
    "wrong", [{"equity": None}, {"volatility": "nan"}, {"equity": -1}, {"kelly_share": 2}, {"book": "NOWHERE"}]
)
def test_figures_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    answer = ask(**wrong)
    assert answer.status_code == 400
    assert answer["Content-Type"].startswith("application/problem+json")


def test_who_may_read_limits_may_size() -> None:
    for role, person in everyone().items():
        api = APIClient()
        api.force_authenticate(person)
        assert (api.get("/api/risk/sizing/", GIVEN).status_code == 200) is person.has_perm("risk.view_risklimit"), role
