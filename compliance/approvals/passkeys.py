"""Signing with a passkey (WebAuthn): the challenge is the hash of what is signed, so the assertion proves it
to anyone who has the public key, without this product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal.auth import get_credentials, get_server
from cryptography.exceptions import InvalidSignature
from fido2 import cbor
from fido2.cose import CoseKey
from fido2.utils import sha256, websafe_decode, websafe_encode
from fido2.webauthn import (
    AuthenticationResponse,
    AuthenticatorData,
    CollectedClientData,
    UserVerificationRequirement,
)

from compliance.approvals.errors import ProofRefusedError
from fundops.core.models import User


def passkey_options(user: User, digest: bytes) -> dict[str, Any] | None:
    """What a browser needs for ``navigator.credentials.get``; None when the account has no passkey."""
    if not Authenticator.objects.filter(user=user, type=Authenticator.Type.WEBAUTHN).exists():
        return None
    options, _state = get_server().authenticate_begin(
        credentials=get_credentials(user),
        user_verification=UserVerificationRequirement.REQUIRED,
        challenge=digest,
    )
    return dict(options)


class PasskeyProof:
    """The whole assertion is kept, with the public key it was made by."""

    def prove(self, *, user: User, digest: bytes, response: Mapping[str, Any]) -> dict[str, Any]:
        credentials = get_credentials(user)
        if not credentials:
            raise ProofRefusedError("Your account has no passkey. Add one under Account security.")
        state = {
            "challenge": websafe_encode(digest),
            "user_verification": UserVerificationRequirement.REQUIRED,
        }
        try:
            answer = AuthenticationResponse.from_dict(dict(response))
            used = get_server().authenticate_complete(state, credentials, answer)
        except (ValueError, TypeError, KeyError, InvalidSignature) as error:
            raise ProofRefusedError(
                "The passkey's signature is not one of yours over what is shown. Load the request again."
            ) from error
        return {
            "credential_id": websafe_encode(used.credential_id),
            "public_key": websafe_encode(cbor.encode(dict(used.public_key))),
            "client_data": websafe_encode(bytes(answer.response.client_data)),
            "authenticator_data": websafe_encode(bytes(answer.response.authenticator_data)),
            "signature": websafe_encode(answer.response.signature),
        }

    def holds(self, *, digest: bytes, proof: Mapping[str, Any]) -> bool:
        try:
            client = CollectedClientData(websafe_decode(proof["client_data"]))
            said = AuthenticatorData(websafe_decode(proof["authenticator_data"]))
            key = CoseKey.parse(cast(Mapping[int, Any], cbor.decode(websafe_decode(proof["public_key"]))))
            key.verify(bytes(said) + sha256(bytes(client)), websafe_decode(proof["signature"]))
        except (ValueError, TypeError, KeyError, InvalidSignature):
            return False
        return client.challenge == digest and client.type == CollectedClientData.TYPE.GET and (said.is_user_verified())
