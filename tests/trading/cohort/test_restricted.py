"""A restricted instrument: no cohort is launched on it, and one that runs orders nothing of it any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from compliance.actions.screening import restrict_instrument
from compliance.models.screening import RestrictionLevel
from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from trading.actions.cohort import launch_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.errors import CohortSpecError
from trading.models.cohort import Cohort, CohortFill, CohortMode, CohortRejection

LAUNCH = datetime(2025, 3, 20, 12, 0, tzinfo=UTC)


def restrict(level: RestrictionLevel, *, venue: str = "") -> None:
    officer = user_with(Role.COMPLIANCE_OFFICER)
    restrict_instrument(symbol="ETHUSDT", level=level, venue=venue, reason="Sanctioned.", actor=officer)


@pytest.mark.parametrize("level", [RestrictionLevel.NO_TRADING, RestrictionLevel.CLOSE_ONLY])
def test_no_cohort_is_launched_on_it(
    specification: Callable[..., Cohort], manager: User, level: RestrictionLevel
) -> None:
    restrict(level)
    with pytest.raises(CohortSpecError, match=r"ETHUSDT is on the restricted list .*Sanctioned\.") as refused:
        launch_cohort(cohort=specification(), actor=manager, queued=False)
    assert set(refused.value.fields) == {"symbols"}
    assert launch_cohort(cohort=specification(symbols=["BTCUSDT"]), actor=manager, queued=False).pk


@pytest.mark.parametrize(("level", "venue"), [(RestrictionLevel.WATCH, ""), (RestrictionLevel.NO_TRADING, "kraken")])
def test_what_is_only_watched_or_barred_elsewhere_is_launched(
    specification: Callable[..., Cohort], manager: User, level: RestrictionLevel, venue: str
) -> None:
    restrict(level, venue=venue)
    assert launch_cohort(cohort=specification(), actor=manager, queued=False).pk


def test_a_running_cohort_orders_nothing_of_it_any_more(launched: Callable[..., Cohort]) -> None:
    with clock.frozen(LAUNCH):
        cohort = launched(mode=CohortMode.FORWARD, speed=60.0, days=1, agent_count=12, bankroll=Decimal(6000))
        drive_cohort(cohort_id=cohort.pk)
    with clock.frozen(LAUNCH + timedelta(seconds=600)):
        drive_cohort(cohort_id=cohort.pk)
        restrict(RestrictionLevel.NO_TRADING)
    with clock.frozen(LAUNCH + timedelta(seconds=1_400)):
        drive_cohort(cohort_id=cohort.pk)
    since = clock.from_ms(cohort.start_ms + 600 * 60_000)
    fills = CohortFill.objects.filter(cohort=cohort, symbol="ETHUSDT").exclude(reason="liquidation")
    assert fills.filter(at__lt=since).exists()
    assert not fills.filter(at__gte=since).exists()
    assert CohortFill.objects.filter(cohort=cohort, symbol="BTCUSDT", at__gte=since).exists()
    assert CohortRejection.objects.filter(cohort=cohort, symbol="ETHUSDT", at__gte=since).exists()
