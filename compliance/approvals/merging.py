"""Declaring that two records are of one human being (`compliance.merge_people`), and what it does to running requests.

From then on everything that asks whether two people are different asks for the human. A request in which that human
turns out to have two parts goes back to its maker as a new version: its votes are void.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import Field

from compliance.approvals.errors import AccountLinkError
from compliance.approvals.humans import human_of, humans, records_of
from compliance.approvals.registry import ActionPayload, DisplayedField, Target, Warrant, register_action
from compliance.approvals.steps import hold, step
from compliance.models import ApprovalDecision, ApprovalRequest, Person, PersonAccount, PersonMerge, RequestState
from compliance.models.approvals import EXPIRING
from fundops.core import clock
from fundops.core.events import publish

MERGE_PEOPLE = "compliance.merge_people"
MAY_MERGE = "compliance.merge_people"


class MergePeople(ActionPayload):
    """Two records of one human being, by their references; the second one stands for both."""

    person: str = Field(min_length=1, max_length=80)
    same_as: str = Field(min_length=1, max_length=80)


def _person(reference: str) -> Person:
    person = Person.objects.filter(reference=reference).first()
    if person is None:
        raise AccountLinkError(f"There is no person '{reference}'. Give the reference of the record.")
    return person


def _accounts(payload: MergePeople) -> Collection[int]:
    people = Person.objects.filter(reference__in=[payload.person, payload.same_as]).values_list("pk", flat=True)
    records = {record for person in people for record in records_of(person)}
    return list(PersonAccount.objects.filter(person__in=records).values_list("account_id", flat=True))


def _said(person: Person) -> str:
    accounts = PersonAccount.objects.filter(person__in=records_of(person.pk)).order_by("account__username")
    names = ", ".join(accounts.values_list("account__username", flat=True))
    return f"{person.full_name} ({person.reference}), accounts: {names or 'none'}"


def _render(payload: MergePeople) -> Sequence[DisplayedField]:
    one, other = _person(payload.person), _person(payload.same_as)
    together = f"one human being: {one.full_name} ({one.reference}) and {other.full_name} ({other.reference})"
    return [
        DisplayedField("First record", _said(one), together),
        DisplayedField("Second record", _said(other), together),
    ]


def _recheck(payload: MergePeople) -> None:
    if human_of(_person(payload.person).pk) == human_of(_person(payload.same_as).pk):
        raise AccountLinkError("These two records count as one person already.")


@register_action(
    kind=MERGE_PEOPLE,
    title="Declare two records to be one person",
    payload=MergePeople,
    maker_permission=MAY_MERGE,
    render=_render,
    recheck=_recheck,
    target=lambda p: Target("compliance.person", str(_person(p.person).pk), f"{p.person} is {p.same_as}"),
    interested=_accounts,
)
def merge_people(payload: MergePeople, warrant: Warrant) -> Mapping[str, Any]:
    """Declares it, and voids the votes of running requests in which the human has two parts."""
    merge = PersonMerge.objects.create(
        person_id=human_of(_person(payload.person).pk),
        same_as_id=human_of(_person(payload.same_as).pk),
        request_id=warrant.request_id,
        merged_at=clock.now(),
    )
    records = records_of(merge.same_as_id)
    void, past = _void_votes(records, warrant), _past_self_approvals(records)
    publish(
        "compliance.people.merged",
        actor=warrant.actor,
        obj=merge,
        payload={
            "person": payload.person,
            "same_as": payload.same_as,
            "request": str(warrant.request_id),
            "void": void,
            "self_approved_before": past,
        },
        topics=["approvals"],
    )
    return {"merge": merge.pk, "void": void, "self_approved_before": past}


def _void_votes(records: Collection[int], warrant: Warrant) -> list[str]:
    """Running requests in which one human has two parts become drafts again; their ids."""
    running = ApprovalRequest.objects.filter(state__in=EXPIRING).exclude(pk=warrant.request_id).order_by("pk")
    void = []
    for request_id in running.values_list("pk", flat=True):
        request = hold(request_id)  # a vote that is being given ends first, and is seen
        decisions = request.decisions.filter(statement__version=request.version)
        people = [request.maker_person_id, *decisions.values_list("person_id", flat=True)]
        if request.state not in EXPIRING or not _is_doubled(people, records):
            continue
        request.version += 1
        request.submitted_at = request.expires_at = request.approved_at = request.review_due_at = None
        request.break_glass = False
        step(
            request,
            "revise",
            said="votes_voided",
            actor=warrant.actor,
            fields=["version", "submitted_at", "expires_at", "approved_at", "review_due_at", "break_glass"],
            void_votes=len(people) - 1,
            because=f"Two of its people are one ({warrant.request_id}).",
        )
        void.append(str(request_id))
    return void


def _is_doubled(people: Sequence[int], records: Collection[int]) -> bool:
    concerned = [who for who in people if who in records]
    return len(concerned) != len(set(humans(concerned).values()))


def _past_self_approvals(records: Collection[int]) -> list[str]:
    """What was executed with two parts of the human in it: nothing is undone, and everybody is told."""
    parts: dict[str, list[int]] = {}
    done = ApprovalRequest.objects.filter(state=RequestState.EXECUTED)
    for request_id, maker, releaser in done.filter(maker_person__in=records).values_list(
        "pk", "maker_person_id", "released_person_id"
    ):
        parts.setdefault(str(request_id), []).extend([maker, *([releaser] if releaser in records else [])])
    for request_id, releaser in (
        done.filter(released_person__in=records).exclude(maker_person__in=records)
    ).values_list("pk", "released_person_id"):
        parts.setdefault(str(request_id), []).append(releaser)
    votes = ApprovalDecision.objects.filter(person__in=records, request__state=RequestState.EXECUTED)
    for request_id, person in votes.values_list("request_id", "person_id"):
        parts.setdefault(str(request_id), []).append(person)
    return sorted(request_id for request_id, people in parts.items() if len(people) > 1)
