"""What is signed, and the seal that proves later that it was: the statement, the decision in it, the HMAC."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from compliance.approvals.canonical import canonical_text, digest, plain
from compliance.models import Person
from fundops.core.models import User

FORMAT = "fundops.approval/1"


def decision_document(
    statement: Mapping[str, Any], *, decision: str, role: str, actor: User, person: Person, comment: str
) -> dict[str, Any]:
    """The statement with the decision in it: the very thing an approver signs."""
    return {
        **statement,
        "decision": {
            "value": decision,
            "role": role,
            "account": actor.pk,
            "person": person.reference,
            "comment": comment,
        },
    }


def decision_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a decision document, in hex; a passkey's challenge is these bytes."""
    return digest(document)


def seal(*, signed_sha256: str, proof_kind: str, proof: Mapping[str, Any], at: datetime) -> str:
    """The product's seal on a proven decision: HMAC-SHA256 in hex."""
    return _mac(next(_keys()), _sealed_text(signed_sha256, proof_kind, proof, at))


def seal_holds(signature: str, *, signed_sha256: str, proof_kind: str, proof: Mapping[str, Any], at: datetime) -> bool:
    """True when the seal is the product's, under today's key or a former one."""
    text = _sealed_text(signed_sha256, proof_kind, proof, at)
    return any(hmac.compare_digest(_mac(key, text), signature) for key in _keys())


def _sealed_text(signed_sha256: str, proof_kind: str, proof: Mapping[str, Any], at: datetime) -> str:
    return canonical_text({"signed_sha256": signed_sha256, "proof_kind": proof_kind, "proof": plain(proof), "at": at})


def _keys() -> Iterator[bytes]:
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        yield HKDF(SHA256(), 32, salt=None, info=b"compliance.approvals").derive(str(key).encode())


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), sha256).hexdigest()
