"""What the pages know of particular payloads: suggestions, units, words, and what is in force today.

A kind without a line here still has its form; a line makes it kinder.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from compliance.approvals.canonical import plain
from compliance.approvals.policy import SET_POLICY
from compliance.approvals.registry import registered_actions
from fundops.core import clock
from fundops.core.roles import Role
from portal.forms.payload import Hint, Hints
from portal.gate.policies import present_document
from risk.actions.leverage import SET_LEVERAGE_POLICY
from risk.actions.overrides import OVERRIDE_GUARDRAIL, SET_OVERRIDE_POLICY
from risk.actions.switches import switch_label
from risk.leverage import policy_in_force as leverage_policy
from risk.models import KillSwitch, RiskLimit, StopCause
from risk.models.switches import TRIGGERS
from risk.overrides import override_policy_in_force
from risk.quant.metrics import describe
from risk.quant.pretrade import TradingMode
from risk.switch_gate import RESTORE, SET_TRIGGER
from trading.models.marketdata import CandleSet
from treasury.models import Book, Fund

_MOST = 400
_NO_TRIGGERS = frozenset(StopCause.values) - {cause.value for cause in TRIGGERS}
_NO_SIGNERS = frozenset({Role.INVESTOR.value, Role.ADMINISTRATOR.value, Role.AUDITOR.value})


def _books() -> list[tuple[str, str]]:
    books = Book.objects.exclude(kind="agent").order_by("path").values_list("path", "name")
    return [(path, name) for path, name in books[:_MOST]]


def _symbols() -> list[tuple[str, str]]:
    return [(name, "") for name in CandleSet.objects.order_by("symbol").values_list("symbol", flat=True).distinct()]


def _venues() -> list[tuple[str, str]]:
    return [(name, "") for name in CandleSet.objects.order_by("venue").values_list("venue", flat=True).distinct()]


def _funds() -> list[tuple[str, str]]:
    return list(Fund.objects.order_by("code").values_list("code", "name"))


def _kinds() -> list[tuple[str, str]]:
    return [(action.kind, f"{action.title} ({action.kind})") for action in registered_actions()]


def _turned_switches() -> list[tuple[str, str]]:
    turned = KillSwitch.objects.exclude(mode=TradingMode.ACTIVE).select_related("book").order_by("pk")
    return [(str(switch.pk), f"{switch_label(switch)}, {switch.mode.lower()}") for switch in turned]


#: "kind:path", or ":path" for every kind; a place in a list is written *.
HINTS: dict[str, Hint] = {
    ":book": Hint(suggest=_books, help="The Book's path; the rule holds for all Books below it too."),
    ":fund": Hint(suggest=_funds),
    ":symbol": Hint(suggest=_symbols),
    ":venue": Hint(suggest=_venues),
    "risk.set_limit:metric": Hint(words=describe, help="What is limited."),
    "risk.set_limit:soft": Hint(label="Soft level", help="Passing it warns. Empty: no warning."),
    "risk.set_limit:hard": Hint(label="Hard level", help="Passing it is refused before a trade. Empty: no hard end."),
    "risk.set_limit:symbol": Hint(suggest=_symbols, help="Only this symbol; empty for all."),
    "risk.set_limit:venue": Hint(suggest=_venues, help="Only this venue; empty for all."),
    "risk.set_limit:action": Hint(label="On a hard breach", help="What happens when a position is past it already."),
    "risk.set_limit:effective_from": Hint(label="From", unit="UTC", help="Empty: from its execution on."),
    "risk.set_limit:effective_to": Hint(label="Until", unit="UTC", help="Empty: until it is changed."),
    **{
        f"{SET_LEVERAGE_POLICY}:{name}": Hint(label=label, unit=unit)
        for name, label, unit in (
            ("start", "Start", "x"),
            ("floor", "Floor", "x"),
            ("cap", "Cap", "x"),
            ("step", "Step", "x"),
            ("observation", "Returns", ""),
            ("window", "Window", "returns"),
            ("min_observations", "Smallest sample", "returns"),
            ("min_sharpe", "Sharpe above", ""),
            ("max_drawdown_frac", "Drawdown below", "as a fraction"),
            ("step_up_cooldown_h", "Rest before a step up", "h"),
            ("recovery_h", "Rest after a step down", "h"),
            ("step_down", "Steps down", ""),
            ("step_down.*.over", "Over", "returns"),
        )
    },
    f"{SET_OVERRIDE_POLICY}:max_hours": Hint(label="Longest", unit="h"),
    f"{SET_OVERRIDE_POLICY}:max_factor": Hint(label="Furthest", unit="times the limit"),
    f"{SET_OVERRIDE_POLICY}:never": Hint(label="Never overridden", words=describe),
    f"{OVERRIDE_GUARDRAIL}:book": Hint(suggest=_books, help="The Book that has the limit; it is looser below it too."),
    f"{OVERRIDE_GUARDRAIL}:metric": Hint(label="Limit", words=describe),
    f"{OVERRIDE_GUARDRAIL}:level": Hint(label="Level meanwhile"),
    f"{OVERRIDE_GUARDRAIL}:trigger": Hint(
        label="Or: trigger of the kill switch", help="It is silent meanwhile.", leave_out=_NO_TRIGGERS
    ),
    f"{OVERRIDE_GUARDRAIL}:starts_at": Hint(label="From", unit="UTC", help="Empty: from its execution on."),
    f"{OVERRIDE_GUARDRAIL}:ends_at": Hint(label="Until", unit="UTC", help="It reverts by itself at this time."),
    f"{RESTORE}:switch": Hint(label="Trading of", choices=_turned_switches),
    f"{RESTORE}:version": Hint(
        label="After turn", help="How often it had been turned when you looked: a later stop is not answered by this."
    ),
    f"{RESTORE}:mode": Hint(label="Then", leave_out=frozenset({TradingMode.HALTED.value})),
    f"{SET_TRIGGER}:cause": Hint(label="Trigger", leave_out=_NO_TRIGGERS),
    f"{SET_TRIGGER}:mode": Hint(label="Then", leave_out=frozenset({TradingMode.ACTIVE.value})),
    f"{SET_POLICY}:document": Hint(label=" "),
    f"{SET_POLICY}:document.kind": Hint(label="Rules for", choices=_kinds),
    f"{SET_POLICY}:also": Hint(
        label="Further rules", help="Rules for other kinds that are to change by the same request; seldom needed."
    ),
    f"{SET_POLICY}:document.bands": Hint(
        label="Bands", help="By amount, rising; the last has no end. An action without an amount falls into the last."
    ),
    f"{SET_POLICY}:document.bands.*.below": Hint(
        label="Amounts below", help="Empty in the last band, which covers everything above."
    ),
    f"{SET_POLICY}:document.bands.*.quorum": Hint(
        label="Quorum", help="How many different people of each role must approve.", leave_out=_NO_SIGNERS
    ),
    f"{SET_POLICY}:document.bands.*.releasers": Hint(
        label="May release", help="One more person of one of these roles lets it go.", leave_out=_NO_SIGNERS
    ),
    f"{SET_POLICY}:document.bands.*.proofs": Hint(
        label="Accepted proofs",
        help="A role without a mark signs by passkey alone.",
        leave_out=_NO_SIGNERS,
        column_words=lambda proof: {"totp": "authenticator code"}.get(proof.value, proof.value),
    ),
    f"{SET_POLICY}:document.bands.*.expires_h": Hint(label="Expires after", unit="h"),
    f"{SET_POLICY}:document.bands.*.break_glass": Hint(
        label="Breaking the glass", help="In an emergency one of these decides alone; it must be reviewed later."
    ),
    f"{SET_POLICY}:document.bands.*.break_glass.roles": Hint(label="By", leave_out=_NO_SIGNERS),
    f"{SET_POLICY}:document.bands.*.break_glass.review_within_h": Hint(label="Reviewed within", unit="h"),
    "_:reason": Hint(label="Reason", help="The approvers read it and sign it with the rest."),
    "_:evidence": Hint(label="Evidence", help="What supports it. The SHA-256 of each file is signed with the rest."),
    "_:evidence.*.sha256": Hint(
        label="SHA-256",
        help="Choose the file (PDF, PNG, JPEG, text; up to 10 MiB), or write the hash of one kept elsewhere.",
    ),
}
_PLACE = re.compile(r"\.\d+(?=\.|$)")


def hints_for(kind: str) -> Hints:
    def find(path: str) -> Hint:
        general = _PLACE.sub(".*", path)
        if path.startswith("_."):
            return HINTS.get(f"_:{general[2:]}", Hint())
        if kind == SET_POLICY and general.startswith("also.*"):
            general = "document" + general.removeprefix("also.*")  # further rules look like the first
        return HINTS.get(f"{kind}:{general}") or HINTS.get(f":{general}") or Hint()

    return find


# --- What is in force today, for a form that is opened with a few fields given -------------------------------------
def _policy_today(given: dict[str, Any]) -> dict[str, Any]:
    document = given.get("document") or {}
    present = present_document(str(document.get("kind", "")))
    if document.get("bands"):
        return given
    if present is None:
        # A start that is valid: two roles, a third person, passkeys.
        return {
            "document": {
                "bands": [{"quorum": {"Risk officer": 1, "Operations": 1}, "releasers": ["Compliance officer"]}],
                **document,
            }
        }
    return {"document": present.as_json() | document}


def _limit_today(given: dict[str, Any]) -> dict[str, Any]:
    if not given.get("book") or not given.get("metric") or {"soft", "hard"} & given.keys():
        return given
    now = (
        RiskLimit.objects.in_force(clock.now())
        .filter(
            book__path=given["book"],
            metric=given["metric"],
            symbol=given.get("symbol", ""),
            venue=given.get("venue", ""),
        )
        .first()
    )
    if now is None:
        return given
    levels = {name: level for name in ("soft", "hard") if (level := getattr(now, name)) is not None}
    return {name: format(level.normalize(), "f") for name, level in levels.items()} | {"action": now.action} | given


def _leverage_today(given: dict[str, Any]) -> dict[str, Any]:
    now = leverage_policy()
    return given if now is None else plain(now[1].model_dump()) | given


def _overrides_today(given: dict[str, Any]) -> dict[str, Any]:
    now = override_policy_in_force()
    return given if now is None else plain(now[1].model_dump()) | given


TODAY: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    SET_POLICY: _policy_today,
    "risk.set_limit": _limit_today,
    SET_LEVERAGE_POLICY: _leverage_today,
    SET_OVERRIDE_POLICY: _overrides_today,
}


def with_today(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """What was given, completed by what is in force where the kind knows how."""
    complete = TODAY.get(kind)
    return complete(given) if complete else given
