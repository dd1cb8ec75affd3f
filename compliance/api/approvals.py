"""`/api/approvals/`: requests, votes, releases, reviews, policies. Every write is one action."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from compliance.actions.approval_execution import RELEASE, release_request
from compliance.actions.approvals import (
    DECIDE,
    PROPOSE,
    Evidence,
    decide_request,
    draft_request,
    edit_request,
    prepare_decision,
    review_request,
    submit_request,
    withdraw_request,
)
from compliance.api import approvals_serializers as shapes
from compliance.approvals.policy import ProofKind
from compliance.approvals.registry import registered_actions
from compliance.models import ApprovalPolicy, ApprovalRequest, Decision, RequestState
from compliance.selectors_approvals import (
    REVIEW,
    VIEW_REQUESTS,
    approval_queue,
    approval_request_list,
    policies_in_force,
    release_queue,
)
from fundops.core.api_lists import ListMixin, ReadViewSet
from fundops.core.models import User


def _person(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission class has seen to it
    return request.user


def _checked(serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    checked = dict(asked.validated_data)
    if "evidence" in checked:
        checked["evidence"] = [Evidence(**item) for item in checked["evidence"]]
    return checked


class RequestFilter(django_filters.FilterSet):
    """`?state=`, `?kind=`, `?maker=` id, `?object_type=`, `?object_id=`, `?since=`, `?until=`."""

    state = django_filters.MultipleChoiceFilter(choices=RequestState.choices)
    kind = django_filters.CharFilter()
    maker = django_filters.NumberFilter(field_name="maker_id")
    object_type = django_filters.CharFilter()
    object_id = django_filters.CharFilter()
    break_glass = django_filters.BooleanFilter()
    since = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = ApprovalRequest
        fields: tuple[str, ...] = ()


class ApprovalRequestViewSet(ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ApprovalRequest]):
    """Requests for change, from their draft to what came of them."""

    serializer_class = shapes.RequestSerializer
    filterset_class = RequestFilter
    ordering_fields = ("created_at", "expires_at", "amount")
    permission = {
        "list": VIEW_REQUESTS,
        "retrieve": VIEW_REQUESTS,
        "queue": DECIDE,
        "releasable": RELEASE,
        "create": PROPOSE,
        "edit": PROPOSE,
        "submit": PROPOSE,
        "withdraw": PROPOSE,
        "prepare": DECIDE,
        "decide": DECIDE,
        "release": RELEASE,
        "review": REVIEW,
        "OPTIONS": VIEW_REQUESTS,
    }

    def get_queryset(self) -> QuerySet[ApprovalRequest]:
        if getattr(self, "swagger_fake_view", False):
            return ApprovalRequest.objects.none()
        requests = approval_request_list(user=_person(self.request))
        if self.action in ("list", "queue", "releasable"):
            return requests
        return requests.prefetch_related("statements", "decisions__actor", "decisions__person", "decisions__statement")

    @extend_schema(responses=shapes.RequestDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(shapes.RequestDetailSerializer(self.get_object()).data)

    @extend_schema(request=shapes.DraftSerializer, responses={201: shapes.RequestDetailSerializer})
    def create(self, request: Request) -> Response:
        """A new draft; nothing is asked of anybody before it is submitted."""
        asked = _checked(shapes.DraftSerializer, request)
        former = asked.pop("supersedes", None)
        if former is not None:
            asked["supersedes"] = get_object_or_404(self.get_queryset(), pk=former)
        made = draft_request(**asked, actor=_person(request))
        return self._answer(made, status.HTTP_201_CREATED)

    @extend_schema(responses=shapes.RequestSerializer(many=True))
    @action(detail=False)
    def queue(self, request: Request) -> HttpResponseBase:
        """What waits for my vote."""
        return self.listed(self.filter_queryset(approval_queue(user=_person(request))), shapes.RequestSerializer)

    @extend_schema(responses=shapes.RequestSerializer(many=True))
    @action(detail=False)
    def releasable(self, request: Request) -> HttpResponseBase:
        """What I may release."""
        return self.listed(self.filter_queryset(release_queue(user=_person(request))), shapes.RequestSerializer)

    @extend_schema(request=shapes.EditSerializer, responses=shapes.RequestDetailSerializer)
    @action(detail=True, methods=["post"])
    def edit(self, request: Request, pk: str | None = None) -> Response:
        """A new version as a draft; the votes on the former one are void."""
        asked = _checked(shapes.EditSerializer, request)
        return self._answer(edit_request(request_id=self.get_object().pk, actor=_person(request), **asked))

    @extend_schema(request=None, responses=shapes.RequestDetailSerializer)
    @action(detail=True, methods=["post"])
    def submit(self, request: Request, pk: str | None = None) -> Response:
        """Fixes what is signed, and asks for votes."""
        return self._answer(submit_request(request_id=self.get_object().pk, actor=_person(request)))

    @extend_schema(request=shapes.WithdrawSerializer, responses=shapes.RequestDetailSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str | None = None) -> Response:
        """Takes one's own request back."""
        asked = _checked(shapes.WithdrawSerializer, request)
        return self._answer(withdraw_request(request_id=self.get_object().pk, actor=_person(request), **asked))

    @extend_schema(request=shapes.PrepareSerializer, responses=shapes.ToSignSerializer)
    @action(detail=True, methods=["post"])
    def prepare(self, request: Request, pk: str | None = None) -> Response:
        """What would be signed, its hash, and the passkey's challenge over it. Changes nothing."""
        asked = _checked(shapes.PrepareSerializer, request)
        asked["decision"] = Decision(asked["decision"])
        shown = prepare_decision(request=self.get_object(), actor=_person(request), **asked)
        return Response(
            {
                "document": shown.document,
                "sha256": shown.sha256,
                "proofs": [kind.value for kind in shown.proofs],
                "passkey": shown.passkey,
            }
        )

    @extend_schema(request=shapes.DecideSerializer, responses=shapes.RequestDetailSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str | None = None) -> Response:
        """One signed vote."""
        asked = _checked(shapes.DecideSerializer, request)
        asked["decision"] = Decision(asked["decision"])
        asked["proof_kind"] = ProofKind(asked["proof_kind"])
        held = self.get_object()
        decide_request(request_id=held.pk, actor=_person(request), **asked)
        return self._answer(held)

    @extend_schema(request=None, responses=shapes.RequestDetailSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str | None = None) -> Response:
        """Lets an approved request go; a worker executes it."""
        return self._answer(
            release_request(request_id=self.get_object().pk, actor=_person(request)),
            status.HTTP_202_ACCEPTED,
        )

    @extend_schema(request=shapes.ReviewInSerializer, responses=shapes.RequestDetailSerializer)
    @action(detail=True, methods=["post"])
    def review(self, request: Request, pk: str | None = None) -> Response:
        """The later look at what was done behind broken glass."""
        asked = _checked(shapes.ReviewInSerializer, request)
        held = self.get_object()
        review_request(request_id=held.pk, actor=_person(request), **asked)
        return self._answer(held)

    def _answer(self, made: ApprovalRequest, code: int = status.HTTP_200_OK) -> Response:
        return Response(shapes.RequestDetailSerializer(self.get_queryset().get(pk=made.pk)).data, status=code)


class ApprovalPolicyViewSet(ReadViewSet[ApprovalPolicy]):
    """Every version of the rules of every kind; the highest is in force. Changed by a request alone."""

    serializer_class = shapes.PolicySerializer
    filterset_fields = ("kind", "version")
    ordering_fields = ("kind", "version", "created_at")
    permission = "compliance.view_approvalpolicy"
    queryset = ApprovalPolicy.objects.order_by("kind", "-version")


class ApprovalKindsView(APIView):
    """The kinds of action that pass the gate."""

    permission = VIEW_REQUESTS

    @extend_schema(responses=shapes.KindSerializer(many=True))
    def get(self, request: Request) -> Response:
        versions = policies_in_force()
        return Response(
            [
                {
                    "kind": kind.kind,
                    "title": kind.title,
                    "maker_permission": kind.maker_permission,
                    "payload_schema": kind.payload_type.model_json_schema(),
                    "policy_version": versions.get(kind.kind),
                }
                for kind in registered_actions()
            ]
        )
