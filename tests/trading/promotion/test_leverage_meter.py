"""The rollback meter of the leverage policy: a step down scales a candidate, one below its start ends it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.gate import by_gate
from tests.trading.desk.support import by_family, deploy
from trading.models.cohort import Cohort
from trading.promotion import meters


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("allowed", "fired"), [(Decimal(4), False), (Decimal(2), False), (Decimal("1.99"), True), (Decimal(1), True)]
)
def test_leverage_meter_fires_below_the_start_alone(
    finished: Callable[..., Cohort], monkeypatch: pytest.MonkeyPatch, allowed: Decimal, fired: bool
) -> None:
    by_gate("risk.set_leverage_policy", {})
    deployment = deploy(by_family(finished(days=1), "buy_and_hold"), bankroll="60")
    assert (deployment.leverage, deployment.start_leverage) == (Decimal("0.5"), Decimal(2))
    monkeypatch.setattr(meters, "leverage_in_force", lambda _book: allowed)
    meter = meters._leverage(deployment)
    assert (meter.fired, meter.share) == (fired, float(fired)), "it is on or off: nothing draws near"
    assert "0.5 x at most" in meter.words
