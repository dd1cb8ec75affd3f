"""`/api/approvals/people/` and `/api/approvals/delegations/`: whose account it is, and who acts for whom."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from compliance.actions.people import delegate_duties, end_delegation, link_account
from compliance.models import Delegation, Person
from fundops.core.api_lists import ListMixin, ReadViewSet
from fundops.core.models import User

LINK = "compliance.link_account"


class PersonSerializer(serializers.ModelSerializer[Person]):
    """A person and the names of their accounts."""

    accounts = serializers.SerializerMethodField()

    class Meta:
        model = Person
        fields = ("id", "reference", "full_name", "accounts")

    def get_accounts(self, person: Person) -> list[str]:
        return [link.account.username for link in person.accounts.all()]


class LinkSerializer(serializers.Serializer[Any]):
    """Whose account it is, for good. ``full_name`` is used when nobody has that reference yet."""

    account = serializers.SlugRelatedField(slug_field="username", queryset=get_user_model().objects.all())
    reference = serializers.CharField(max_length=80)
    full_name = serializers.CharField(max_length=160)


class DelegationSerializer(serializers.ModelSerializer[Delegation]):
    principal = serializers.SlugRelatedField(slug_field="reference", queryset=Person.objects.all())
    delegate = serializers.SlugRelatedField(slug_field="reference", queryset=Person.objects.all())

    class Meta:
        model = Delegation
        fields = ("id", "principal", "delegate", "starts_at", "ends_at")


def _officer(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission class has seen to it
    return request.user


class PersonViewSet(ReadViewSet[Person]):
    """The people behind the accounts."""

    serializer_class = PersonSerializer
    filterset_fields = ("reference",)
    ordering_fields = ("reference", "full_name")
    permission = {
        "list": "compliance.view_person",
        "retrieve": "compliance.view_person",
        "link": LINK,
        "OPTIONS": "compliance.view_person",
    }

    def get_queryset(self) -> QuerySet[Person]:
        return Person.objects.prefetch_related("accounts__account").order_by("reference")

    @extend_schema(request=LinkSerializer, responses={201: PersonSerializer}, filters=False)
    @action(detail=False, methods=["post"], pagination_class=None)
    def link(self, request: Request) -> Response:
        """Says whose account it is."""
        asked = LinkSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = link_account(**asked.validated_data, actor=_officer(request))
        person = self.get_queryset().get(pk=made.person_id)
        return Response(PersonSerializer(person).data, status=status.HTTP_201_CREATED)


class DelegationViewSet(ListMixin, viewsets.GenericViewSet[Delegation]):
    """Who acts for whom, and when."""

    serializer_class = DelegationSerializer
    ordering_fields = ("starts_at",)
    permission = {
        "list": "compliance.view_delegation",
        "create": LINK,
        "end": LINK,
        "OPTIONS": "compliance.view_delegation",
    }
    queryset = Delegation.objects.select_related("principal", "delegate").order_by("-starts_at", "-pk")

    @extend_schema(request=DelegationSerializer, responses={201: DelegationSerializer})
    def create(self, request: Request) -> Response:
        """Records a delegation."""
        asked = DelegationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        fields: dict[str, Any] = {"ends_at": None, **asked.validated_data}
        made = delegate_duties(**fields, actor=_officer(request))
        return Response(DelegationSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=DelegationSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str | None = None) -> Response:
        """Ends a delegation now."""
        ended = end_delegation(delegation=self.get_object(), actor=_officer(request))
        return Response(DelegationSerializer(ended).data)
