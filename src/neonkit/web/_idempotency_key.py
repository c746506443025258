"""The header `Idempotency-Key`: a write under it happens once."""

import hashlib
import hmac
import json
import re
from functools import partial
from typing import Annotated

from fastapi import Depends, Header, Request
from starlette.requests import HTTPConnection

from neonkit.db import Key
from neonkit.errors import (
    IdempotencyKeyInvalidError,
    IdempotencyKeyMissingError,
    ProblemError,
)
from neonkit.web._bearer_token import bearer_token
from neonkit.web._problems import problem_of
from neonkit.web._runtime import Runtime

REPLAYED = "neonkit_is_replay"
IS_REQUIRED = "x-is-required"  # in a parameter's schema: the app refuses a request without it

_HEADER = "idempotency-key"
_FORM = re.compile(r"[\x20-\x7e]{8,255}")
_Documented, _Required = (
    Header(
        alias="Idempotency-Key",
        description="8 to 255 printable ASCII characters: the same one repeats the request.",
        json_schema_extra={"pattern": f"^{_FORM.pattern}$", IS_REQUIRED: is_required},
    )
    for is_required in (False, True)
)


async def get_optional_key(
    request: Request,
    idempotency_key: Annotated[str | None, _Documented] = None,  # noqa: ARG001  # for the schema; read below
) -> Key | None:
    """The request's key, if it has one.

    Raises:
        IdempotencyKeyInvalidError: it is malformed, or stands there twice (400).
    """
    values = request.headers.getlist(_HEADER)
    if not values:
        return None
    if len(values) > 1 or not _FORM.fullmatch(values[0]):
        raise IdempotencyKeyInvalidError
    runtime = Runtime.of(request)
    return Key(
        value=values[0],
        scope=await _scope_of(request, runtime),
        fingerprints=_fingerprints(await request.body(), runtime),
        lifetime=runtime.settings.idempotency_ttl,
        slug_of=partial(_slug_of, runtime),
        kind_of=partial(_kind_of, runtime),
        on_replay=partial(_note_replay, request),
    )


async def get_key(
    request: Request,
    idempotency_key: Annotated[str | None, _Required] = None,  # noqa: ARG001  # for the schema
) -> Key:
    """The request's key.

    Raises:
        IdempotencyKeyMissingError: there is none (400).
    """
    key = await get_optional_key(request)
    if key is None:
        raise IdempotencyKeyMissingError
    return key


IdempotencyKey = Annotated[Key, Depends(get_key)]
"""The request's key as a parameter, to hand to `Database.execute` or `run_transaction`."""
OptionalIdempotencyKey = Annotated[Key | None, Depends(get_optional_key)]
"""The same where a request may come without one."""


async def _scope_of(request: Request, runtime: Runtime) -> bytes:
    caller = await _caller_of(request, runtime)
    parts = json.dumps([*caller, request.method, request.scope["path"]])
    return hashlib.sha256(parts.encode()).digest()


async def _caller_of(request: Request, runtime: Runtime) -> tuple[str, str]:
    """Who calls: the bearer token's subject, what the app says, or the client's address."""
    subject = await _subject_of(request, runtime) if runtime.principal is not None else None
    if subject is not None:
        return "subject", subject
    if runtime.caller is not None and (named := runtime.caller(request)) is not None:
        return "caller", named
    return "address", request.client.host if request.client else ""


async def _subject_of(connection: HTTPConnection, runtime: Runtime) -> str | None:
    try:
        return (await runtime.read_token(bearer_token(connection))).subject
    except ProblemError:
        return None


def _fingerprints(body: bytes, runtime: Runtime) -> tuple[bytes, ...]:
    """The body's meaning under each signing key: bodies hold passwords, so no plain digest."""
    try:
        meant = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):  # a body of another type may look like deep JSON
        meant = body
    return tuple(
        hmac.digest(signing, b"neonkit.fingerprint:" + meant, "sha256")
        for signing in runtime.settings.signing_keys
    )


def _slug_of(runtime: Runtime, error: ProblemError) -> str | None:
    """The name of an error whose answer is kept: 4xx that was decided after the key was taken."""
    problem = problem_of(error, runtime.problems)
    return problem.slug if problem is not None and problem.is_kept else None


def _kind_of(runtime: Runtime, slug: str) -> type[ProblemError]:
    return next(
        kind
        for kind, problem in runtime.problems.items()
        if problem.slug == slug and issubclass(kind, ProblemError)
    )


def _note_replay(request: Request) -> None:
    setattr(request.state, REPLAYED, True)
