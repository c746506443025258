"""`install(app)`: everything on any FastAPI app, in a few public calls."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from neonkit.db import Database
from neonkit.errors import ConfigurationError, UnsupportedMediaTypeError
from neonkit.migrations import find_history
from neonkit.settings import Settings
from neonkit.web import _health_routes, _metrics_route
from neonkit.web._body_middleware import BodyMiddleware
from neonkit.web._caller_checks import check_principal, document_security, told_first
from neonkit.web._docs_page import remove_docs, serve_docs
from neonkit.web._head_middleware import HeadMiddleware
from neonkit.web._media_types import read_media_type
from neonkit.web._openapi import document_problems, readable_operation_ids
from neonkit.web._problems import Problem, respond
from neonkit.web._request_middleware import (
    HSTS,
    SECURITY_HEADERS,
    LastResortMiddleware,
    RequestMiddleware,
    problem_table,
)
from neonkit.web._runtime import BootStep, FindPrincipal, NameCaller, Runtime

_READABLE_HEADERS = (
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Retry-After",
    "Server-Timing",
    "X-Process-Time",
    "X-Request-ID",
)


def install(
    app: FastAPI,
    settings: Settings | None = None,
    *,
    database: Database | None = None,
    principal: FindPrincipal | None = None,
    caller: NameCaller | None = None,
    migrations: Path | None = None,
) -> None:
    """Put the toolkit on an app: database, problems, middleware, health and docs.

    Call it once, right after `FastAPI()`. Nothing is connected before the app's lifespan.

    Args:
        app: any FastAPI app; its own lifespan runs inside of ours.
        settings: read from the environment where not given.
        database: use this one instead of the environment's; the caller closes it.
        principal: says who a token's owner is: a function from the token's subject to a `Select`
            of id, role and is_active. Whatever takes `PrincipalDep` needs it.
        caller: names who sends a request without a token, for the scope of idempotency keys; by
            default the client's address.
        migrations: the folder of the app's revisions; by default `migrations` beside the module
            that calls this.

    Raises:
        ConfigurationError: the settings are wrong, or the app has neonkit already.
    """
    if getattr(app.state, "neonkit", None) is not None:
        raise ConfigurationError("neonkit is installed on this app already: call install once")
    settings = settings or Settings()
    file = sys._getframe(1).f_code.co_filename  # noqa: SLF001  # as `warnings` finds the line
    history = find_history(migrations or Path(file).parent / "migrations", Path.cwd())
    app.state.neonkit = Runtime(
        settings, database, history=history, principal=principal, caller=caller
    )
    wrap_lifespan(app)
    add_problems(app)
    add_middleware(app, settings)
    add_health(app)
    add_metrics(app)
    add_docs(app, settings)


def wrap_lifespan(app: FastAPI) -> None:
    """Open the database before the app's own lifespan, and close it after."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        check_principal(app)
        runtime: Runtime = app.state.neonkit
        async with runtime.run(), inner(app) as state:
            yield state

    app.router.lifespan_context = lifespan


def add_problems(app: FastAPI) -> None:
    """Answer refused requests and HTTP errors with problem documents, and document them."""
    app.add_exception_handler(RequestValidationError, _handle)
    app.add_exception_handler(HTTPException, _handle)
    document_problems(app)
    document_security(app)
    readable_operation_ids(app)


def add_middleware(app: FastAPI, settings: Settings) -> None:
    """Add the request's id, deadline, measure and headers, CORS, last resort, heads and bodies."""
    app.add_middleware(BodyMiddleware, most_bytes=settings.max_body_bytes)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(LastResortMiddleware)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=_READABLE_HEADERS,
        )
    headers = dict(SECURITY_HEADERS)
    if settings.is_production:
        headers["Strict-Transport-Security"] = HSTS
    app.add_middleware(RequestMiddleware, timeout=settings.request_timeout, headers=headers)


def add_health(app: FastAPI) -> None:
    """Add `/health/live`, `/health/ready` and `/health/startup`."""
    app.include_router(_health_routes.router)


def add_metrics(app: FastAPI) -> None:
    """Add `/metrics`: Prometheus text, with METRICS_TOKEN, or from this machine in development."""
    app.include_router(_metrics_route.router)


def add_docs(app: FastAPI, settings: Settings) -> None:
    """Serve `/docs` without a network; in production there is neither page nor schema."""
    if settings.is_production:
        remove_docs(app)
    else:
        serve_docs(app)


def add_problem(app: FastAPI, kind: type[Exception], status: int, slug: str) -> None:
    """Answer errors of your own class with a problem document.

    Args:
        app: an app with neonkit.
        kind: the class; its subclasses answer alike.
        status: the HTTP status.
        slug: the last segment of the document's `type`, such as `out-of-stock`.
    """
    runtime: Runtime | None = getattr(app.state, "neonkit", None)
    if runtime is None:
        raise ConfigurationError("call neonkit.install(app) before add_problem")
    runtime.problems[kind] = Problem(status, slug)


def add_boot_step(app: FastAPI, step: BootStep) -> None:
    """Have something done once the database answers, before the app counts as started.

    Args:
        app: an app with neonkit.
        step: takes the `Database`. Each process runs it at each start, and again where it failed:
            it must bear being repeated.
    """
    runtime: Runtime | None = getattr(app.state, "neonkit", None)
    if runtime is None:
        raise ConfigurationError("call neonkit.install(app) before add_boot_step")
    runtime.boot_steps.append(step)


async def _handle(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError) and _has_foreign_body(request, error):
        error = UnsupportedMediaTypeError()
    error = told_first(request.scope, error)
    response, _ = respond(error, problem_table(request.scope), request.state.request_id)
    return response


def _has_foreign_body(request: Request, error: RequestValidationError) -> bool:
    """Whether the whole body could not be read because it is not declared to be JSON."""
    try:
        kind = read_media_type(request.headers.get("content-type", "").encode("latin-1"))
    except UnsupportedMediaTypeError:  # where the app goes without our middleware
        return True
    return not kind.is_json and any(
        tuple(entry["loc"]) == ("body",) and entry["type"] != "missing" for entry in error.errors()
    )
