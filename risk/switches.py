"""May a Book trade now? Asked for every order: Redis first, the database as the truth, no answer when neither has one.

The effective mode is the worst of the switches of everything, of the venue, of the Book and of every Book above it,
and of their open hard breaches. Redis holds one short text with all that is not ACTIVE, and three promises go with it:

* It is believed for `FRESH_MS` after the database was read for it; then whoever asks next reads the database again.
  Only while the database does not answer is it believed for up to `STALE_MS`; then there is no answer, and no order.
* An older reading never replaces a newer one: the database counts every change (`SwitchBoard`, in the order of the
  commits) and Redis refuses a lower count. A reading that took too long to arrive is refused by Redis' own clock.
* What a transaction has not committed is never put there.

So what Redis says is never looser than the database for longer than `FRESH_MS`, whoever was killed between a commit
and the word to Redis; `STALE_MS` where the database is out of reach.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from redis.backoff import NoBackoff
from redis.retry import Retry

from risk.models.switches import SEVERITY
from risk.quant.pretrade import TradingMode
from treasury.models import Book
from treasury.models.books import PATH_SEPARATOR

logger = logging.getLogger(__name__)

#: What Redis says is taken as it is for so long after the database was read.
FRESH_MS = 1_000
#: And for so long while the database does not answer.
STALE_MS = 5_000
#: Redis answers an order within this, or counts as away.
REDIS_TIMEOUT_S = 0.25

_BY_SEVERITY = {severity: mode for mode, severity in SEVERITY.items()}
_AWAY = (redis.RedisError, OSError)

#: One statement, so that all of it is as of one instant. The last three say whether others may be told.
_READ = """
SELECT coalesce((SELECT version FROM risk_switchboard), 0),
       coalesce((SELECT json_agg(json_build_array(book_id, venue, mode))
                   FROM risk_killswitch WHERE mode <> 'ACTIVE'), '[]'),
       coalesce((SELECT json_agg(json_build_array(book_id, '', mode)) FROM (
           SELECT book_id, CASE WHEN bool_or('halt' = ANY (actions)) THEN 'HALTED' ELSE 'REDUCING' END AS mode
             FROM risk_limitbreach
            WHERE level = 'hard' AND status <> 'closed' AND actions && ARRAY['halt', 'reduce', 'flatten']::varchar[]
            GROUP BY book_id) AS breached), '[]'),
       (SELECT changed_xid FROM risk_switchboard) IS NOT DISTINCT FROM
           coalesce(pg_current_xact_id_if_assigned()::text::bigint, -1),
       current_setting('transaction_isolation') = 'read committed'
"""

# KEYS: text, fresh, floor. ARGV: version, text, when the reading began (Redis' clock, microseconds), FRESH, STALE.
_PUT = """
local now = redis.call('TIME')
local age = math.floor((now[1] * 1000000 + now[2] - ARGV[3]) / 1000)
if age < 0 or age >= tonumber(ARGV[5]) then return 0 end
if tonumber(ARGV[1]) < tonumber(redis.call('GET', KEYS[3]) or '0') then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[5] - age)
if age < tonumber(ARGV[4]) then redis.call('SET', KEYS[2], '1', 'PX', ARGV[4] - age) end
redis.call('SET', KEYS[3], ARGV[1], 'PX', 2 * ARGV[5])
return 1
"""

#: Books, from the root down to the one asked for. A Book never moves, so this is for ever.
_lines: dict[int, tuple[int, ...]] = {}
_LINES_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Modes:
    """All that is not ACTIVE, as of one instant; by Book (None for any) and venue (empty for any)."""

    version: int
    stopped: Mapping[tuple[int | None, str], int]

    def of(self, line: Iterable[int], venue: str) -> TradingMode:
        """The worst of what binds the last Book of `line` at `venue`."""
        if not self.stopped:
            return TradingMode.ACTIVE
        worst = 0
        for book in (None, *line):
            worst = max(worst, self.stopped.get((book, ""), 0))
            if venue:
                worst = max(worst, self.stopped.get((book, venue), 0))
        return _BY_SEVERITY[worst]


@dataclass(frozen=True, slots=True)
class _Reading:
    version: int
    text: str
    may_be_told: bool


def trading_mode_for(*, book_id: int, venue: str | None = None) -> TradingMode | None:
    """What orders of this Book may do now (at this venue). None is not known, and means: deny.

    Costs one round trip to Redis; about once in `FRESH_MS` one to the database.
    """
    return mode_of(modes_now(), book_id=book_id, venue=venue or "")


def mode_of(modes: Modes | None, *, book_id: int, venue: str) -> TradingMode | None:
    """What a reading says about a Book, for whoever asks it about many; None is not known."""
    if modes is None:
        return None
    try:
        line = _line(book_id)
    except (DatabaseError, InterfaceError):
        logger.warning("The database does not answer; the place of book %s is not known.", book_id, exc_info=True)
        _drop_broken_connection()
        return None
    return None if line is None else modes.of(line, venue)


def modes_now() -> Modes | None:
    """Everything that is not ACTIVE; None when neither Redis nor the database answers."""
    text, fresh = _from_redis()
    if text is not None and fresh:
        return _parsed(text)
    try:
        return _parsed(refresh())
    except (DatabaseError, InterfaceError):
        logger.warning("The database does not answer; modes are %s old or unknown.", f"{STALE_MS} ms", exc_info=True)
        _drop_broken_connection()
        return None if text is None else _parsed(text)


def modes_in_database() -> Modes:
    """The truth itself, as this transaction sees it."""
    return _parsed(_read().text)


def mode_in_database(line: Iterable[int], venue: str = "") -> TradingMode:
    """What binds the last Book of a line (root first), from the truth itself."""
    return modes_in_database().of(line, venue)


def refresh() -> str:
    """Reads the database and tells Redis; returns the text. A Redis that is away is no reason to fail."""
    began = _redis_time()
    reading = _read()
    if began is not None and reading.may_be_told:
        _put(reading, began)
    return reading.text


def changed() -> None:
    """To be called by what changes a mode: nobody goes by the old text any more, and the commit brings the new one."""
    forget_text()
    transaction.on_commit(_refresh_after_commit, robust=True)


def _refresh_after_commit() -> None:
    try:
        refresh()
    except (DatabaseError, InterfaceError):
        logger.warning("Redis was not told of a change; it will be within %d ms.", FRESH_MS, exc_info=True)


def forget_text() -> None:
    """Takes the text out of Redis, so that the next who asks reads the database. The floor stays."""
    text, fresh, _ = _keys()
    try:
        _client(settings.REDIS_URL).delete(text, fresh)
    except _AWAY:
        logger.warning("Redis does not answer; it is not told that modes change.")


def forget_everything() -> None:
    """As if neither Redis nor this process had ever known anything: for a database that was replaced beneath both."""
    _lines.clear()
    try:
        _client(settings.REDIS_URL).delete(*_keys())
    except _AWAY:
        logger.warning("Redis does not answer; it forgets by itself within %d ms.", 2 * STALE_MS)


# --- Redis ---
@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        decode_responses=True,
        retry=Retry(NoBackoff(), 1),  # once, for a connection that a restart has closed
    )


def _keys() -> tuple[str, str, str]:
    """One installation has one Redis; the database's name keeps several of one machine apart."""
    base = f"risk:switches:{connection.settings_dict['NAME']}"
    return base, f"{base}:fresh", f"{base}:floor"


def _from_redis() -> tuple[str | None, bool]:
    text, fresh, _ = _keys()
    try:
        found, mark = cast("list[str | None]", _client(settings.REDIS_URL).mget(text, fresh))
    except _AWAY:
        logger.warning("Redis does not answer; the database is asked.")
        return None, False
    return found, mark is not None


def _redis_time() -> int | None:
    try:
        seconds, micros = _client(settings.REDIS_URL).time()
    except _AWAY:
        return None
    return seconds * 1_000_000 + micros


def _put(reading: _Reading, began: int) -> bool:
    try:
        done = _client(settings.REDIS_URL).eval(
            _PUT, 3, *_keys(), str(reading.version), reading.text, str(began), str(FRESH_MS), str(STALE_MS)
        )
    except _AWAY:
        logger.warning("Redis does not answer; it is told of modes later.")
        return False
    return bool(done)


# --- The database ---
def _read() -> _Reading:
    with connection.cursor() as cursor:
        cursor.execute(_READ)
        version, switches, breaches, mine, committed_only = cursor.fetchone()
    stopped = [*_json(switches), *_json(breaches)]
    text = json.dumps({"version": version, "stopped": stopped}, separators=(",", ":"))
    return _Reading(version, text, may_be_told=committed_only and not mine)


def _json(found: Any) -> list[Any]:
    return list(json.loads(found) if isinstance(found, str) else found)


@lru_cache(maxsize=4)
def _parsed(text: str) -> Modes:
    """Cached: the same text comes for thousands of orders."""
    held = json.loads(text)
    stopped: dict[tuple[int | None, str], int] = {}
    for book, venue, mode in held["stopped"]:
        stopped[book, venue] = max(stopped.get((book, venue), 0), SEVERITY[TradingMode(mode)])
    return Modes(held["version"], stopped)


def _line(book_id: int) -> tuple[int, ...] | None:
    found = _lines.get(book_id)
    if found is not None:
        return found
    path = Book.objects.filter(pk=book_id).values_list("path", flat=True).first()
    if path is None:
        return None
    parts = path.split(PATH_SEPARATOR)
    paths = [PATH_SEPARATOR.join(parts[: i + 1]) for i in range(len(parts))]
    line = tuple(Book.objects.filter(path__in=paths).order_by("path").values_list("pk", flat=True))
    if len(_lines) >= _LINES_KEPT:
        _lines.clear()
    _lines[book_id] = line
    return line


def lines_of(books: Sequence[Book]) -> dict[int, tuple[int, ...]]:
    """The ids from the root down to each Book; a query only for Books this process has not seen."""
    unknown = {book.pk: book.path.split(PATH_SEPARATOR) for book in books if book.pk not in _lines}
    if unknown:
        paths = {pk: [PATH_SEPARATOR.join(parts[: i + 1]) for i in range(len(parts))] for pk, parts in unknown.items()}
        asked = {path for line in paths.values() for path in line}
        ids = dict(Book.objects.filter(path__in=asked).values_list("path", "pk"))
        if len(_lines) + len(paths) > _LINES_KEPT:
            _lines.clear()
        _lines.update({pk: tuple(ids[path] for path in line) for pk, line in paths.items()})
    return {book.pk: _lines[book.pk] for book in books}


def _drop_broken_connection() -> None:
    """Outside a transaction a dead connection is let go, so that the next question finds a new one."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
