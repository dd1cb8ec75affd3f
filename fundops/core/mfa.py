"""The second factor: who must have one, and how its secrets are kept."""

from __future__ import annotations

import base64
from typing import Any

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from fundops.core.errors import FundopsError
from fundops.core.models import User


class SecondFactorMissingError(FundopsError):
    status = 403
    title = "Second factor missing"

    def __init__(self) -> None:
        super().__init__("Add a second factor first: an authenticator app or a passkey, under Account security.")


#: Recovery codes only stand in for one of these.
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def has_second_factor(user: User) -> bool:
    return bool(Authenticator.objects.filter(user=user, type__in=FACTORS).exists())


def must_enrol(user: Any) -> bool:
    """True for staff without a second factor where one is required: they may enrol one and do nothing else.

    Asked by every way in: pages and API (the middleware), and websockets at their opening.
    """
    return (
        bool(settings.SECOND_FACTOR_REQUIRED)
        and isinstance(user, User)
        and user.is_fund_staff
        and not has_second_factor(user)
    )


def _fernet() -> MultiFernet:
    """Keys derived from the secret key; after a rotation the former ones still decrypt."""
    return MultiFernet(
        [
            Fernet(
                base64.urlsafe_b64encode(
                    HKDF(SHA256(), 32, salt=None, info=b"fundops.core.mfa").derive(str(key).encode())
                )
            )
            for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        ]
    )


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets encrypted at rest; the last factor of staff cannot be taken off, only replaced."""

    def encrypt(self, text: str) -> str:
        return _fernet().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _fernet().decrypt(encrypted_text.encode()).decode()

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        user = authenticator.user
        if not settings.SECOND_FACTOR_REQUIRED or not user.is_fund_staff:
            return True
        others = Authenticator.objects.filter(user=user, type__in=FACTORS).exclude(pk=authenticator.pk)
        return authenticator.type not in FACTORS or bool(others.exists())

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        entity: dict[str, str] = super().get_public_key_credential_rp_entity()
        return entity | {"name": "fundops"}
