"""What a request changes, line by line: the signed picture against today's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from compliance.approvals.canonical import plain
from compliance.approvals.registry import action_for
from compliance.approvals.statement import displayed_fields, read_statement
from compliance.models import ApprovalRequest, ApprovalStatement, RequestState
from fundops.core.errors import FundopsError
from portal.gate.queue import OPEN

#: A label, and which of its name it is.
_Place = tuple[str, int]
#: While a request can still be carried out, its picture is held against today.
LIVING = OPEN | {RequestState.DRAFT}


@dataclass(frozen=True)
class Line:
    """One displayed field; ``today`` is (now, then) as it would be drawn today where that differs."""

    label: str
    now: str
    then: str
    today: tuple[str, str] | None = None

    @property
    def changes(self) -> bool:
        return self.now != self.then


@dataclass(frozen=True)
class Picture:
    """What a request shows; ``trouble`` says why it cannot be drawn today."""

    lines: tuple[Line, ...]
    signed: bool
    trouble: str = ""

    @property
    def marked(self) -> bool:
        """Approvers signed something else than what would be done today."""
        return any(line.today is not None for line in self.lines)

    @property
    def of_something_new(self) -> bool:
        """Nothing of it is there today, so there is nothing to hold it against."""
        return not any(line.now or line.today for line in self.lines)

    @property
    def changing(self) -> list[Line]:
        return [line for line in self.lines if line.changes or line.today]

    @property
    def unchanged(self) -> list[Line]:
        return [line for line in self.lines if not line.changes and not line.today]


def picture_of(request: ApprovalRequest, statement: ApprovalStatement | None) -> Picture:
    """The signed picture with today's beside it; a draft's is today's alone."""
    today: dict[_Place, tuple[str, str]] = {}
    trouble = ""
    if request.state in LIVING or statement is None:
        try:
            fields = plain(displayed_fields(action_for(request.kind), request))
            today = {place: (field["now"], field["then"]) for place, field in _placed(fields)}
        except FundopsError as error:
            trouble = error.message
    if statement is None:
        return Picture(tuple(Line(label, *pair) for (label, _), pair in today.items()), signed=False, trouble=trouble)
    lines = []
    for place, field in _placed(read_statement(statement)["fields"]):
        pair = (field["now"], field["then"])
        drawn = today.pop(place, pair if request.state not in LIVING or trouble else ("", ""))
        lines.append(Line(field["label"], *pair, today=None if drawn == pair else drawn))
    lines += [Line(label, "", "", today=pair) for (label, _), pair in today.items()]
    return Picture(tuple(lines), signed=True, trouble=trouble)


def _placed(fields: Iterable[Mapping[str, str]]) -> Iterator[tuple[_Place, Mapping[str, str]]]:
    """Each field with its place: a label may stand there more than once."""
    seen: Counter[str] = Counter()
    for field in fields:
        seen[field["label"]] += 1
        yield (field["label"], seen[field["label"]]), field
