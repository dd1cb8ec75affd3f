"""What a policy says: for each band of amounts, who must agree, how they prove it, and how long it holds."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from compliance.approvals.errors import PolicyError, PolicyMissingError
from fundops.core.roles import STAFF_ROLES, Role

MAX_HOURS = 24 * 90


class ProofKind(StrEnum):
    """How an approver proves that it is them."""

    PASSKEY = "passkey"
    TOTP = "totp"


Hours = Annotated[int, Field(ge=1, le=MAX_HOURS)]


class BreakGlass(BaseModel):
    """Who may act alone as a checker in an emergency, and how soon that must be reviewed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    roles: tuple[Role, ...] = Field(min_length=1)
    review_within_h: Hours = 24


class Band(BaseModel):
    """The rules for amounts below ``below`` (and from the band before it on); the last band has no end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    below: Decimal | None = Field(default=None, gt=0, allow_inf_nan=False)
    quorum: dict[Role, Annotated[int, Field(ge=1, le=9)]] = Field(min_length=1)
    releasers: tuple[Role, ...] = Field(min_length=1)
    proofs: dict[Role, tuple[ProofKind, ...]] = Field(default_factory=dict)
    expires_h: Hours = 72
    break_glass: BreakGlass | None = None

    @model_validator(mode="after")
    def _check(self) -> Band:
        named = {*self.quorum, *self.releasers, *(self.break_glass.roles if self.break_glass else ())}
        if outside := {role.value for role in named} & {Role.INVESTOR, Role.ADMINISTRATOR, Role.AUDITOR}:
            raise ValueError(f"{', '.join(sorted(outside))} may not approve or release.")
        if unknown := named - STAFF_ROLES:
            raise ValueError(f"{unknown} is no role of the fund's staff.")
        if any(not proofs for proofs in self.proofs.values()):
            raise ValueError("A role needs at least one proof; leave it out for a passkey.")
        return self

    def proofs_of(self, role: Role) -> tuple[ProofKind, ...]:
        """A passkey, unless the policy says otherwise for the role."""
        return self.proofs.get(role, (ProofKind.PASSKEY,))


class PolicyDocument(BaseModel):
    """One version of the rules for one kind of action."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(min_length=3, max_length=120)
    bands: tuple[Band, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> PolicyDocument:
        *before, last = self.bands
        if last.below is not None:
            raise ValueError("The last band must have no end, so that every amount is covered.")
        ends = [band.below for band in before]
        known = [end for end in ends if end is not None]
        if len(known) != len(ends):
            raise ValueError("Only the last band may have no end.")
        if any(later <= earlier for earlier, later in pairwise(known)):
            raise ValueError("The bands must rise: each ends above the one before it.")
        return self

    def band_for(self, amount: Decimal | None) -> Band:
        """The band of an amount; what has no amount is treated as the largest."""
        if amount is None:
            return self.bands[-1]
        for band in self.bands:
            if band.below is None or amount < band.below:
                return band
        raise PolicyMissingError("No band covers this amount.")

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def read_policy(document: object) -> PolicyDocument:
    """A policy from JSON; raises PolicyError saying what to change."""
    try:
        return PolicyDocument.model_validate(document)
    except ValidationError as error:
        told = [f"{'.'.join(map(str, e['loc'])) or 'policy'}: {e['msg']}" for e in error.errors()]
        raise PolicyError("Change the policy: " + "; ".join(told), errors=told) from error


#: The kind of the change of a policy, which is itself under approval.
SET_POLICY = "compliance.set_policy"

#: What holds for the first change of any policy: two people of two roles, and a third one to release it.
FOUNDING = PolicyDocument(
    kind=SET_POLICY,
    bands=(
        Band(
            quorum={Role.RISK_OFFICER: 1, Role.OPERATIONS: 1},
            releasers=(Role.COMPLIANCE_OFFICER, Role.RISK_OFFICER, Role.OPERATIONS),
            proofs={
                Role.RISK_OFFICER: (ProofKind.PASSKEY, ProofKind.TOTP),
                Role.OPERATIONS: (ProofKind.PASSKEY, ProofKind.TOTP),
            },
            expires_h=72,
        ),
    ),
)
