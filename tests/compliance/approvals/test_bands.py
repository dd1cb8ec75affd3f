"""Amount bands: the larger the amount, the more people."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from compliance.approvals.errors import PolicyError, RoleNotAskedError
from compliance.approvals.policy import FOUNDING, read_policy
from compliance.models import RequestState
from fundops.core.roles import Role
from tests.compliance.approvals.support import KIND, PASSKEY_OR_CODE, People, ask, set_policy, staff, vote

PROOFS = {"Risk officer": PASSKEY_OR_CODE, "Operations": PASSKEY_OR_CODE}
BANDS = {
    "kind": KIND,
    "bands": [
        {"below": "100", "quorum": {"Risk officer": 1}, "releasers": ["Operations"], "proofs": PROOFS},
        {
            "below": None,
            "quorum": {"Risk officer": 2, "Operations": 1},
            "releasers": ["Operations"],
            "proofs": PROOFS,
        },
    ],
}


@pytest.fixture
def people(people: People) -> People:
    set_policy(people, BANDS)
    return people


@pytest.mark.parametrize(
    ("amount", "people_asked"),
    [("0", 1), ("99.999999999999999999", 1), ("100", 3), ("1000000000000", 3), (None, 3)],
)
def test_each_amount_has_its_band(amount: str | None, people_asked: int) -> None:
    band = read_policy(BANDS).band_for(None if amount is None else Decimal(amount))
    assert sum(band.quorum.values()) == people_asked


@pytest.mark.django_db
def test_a_small_amount_takes_one(people: People) -> None:
    request = ask(people, "99.99")
    vote(request, people.risk, Role.RISK_OFFICER)
    request.refresh_from_db()
    assert request.state == RequestState.APPROVED


@pytest.mark.django_db
def test_a_large_amount_takes_two_of_one_role_and_one_of_the_other(people: People) -> None:
    request = ask(people, "100")
    vote(request, people.risk, Role.RISK_OFFICER)
    vote(request, people.operations, Role.OPERATIONS)
    request.refresh_from_db()
    assert request.state == RequestState.PARTIALLY_APPROVED
    with pytest.raises(RoleNotAskedError, match="complete"):
        vote(request, staff("omar", Role.OPERATIONS), Role.OPERATIONS)
    vote(request, staff("rhea", Role.RISK_OFFICER), Role.RISK_OFFICER)
    request.refresh_from_db()
    assert request.state == RequestState.APPROVED


@pytest.mark.parametrize(
    "bands",
    [
        [],
        [{**BANDS["bands"][0]}],  # type: ignore[dict-item]
        [BANDS["bands"][1], BANDS["bands"][1]],
        [{**BANDS["bands"][0], "below": "5"}, BANDS["bands"][0], BANDS["bands"][0]],  # type: ignore[dict-item]
        [BANDS["bands"][0], {**BANDS["bands"][0], "below": "50"}, BANDS["bands"][1]],  # type: ignore[dict-item]
        [{**BANDS["bands"][1], "expires_h": 0}],  # type: ignore[dict-item]
        [{**BANDS["bands"][1], "quorum": {}}],  # type: ignore[dict-item]
        [{**BANDS["bands"][1], "releasers": ["Auditor"]}],  # type: ignore[dict-item]
    ],
)
def test_bands_that_make_no_sense_are_refused(bands: Any) -> None:
    with pytest.raises(PolicyError):
        read_policy({"kind": KIND, "bands": bands})


def test_the_founding_policy_reads_as_it_is_written() -> None:
    assert read_policy(FOUNDING.as_json()) == FOUNDING
