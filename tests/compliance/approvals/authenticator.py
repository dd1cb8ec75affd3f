"""A passkey in software: registers with an account and signs challenges, as a browser's would."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal.auth import WebAuthn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

from fundops.core.models import User

RP_ID = "testserver"
ORIGIN = "https://testserver"
_FLAGS = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV


class SoftPasskey:
    """One credential of one account."""

    def __init__(self, user: User, name: bytes = b"soft-passkey-0001") -> None:
        self.id = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = ES256.from_cryptography_key(self._key.public_key())  # type: ignore[no-untyped-call]
        data = AttestedCredentialData.create(b"\0" * 16, self.id, public)
        said = AuthenticatorData.create(
            sha256(RP_ID.encode()).digest(), _FLAGS | AuthenticatorData.FLAG.AT, 0, bytes(data)
        )
        client = CollectedClientData.create(
            type=CollectedClientData.TYPE.CREATE, challenge=b"registration", origin=ORIGIN
        )
        credential = {
            "id": websafe_encode(self.id),
            "rawId": websafe_encode(self.id),
            "type": "public-key",
            "response": {
                "clientDataJSON": websafe_encode(bytes(client)),
                "attestationObject": websafe_encode(bytes(AttestationObject.create("none", said, {}))),
            },
            "clientExtensionResults": {},
        }
        WebAuthn.add(user, "Soft passkey", json.loads(json.dumps(credential)))
        assert Authenticator.objects.filter(user=user, type=Authenticator.Type.WEBAUTHN).exists()

    def sign(self, challenge: bytes, *, verified: bool = True, rp_id: str = RP_ID) -> dict[str, Any]:
        """The assertion over ``challenge``, as `navigator.credentials.get` would give it."""
        flags = _FLAGS if verified else AuthenticatorData.FLAG.UP
        said = AuthenticatorData.create(sha256(rp_id.encode()).digest(), flags, 1)
        client = CollectedClientData.create(
            type=CollectedClientData.TYPE.GET, challenge=challenge, origin=f"https://{rp_id}"
        )
        signature = self._key.sign(bytes(said) + client.hash, ec.ECDSA(SHA256()))
        return {
            "id": websafe_encode(self.id),
            "rawId": websafe_encode(self.id),
            "type": "public-key",
            "response": {
                "clientDataJSON": websafe_encode(bytes(client)),
                "authenticatorData": websafe_encode(bytes(said)),
                "signature": websafe_encode(signature),
            },
            "clientExtensionResults": {},
        }
