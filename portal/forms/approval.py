"""The form of a request: its typed payload, why it is asked for, and what supports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from django.http import QueryDict
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compliance.actions.approvals import Evidence
from compliance.approvals.errors import PolicyMissingError
from compliance.approvals.policy import SET_POLICY, PolicyDocument
from compliance.approvals.registry import Action
from compliance.models import ApprovalRequest
from compliance.selectors_approvals import policy_in_force
from fundops.core.errors import FundopsError
from portal.forms.payload import Node, errors_of, general_errors, nodes_of, read_form
from portal.forms.payload_hints import hints_for, with_today
from portal.gate.picture import Line
from portal.gate.policies import BandWords, band_index, present_document, words_of

PAPER = "_."


class EvidenceRow(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=200)
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Paper(BaseModel):
    """What goes with every payload."""

    model_config = ConfigDict(str_strip_whitespace=True)

    reason: str = Field(min_length=1, max_length=400)
    evidence: list[EvidenceRow] = Field(default_factory=list, max_length=20)


@dataclass
class RequestForm:
    """Answers, what is wrong with them, and what would come of them."""

    action: Action[Any]
    payload: dict[str, Any]
    paper: dict[str, Any]
    errors: dict[str, list[str]] = field(default_factory=dict)
    typed: Any = None
    lines: list[Line] = field(default_factory=list)
    #: What the gate would refuse today although every field is well formed.
    refusal: str = ""
    #: Nobody has touched it yet: what is refused is no mistake of theirs.
    fresh: bool = False
    band: BandWords | None = None
    policy_missing: str = ""

    @property
    def nodes(self) -> list[Node]:
        return nodes_of(self.action.payload_type, self.payload, self.errors, hints_for(self.action.kind))

    @property
    def paper_nodes(self) -> list[Node]:
        return nodes_of(Paper, self.paper, self.errors, hints_for(self.action.kind), prefix=PAPER)

    @property
    def general(self) -> list[str]:
        return general_errors(self.errors, [*self.nodes, *self.paper_nodes])

    @property
    def valid(self) -> bool:
        return not self.errors

    @property
    def reason(self) -> str:
        return str(self.paper.get("reason", "")).strip()

    @property
    def evidence(self) -> list[Evidence]:
        return [Evidence(**row) for row in self.paper.get("evidence", ())]

    @property
    def changing(self) -> list[Line]:
        return [line for line in self.lines if line.changes]

    @property
    def unchanged(self) -> list[Line]:
        return [line for line in self.lines if not line.changes]

    def check(self, *, lenient: bool = False) -> RequestForm:
        """Finds what is wrong; ``lenient`` does not complain yet of what was not filled in so far."""
        self.errors = {}
        try:
            self.typed = self.action.payload_type.model_validate(self.payload)
        except ValidationError as refused:
            self.errors |= errors_of(refused)
        try:
            Paper.model_validate(self.paper)
        except ValidationError as refused:
            self.errors |= errors_of(refused, prefix=PAPER)
        if "" in self.errors:  # of the payload as a whole
            self.errors["payload"] = self.errors.pop("")
        if self.typed is not None:
            self._look()
        if lenient:
            empty = {"Fill this in.", "Choose at least one.", "The text should have at least 1 character."}
            self.errors = {
                path: kept
                for path, texts in self.errors.items()
                if (kept := [text for text in texts if text not in empty])
            }
        return self

    def _look(self) -> None:
        """The picture, the re-check and the rules, as the approvers will meet them."""
        try:
            self.lines = [Line(shown.label, shown.now, shown.then) for shown in self.action.render(self.typed)]
            self.action.target(self.typed)
            self.action.recheck(self.typed)
        except FundopsError as error:
            self.refusal = error.message
        try:
            document = _rules_for(self.action.kind)
            self.band = words_of(document)[band_index(document, self.action.amount(self.typed))]
        except FundopsError as error:
            self.policy_missing = error.message


def _rules_for(kind: str) -> PolicyDocument:
    document = present_document(kind) if kind == SET_POLICY else policy_in_force(kind)[1]
    if document is None:
        raise PolicyMissingError(f"There is no approval policy for '{kind}'.")
    return document


def posted_form(action: Action[Any], data: QueryDict) -> RequestForm:
    return RequestForm(
        action,
        payload=read_form(action.payload_type, data, posted=True),
        paper=read_form(Paper, data, prefix=PAPER, posted=True),
    )


def linked_form(action: Action[Any], data: QueryDict) -> RequestForm:
    """The form as a link opens it: what the link names, completed by what is in force today."""
    given = read_form(action.payload_type, data, posted=False)
    return RequestForm(
        action,
        payload=with_today(action.kind, given),
        paper=read_form(Paper, data, prefix=PAPER, posted=False),
        fresh=True,
    )


def form_of(action: Action[Any], request: ApprovalRequest) -> RequestForm:
    """The form as the request stands."""
    payload: Mapping[str, Any] = request.payload
    return RequestForm(action, payload=dict(payload), paper={"reason": request.reason, "evidence": request.evidence})
