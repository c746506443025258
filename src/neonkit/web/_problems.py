"""Problems: one table gives each error its status and slug; their documents (RFC 9457)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from neonkit import errors
from neonkit.db import problem_error_of
from neonkit.errors import FieldProblem, ProblemError
from neonkit.web._pointers import pointer_into

MEDIA_TYPE = "application/problem+json"

_MOST_FIELDS = 100
_WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED}


After: TypeAlias = Literal["nothing", "path", "token"]


@dataclass(frozen=True)
class Problem:
    """A kind of problem.

    Attributes:
        status: the HTTP status.
        slug: the last segment of `type`, stable for programs.
        after: what is told before it: that there is no such path or method there, and then that
            the token does not hold, so that strangers learn nothing of the route.
        is_kept: stored under an idempotency key, and given again to a repeat of the request.
        retry_after: seconds for the header `Retry-After`, where waiting helps.
    """

    status: int
    slug: str
    after: After = "nothing"
    is_kept: bool = False
    retry_after: int | None = None

    @property
    def title(self) -> str:
        """The slug as words."""
        return self.slug.replace("-", " ").capitalize()

    @property
    def type(self) -> str:
        """A URI reference that identifies the kind."""
        return f"/problems/{self.slug}"


def decided_problem(status: int, slug: str) -> Problem:
    """The kind of an app's own refusal: under a key it is kept, unless it may change by itself."""
    is_refusal = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return Problem(status, slug, is_kept=is_refusal and status not in _OF_THE_MOMENT)


INTERNAL = Problem(500, "internal")
INVALID = Problem(422, "validation-error", after="token")

_OF_THE_MOMENT = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
}

TABLE: Mapping[type[Exception], Problem] = {
    errors.MalformedJsonError: Problem(400, "malformed-json", after="token"),
    errors.MalformedHeaderError: Problem(400, "malformed-header", after="token"),
    errors.HeaderTooLargeError: Problem(431, "header-too-large"),
    errors.UriTooLongError: Problem(414, "uri-too-long"),
    errors.NotAcceptableError: Problem(406, "not-acceptable", after="path"),
    errors.PayloadTooLargeError: Problem(413, "payload-too-large", after="path"),
    errors.UnsupportedMediaTypeError: Problem(415, "unsupported-media-type", after="token"),
    errors.RequestTimeoutError: Problem(408, "request-timeout"),
    errors.UnauthorizedError: Problem(401, "unauthorized"),
    errors.InvalidTokenError: Problem(401, "invalid-token"),
    errors.InvalidCredentialsError: Problem(401, "invalid-credentials"),
    errors.IdempotencyKeyMissingError: Problem(400, "idempotency-key-missing", after="token"),
    errors.IdempotencyKeyInvalidError: Problem(400, "idempotency-key-invalid", after="token"),
    errors.IdempotencyKeyReusedError: Problem(422, "idempotency-key-reused"),
    errors.IdempotencyInProgressError: Problem(409, "idempotency-in-progress", retry_after=1),
    errors.ForbiddenError: Problem(403, "forbidden"),
    errors.NotFoundError: Problem(404, "not-found", is_kept=True),
    errors.DuplicateError: Problem(409, "duplicate", is_kept=True),
    errors.HasDependentsError: Problem(409, "has-dependents", is_kept=True),
    errors.StaleVersionError: Problem(412, "stale-version", is_kept=True),
    errors.InvalidInputError: Problem(422, "validation-error"),
    errors.RequestInvalidError: INVALID,
    errors.InvalidCursorError: Problem(422, "invalid-cursor", after="token"),
    errors.RateLimitedError: Problem(429, "rate-limited"),
    errors.OverloadedError: Problem(503, "overloaded", retry_after=1),
    errors.DatabaseUnavailableError: Problem(503, "database-unavailable", retry_after=2),
    errors.OutcomeUnknownError: Problem(503, "outcome-unknown", retry_after=2),
    errors.ContentionError: Problem(503, "contention", retry_after=1),
    errors.DeadlineError: Problem(504, "timeout"),
}

_BY_STATUS = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "request-timeout",
    409: "conflict",
    412: "stale-version",
    413: "payload-too-large",
    414: "uri-too-long",
    415: "unsupported-media-type",
    422: "validation-error",
    429: "rate-limited",
    431: "header-too-large",
    500: "internal",
    503: "overloaded",
    504: "timeout",
}


def problem_of(error: Exception, table: Mapping[type[Exception], Problem]) -> Problem | None:
    """Find the kind of problem that an error is, along its class's ancestors."""
    return next((table[kind] for kind in type(error).__mro__ if kind in table), None)


def told_after(error: Exception, table: Mapping[type[Exception], Problem]) -> After:
    """Tell what comes before a fault of the request's head or input, FastAPI's own included."""
    problem = INVALID if isinstance(error, RequestValidationError) else problem_of(error, table)
    return "nothing" if problem is None else problem.after


def respond(
    error: Exception, table: Mapping[type[Exception], Problem], request_id: str
) -> tuple[Response, bool]:
    """Make the response to an error that ended a request.

    Returns:
        the response, and whether it was expected: what was not is `internal`, a defect.
    """
    if isinstance(error, RequestValidationError):
        return _invalid_request(error, request_id), True
    if isinstance(error, HTTPException):
        return _from_http_exception(error, request_id), True
    problem = problem_of(error, table)
    if problem is None and (known := problem_error_of(error)) is not None:
        error, problem = known, problem_of(known, table)
    if problem is None:
        detail = "Something went wrong on our side; the request id leads to the log."
        return document(INTERNAL, detail, request_id), False
    detail = str(error) if isinstance(error, ProblemError) else problem.title + "."
    fields = error.errors if isinstance(error, ProblemError) else ()
    wait = error.retry_after if isinstance(error, ProblemError) else None
    headers = {} if wait is None else {"Retry-After": str(wait)}
    return document(problem, detail, request_id, fields=fields, headers=headers), True


def document(
    problem: Problem,
    detail: object,
    request_id: str,
    *,
    fields: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Write a problem document.

    Args:
        problem: its kind.
        detail: a sentence; or what an app gave to `HTTPException` in its place, kept as it is.
        request_id: its `instance`.
        fields: entries of `errors`; at most 100 are told.
        headers: sent with it.
    """
    body: dict[str, Any] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": detail if isinstance(detail, str) else jsonable_encoder(detail),
        "instance": request_id,
    }
    if fields:
        body["errors"] = [vars(field) for field in fields[:_MOST_FIELDS]]
    sent = dict(headers or {})
    if problem.retry_after is not None:
        sent.setdefault("Retry-After", str(problem.retry_after))
    if problem.status == HTTPStatus.UNAUTHORIZED:
        sent.setdefault("WWW-Authenticate", "Bearer")
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(content, problem.status, sent, media_type=MEDIA_TYPE)


def _invalid_request(error: RequestValidationError, request_id: str) -> Response:
    found = error.errors()
    if any(entry["type"] == "json_invalid" for entry in found):
        malformed = errors.MalformedJsonError
        return document(TABLE[malformed], malformed.detail, request_id)
    fields = [
        FieldProblem(pointer_into(error.body, entry), str(entry["type"]), str(entry["msg"]))
        for entry in found[:_MOST_FIELDS]
    ]
    return document(INVALID, errors.RequestInvalidError.detail, request_id, fields=fields)


def _from_http_exception(error: HTTPException, request_id: str) -> Response:
    status = error.status_code
    if status < HTTPStatus.OK or status in _WITHOUT_BODY:
        return Response(status_code=status, headers=error.headers)
    said: object = error.detail  # annotated as text, but FastAPI's subclass takes anything
    return document(Problem(status, _slug_of(status)), said, request_id, headers=error.headers)


def _slug_of(status: int) -> str:
    """The slug of a status that no error of ours stands for; any number has one."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        return f"status-{status}"
    return re.sub(r"[^a-z0-9]+", "-", phrase.lower()).strip("-")
