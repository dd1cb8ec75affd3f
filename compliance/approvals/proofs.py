"""Proving that it is you, at the moment you sign: a passkey bound to what is signed, or a code of an app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from allauth.mfa.models import Authenticator
from django.core.cache import cache

from compliance.approvals.errors import ProofRefusedError
from compliance.approvals.passkeys import PasskeyProof
from compliance.approvals.policy import ProofKind
from fundops.core.models import User

#: Wrong proofs one account may give in a row of minutes, before it has to wait.
MAX_FAILURES = 5
FAILURES_FORGOTTEN_S = 300


class ProofVerifier(Protocol):
    """One way of proving. ``prove`` is asked at signing time, ``holds`` at any time later."""

    def prove(self, *, user: User, digest: bytes, response: Mapping[str, Any]) -> dict[str, Any]:
        """What to keep as evidence; raises ProofRefusedError."""
        ...

    def holds(self, *, digest: bytes, proof: Mapping[str, Any]) -> bool:
        """True when the kept evidence proves the digest (as far as it can by itself)."""
        ...


class TotpProof:
    """A code of the authenticator app: proves presence, and is not bound to the digest by itself. The seal
    on the decision binds the two."""

    def prove(self, *, user: User, digest: bytes, response: Mapping[str, Any]) -> dict[str, Any]:
        device = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
        if device is None:
            raise ProofRefusedError("Your account has no authenticator app. Add one under Account security.")
        code = str(response.get("code", ""))
        if not code or not device.wrap().validate_code(code):
            raise ProofRefusedError("The code is wrong or used already. Wait for the next one.")
        return {"authenticator": device.pk}

    def holds(self, *, digest: bytes, proof: Mapping[str, Any]) -> bool:
        return isinstance(proof.get("authenticator"), int)


VERIFIERS: dict[ProofKind, ProofVerifier] = {ProofKind.TOTP: TotpProof(), ProofKind.PASSKEY: PasskeyProof()}


def prove(kind: ProofKind, *, user: User, digest: bytes, response: Mapping[str, Any]) -> dict[str, Any]:
    """Verifies a proof and returns the evidence to keep; after five wrong ones the account waits."""
    key = f"approvals.proof.failed.{user.pk}"
    if int(cache.get(key, 0)) >= MAX_FAILURES:
        raise ProofRefusedError("Too many wrong proofs. Wait five minutes, and sign again.")
    try:
        return VERIFIERS[kind].prove(user=user, digest=digest, response=response)
    except ProofRefusedError:
        cache.add(key, 0, timeout=FAILURES_FORGOTTEN_S)
        cache.incr(key)
        raise


def proof_holds(kind: str, *, digest: bytes, proof: Mapping[str, Any]) -> bool:
    """True when kept evidence still proves the digest."""
    try:
        return VERIFIERS[ProofKind(kind)].holds(digest=digest, proof=proof)
    except ValueError:
        return False
