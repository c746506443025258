"""The errors that neonkit raises, and that your code may raise.

    NeonkitError
    ├── ConfigurationError          start-up: a setting, a URL, a missing piece
    │   └── UrlError                which part of a database URL is wrong
    ├── MigrationError              a migration could not be run
    │   └── BehindError             the database lacks migrations of this release
    ├── PasswordError               the function that gives the database's password did not
    ├── UncommittedError            a session ended with work that nobody committed
    ├── CommitNotYoursError         a function of `run_transaction` committed by itself
    ├── ConditionFailedError        `Database.execute` did nothing: a condition did not hold
    ├── SessionEndedError           a lent session was used after its block
    ├── ReadOnlySessionError        a session that only reads was asked to write
    ├── RelationNotLoadedError      a relation was touched that its query did not load
    └── ProblemError                a request that is answered with a problem document
        ├── MalformedJsonError      the body is not one strict JSON document
        ├── MalformedHeaderError    a header cannot be read
        ├── HeaderTooLargeError     more header lines than this service reads
        ├── UriTooLongError         a target that is longer than this service reads
        ├── NotAcceptableError      the client takes nothing that this service gives
        ├── PayloadTooLargeError    the body is longer than this service reads
        ├── UnsupportedMediaTypeError the body is of a kind that is not taken here
        ├── RequestTimeoutError     the body came too slowly
        ├── UnauthorizedError       no credentials
        ├── InvalidTokenError       credentials that do not hold
        ├── InvalidCredentialsError a login or a current password that does not match
        ├── IdempotencyKeyMissingError this write needs a key
        ├── IdempotencyKeyInvalidError a key that cannot be one
        ├── IdempotencyKeyReusedError a key that was used for another body
        ├── IdempotencyInProgressError a key whose first request has not ended yet
        ├── ForbiddenError          the caller may not
        ├── NotFoundError           missing, or not the caller's to see
        ├── DuplicateError          a unique value is taken
        ├── HasDependentsError      other rows still refer to it
        ├── StaleVersionError       the resource has another version than `If-Match` names
        ├── InvalidInputError       a rule of the database refuses the value
        ├── RequestInvalidError     a parameter that this route cannot take
        ├── InvalidCursorError      a cursor that does not belong to this list
        ├── RateLimitedError        something was tried too often
        ├── OverloadedError         no free database connection in time
        ├── DatabaseUnavailableError the database is away; nothing was committed
        ├── OutcomeUnknownError     the reply to a commit was lost
        ├── ContentionError         other transactions kept winning
        └── DeadlineError           the request or its statement ran out of time

No HTTP lives here: the room `web` holds the one table that gives each a status.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self


class NeonkitError(Exception):
    """The root of every error that neonkit raises on purpose."""


class ConfigurationError(NeonkitError):
    """Something about this process's set-up is wrong; the message says the fix."""


class UrlError(ConfigurationError):
    """A database URL that cannot be used.

    Attributes:
        part: the part at fault: `url`, `scheme`, `user`, `password`, `host`, `port`,
            `database` or the name of a query parameter. Never holds a secret.
    """

    def __init__(self, part: str, message: str) -> None:
        super().__init__(f"database URL: {part}: {message}")
        self.part = part


class MigrationError(NeonkitError):
    """A migration could not be run; what had been committed before it stays."""


class BehindError(MigrationError):
    """A database lacks what this release needs of it, and somebody has to migrate it."""


class PasswordError(NeonkitError):
    """No password for a new connection; a request is answered as if the database were away.

    Args:
        what: the function did instead of giving one; never a value.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"the function that gives the database's password {what}")


class UncommittedError(NeonkitError):
    """A session ended without an exception, but with work that was not committed.

    It has been rolled back. Commit in the handler, before it returns; whoever means to
    throw the work away calls `session.rollback()`.
    """


class CommitNotYoursError(NeonkitError):
    """A function of `Database.run_transaction` called `commit()`; all of it was rolled back."""

    def __init__(self) -> None:
        super().__init__(
            "`run_transaction` commits when the function has returned: leave out `commit()`, or "
            "use `session.begin_nested()` for a part of it"
        )


class ConditionFailedError(NeonkitError):
    """A condition of `Database.execute` or `paginate` did not hold; nothing happened.

    Args:
        name: of the condition that failed.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the {name} under which the statement may be executed did not hold; give the "
            "condition an `error` to answer with another one"
        )
        self.name = name


class SessionEndedError(NeonkitError):
    """A lent session was used after its block, or after the answer of its request was made.

    A stream, a background task or a task of your own takes a session of its own.
    """

    def __init__(self) -> None:
        super().__init__(
            "this session has ended with its block, or with the handler of its request: what goes "
            "on after that (a stream, a background task) takes `DatabaseDep`, and a session of its "
            "own: `async with database.session() as session:`"
        )


class ReadOnlySessionError(NeonkitError):
    """A reading session was asked to write. Take `SessionDep`, or `Database.session()`."""

    def __init__(self) -> None:
        super().__init__(
            "this session only reads: take `SessionDep` (or `Database.session()`) to write"
        )


class RelationNotLoadedError(NeonkitError):
    """A relation was touched that the query did not load.

    Args:
        relation: such as `User.posts`.
    """

    def __init__(self, relation: str) -> None:
        super().__init__(
            f"{relation} was not loaded: add `.options(selectinload({relation}))` to the "
            "statement that reads the row"
        )


@dataclass(frozen=True)
class FieldProblem:
    """One entry of a problem's `errors` list.

    Attributes:
        pointer: RFC 6901 from the place on, such as `/body/title`.
        code: a stable word for programs, such as `duplicate`.
        message: a sentence for people; never the rejected value.
    """

    pointer: str
    code: str
    message: str


class ProblemError(NeonkitError):
    """A request that ends in a problem document (RFC 9457).

    Args:
        detail: one sentence for the client; the class's own by default.
        errors: which fields are at fault.

    Attributes:
        retry_after: seconds for the header `Retry-After`; `None` for what the kind of problem says.
    """

    detail: ClassVar[str] = "The request cannot be answered."
    retry_after: int | None = None

    def __init__(self, detail: str | None = None, *, errors: Sequence[FieldProblem] = ()) -> None:
        super().__init__(detail or self.detail)
        self.errors = tuple(errors)

    @classmethod
    def restored(cls, detail: str, errors: Sequence[FieldProblem]) -> Self:
        """Make an error again from what was kept of it, whatever its own constructor takes."""
        error = cls.__new__(cls)
        ProblemError.__init__(error, detail, errors=errors)
        return error


class MalformedJsonError(ProblemError):
    """The body is not one strict JSON document (RFC 8259, RFC 7493)."""

    detail = "The body is not valid JSON."


class MalformedHeaderError(ProblemError):
    """A header that matters here cannot be read."""

    detail = "A header is malformed."


class HeaderTooLargeError(ProblemError):
    """The header lines are longer, or more, than this service reads (RFC 6585, section 5).

    Args:
        most_bytes: of all lines together.
        most_fields: how many lines.
    """

    def __init__(self, most_bytes: int, most_fields: int) -> None:
        super().__init__(
            f"Headers may have at most {most_bytes} bytes and {most_fields} lines together."
        )


class UriTooLongError(ProblemError):
    """The request target is longer than this service reads (RFC 9110, section 15.5.15).

    Args:
        most_bytes: of path and query together.
    """

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"Path and query may have at most {most_bytes} bytes together.")


class NotAcceptableError(ProblemError):
    """`Accept` leaves out what this resource is given as (RFC 9110, section 15.5.7)."""

    detail = "This is given as application/json, which Accept leaves out."


class PayloadTooLargeError(ProblemError):
    """The body is longer than this service reads.

    Args:
        most_bytes: how long it may be.
    """

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"The body may have at most {most_bytes} bytes.")


class UnsupportedMediaTypeError(ProblemError):
    """The body's type, encoding or character set is not taken here."""

    detail = "Send the body as application/json."


class RequestTimeoutError(ProblemError):
    """The body came too slowly."""

    detail = "The request did not arrive in time."


class UnauthorizedError(ProblemError):
    """The request carries no credentials."""

    detail = "This needs a bearer token: send `Authorization: Bearer …`."


class InvalidTokenError(ProblemError):
    """The token is malformed, expired, or its owner is gone or disabled."""

    detail = "The token is not valid; sign in again."


class InvalidCredentialsError(ProblemError):
    """Name and password do not belong together."""

    detail = "The username or the password is wrong."


class IdempotencyKeyMissingError(ProblemError):
    """A write that must happen once came without a key."""

    detail = "Send an Idempotency-Key: a new one for each write, the same one to repeat it."


class IdempotencyKeyInvalidError(ProblemError):
    """The key's form is wrong, or there are several."""

    detail = "Idempotency-Key must be one value of 8 to 255 printable ASCII characters."


class IdempotencyKeyReusedError(ProblemError):
    """The key was used for a request with another body."""

    detail = "This Idempotency-Key was used for another request; take a new one."


class IdempotencyInProgressError(ProblemError):
    """The first request with this key has not been answered yet."""

    detail = "The first request with this Idempotency-Key is still running; ask again shortly."


class ForbiddenError(ProblemError):
    """The caller is known, and may not do this."""

    detail = "You may not do this."


class NotFoundError(ProblemError):
    """There is no such thing, or none that the caller may see."""

    detail = "There is no such resource."


class DuplicateError(ProblemError):
    """A value that must be unique is taken (SQLSTATE 23505 or 23P01)."""

    detail = "This value is already taken."


class HasDependentsError(ProblemError):
    """Other rows still refer to this one (SQLSTATE 23503 on the referred side)."""

    detail = "Other resources still belong to this one; remove them first."


class StaleVersionError(ProblemError):
    """The resource has another version than the request's `If-Match` names."""

    detail = "The resource was changed meanwhile; read it again."


class InvalidInputError(ProblemError):
    """A rule of the database refuses the value (SQLSTATE class 22, 23502, 23503, 23514)."""

    detail = "The database refuses this value."


class RequestInvalidError(ProblemError):
    """A part of the request is well-formed, but nothing that this route can take."""

    detail = "The request is not valid; `errors` names each field and its fault."


class InvalidCursorError(ProblemError):
    """A cursor that was not made here, was changed, or comes from another query."""

    detail = "The cursor is not valid for this list; start again without one."


class RateLimitedError(ProblemError):
    """Something was tried too often: with a wrong password, or from one address.

    Args:
        seconds: until it may be tried again.
    """

    detail = "This was tried too often; try again later."

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.retry_after = seconds


class OverloadedError(ProblemError):
    """Every database connection stayed busy for as long as this request may wait."""

    detail = "The service is busy; try again shortly."


class DatabaseUnavailableError(ProblemError):
    """The database cannot be reached. Nothing was committed."""

    detail = "The database is not available; nothing was changed. Try again shortly."


class OutcomeUnknownError(ProblemError):
    """The connection was lost while committing: the write may or may not be in effect."""

    detail = "It is not known whether the write took effect; look before you repeat it."


class ContentionError(ProblemError):
    """Concurrent transactions got in the way (SQLSTATE 40001, 40P01, 55P03)."""

    detail = "Other requests are changing the same data; try again shortly."


class DeadlineError(ProblemError):
    """The request, or one statement of it, ran out of time (SQLSTATE 57014)."""

    detail = "The request took too long and was stopped; it had no effect."
