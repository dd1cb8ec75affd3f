"""Statements written by hand: what they are given reaches the database as it was."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from fundops.core.bulk import flushed_later, new_row, order, run
from trading.models.deployments import Deployment, Order, TradingCycle

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("numbers", [[], [7], [3, -1, 2**62]])
def test_lists_of_numbers_arrive_in_their_order(numbers: list[int]) -> None:
    assert run("SELECT %s::bigint[]", [numbers]) == [(numbers,)]
    assert run("SELECT %(numbers)s::bigint[]", {"numbers": numbers}) == [(numbers,)]


@pytest.mark.parametrize("value", ["{1,2}", "a'b\\c", True, 1.5, Decimal("0.10"), None])
def test_single_values_arrive_as_they_are(value: Any) -> None:
    kinds = {str: "text", bool: "bool", float: "float8", Decimal: "numeric", type(None): "text"}
    assert run(f"SELECT %s::{kinds[type(value)]}", [value]) == [(value,)]


def test_lists_of_texts_arrive_in_their_order() -> None:
    texts = ["a", "", "{b,c}", '"d"', "1"]
    assert run("SELECT %s::text[]", [texts]) == [(texts,)]


def test_a_statement_without_rows_returns_none() -> None:
    assert run("SET LOCAL lock_timeout = 0") == []
    assert run("SELECT 1 WHERE false") == []


def test_a_name_may_stand_in_a_statement_twice_and_a_percent_sign_for_itself() -> None:
    asked = {"a": 7, "b": "x%y"}
    assert run("SELECT %(a)s::int, %(b)s::text, %(a)s::int + 1, 7 %% 4", asked) == [(7, "x%y", 8, 3)]


def test_a_transaction_that_was_asked_for_holds_what_is_run_in_it() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        run("SELECT set_config('fundops.test', 'inside', true)")
        assert run("SELECT current_setting('fundops.test')") == [("inside",)]
        raise RuntimeError
    assert run("SELECT coalesce(current_setting('fundops.test', true), '') = 'inside'") == [(False,)]


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_may_be_flushed_later_does_not_wait_for_the_disk() -> None:
    run("SELECT set_config('synchronous_commit', 'on', false)")
    with flushed_later():
        assert run("SHOW synchronous_commit") == [("off",)]
    assert run("SHOW synchronous_commit") == [("on",)]
    run("RESET synchronous_commit")


@pytest.mark.django_db(transaction=True)
def test_a_session_that_the_database_has_ended_is_an_error_of_operation() -> None:
    ((pid,),) = run("SELECT pg_backend_pid()")
    with psycopg.connect(connection.connection.info.dsn, password=connection.settings_dict["PASSWORD"]) as other:
        other.autocommit = True
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
    with pytest.raises(OperationalError):
        run("SELECT 1")
    connection.close()
    assert run("SELECT 1") == [(1,)]


def test_orders_are_several_statements_in_one_message() -> None:
    order("SET LOCAL lock_timeout = 5; SET LOCAL statement_timeout = 70000")
    assert run("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')") == [("5ms", "70s")]


def test_a_new_row_is_the_one_that_the_constructor_makes() -> None:
    deployment = Deployment(pk=5)
    cycle = TradingCycle(pk=6, deployment=deployment)
    given: dict[str, Any] = {"deployment": deployment, "cycle": cycle, "symbol": "BTCUSDT", "quantity": Decimal(2)}
    made, expected = new_row(Order, **given), Order(**given)
    fields = [field.attname for field in Order._meta.concrete_fields]
    assert [getattr(made, name) for name in fields] == [getattr(expected, name) for name in fields]
    assert made.cycle is cycle and made.deployment is deployment
    assert made._state.adding and made._state.db is None
    assert new_row(Order, cycle=None).cycle_id is Order(cycle=None).cycle_id is None
    assert new_row(TradingCycle).timings is not new_row(TradingCycle).timings
