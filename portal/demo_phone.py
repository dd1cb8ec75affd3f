"""The demo plays the phones of its cast: it shows the code that a person's authenticator app would show now.

Only in the demo's environment, and only to whoever has given the account's password: what is signed is signed by a real
code of a real device, whose secret the demo happens to hold in its other hand.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.conf import settings
from django.core.cache import cache

from fundops.core.models import User

PERIOD_S = 30


@dataclass(frozen=True)
class Phone:
    """``code`` None: all codes of this half minute are used up; ``wait_s`` says how long until the next."""

    owner: str
    code: str | None
    wait_s: int

    @property
    def spaced(self) -> str:
        return f"{self.code[:3]} {self.code[3:]}" if self.code else ""


def phone_of(user: User) -> Phone | None:
    """The person's phone; None outside the demo and for an account without an app."""
    if not settings.DEMO:
        return None
    device = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
    return None if device is None else Phone(str(user), unused_code(device), PERIOD_S - int(time.time()) % PERIOD_S)


def unused_code(device: Authenticator) -> str | None:
    """A code that the device shows now, or showed or will show within the tolerance of clocks; each is good once."""
    secret = get_adapter().decrypt(device.data["secret"])
    counter = int(time.time()) // PERIOD_S
    for step in (0, 1, -1)[: 1 + 2 * settings.MFA_TOTP_TOLERANCE]:
        code = str(format_hotp_value(hotp_value(secret, counter + step)))
        if cache.get(device.wrap()._get_used_cache_key(code)) is None:
            return code
    return None
