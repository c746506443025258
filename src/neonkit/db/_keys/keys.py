"""Keys under which a write happens once: taken and answered in the write's own transaction."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    LargeBinary,
    Select,
    String,
    column,
    select,
    text,
    true,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from neonkit.db._faults.classification import fault_of
from neonkit.db._faults.sqlstates import FaultKind
from neonkit.errors import (
    FieldProblem,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    NeonkitError,
    ProblemError,
)

_LOOK = (
    text("""
SELECT pg_try_advisory_xact_lock(:lock) AS is_free, fingerprint, answer
FROM (SELECT) AS always
LEFT JOIN neonkit.keys
  ON scope = :scope AND key = :key AND coalesce(expires_at > now(), true)
""")
    .columns(
        column("is_free", Boolean), column("fingerprint", LargeBinary), column("answer", String)
    )
    .subquery("found")
)
_TAKE = text("SELECT pg_advisory_xact_lock(:lock)")
_FIND = text("""
SELECT fingerprint, answer FROM neonkit.keys
WHERE scope = :scope AND key = :key AND coalesce(expires_at > now(), true)
""")
DROP_OLD = """
DELETE FROM neonkit.keys WHERE ctid IN (
  SELECT ctid FROM neonkit.keys
  WHERE expires_at <= now() AND (scope, key) <> (:neonkit_scope, :neonkit_key)
  LIMIT 10 FOR UPDATE SKIP LOCKED
)
"""
_STORE = text("""
INSERT INTO neonkit.keys (scope, key, fingerprint, answer, expires_at)
VALUES (:scope, :key, :fingerprint, :answer, now() + CAST(:lifetime AS interval))
ON CONFLICT (scope, key) DO UPDATE
SET fingerprint = excluded.fingerprint, answer = excluded.answer, expires_at = excluded.expires_at
""")


@dataclass(frozen=True)
class Key:
    """A client's idempotency key, with all that tells two requests apart.

    Attributes:
        value: as the client sent it.
        scope: a digest of caller, method and path: the same value elsewhere is another key.
        fingerprints: of the request's body, under each signing key; the first is stored.
        lifetime: seconds that the answer is kept; `None` for good.
        slug_of: names an error whose answer is kept; `None` for the others.
        kind_of: the class of error that a name stands for.
        on_replay: is called when an answer is one that was kept.
    """

    value: str
    scope: bytes = field(repr=False)
    fingerprints: tuple[bytes, ...] = field(repr=False)
    lifetime: float | None = 86400.0
    slug_of: Callable[[ProblemError], str | None] = field(default=lambda _: None, repr=False)
    kind_of: Callable[[str], type[ProblemError]] = field(default=lambda _: ProblemError, repr=False)
    on_replay: Callable[[], None] = field(default=lambda: None, repr=False)

    def for_good(self) -> Self:
        """The same key, whose answer is never forgotten."""
        return replace(self, lifetime=None)

    @property
    def lock(self) -> int:
        """The advisory lock that a request holds while it has the key; 64 bits."""
        digest = hashlib.sha256(self.scope + self.value.encode()).digest()
        return int.from_bytes(digest[:8], signed=True)


async def take(connection: AsyncConnection, key: Key) -> str | None:
    """Take the key for this transaction; the answer that is kept under it, if there is one.

    Raises:
        IdempotencyInProgressError: another request kept it for longer than LOCK_TIMEOUT.
        IdempotencyKeyReusedError: it was used for another body.
    """
    try:
        await connection.execute(_TAKE, {"lock": key.lock})
    except DBAPIError as error:
        fault = fault_of(error)
        if fault is not None and fault.kind is FaultKind.LOCK_TIMEOUT:
            raise IdempotencyInProgressError from error
        raise
    found = await connection.execute(_FIND, {"scope": key.scope, "key": key.value})
    row = found.one_or_none()
    return None if row is None else _own_answer(row.fingerprint, row.answer, key)


def _own_answer(fingerprint: bytes, answer: str, key: Key) -> str:
    if bytes(fingerprint) not in key.fingerprints:
        raise IdempotencyKeyReusedError
    return answer


def look(
    key: Key | None, condition: ColumnElement[bool] | None = None
) -> tuple[Select[*tuple[Any, ...]], dict[str, Any]]:
    """What to ask, with which parameters, to know what `seen` tells."""
    holds = (true() if condition is None else condition).label("holds")
    if key is None:
        return select(holds), {}
    return select(holds, *_LOOK.c), {"lock": key.lock, "scope": key.scope, "key": key.value}


def seen(row: Sequence[Any], key: Key | None) -> tuple[bool, bool, str | None]:
    """Whether a condition holds, whether nobody is at work under a key, and its answer.

    Args:
        row: the answer to `look`.
        key: what `look` was given.

    Raises:
        IdempotencyKeyReusedError: the condition holds, and the key was used for another body.
    """
    if key is None:
        return row[0], True, None
    holds, is_free, fingerprint, answer = row
    if not holds or fingerprint is None:
        return holds, is_free, None
    return holds, is_free, _own_answer(fingerprint, answer, key)


async def store(connection: AsyncConnection, key: Key, answer: str) -> None:
    """Keep an answer, in the transaction of its effect; a few that have expired are dropped."""
    lifetime = None if key.lifetime is None else timedelta(seconds=key.lifetime)
    values = {
        "scope": key.scope,
        "key": key.value,
        "fingerprint": key.fingerprints[0],
        "answer": answer,
        "lifetime": lifetime,
    }
    await connection.execute(_STORE, values)
    old = {"neonkit_scope": key.scope, "neonkit_key": key.value}
    await connection.execute(text(DROP_OLD), old)


def written_problem(key: Key, error: ProblemError) -> str | None:
    """An error as it is kept; `None` for one that is not."""
    slug = key.slug_of(error)
    if slug is None:
        return None
    fields = [vars(each) for each in error.errors]
    return json.dumps({"problem": slug, "detail": str(error), "errors": fields})


def raise_problem(key: Key, answer: str) -> None:
    """Raise the error that was kept; return where the answer is none."""
    kept = json.loads(answer)
    if "problem" not in kept:
        return
    kind = key.kind_of(kept["problem"])
    error = kind.__new__(kind)
    fields = [FieldProblem(**each) for each in kept["errors"]]
    ProblemError.__init__(error, kept["detail"], errors=fields)
    raise error


_KINDS: dict[str, tuple[type[Any], Callable[[Any], str], Callable[[str], Any]]] = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "decimal": (Decimal, str, Decimal),
    "uuid": (UUID, str, UUID),
    "microseconds": (
        timedelta,
        lambda value: str(value // timedelta(microseconds=1)),
        lambda text: timedelta(microseconds=int(text)),
    ),
    "bytes": (
        bytes,
        lambda value: base64.b64encode(value).decode(),
        base64.b64decode,
    ),
}


def write_value(value: object) -> object:
    """A column's value as JSON that `read_value` turns into the same value of the same type."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for name, (kind, write, _) in _KINDS.items():
        if isinstance(value, kind):
            return {"$": name, "v": write(value)}
    if isinstance(value, list | tuple):
        return [write_value(each) for each in value]
    if isinstance(value, dict):
        return {"$": "dict", "v": {name: write_value(each) for name, each in value.items()}}
    raise UnstorableAnswerError(type(value).__name__)


def read_value(value: Any) -> Any:  # noqa: ANN401  # any column's
    """Undo `write_value`."""
    if isinstance(value, list):
        return [read_value(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value["$"] == "dict":
        return {name: read_value(each) for name, each in value["v"].items()}
    return _KINDS[value["$"]][2](value["v"])


class UnstorableAnswerError(NeonkitError):
    """What a keyed statement or function returned cannot be kept for a replay.

    Args:
        kind: the type at fault.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"{kind} cannot be kept under an idempotency key: return columns from a statement, and "
            "an annotated response model from a function"
        )
