"""Who may launch a cohort, and what is refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from compliance.models import AuditEvent
from fundops.core.errors import PermissionMissingError
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from trading.actions.cohort import cancel_cohort, launch_cohort
from trading.errors import CohortNotLiveError, CohortSpecError
from trading.models.cohort import Cohort, CohortMode, CohortStatus, GenomeSource

Make = Callable[..., Cohort]


def test_launch_records_the_specification_in_the_audit_stream(specification: Make, manager: User) -> None:
    cohort = launch_cohort(cohort=specification(), actor=manager, queued=False)
    event = AuditEvent.objects.get(kind="trading.cohort.launched")
    assert event.actor_id == manager.pk
    assert event.payload["bankroll"] == "1000"
    assert cohort.status == CohortStatus.QUEUED
    assert cohort.quote == "USDT"
    assert cohort.synthetic
    assert cohort.name == "BTCUSDT/ETHUSDT 02 Mar 2025"


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.PORTFOLIO_MANAGER}))
def test_launch_without_the_permission_names_it(specification: Make, role: Role) -> None:
    with pytest.raises(PermissionMissingError, match=r"trading\.launch_cohort"):
        launch_cohort(cohort=specification(), actor=user_with(role), queued=False)
    assert not Cohort.objects.exists()


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("agent_count", {"agent_count": 0}),
        ("agent_count", {"agent_count": 10_001}),
        ("bankroll", {"bankroll": Decimal("49.99")}),
        ("bankroll", {"bankroll": Decimal(50), "agent_count": 10_000}),
        ("symbols", {"symbols": []}),
        ("symbols", {"symbols": ["BTCUSDT", "BTCUSDT"]}),
        ("symbols", {"symbols": ["DOGEUSDT"]}),
        ("symbols", {"symbols": ["BTCUSDT", "ETHBTC"]}),
        ("start", {"start": date(2025, 3, 3)}),
        ("start", {"start": date(2024, 1, 1)}),
        ("start", {"start": date(2999, 1, 1)}),
        ("days", {"days": 0}),
        ("interval", {"interval": "7m"}),
        ("profiles", {"genome_source": GenomeSource.PROFILES, "profiles": ["no_such_profile"]}),
        ("parents", {"genome_source": GenomeSource.BEST}),
        ("cost_profile", {"cost_profile": "nowhere"}),
        ("net_ceiling", {"net_ceiling": Decimal(2), "gross_ceiling": Decimal(1)}),
        ("gross_ceiling", {"gross_ceiling": Decimal(-1)}),
        ("leverage_ceiling", {"leverage_ceiling": Decimal(11)}),
        ("speed", {"speed": 10.0}),
        ("speed", {"mode": CohortMode.FORWARD, "speed": 0.5}),
    ],
)
def test_launch_impossible_specification_is_refused_by_field(
    specification: Make, manager: User, field: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(CohortSpecError) as refused:
        launch_cohort(cohort=specification(**changes), actor=manager, queued=False)
    assert field in refused.value.fields
    assert not Cohort.objects.exists()


def test_cancel_before_the_run_ends_it(launched: Make, manager: User) -> None:
    cohort = cancel_cohort(cohort=launched(), reason="wrong day", actor=manager)
    assert cohort.status == CohortStatus.CANCELLING
    event = AuditEvent.objects.get(kind="trading.cohort.cancel_requested")
    assert event.payload["reason"] == "wrong day"


def test_cancel_an_ended_cohort_is_refused(launched: Make, manager: User) -> None:
    cohort = launched()
    Cohort.objects.filter(pk=cohort.pk).update(status=CohortStatus.COMPLETED)
    with pytest.raises(CohortNotLiveError):
        cancel_cohort(cohort=cohort, reason="too late", actor=manager)


def test_cancel_without_the_permission_names_it(launched: Make) -> None:
    with pytest.raises(PermissionMissingError, match=r"trading\.cancel_cohort"):
        cancel_cohort(cohort=launched(), reason="mine", actor=user_with(Role.RISK_OFFICER))
