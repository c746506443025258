"""Classification: whatever a driver raises becomes one small value, and that one of our errors."""

import ssl
from dataclasses import dataclass
from types import TracebackType

from pydantic import ValidationError
from sqlalchemy import MetaData
from sqlalchemy import exc as sa
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import SQLModel

from neonkit._seams.sqlmodel import names_of_tables
from neonkit.db._faults.constraints import violation_of
from neonkit.db._faults.missing_rows import is_missing_row
from neonkit.db._faults.orphans import is_orphaned
from neonkit.db._faults.refused_values import refused_value_of
from neonkit.db._faults.sqlstates import FaultKind, kind_of_refusal, kind_of_sqlstate
from neonkit.errors import (
    ContentionError,
    DatabaseUnavailableError,
    DeadlineError,
    DuplicateError,
    FieldProblem,
    HasDependentsError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    OverloadedError,
    PasswordError,
    ProblemError,
    RequestInvalidError,
)

__all__ = ["Fault", "FaultKind", "fault_of", "problem_error_of"]


@dataclass(frozen=True)
class Fault:
    """A classified database error: names, never values, and no text of the server.

    Attributes:
        kind: what went wrong.
        sqlstate: PostgreSQL's five characters; `None` where no server spoke.
        constraint: the constraint or unique index that was violated.
        table: the table that it belongs to.
        column: the column that must not be null.
    """

    kind: FaultKind
    sqlstate: str | None = None
    constraint: str | None = None
    table: str | None = None
    column: str | None = None

    @property
    def is_transient(self) -> bool:
        """True where the whole transaction may be run again: see `FaultKind.is_transient`."""
        return self.kind.is_transient


def fault_of(exc: BaseException) -> Fault | None:
    """Classify an exception by its SQLSTATE and the state of its connection.

    Takes what asyncpg, psycopg and the operating system raise, bare or wrapped by SQLAlchemy.
    An `OSError` or `TimeoutError` counts only where a driver raised it: a handler's own call
    to another service is not the database's fault.

    Returns:
        `None` for everything that is not about the database, our own errors included, but for a
        password that could not be had.
    """
    known = next((kind for kind in _KNOWN if isinstance(exc, kind)), None)
    if known is not None:
        return Fault(_KNOWN[known])
    cause = _unwrap(exc)
    if cause is None:
        return None
    if isinstance(cause, OSError):
        return Fault(_kind_of_network(cause))
    if isinstance(cause, UnicodeError):
        return Fault(FaultKind.INVALID_VALUE)  # psycopg lets a lone surrogate's error through
    reply = _Reply.of(cause)
    is_lost = isinstance(exc, sa.DBAPIError) and exc.connection_invalidated
    kind = _kind_of_reply(reply, cause, is_lost=is_lost)
    if kind is FaultKind.NOT_NULL and is_orphaned(exc, reply.table, reply.column):
        kind = FaultKind.DEPENDENTS
    if kind is FaultKind.INVALID_VALUE and _is_mistyped(exc):
        kind = FaultKind.DEFECT
    return Fault(
        kind,
        reply.sqlstate,
        reply.constraint,
        reply.table,
        reply.column,
    )


_KNOWN = {
    sa.TimeoutError: FaultKind.POOL_TIMEOUT,
    StaleDataError: FaultKind.STALE_ROW,
    PasswordError: FaultKind.UNAVAILABLE,
}
_DRIVERS = frozenset({"asyncpg", "psycopg", "psycopg_binary"})
_MACHINERY = frozenset({"asyncio", "concurrent", "selectors", "socket", "ssl", "uvloop"})
_QUOTES = frozenset('"«»„“”')


def _unwrap(exc: BaseException) -> BaseException | None:
    """Find what the driver or the network raised; `None` if neither did."""
    cause: BaseException | None = exc
    if isinstance(exc, sa.DBAPIError):
        cause = exc.orig
        if cause is not None and _is_adapted(cause):
            cause = cause.__cause__ or cause
    elif isinstance(exc, OSError | UnicodeError) and not _is_raised_by_driver(exc.__traceback__):
        return None
    if isinstance(cause, OSError | UnicodeError):
        return cause
    if cause is None or not (_is_adapted(cause) or _package(type(cause).__module__) in _DRIVERS):
        return None
    return cause


def _package(module: str) -> str:
    return module.partition(".")[0]


def _is_adapted(exc: BaseException) -> bool:
    return type(exc).__module__.startswith("sqlalchemy.dialects.")


def _is_raised_by_driver(traceback: TracebackType | None) -> bool:
    """True where the innermost frame outside the network's machinery is a driver's, or ours."""
    origin = ""
    while traceback is not None:
        module: str = traceback.tb_frame.f_globals.get("__name__", "")
        if _package(module) not in _MACHINERY:
            origin = module
        traceback = traceback.tb_next
    return _package(origin) in _DRIVERS or origin.startswith("neonkit.db.")


def _kind_of_network(exc: OSError) -> FaultKind:
    if isinstance(exc, ssl.SSLError):
        # a peer that hangs up in the handshake may be starting; one that fails it will not mend
        is_hang_up = isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        return FaultKind.UNAVAILABLE if is_hang_up else FaultKind.MISCONFIGURED
    return kind_of_refusal(str(exc)) or FaultKind.UNAVAILABLE


@dataclass(frozen=True)
class _Reply:
    """A driver's error under one set of names; lives only while it is judged.

    Attributes:
        text: the primary message.
        routine: PostgreSQL's C function; a proxy or a pooler names none.
    """

    sqlstate: str | None
    text: str
    routine: str | None
    constraint: str | None
    table: str | None
    column: str | None

    @classmethod
    def of(cls, exc: BaseException) -> "_Reply":
        """Read asyncpg's attributes, or psycopg's `diag`."""
        fields = getattr(exc, "diag", exc)
        return cls(
            sqlstate=_word(exc, "sqlstate"),
            text=_word(fields, "message_primary") or str(exc.args[0] if exc.args else ""),
            routine=_word(fields, "server_source_function") or _word(fields, "source_function"),
            constraint=_word(fields, "constraint_name"),
            table=_word(fields, "table_name"),
            column=_word(fields, "column_name"),
        )


def _word(holder: object, name: str) -> str | None:
    value = getattr(holder, name, None)
    return value if isinstance(value, str) else None


def _kind_of_reply(reply: _Reply, exc: BaseException, *, is_lost: bool) -> FaultKind:
    if reply.sqlstate is None:
        return _kind_without_code(reply, exc, is_lost=is_lost)
    kind = kind_of_sqlstate(reply.sqlstate)
    if reply.routine is None:
        return _kind_from_between(reply, kind, exc)
    if reply.sqlstate == "0A000" and reply.routine == "RevalidateCachedQuery":
        return FaultKind.STALE_PLAN
    if reply.sqlstate == "23503" and _names_two_tables(reply.text):
        return FaultKind.DEPENDENTS
    return kind


def _kind_without_code(reply: _Reply, exc: BaseException, *, is_lost: bool) -> FaultKind:
    if is_lost:
        return FaultKind.CONNECTION_LOST
    refusal = kind_of_refusal(reply.text)
    if refusal is not None:
        return refusal
    names = {ancestor.__name__ for ancestor in type(exc).__mro__}
    return next((kind for name, kind in _DRIVER_CLASSES.items() if name in names), FaultKind.DEFECT)


_DRIVER_CLASSES = {
    "OperationalError": FaultKind.UNAVAILABLE,  # psycopg: every failure to connect
    "DataError": FaultKind.INVALID_VALUE,  # psycopg: a value that it cannot send
    "ProtocolError": FaultKind.CONNECTION_LOST,  # asyncpg: bytes that make no sense
    "OutdatedSchemaCacheError": FaultKind.STALE_PLAN,  # asyncpg: a type changed meanwhile
    "ClientConfigurationError": FaultKind.MISCONFIGURED,  # asyncpg: arguments of connect()
}


def _kind_from_between(reply: _Reply, kind: FaultKind, exc: BaseException) -> FaultKind:
    """Judge a code that PostgreSQL itself did not send: a proxy, a pooler or asyncpg did."""
    if reply.sqlstate in {"XX000", "08P01"}:
        unknown = FaultKind.UNAVAILABLE if reply.sqlstate == "XX000" else kind
        return kind_of_refusal(reply.text) or unknown
    if kind is FaultKind.INVALID_VALUE and isinstance(exc.__cause__, TypeError):
        return FaultKind.DEFECT  # asyncpg was handed a value of a wrong type
    return kind


def _is_mistyped(exc: BaseException) -> bool:
    """True where psycopg sent text for a number or a time, which asyncpg refuses to send."""
    refused = refused_value_of(exc)
    return refused is not None and refused.column is not None and isinstance(refused.value, str)


def _names_two_tables(text: str) -> bool:
    """True where a foreign key's message names the referred table besides its own and the key.

    The only difference between the two sides of a 23503 that the server makes: "update or
    delete on table A violates K on table B", where the other side says "insert or update on
    table B violates K". Every translation quotes three names, or two.
    """
    return sum(character in _QUOTES for character in text) > 4  # noqa: PLR2004  # two, quoted


_ERRORS: dict[FaultKind, type[ProblemError]] = {
    FaultKind.DUPLICATE: DuplicateError,
    FaultKind.FOREIGN_KEY: InvalidInputError,
    FaultKind.DEPENDENTS: HasDependentsError,
    FaultKind.NOT_NULL: InvalidInputError,
    FaultKind.CHECK: InvalidInputError,
    FaultKind.INVALID_VALUE: InvalidInputError,
    FaultKind.SERIALIZATION: ContentionError,
    FaultKind.DEADLOCK: ContentionError,
    FaultKind.LOCK_TIMEOUT: ContentionError,
    FaultKind.STALE_ROW: ContentionError,
    FaultKind.STALE_PLAN: DatabaseUnavailableError,
    FaultKind.STATEMENT_TIMEOUT: DeadlineError,
    FaultKind.CONNECTION_LOST: DatabaseUnavailableError,
    FaultKind.UNAVAILABLE: DatabaseUnavailableError,
    FaultKind.OUTCOME_UNKNOWN: OutcomeUnknownError,
    FaultKind.TOO_MANY_CONNECTIONS: OverloadedError,
    FaultKind.POOL_TIMEOUT: OverloadedError,
    FaultKind.READ_ONLY: DatabaseUnavailableError,
    FaultKind.RESOURCES: DatabaseUnavailableError,
    FaultKind.MISCONFIGURED: DatabaseUnavailableError,
}

_COMPLAINTS = {
    FaultKind.DUPLICATE: ("duplicate", "This value is already taken."),
    FaultKind.FOREIGN_KEY: ("unknown-reference", "What this refers to does not exist."),
    FaultKind.NOT_NULL: ("missing", "A value is required."),
    FaultKind.CHECK: ("refused", "This value is not allowed."),
}


def problem_error_of(
    exc: BaseException | Fault, metadata: MetaData | None = None
) -> ProblemError | None:
    """Turn a fault, or the exception that it is in, into the error that a client is told.

    The fields at fault are found through the constraint's name: in `metadata`, else by the
    names that PostgreSQL and our naming convention give. A constraint or index can say more
    in its `info`: `field`, the name of the body's field (for an index over an expression), and
    `error`, the subclass of `ProblemError` that a violation means.

    Args:
        exc: what was raised, or what `fault_of` made of it.
        metadata: where the tables are; `SQLModel.metadata` by default.

    A `ValidationError` of a table class, from `Note.model_validate(body)`, is told field by field.
    A session's `get_one` of a missing row is `not-found`.

    Returns:
        `None` for a defect and for what is no fault: answer 500 and log the exception.
    """
    if isinstance(exc, ValidationError):
        return _invalid_row(exc)
    if isinstance(exc, sa.NoResultFound) and is_missing_row(exc):
        return NotFoundError()
    fault = exc if isinstance(exc, Fault) else fault_of(exc)
    error = _ERRORS.get(fault.kind) if fault else None
    if fault is None or error is None:
        return None
    if fault.kind not in _COMPLAINTS:
        return error()
    code, message = _COMPLAINTS[fault.kind]
    violation = violation_of(
        SQLModel.metadata if metadata is None else metadata,
        table=fault.table,
        constraint=fault.constraint,
        column=fault.column,
    )
    problems = [FieldProblem(_pointer(field), code, message) for field in violation.fields]
    return (violation.error or error)(errors=problems)


def _invalid_row(exc: ValidationError) -> ProblemError | None:
    """The error of a row that did not validate; `None` where it was not a table class that refused.

    A handler that makes a row of a body by `Note.model_validate(body)` meets rules that the body's
    class did not have: they are rules for the client all the same.
    """
    if exc.title not in names_of_tables():
        return None
    found = exc.errors(include_url=False, include_context=False, include_input=False)
    return RequestInvalidError(
        errors=[
            FieldProblem(
                "".join(map(_pointer_step, ("body", *each["loc"]))), each["type"], each["msg"]
            )
            for each in found
        ]
    )


def _pointer(field: str) -> str:
    return f"/body{_pointer_step(field)}"


def _pointer_step(name: str | int) -> str:
    return "/" + str(name).replace("~", "~0").replace("/", "~1")  # RFC 6901, section 3
