"""Readers of the pages: who they are, and a browser of theirs without a browser."""

from __future__ import annotations

from django.test import Client

from fundops.core.models import User
from fundops.core.roles import Role

#: The roles that read what trades.
READERS = {
    Role.PORTFOLIO_MANAGER,
    Role.RISK_OFFICER,
    Role.OPERATIONS,
    Role.COMPLIANCE_OFFICER,
    Role.AUDITOR,
}


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client
