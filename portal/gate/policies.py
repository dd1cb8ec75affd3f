"""Policies in words, and what one version changed of the one before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from compliance.approvals.errors import ApprovalError, PolicyError, UnknownKindError
from compliance.approvals.policy import FOUNDING, SET_POLICY, Band, PolicyDocument, read_policy
from compliance.approvals.registry import action_for, registered_actions
from compliance.models import ApprovalPolicy
from portal.templatetags.figures import duration_text, grouped

_PROOFS = {"passkey": "passkey", "totp": "authenticator code"}


@dataclass(frozen=True)
class BandWords:
    """One band, a sentence a subject."""

    amounts: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Change:
    """One subject of the rules: before, after."""

    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Version:
    """One version of the rules with what it changed."""

    policy: ApprovalPolicy
    bands: tuple[BandWords, ...]
    changes: tuple[Change, ...]
    in_force: bool


@dataclass(frozen=True)
class Rules:
    """A kind of action with the rules in force; ``version`` None means that nothing of it can be submitted."""

    kind: str
    title: str
    version: int | None
    bands: tuple[BandWords, ...]
    policy: ApprovalPolicy | None
    founding: bool = False


def people_words(quorum: dict[str, Any]) -> str:
    """Operations and 2 × Risk officer."""
    told = [role if int(number) == 1 else f"{number} × {role}" for role, number in sorted(quorum.items())]
    return " and ".join(told)


def amounts_words(band: Band, before: Decimal | None) -> str:
    if before is None and band.below is None:
        return "Any amount, and without one"
    if before is None:
        return f"Below {_money(band.below)}"
    if band.below is None:
        return f"From {_money(before)} on, and without an amount"
    return f"From {_money(before)} to below {_money(band.below)}"


def _money(amount: Decimal | None) -> str:
    return "" if amount is None else grouped(amount, max(0, -int(amount.normalize().as_tuple().exponent)))


def band_rows(band: Band) -> tuple[tuple[str, str], ...]:
    """(subject, words) in the order in which they matter."""
    quorum = {role.value: number for role, number in band.quorum.items()}
    signers = {*band.quorum, *(band.break_glass.roles if band.break_glass else ())}
    proofs: dict[str, list[str]] = {}
    for role in sorted(signers):
        proofs.setdefault(" or ".join(_PROOFS[proof] for proof in band.proofs_of(role)), []).append(role.value)
    glass = "Nobody"
    if band.break_glass:
        roles = " or ".join(role.value for role in band.break_glass.roles)
        glass = f"{roles}, reviewed within {_hours(band.break_glass.review_within_h)}"
    return (
        ("Must approve", people_words(quorum)),
        ("Releases", " or ".join(role.value for role in band.releasers)),
        ("Proof", "; ".join(f"{', '.join(roles)}: {words}" for words, roles in proofs.items())),
        ("Expires after", _hours(band.expires_h)),
        ("Breaks the glass", glass),
    )


def _hours(hours: int) -> str:
    return duration_text(hours * 3600)


def words_of(document: PolicyDocument) -> tuple[BandWords, ...]:
    told, before = [], None
    for band in document.bands:
        told.append(BandWords(amounts_words(band, before), band_rows(band)))
        before = band.below
    return tuple(told)


def band_index(document: PolicyDocument, amount: Decimal | None) -> int:
    return document.bands.index(document.band_for(amount))


def rules_in_force() -> list[Rules]:
    """Every registered kind with its rules, and kinds of former days that still have some."""
    newest: dict[str, ApprovalPolicy] = {}
    for policy in ApprovalPolicy.objects.select_related("request").order_by("kind", "version"):
        newest[policy.kind] = policy
    kinds = {action.kind: action.title for action in registered_actions()}
    found = [_rules(kind, title, newest.get(kind)) for kind, title in kinds.items()]
    found += [_rules(kind, kind, policy) for kind, policy in newest.items() if kind not in kinds]
    return sorted(found, key=lambda rules: (rules.kind != SET_POLICY, rules.kind))


def grouped_rules(rules: list[Rules]) -> list[tuple[tuple[BandWords, ...], list[Rules]]]:
    """Kinds that have the very same rules stand together; the change of rules first."""
    groups: dict[tuple[BandWords, ...], list[Rules]] = {}
    for one in rules:
        if one.version is not None:
            groups.setdefault(one.bands, []).append(one)
    return list(groups.items())


def _rules(kind: str, title: str, policy: ApprovalPolicy | None) -> Rules:
    if policy is not None:
        return Rules(kind, title, policy.version, _words(policy), policy)
    if kind == SET_POLICY:
        return Rules(kind, title, 1, words_of(FOUNDING), None, founding=True)
    return Rules(kind, title, None, (), None)


def read(policy: ApprovalPolicy) -> PolicyDocument | None:
    """The document of a stored version; None when it can no longer be read."""
    try:
        return read_policy(policy.document)
    except PolicyError:
        return None


def _words(policy: ApprovalPolicy) -> tuple[BandWords, ...]:
    document = read(policy)
    return words_of(document) if document else ()


def versions_of(kind: str) -> list[Version]:
    """Newest first, each held against the one before it."""
    policies = list(
        ApprovalPolicy.objects.filter(kind=kind).select_related("request__maker_person").order_by("version")
    )
    told: list[Version] = []
    before: PolicyDocument | None = None
    for place, policy in enumerate(policies):
        document = read_policy(policy.document)
        changes = tuple(changes_between(before, document))
        told.append(Version(policy, words_of(document), changes, in_force=place == len(policies) - 1))
        before = document
    return told[::-1]


def changes_between(before: PolicyDocument | None, after: PolicyDocument) -> Iterator[Change]:
    """Subject by subject, band by band; nothing for the first version."""
    if before is None:
        return
    old, new = words_of(before), words_of(after)
    for place in range(max(len(old), len(new))):
        was, now = (bands[place] if place < len(bands) else None for bands in (old, new))
        name = (now or was).amounts if len(new) > 1 or len(old) > 1 else ""  # type: ignore[union-attr]
        if was is None or now is None:
            yield Change(name, "no such band" if was is None else _joined(was), _joined(now) if now else "no such band")
            continue
        if was.amounts != now.amounts:
            yield Change(f"Band {place + 1}: amounts", was.amounts, now.amounts)
        for (label, said), (_, says) in zip(was.rows, now.rows, strict=True):
            if said != says:
                yield Change(f"{name}: {label.lower()}" if name else label, said, says)


def _joined(band: BandWords) -> str:
    return "; ".join(f"{label.lower()} {words}" for label, words in band.rows)


def title_of(kind: str) -> str:
    try:
        return action_for(kind).title
    except UnknownKindError:
        return kind


def present_document(kind: str) -> PolicyDocument | None:
    """The rules in force, or None."""
    policy = ApprovalPolicy.objects.filter(kind=kind).order_by("-version").first()
    try:
        if policy is not None:
            return read_policy(policy.document)
    except ApprovalError:
        return None
    return FOUNDING if kind == SET_POLICY else None
