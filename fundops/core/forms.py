"""Forms for accounts, and the name under which failed sign-ins are counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allauth.account.forms import LoginForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django.http import HttpRequest

from fundops.core.models import User


def lockout_name(request: HttpRequest | None, credentials: Mapping[str, Any] | None = None) -> str | None:
    """The account a sign-in aims at, whether named by user name or by address, in one spelling.

    Without this a guesser would get a fresh count of tries for every spelling of the same account.
    """
    given = dict(credentials or {})
    name = given.get("username") or given.get("email")
    if not name and request is not None:
        name = request.POST.get("login") or request.POST.get("username")
    if not name:
        return None
    name = str(name).strip()[:150]
    if "@" in name:
        user = User.objects.filter(email__iexact=name).only("username").first()
        name = user.username if user is not None else name
    return name.lower()


class SignInForm(LoginForm):  # type: ignore[misc]
    """Says what to type, and offers no reset by mail: administrators set a new password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "User name or email address"
        self.fields["password"].help_text = ""
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)


class AddPasskeyForm(AddWebAuthnForm):  # type: ignore[misc]
    """Passkeys first: a key that signs in by itself unless its owner wants it as a second step only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = "Name"
        self.fields["name"].help_text = "So that you recognise it in the list, for example 'work laptop'."
        option = self.fields["passwordless"]
        option.initial = True
        option.label = "Sign in with it alone"
        option.help_text = "Asks for fingerprint, face or PIN. Without this it is a second step after the password."
