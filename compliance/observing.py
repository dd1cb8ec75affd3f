"""What /readyz and /metrics say of the audit stream and the relay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compliance.selectors import RelayLag, relay_lag
from fundops.core.health import Finding, register_check
from fundops.core.metrics import register_reading

#: A relay that has led nothing for so long, or an event that waits for its place for so long, is a fault.
THRESHOLD_SECONDS = 10.0

Readings = Iterator[tuple[Mapping[str, str], float]]


def relay_finding() -> Finding:
    """Ready when a relay leads and no committed event waits for its place."""
    lag = relay_lag()
    if lag.heartbeat_age is None:
        return Finding(ok=False, detail="no relay has ever run", threshold_s=THRESHOLD_SECONDS)
    worst = max(lag.heartbeat_age, lag.oldest_unsealed_age)
    return Finding(
        ok=lag.healthy(max_seconds=THRESHOLD_SECONDS),
        detail=_detail(lag),
        age_s=round(worst, 1),
        threshold_s=THRESHOLD_SECONDS,
    )


def _detail(lag: RelayLag) -> str:
    words = []
    if not lag.alive:
        words.append(f"the relay {lag.holder} was not heard of for {lag.heartbeat_age:.0f} s")
    if lag.unsealed:
        words.append(f"{lag.unsealed:,} events wait for their place, the oldest {lag.oldest_unsealed_age:.1f} s")
    words += [f"consumer '{name}' fails: {error[:200]}" for name, error in lag.errors.items()]
    return "; ".join(words)


def _sealed() -> Readings:
    yield {}, float(relay_lag().head_seq)


def _unsealed() -> Readings:
    yield {}, float(relay_lag().unsealed)


def _oldest() -> Readings:
    yield {}, relay_lag().oldest_unsealed_age


def _heartbeat() -> Readings:
    age = relay_lag().heartbeat_age
    if age is not None:
        yield {}, age


def _behind() -> Readings:
    for name, behind in relay_lag().consumers.items():
        yield {"consumer": name}, float(behind)


def register_observations() -> None:
    register_check("relay", relay_finding)
    for name, help_, read in (
        ("fundops_audit_sealed", "Places given in the audit chain.", _sealed),
        (
            "fundops_audit_unsealed",
            "Committed events that wait for their place (counted to 10,000).",
            _unsealed,
        ),
        ("fundops_audit_oldest_unsealed_seconds", "Age of the oldest event without a place.", _oldest),
        ("fundops_relay_heartbeat_age_seconds", "Age of the leading relay's heartbeat.", _heartbeat),
        ("fundops_relay_consumer_lag", "Sealed events a consumer has not had yet.", _behind),
    ):
        register_reading(name, help=help_, read=read)
