"""The demo's phones in templates; outside the demo there are none."""

from __future__ import annotations

from typing import Any

from allauth.account.internal.stagekit import get_pending_stage
from django import template
from django.http import HttpRequest

from fundops.core.models import User
from portal.demo_phone import Phone, phone_of

register = template.Library()


@register.simple_tag(takes_context=True)
def phone_at_sign_in(context: Any) -> Phone | None:
    """The phone of who has given the password and is asked for a code now."""
    request = context.get("request")
    stage = get_pending_stage(request) if isinstance(request, HttpRequest) else None
    user = stage.login.user if stage is not None else None
    return phone_of(user) if isinstance(user, User) else None
