"""The permission matrix: which role may do what. This file is the one place where that is written.

A grant is ``app.codename`` or a pattern of it (``*.view_*``). Groups are made equal to it after every migration.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    PORTFOLIO_MANAGER = "Portfolio manager"
    RISK_OFFICER = "Risk officer"
    OPERATIONS = "Operations"
    COMPLIANCE_OFFICER = "Compliance officer"
    CLIENT_RELATIONS = "Client relations"
    INVESTOR = "Investor"
    AUDITOR = "Auditor"
    ADMINISTRATOR = "Administrator"


STAFF_ROLES = frozenset(Role) - {Role.INVESTOR}

_TRADING_READ = ("trading.view_*", "treasury.view_*")

MATRIX: dict[Role, tuple[str, ...]] = {
    Role.PORTFOLIO_MANAGER: (*_TRADING_READ, "trading.launch_cohort", "trading.cancel_cohort"),
    Role.RISK_OFFICER: (*_TRADING_READ, "risk.view_*", "compliance.view_*"),
    Role.OPERATIONS: (*_TRADING_READ, "trading.import_candles", "risk.view_*"),
    Role.COMPLIANCE_OFFICER: (*_TRADING_READ, "compliance.view_*", "core.view_*"),
    Role.CLIENT_RELATIONS: ("treasury.view_fund", "treasury.view_book"),
    Role.INVESTOR: (),
    Role.AUDITOR: ("*.view_*",),
    Role.ADMINISTRATOR: (
        "core.*_user",
        "core.view_*",
        "auth.view_group",
        "django_celery_beat.*",
        "axes.*",
        "mfa.view_*",
    ),
}
