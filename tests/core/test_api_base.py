"""The base of the API: one shape of error, pages, CSV, schema."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError
from django.db import connections, transaction
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client
from django.urls import get_resolver
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from fundops.core.api_classes import csv_cell, flat, to_csv
from fundops.core.api_lists import ListMixin, stream_csv
from fundops.core.errors import FundopsError
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import SIGNED_IN
from fundops.core.roles import Role
from tests.factories import UserFactory, user_with

pytestmark = pytest.mark.django_db


class PoolEmptyError(FundopsError):
    status = 409
    title = "The pool is empty"


def answer_of(error: Exception) -> Any:
    class Failing(APIView):
        permission = SIGNED_IN

        def get(self, request: Any) -> None:
            raise error

    request = APIRequestFactory().get("/api/x/", headers={"Accept": "text/csv"})
    force_authenticate(request, user_with(Role.AUDITOR))
    response = Failing.as_view()(request)
    response.render()
    return response


def test_a_refusal_becomes_a_problem_with_its_detail() -> None:
    response = answer_of(PoolEmptyError("Fund the pool first.", pool=7, status="hidden"))
    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"
    assert response.data == {
        "type": "urn:fundops:problem:pool_empty",
        "title": "The pool is empty",
        "status": 409,
        "code": "pool_empty",
        "detail": "Fund the pool first.",
        "instance": "/api/x/",
        "pool": 7,
    }


def test_invalid_input_says_which_field() -> None:
    body = answer_of(serializers.ValidationError({"bankroll": ["Too small."]})).data
    assert (body["status"], body["code"]) == (400, "invalid")
    assert body["errors"] == {"bankroll": ["Too small."]}
    of_model = answer_of(ValidationError({"name": "Taken."})).data
    assert of_model["errors"] == {"name": ["Taken."]}


def test_throttled_says_how_long_to_wait() -> None:
    response = answer_of(Throttled(wait=12.4))
    assert (response.status_code, response["Retry-After"]) == (429, "13")


def test_a_bug_is_not_dressed_up_as_a_refusal() -> None:
    with pytest.raises(ZeroDivisionError):
        answer_of(ZeroDivisionError())


def test_a_bug_answers_500_as_a_problem_and_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("fundops.core.api.SchemaView.get", broken)
    client = Client(raise_request_exception=False)
    client.force_login(user_with(Role.AUDITOR))
    answer = client.get("/api/schema/")
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    assert "secret" not in answer.content.decode()


def test_unknown_address_401_then_404_as_problems(client: Client) -> None:
    answer = client.get("/api/nothing/")
    assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")
    assert answer["WWW-Authenticate"] == "Session"
    client.force_login(user_with(Role.AUDITOR))
    answer = client.get("/api/nothing/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_path_without_its_slash_is_served_with_method_and_body() -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/api/cohorts", "{}", content_type="application/json").status_code == 401
    client = Client()
    client.force_login(user_with(Role.AUDITOR))
    assert client.get("/api/cohorts").json() == client.get("/api/cohorts/").json()
    refused = client.post("/api/cohorts", "{}", content_type="application/json")
    assert (refused.status_code, refused.json()["permission"]) == (403, "trading.launch_cohort")


def test_the_session_alone_posts_nothing_without_its_token() -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user_with(Role.PORTFOLIO_MANAGER))
    for path in ("/api/cohorts", "/api/cohorts/"):
        answer = strict.post(path, "{}", content_type="application/json")
        assert answer.status_code == 403, path
        assert "CSRF" in answer.json()["detail"]


class _Names(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ("username", "email")


class _People(ListMixin, GenericAPIView[User]):
    permission = SIGNED_IN
    queryset = User.objects.order_by("username")
    serializer_class = _Names

    def get(self, request: Request) -> HttpResponseBase:
        return self.list(request)


def people(query: str, *, reader: User | None = None, **headers: str) -> Any:
    request = APIRequestFactory().get(f"/api/people/{query}", headers=headers)
    force_authenticate(request, reader or user_with(Role.AUDITOR))
    response = _People.as_view()(request)
    return response if response.streaming else response.render()


def test_pages_have_a_size_and_a_ceiling() -> None:
    UserFactory.create_batch(60)
    body = people("?page_size=7&page=2").data
    assert (len(body["results"]), body["count"]) == (7, 61)
    assert (body["next"] is not None, body["previous"] is not None) == (True, True)


def test_pages_are_fifty_rows_unless_asked() -> None:
    UserFactory.create_batch(60)
    assert len(people("").data["results"]) == 50


def test_pages_never_exceed_the_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fundops.core.api_classes.Page.max_page_size", 20)
    UserFactory.create_batch(30)
    assert len(people("?page_size=5000").data["results"]) == 20


def test_csv_by_format_and_by_accept_holds_every_row() -> None:
    UserFactory.create_batch(55)
    reader = user_with(Role.AUDITOR)
    for response in (people("?format=csv", reader=reader), people("", reader=reader, Accept="text/csv")):
        assert response["Content-Type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(b"".join(response).decode())))
        assert len(rows) == 56
        assert rows[0].keys() == {"username", "email"}
        assert response["X-Total-Count"] == "56"


def test_csv_is_whole_however_many_rows_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fundops.core.api_lists.ROWS_AT_ONCE", 20)
    UserFactory.create_batch(64)
    response = people("?format=csv")
    pieces = [piece.decode() for piece in response]
    assert len(pieces) == 4, "the header and 65 rows in pieces of twenty"
    header, *lines = "".join(pieces).splitlines()
    assert header == "username,email"
    names = [line.partition(",")[0] for line in lines]
    assert names == list(User.objects.order_by("username").values_list("username", flat=True))


def test_csv_of_nothing_is_empty() -> None:
    assert b"".join(stream_csv(User.objects.none(), _Names())) == b""


class _Open(serializers.BaseSerializer[User]):
    """Rows of which each has columns of its own."""

    def to_representation(self, instance: User) -> dict[str, Any]:
        number = instance.pk % 3
        return {"a": f"=x\n{number}", **({"b": {"c": number, "d": None}} if number else {}), "e": [number, True]}


def test_csv_of_rows_with_other_columns_is_what_the_renderer_makes_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fundops.core.api_lists._IN_MEMORY", 64)
    UserFactory.create_batch(7)
    rows = User.objects.order_by("pk")
    wanted = to_csv([flat(_Open().to_representation(one)) for one in rows])
    assert b"".join(stream_csv(rows, _Open())).decode() == wanted
    assert wanted.splitlines()[0] in {"a,e,b.c,b.d", "a,b.c,b.d,e"}


def test_every_list_of_the_api_comes_whole_as_csv() -> None:
    views = _listing_views()
    assert len(views) > 20
    assert [view.__name__ for view in views if not issubclass(view, ListMixin)] == []


def _listing_views() -> list[type]:
    """The classes of the API that answer with a list."""

    def walk(patterns: list[Any]) -> Iterator[Any]:
        for one in patterns:
            if hasattr(one, "url_patterns"):
                yield from walk(one.url_patterns)
            elif "list" in getattr(one.callback, "actions", {}).values():
                yield one.callback.cls

    return list(dict.fromkeys(walk(get_resolver().url_patterns)))


def test_csv_of_a_size_asked_for_is_just_that_page() -> None:
    UserFactory.create_batch(30)
    response = people("?format=csv&page_size=10")
    assert len(response.content.decode().splitlines()) == 11


def test_csv_cells_cannot_become_formulas_and_numbers_stay_numbers() -> None:
    assert csv_cell("=cmd()") == "'=cmd()"
    assert csv_cell("@x") == "'@x"
    assert csv_cell("-12.5") == "-12.5"
    assert csv_cell(None) == ""
    assert csv_cell(True) == "true"


def test_nested_rows_become_dotted_columns_in_order_of_appearance() -> None:
    assert flat({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}
    assert to_csv([{"a": 1}, {"b": 2}]) == "a,b\r\n1,\r\n,2\r\n"
    assert to_csv([]) == ""


def test_schema_names_the_permission_and_the_problems_of_every_operation(client: Client) -> None:
    client.force_login(user_with(Role.AUDITOR))
    schema = client.get("/api/schema/?format=json").json()
    operations = [op for path in schema["paths"].values() for op in path.values() if "responses" in op]
    assert operations
    for operation in operations:
        assert operation["x-permission"]
        assert "application/problem+json" in operation["responses"]["403"]["content"]


def test_documentation_lists_every_operation(client: Client) -> None:
    client.force_login(user_with(Role.AUDITOR))
    page = client.get("/api/docs/").content.decode()
    for path in client.get("/api/schema/?format=json").json()["paths"]:
        assert path in page


@pytest.mark.django_db(transaction=True)
async def test_csv_is_sent_as_it_is_made_where_requests_are_served_asynchronously(recwarn: Any) -> None:
    """As uvicorn serves it: outside a transaction, the cursor held over it, each piece when it is asked for."""
    await sync_to_async(connections.close_all)()  # this thread's: whoever used it before may have left it anyhow
    reader = await sync_to_async(reader_of_events)()
    client = AsyncClient()
    await client.aforce_login(reader)
    response: Any = await client.get("/api/audit/events/", {"format": "csv"})
    assert response.status_code == 200
    text = b"".join([piece async for piece in response.streaming_content]).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["payload.one"], row["payload.two"]) for row in rows[:2]] == [("", "2"), ("1", "")]
    assert len(rows) == int(response["X-Total-Count"])
    assert [str(one.message) for one in recwarn if "StreamingHttpResponse" in str(one.message)] == []


@transaction.atomic
def reader_of_events() -> User:
    """A reader, and two events to read whose payloads have other keys."""
    reader = user_with(Role.COMPLIANCE_OFFICER)
    publish("core.test.first", actor=reader, payload={"one": 1})
    publish("core.test.second", actor=reader, payload={"two": 2})
    return reader
