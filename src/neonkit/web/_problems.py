"""Errors become HTTP in one table: a status, a slug, and a problem document (RFC 9457)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from neonkit import errors
from neonkit.db import problem_error_of
from neonkit.errors import FieldProblem, ProblemError

MEDIA_TYPE = "application/problem+json"

_MOST_FIELDS = 100
_LONGEST_POINTER = 200


@dataclass(frozen=True)
class Problem:
    """A kind of problem.

    Attributes:
        status: the HTTP status.
        slug: the last segment of `type`, stable for programs.
        retry_after: seconds for the header `Retry-After`, where waiting helps.
    """

    status: int
    slug: str
    retry_after: int | None = None

    @property
    def title(self) -> str:
        """The slug as words."""
        return self.slug.replace("-", " ").capitalize()

    @property
    def type(self) -> str:
        """A URI reference that identifies the kind."""
        return f"/problems/{self.slug}"


INTERNAL = Problem(500, "internal")

TABLE: Mapping[type[Exception], Problem] = {
    errors.MalformedJsonError: Problem(400, "malformed-json"),
    errors.MalformedHeaderError: Problem(400, "malformed-header"),
    errors.HeaderTooLargeError: Problem(431, "header-too-large"),
    errors.UriTooLongError: Problem(414, "uri-too-long"),
    errors.PayloadTooLargeError: Problem(413, "payload-too-large"),
    errors.UnsupportedMediaTypeError: Problem(415, "unsupported-media-type"),
    errors.RequestTimeoutError: Problem(408, "request-timeout"),
    errors.UnauthorizedError: Problem(401, "unauthorized"),
    errors.InvalidTokenError: Problem(401, "invalid-token"),
    errors.InvalidCredentialsError: Problem(401, "invalid-credentials"),
    errors.IdempotencyKeyMissingError: Problem(400, "idempotency-key-missing"),
    errors.IdempotencyKeyInvalidError: Problem(400, "idempotency-key-invalid"),
    errors.IdempotencyKeyReusedError: Problem(422, "idempotency-key-reused"),
    errors.IdempotencyInProgressError: Problem(409, "idempotency-in-progress", retry_after=1),
    errors.ForbiddenError: Problem(403, "forbidden"),
    errors.NotFoundError: Problem(404, "not-found"),
    errors.DuplicateError: Problem(409, "duplicate"),
    errors.HasDependentsError: Problem(409, "has-dependents"),
    errors.InvalidInputError: Problem(422, "validation-error"),
    errors.RequestInvalidError: Problem(422, "validation-error"),
    errors.InvalidCursorError: Problem(422, "invalid-cursor"),
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
    return document(problem, detail, request_id, fields=fields), True


def document(
    problem: Problem,
    detail: str,
    request_id: str,
    *,
    fields: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Write a problem document."""
    body: dict[str, Any] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
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
        return document(Problem(400, "malformed-json"), "The body is not valid JSON.", request_id)
    fields = [
        FieldProblem(pointer_to(entry["loc"]), str(entry["type"]), str(entry["msg"]))
        for entry in found[:_MOST_FIELDS]
    ]
    detail = "The request is not valid; `errors` names each field and its fault."
    return document(Problem(422, "validation-error"), detail, request_id, fields=fields)


def _from_http_exception(error: HTTPException, request_id: str) -> Response:
    phrase = HTTPStatus(error.status_code).phrase
    slug = _BY_STATUS.get(error.status_code, re.sub(r"[^a-z0-9]+", "-", phrase.lower()).strip("-"))
    said: object = error.detail  # annotated as text, but FastAPI's subclass takes anything
    detail = said if isinstance(said, str) else phrase
    return document(
        Problem(error.status_code, slug), detail, request_id, headers=error.headers or {}
    )


def pointer_to(location: Sequence[str | int]) -> str:
    """Write where a fault is as an RFC 6901 pointer, such as `/body/title`.

    A field's name may be the client's own: what cannot be encoded is replaced, and what is
    absurdly long is cut.
    """
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in location)
    pointer = "".join(f"/{step}" for step in steps)[:_LONGEST_POINTER]
    return pointer.encode("utf-8", "replace").decode()
