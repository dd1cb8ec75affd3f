"""The permission matrix: which role may do what. This file is the one place where that is written.

A grant is ``app.codename`` or a pattern of it (``*.view_*``). Groups are made equal to it after every
migration.
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

#: What each role is for, in the words of the page that shows the matrix.
ABOUT: dict[Role, str] = {
    Role.PORTFOLIO_MANAGER: "Launches cohorts, reads leaderboards, proposes promotions and allocations.",
    Role.RISK_OFFICER: "Limits, guardrails, overrides, kill switch, stress tests; one of the two signatures.",
    Role.OPERATIONS: "Live loop, venues, treasury, reconciliation, incidents; the other signature.",
    Role.COMPLIANCE_OFFICER: "Approvals, restricted lists, audit trail, regulatory packs, retention.",
    Role.CLIENT_RELATIONS: "Investors, dealing, statements, distribution.",
    Role.INVESTOR: "Sees their own holdings and statements, and nothing of anyone else.",
    Role.AUDITOR: "Reads everything, changes nothing, verifies the audit chain.",
    Role.ADMINISTRATOR: "Accounts and settings; proposes roles. No right to trade or to approve, by design.",
}

#: What everyone who works for the fund may see.
_STAFF = ("core.view_roles", "core.view_api_docs")
#: Those who may talk to the assistant and read what was learned; what it starts takes the right to start it.
_ASSISTED = ("portal.use_assistant", "portal.view_knowledge")
_TRADING_READ = ("trading.view_*", "treasury.view_*")
#: Those on duty stop trading with one word, and ask for it back; they lower leverage and end overrides at once.
_ON_DUTY = (
    "risk.stop_trading",
    "risk.propose_restore",
    "risk.lower_leverage",
    "risk.end_override",
    "trading.stop_deployment",
    "trading.roll_back",
    "trading.weigh_council",
)
#: Asking for entries by hand, and for Books to be opened and closed.
_TREASURY_MAKER = ("treasury.propose_entry", "treasury.open_book", "treasury.close_book")
#: Asking for limits, budgets and scenarios: each change passes the gate, whoever asks.
_RISK_MAKER = (
    "risk.set_limit",
    "risk.set_budget",
    "risk.save_scenario",
    "risk.set_leverage_policy",
    "risk.set_override_policy",
    "risk.override_guardrail",
)
#: Taking a candidate to capital: asking, overriding the gate's verdict, other rules for it.
_PROMOTER = (
    "trading.promote",
    "trading.override_review",
    "trading.propose_gate_policy",
    "trading.write_post_mortem",
)
#: The gate: who may ask, and who may check and release what others asked.
_GATE_MAKER = ("compliance.propose_request", "compliance.propose_policy", "compliance.view_approval*")
_GATE_CHECKER = (*_GATE_MAKER, "compliance.decide_request", "compliance.release_request")

MATRIX: dict[Role, tuple[str, ...]] = {
    Role.PORTFOLIO_MANAGER: (
        *_STAFF,
        *_ASSISTED,
        *_TRADING_READ,
        "treasury.set_pool",
        "trading.launch_cohort",
        "trading.cancel_cohort",
        "trading.resume_cohort",
        "trading.run_trials",
        "trading.propose_deployment",
        *_PROMOTER,
        "risk.view_*",
        *_RISK_MAKER,
        *_TREASURY_MAKER,
        *_ON_DUTY,
        "compliance.view_restrictedinstrument",
        *_GATE_MAKER,
    ),
    Role.RISK_OFFICER: (
        *_STAFF,
        *_ASSISTED,
        *_TRADING_READ,
        "risk.view_*",
        "trading.run_trials",
        "trading.propose_gate_policy",
        "trading.write_post_mortem",
        *_ON_DUTY,
        *_RISK_MAKER,
        "risk.set_trigger_policy",
        "risk.acknowledge_breach",
        "risk.run_stress",
        "risk.snapshot_risk",
        "compliance.view_*",
        *_GATE_CHECKER,
    ),
    Role.OPERATIONS: (
        *_STAFF,
        *_ASSISTED,
        *_TRADING_READ,
        "treasury.set_pool",
        "trading.import_candles",
        "trading.resume_cohort",
        *_TREASURY_MAKER,
        "risk.view_*",
        *_ON_DUTY,
        "risk.override_guardrail",
        "risk.acknowledge_breach",
        "compliance.view_restrictedinstrument",
        *_GATE_CHECKER,
    ),
    Role.COMPLIANCE_OFFICER: (
        *_STAFF,
        *_ASSISTED,
        *_TRADING_READ,
        "risk.view_killswitch",
        "risk.view_switchchange",
        "risk.view_triggerpolicy",
        "risk.view_leverage*",
        "risk.view_guardrailoverride",
        "risk.view_overridepolicy",
        *_ON_DUTY,
        "compliance.view_*",
        "core.view_*",
        *_GATE_CHECKER,
        "compliance.review_request",
        "compliance.link_account",
        "compliance.merge_people",
        "compliance.propose_access",
        "compliance.restrict_instrument",
        "compliance.lift_restriction",
        "compliance.propose_screening_policy",
        "compliance.decide_flag",
    ),
    Role.CLIENT_RELATIONS: (*_STAFF, "treasury.view_fund", "treasury.view_book"),
    Role.INVESTOR: (),
    Role.AUDITOR: ("*.view_*",),
    Role.ADMINISTRATOR: (
        # Asking is no approving: an administrator proposes access, and follows what becomes of it.
        "compliance.propose_request",
        "compliance.propose_access",
        "compliance.view_approvalrequest",
        "core.add_user",
        "core.change_user",
        "core.view_*",
        "auth.view_group",
        "django_celery_beat.*",
        "axes.view_*",
        "mfa.view_*",
    ),
}
