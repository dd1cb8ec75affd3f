"""The demo at the gate: its people known as people, rules in force, one change made and one that waits for signatures.

Nothing is passed by: the cast's own accounts ask, sign with the codes of their authenticator apps, release and execute,
exactly as they would in the browser.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

from compliance.actions.approvals import ToSign
from compliance.actions.people import link_account
from compliance.actions.proposing import propose
from compliance.approvals.policy import ProofKind
from compliance.founding import Signer, carry_on, carry_request, found_policies
from compliance.models import ApprovalRequest, PersonAccount
from fundops.core.models import User
from fundops.core.roles import Role
from portal.demo_phone import unused_code
from treasury.models import Fund

#: Who asks, who releases, and who signs in which role: whoever of them has a code that was not used yet.
MAKER, COMPLIANCE = "paula", "clara"
SIGNERS: tuple[tuple[Role, tuple[str, ...]], ...] = (
    (Role.RISK_OFFICER, ("rachel", "ravi")),
    (Role.OPERATIONS, ("oscar", "olga")),
)
LIMIT = "risk.set_limit"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class App:
    """An authenticator app of the cast: what a real phone would be told."""

    username: str
    secret: str
    otpauth: str


def link_people(cast: tuple[tuple[str, str, Role], ...]) -> int:
    """Every account of staff to a person of its own, by the compliance officer; hers by the installation itself."""
    officer = User.objects.get(username=COMPLIANCE)
    known = set(PersonAccount.objects.values_list("account__username", flat=True))
    ordered = sorted(enumerate(cast, start=1), key=lambda one: one[1][0] != COMPLIANCE)
    missing = [(number, name, full) for number, (name, full, role) in ordered if role is not Role.INVESTOR]
    linked = 0
    for number, username, full_name in missing:
        if username not in known:
            link_account(
                account=User.objects.get(username=username),
                reference=f"DEMO-{number:03d}",
                full_name=full_name,
                actor=None if username == COMPLIANCE else officer,
            )
            linked += 1
    return linked


def give_apps() -> list[App]:
    """Authenticator apps for those who sign; returns those made now."""
    made = []
    for username in (*(name for _, names in SIGNERS for name in names), COMPLIANCE):
        user = User.objects.get(username=username)
        if Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists():
            continue
        secret = generate_totp_secret()
        TOTP.activate(user, secret)
        made.append(App(username, secret, get_adapter().build_totp_url(user, secret)))
    return made


def make_rules(*, say: Say) -> None:
    """The shipped rules of every kind of action that has none, by one signed request."""
    if found_policies(maker=_one(MAKER), signers=_signers(), releaser=_one(COMPLIANCE)) is not None:
        say("The gate's rules are in force, signed by risk and operations, released by compliance.")


def make_requests(fund: Fund, *, say: Say) -> None:
    """One limit that was changed, and a change of it that waits for its signatures."""
    if ApprovalRequest.objects.filter(kind=LIMIT).exists():
        return
    carry_request(
        kind=LIMIT,
        payload=_leverage(fund, soft="4", hard="5"),
        reason="A first ceiling for the whole fund while its strategies are on paper.",
        maker=_one(MAKER),
        signers=_signers(),
        releaser=_one(COMPLIANCE),
    )
    propose(
        kind=LIMIT,
        payload=_leverage(fund, soft="2.5", hard="3"),
        reason="Realised volatility has doubled since the ceiling was set; no strategy needs more than 2.5.",
        actor=_one(MAKER),
    )
    say("A change of the fund's leverage limit waits: sign it as rachel, then as oscar, and release it as clara.")


def sign(kind: str, payload: Mapping[str, Any], *, reason: str) -> None:
    """One request the whole way: asked for, signed twice, released, executed."""
    carry_request(
        kind=kind, payload=payload, reason=reason, maker=_one(MAKER), signers=_signers(), releaser=_one(COMPLIANCE)
    )


def carry_on_signed(request: ApprovalRequest) -> None:
    """The rest of the way of a request that was asked for: signed, released, executed."""
    carry_on(request=request, signers=_signers(), releaser=_one(COMPLIANCE))


def _leverage(fund: Fund, *, soft: str, hard: str) -> Mapping[str, Any]:
    return {"book": fund.code, "metric": "leverage", "soft": soft, "hard": hard}


def _one(username: str) -> User:
    return User.objects.get(username=username)


def _signers() -> list[Signer]:
    return [Signer(user, role, _by_code(user)) for role, names in SIGNERS for user in [_ready(names)]]


def _ready(names: tuple[str, ...]) -> User:
    """The first whose app shows an unused code, else the first: a code is good once, and three are at any moment."""
    people = [_one(name) for name in names]
    return next((user for user in people if unused_code(_app(user)) is not None), people[0])


def _app(user: User) -> Authenticator:
    return Authenticator.objects.get(user=user, type=Authenticator.Type.TOTP)


def _by_code(user: User) -> Callable[[ToSign], tuple[ProofKind, Mapping[str, Any]]]:
    def sign(_shown: ToSign) -> tuple[ProofKind, Mapping[str, Any]]:
        while (code := unused_code(_app(user))) is None:
            time.sleep(0.5)  # the next half minute brings the next code
        return ProofKind.TOTP, {"code": code}

    return sign
