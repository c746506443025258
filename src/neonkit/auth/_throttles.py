"""Throttles: how often something may be tried, counted here and in the database.

Here, so that a refusal costs nothing and wakes nobody; in the database, so that all workers count
together. What was counted here travels with a statement that is sent anyway, and the same statement
asks what the others have counted. No timer sends anything.
"""

import hmac
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    Integer,
    LargeBinary,
    String,
    bindparam,
    column,
    literal,
    select,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.selectable import HasCTE

from neonkit.auth._security_log import log_security_event
from neonkit.db import Condition, Database
from neonkit.errors import RateLimitedError

_PURPOSE = b"neonkit.throttle.1\0"
_MOST_TALLIES = 100_000
_SHARES = 10

_THROTTLES: Final = table(
    "throttles",
    column("key", LargeBinary),
    column("count", Integer),
    column("ends_at", DateTime(timezone=True)),
    schema="neonkit",
)
# As text, beside a user's own INSERT: of two that SQLAlchemy compiles in one statement, one loses
# the defaults of its columns. In the order of keys, so that two never wait in a circle.
_COUNT: Final = """
INSERT INTO neonkit.throttles AS shared (key, count, ends_at)
SELECT decode(key, 'hex'), count, ends_at
FROM json_to_recordset(CAST(:neonkit_counts AS json))
  AS new(key text, count int, ends_at timestamptz)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET
  count = excluded.count + CASE WHEN shared.ends_at <= now() THEN 0 ELSE shared.count END,
  ends_at = CASE WHEN shared.ends_at <= now() THEN excluded.ends_at ELSE shared.ends_at END
"""
_PURGE: Final = (
    text(
        "DELETE FROM neonkit.throttles WHERE ctid IN (SELECT ctid FROM neonkit.throttles"
        " WHERE ends_at <= now() - interval '1 minute' LIMIT 10 FOR UPDATE SKIP LOCKED)"
    )
    .columns(column("nothing"))
    .cte("neonkit_throttles_purged")
)

_NOTHING: Final = select(literal(1).label("one"))

Statement = TypeVar("Statement", bound=HasCTE)


@dataclass(frozen=True)
class Limit:
    """How often something may be tried.

    Attributes:
        name: tells what is counted apart.
        most: times, within a window that begins with the first.
        seconds: how long the window is.
    """

    name: str
    most: int
    seconds: float


@dataclass(frozen=True)
class Attempt:
    """Something that somebody tries.

    Attributes:
        limit: how often they may.
        who: they are, such as an address or a name; neither log nor database holds it.
    """

    limit: Limit
    who: str = field(repr=False)


@dataclass
class _Tally:
    """What was counted of one attempt, what of it is not shared, and until when it counts."""

    ends: float
    count: int = 0
    unshared: int = 0
    is_told: bool = False


@dataclass(frozen=True)
class _Carried:
    """A count on its way: its key at rest, how much of it travels, and what was unshared before."""

    key: bytes
    attempt: Attempt
    tally: _Tally
    amount: int
    before: int


class Ride:
    """Counts on their way to the database, by a statement that goes there anyway.

    Args:
        carried: which.
        refusal: makes the error of one that was tried too often.
    """

    def __init__(
        self,
        carried: Sequence[_Carried],
        refusal: Callable[[Attempt, _Tally], RateLimitedError],
    ) -> None:
        self._carried = carried
        self._refusal = refusal

    @property
    def unshared(self) -> int:
        """How much the database has not heard of yet."""
        return sum(each.amount for each in self._carried)

    @property
    def conditions(self) -> list[Condition]:
        """Nobody has used up the limit, by what all workers have shared: else 429."""
        return [
            Condition(_is_left(each), partial(self._refusal, each.attempt, each.tally))
            for each in self._carried
        ]

    def on(self, statement: Statement) -> Statement:
        """Let a statement carry what is unshared."""
        rows = [each for each in self._carried if each.amount]
        return statement.add_cte(_step(rows), _PURGE) if rows else statement

    def arrived(self) -> None:
        """Note that the statement was carried out."""
        for each in self._carried:
            each.tally.unshared -= each.amount


def _is_left(carried: _Carried) -> ColumnElement[bool]:
    shared = _THROTTLES.c
    spent = select(shared.key).where(
        shared.key == literal(carried.key, LargeBinary),
        shared.ends_at > literal(datetime.now(UTC), DateTime(timezone=True)),
        shared.count + carried.before >= carried.attempt.limit.most,
    )
    return ~spent.correlate(None).exists()


def _step(carried: Sequence[_Carried]) -> CTE:
    """Add counts to those that are shared."""
    rows = [
        {
            "key": each.key.hex(),
            "count": each.amount,
            "ends_at": datetime.fromtimestamp(each.tally.ends, UTC).isoformat(),
        }
        for each in carried
    ]
    counts = bindparam("neonkit_counts", json.dumps(rows), type_=String)
    return text(_COUNT).bindparams(counts).columns(column("nothing")).cte("neonkit_counted")


class Throttles:
    """The counts of a process.

    Args:
        key: makes digests of who tries: at rest is nothing else of them.
        is_enabled: `False` refuses nothing and counts nothing.
    """

    def __init__(self, key: bytes, *, is_enabled: bool = True) -> None:
        self._key = key
        self._is_enabled = is_enabled
        self._tallies: OrderedDict[bytes, _Tally] = OrderedDict()

    def refuse(self, *attempts: Attempt) -> None:
        """Refuse what was tried too often, by what is counted here.

        Raises:
            RateLimitedError: with the seconds until the window ends (429).
        """
        for attempt in attempts:
            tally = self._tallies.get(self._digest(attempt))
            if tally is not None and tally.count >= attempt.limit.most and tally.ends > time.time():
                raise self._refusal(attempt, tally)

    def add(self, *attempts: Attempt) -> None:
        """Count one more of each."""
        if self._is_enabled:
            for attempt in attempts:
                tally = self._tally(attempt)
                tally.count += 1
                tally.unshared += 1

    def ride(self, *attempts: Attempt, adding: int = 0) -> "Ride":
        """Let counts travel with a statement of one's own.

            ride = throttles.ride(attempt, adding=1)
            done = await db.execute(ride.on(statement), conditions=ride.conditions)
            ride.arrived()

        Args:
            attempts: what the statement is about.
            adding: how many more of each to count at once.

        Raises:
            RateLimitedError: they were tried too often by what is counted here (429).
        """
        self.refuse(*attempts)
        if not self._is_enabled:
            return Ride((), self._refusal)
        known = [(self._digest(each), each, self._tally(each)) for each in attempts]
        before = [tally.unshared for _, _, tally in known]
        for _ in range(adding):
            self.add(*attempts)
        carried = (
            _Carried(key, each, tally, tally.unshared, others)
            for (key, each, tally), others in zip(known, before, strict=True)
        )
        return Ride(tuple(sorted(carried, key=lambda each: each.key)), self._refusal)

    async def take(self, attempt: Attempt, database: Database, *, may_wake: bool) -> None:
        """Count one more, where there is no statement for it to ride on.

        Each tenth of the limit that somebody has used up here is shared in a round trip of its own.

        Args:
            attempt: what is tried.
            database: where counts are shared.
            may_wake: `False` shares nothing while the database may be asleep.

        Raises:
            RateLimitedError: it was tried too often (429).
        """
        ride = self.ride(attempt, adding=1)
        if not may_wake or ride.unshared < max(1, attempt.limit.most // _SHARES):
            return
        with suppress(DBAPIError):  # the database is away: what is counted here has to do
            await database.execute(ride.on(_NOTHING), conditions=ride.conditions)
            ride.arrived()

    def _refusal(self, attempt: Attempt, tally: _Tally) -> RateLimitedError:
        if not tally.is_told:
            tally.is_told = True
            log_security_event("too-many-attempts", limit=attempt.limit.name)
        return RateLimitedError(max(1, math.ceil(tally.ends - time.time())))

    def _tally(self, attempt: Attempt) -> _Tally:
        key, now = self._digest(attempt), time.time()
        tally = self._tallies.get(key)
        if tally is None or tally.ends <= now:
            tally = self._tallies[key] = _Tally(now + attempt.limit.seconds)
            self._tallies.move_to_end(key)
            while len(self._tallies) > _MOST_TALLIES:
                self._tallies.popitem(last=False)
        return tally

    def _digest(self, attempt: Attempt) -> bytes:
        said = f"{attempt.limit.name}\0{attempt.who}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, _PURPOSE + said, "sha256")[:16]
