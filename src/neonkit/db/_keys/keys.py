"""Idempotency keys: taken and answered in the write's own transaction."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    Boolean,
    LargeBinary,
    String,
    Subquery,
    TextClause,
    bindparam,
    column,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from neonkit.db._faults.classification import fault_of
from neonkit.db._faults.sqlstates import FaultKind
from neonkit.db._keys.answers import StoredAnswer
from neonkit.errors import (
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    ProblemError,
)

_BINDS: dict[str, type[TypeEngine[Any]]] = {
    "neonkit_lock": BigInteger,
    "neonkit_scope": LargeBinary,
    "neonkit_key": String,
}
_TAKE = text("SELECT pg_advisory_xact_lock(:neonkit_lock)")
DROP_EXPIRED = """
DELETE FROM neonkit.keys WHERE ctid IN (
  SELECT ctid FROM neonkit.keys
  WHERE expires_at <= now() AND (scope, key) <> (:neonkit_scope, :neonkit_key)
  LIMIT 10 FOR UPDATE SKIP LOCKED
)
"""
KEEP = """
INSERT INTO neonkit.keys AS keys (scope, key, fingerprint, answer, expires_at)
SELECT :neonkit_scope, :neonkit_key, :neonkit_fingerprint, {answer}, {expires_at}
{where}
ON CONFLICT (scope, key) DO UPDATE
SET fingerprint = excluded.fingerprint, answer = excluded.answer, expires_at = excluded.expires_at
WHERE keys.expires_at <= now()
RETURNING true AS is_kept
"""
EXPIRES_AT = "now() + CAST(:neonkit_lifetime AS interval)"
_STORE = text(KEEP.format(answer=":neonkit_answer", expires_at=EXPIRES_AT, where=""))


def _with_binds(statement: TextClause) -> TextClause:
    return statement.bindparams(*(bindparam(name, type_=kind) for name, kind in _BINDS.items()))


LOOK_UP: Subquery = (
    _with_binds(
        text("""
SELECT pg_try_advisory_xact_lock(:neonkit_lock) AS is_free, fingerprint, answer
FROM (SELECT) AS always
LEFT JOIN neonkit.keys
  ON scope = :neonkit_scope AND key = :neonkit_key AND coalesce(expires_at > now(), true)
""")
    )
    .columns(
        column("is_free", Boolean), column("fingerprint", LargeBinary), column("answer", String)
    )
    .subquery("neonkit_look_up")
)
"""True if nobody is at work under a key, and the answer that is kept under it: always one row."""


@dataclass(frozen=True)
class Key:
    """A client's idempotency key, with all that tells two requests apart.

    Attributes:
        value: as the client sent it.
        scope: a digest of caller, method and path: the same value elsewhere is another key.
        fingerprints: of the request's body, under each signing key; the first is stored.
        lifetime: seconds that the answer is kept; `None` for good.
        unless: a column; only an answer that has a value there is forgotten after its lifetime.
        slug_of: names an error whose answer is kept; `None` for the others.
        kind_of: the class of error that a name stands for.
        on_replay: is called when an answer is one that was kept.
    """

    value: str
    scope: bytes = field(repr=False)
    fingerprints: tuple[bytes, ...] = field(repr=False)
    lifetime: float | None = 86400.0
    unless: str | None = None
    slug_of: Callable[[ProblemError], str | None] = field(default=lambda _: None, repr=False)
    kind_of: Callable[[str], type[ProblemError]] = field(default=lambda _: ProblemError, repr=False)
    on_replay: Callable[[], None] = field(default=lambda: None, repr=False)

    def for_good(self, *, unless: str | None = None) -> Self:
        """The same key, whose answer is never forgotten.

        Args:
            unless: a column of the statement's that says that nothing happened, such as `refusal`:
                an answer with a value there is forgotten as others are.
        """
        return replace(self, lifetime=self.lifetime if unless else None, unless=unless)

    @property
    def lock(self) -> int:
        """The advisory lock that a request holds while it has the key; 64 bits."""
        digest = hashlib.sha256(self.scope + self.value.encode()).digest()
        return int.from_bytes(digest[:8], signed=True)

    @property
    def row(self) -> dict[str, Any]:
        """The parameters that find its row."""
        return {
            "neonkit_lock": self.lock,
            "neonkit_scope": self.scope,
            "neonkit_key": self.value,
        }

    @property
    def new_row(self) -> dict[str, Any]:
        """The parameters that write its row, but for the answer."""
        lifetime = None if self.lifetime is None else timedelta(seconds=self.lifetime)
        return {
            "neonkit_scope": self.scope,
            "neonkit_key": self.value,
            "neonkit_fingerprint": self.fingerprints[0],
            "neonkit_lifetime": lifetime,
        }

    def answer_in(self, found: Sequence[Any]) -> StoredAnswer | None:
        """The answer in a row of `LOOK_UP`; `None` where none is kept.

        Raises:
            IdempotencyKeyReusedError: it was used for another body.
        """
        _is_free, fingerprint, answer = found
        if fingerprint is None:
            return None
        if bytes(fingerprint) not in self.fingerprints:
            raise IdempotencyKeyReusedError
        return StoredAnswer.from_json(answer)

    def replay(self, answer: StoredAnswer) -> None:
        """Tell that an answer is one that was kept; raise it where it is a refusal."""
        self.on_replay()
        if answer.problem is not None:
            kind = self.kind_of(answer.problem)
            raise kind.restored(answer.detail, answer.field_problems())

    def keeps(self, error: Exception) -> bool:
        """True if an error is an answer that is kept."""
        return isinstance(error, ProblemError) and self.slug_of(error) is not None

    def refusal(self, error: ProblemError) -> StoredAnswer | None:
        """An error as it is kept; `None` for one that is not."""
        slug = self.slug_of(error)
        return None if slug is None else StoredAnswer.of_problem(slug, error)


async def take(connection: AsyncConnection, key: Key) -> StoredAnswer | None:
    """Take the key for this transaction; the answer that is kept under it, if there is one.

    Raises:
        IdempotencyInProgressError: another request kept it for longer than LOCK_TIMEOUT.
        IdempotencyKeyReusedError: it was used for another body.
    """
    # in a statement of its own: the look-up must have a snapshot from after the wait
    try:
        await connection.execute(_TAKE, {"neonkit_lock": key.lock})
    except DBAPIError as error:
        fault = fault_of(error)
        if fault is not None and fault.kind is FaultKind.LOCK_TIMEOUT:
            raise IdempotencyInProgressError from error
        raise
    found = await connection.execute(select(*LOOK_UP.c), key.row)
    return key.answer_in(found.one())


async def store(connection: AsyncConnection, key: Key, answer: StoredAnswer) -> None:
    """Keep an answer, in the transaction of its effect; a few that have expired are dropped."""
    await connection.execute(_STORE, {**key.new_row, "neonkit_answer": answer.to_json()})
    row = key.row
    await connection.execute(
        text(DROP_EXPIRED), {name: row[name] for name in ("neonkit_scope", "neonkit_key")}
    )
