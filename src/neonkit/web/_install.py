"""Installation: everything on any FastAPI app, in a few public calls."""

import sys
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from fastapi import FastAPI
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError
from sqlalchemy import MetaData
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from neonkit._seams.starlette import lifespan_of, set_lifespan
from neonkit.auth import FindPrincipal, Issuer
from neonkit.db import Database, PasswordSource
from neonkit.errors import ConfigurationError
from neonkit.history import find_history
from neonkit.settings import Settings
from neonkit.web import _health_routes, _metrics_route
from neonkit.web._body_middleware import BodyMiddleware
from neonkit.web._caller_checks import check_principal
from neonkit.web._cors import CorsMiddleware
from neonkit.web._defects import report_once
from neonkit.web._docs_page import remove_docs, serve_docs
from neonkit.web._error_answers import answer_refusal
from neonkit.web._head_middleware import HeadMiddleware
from neonkit.web._middleware_order import put_outside
from neonkit.web._openapi import document, readable_operation_ids
from neonkit.web._problem_middleware import ProblemMiddleware
from neonkit.web._problems import decided_problem
from neonkit.web._request_middleware import RequestMiddleware
from neonkit.web._runtime import BootStep, NameCaller, Runtime
from neonkit.web._security_headers import SecurityHeaders
from neonkit.web._shadowed_routes import name_shadowed_routes

Piece: TypeAlias = Literal[
    "docs",
    "health",
    "metrics",
    "operation-ids",
    "problems",
    "security-headers",
    "strict-bodies",
    "timing-headers",
]
"""A piece of `install` that an app can do without."""

_FASTAPIS_HANDLERS: dict[type[Exception], Any] = {
    HTTPException: http_exception_handler,
    RequestValidationError: request_validation_exception_handler,
}
_READABLE_HEADERS = (
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Retry-After",
    "Server-Timing",
    "X-Process-Time",
    "X-Request-ID",
)


def install(  # noqa: PLR0913  # a word for each thing that an app may want otherwise
    app: FastAPI,
    settings: Settings | None = None,
    *,
    database: Database | None = None,
    principal: FindPrincipal | None = None,
    caller: NameCaller | None = None,
    password: PasswordSource | None = None,
    issuers: Sequence[Issuer] = (),
    migrations: Path | None = None,
    metadata: MetaData | Sequence[MetaData] | None = None,
    without: Collection[Piece] = (),
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
        password: gives each new connection its password, in place of that of the environment's
            URL: a function, or a coroutine function.
        issuers: whose tokens are taken beside the app's own; NEON_AUTH_BASE_URL names one more.
        migrations: the folder of the app's revisions; by default `migrations` beside the module
            that calls this.
        metadata: the tables of the app, one `MetaData` or several; by default SQLModel's own.
        without: the pieces that the app does without, such as `{"docs", "health"}`.

    Raises:
        ConfigurationError: the settings are wrong, the app has neonkit already, or there is no
            such piece to leave out.
    """
    if getattr(app.state, "neonkit", None) is not None:
        raise ConfigurationError("neonkit is installed on this app already: call install once")
    _refuse_unknown(without)
    settings = settings or Settings()
    file = sys._getframe(1).f_code.co_filename  # noqa: SLF001  # as `warnings` finds the line
    history = find_history(migrations or Path(file).parent / "migrations", Path.cwd())
    app.state.neonkit = Runtime(
        settings,
        database,
        history=history,
        metadata=metadata,
        principal=principal,
        caller=caller,
        password=password,
        issuers=issuers,
    )
    wrap_lifespan(app)
    if "problems" not in without:
        add_problems(app)
    if "operation-ids" not in without:
        readable_operation_ids(app)
    add_middleware(
        app,
        settings,
        security_headers="security-headers" not in without,
        timing_headers="timing-headers" not in without,
        strict_bodies="strict-bodies" not in without,
    )
    if "health" not in without:
        add_health(app)
    if "metrics" not in without:
        add_metrics(app)
    if "docs" not in without:
        add_docs(app, settings)


def _refuse_unknown(without: Collection[str]) -> None:
    pieces = get_args(Piece)
    if isinstance(without, str) or not set(without) <= set(pieces):
        raise ConfigurationError(
            f"install(without={without!r}): give a set of the pieces to leave out, of which there "
            f"are {', '.join(pieces)}"
        )


def wrap_lifespan(app: FastAPI) -> None:
    """Open the database before the app's own lifespan, and close it after."""
    inner = lifespan_of(app.router)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        check_principal(app)
        name_shadowed_routes(app)
        async with Runtime.of(app).run(), inner(app) as state:
            yield state

    set_lifespan(app.router, lifespan)


def add_problems(app: FastAPI) -> None:
    """Answer refused requests and HTTP errors with problem documents, and document them."""
    for kind, fastapis in _FASTAPIS_HANDLERS.items():
        if app.exception_handlers.get(kind) is fastapis:
            app.add_exception_handler(kind, answer_refusal)
    document(app)


def add_middleware(
    app: FastAPI,
    settings: Settings,
    *,
    security_headers: bool = True,
    timing_headers: bool = True,
    strict_bodies: bool = True,
) -> None:
    """Add the request's id, time limit, measure, headers, CORS, last resort, heads and bodies.

    Args:
        app: an app with neonkit.
        settings: the environment's.
        security_headers: `False` sends none of them.
        timing_headers: `False` sends neither `X-Process-Time` nor `Server-Timing`.
        strict_bodies: `False` leaves bodies to FastAPI: of any length, compressed, of any JSON.
    """
    if strict_bodies:
        app.add_middleware(BodyMiddleware, most_bytes=settings.max_body_bytes)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(ProblemMiddleware)
    security = SecurityHeaders(is_sent=security_headers, has_hsts=settings.is_production)
    cors = partial(
        CorsMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=_READABLE_HEADERS,
    )
    request = Middleware(
        RequestMiddleware,
        timeout=settings.request_timeout,
        security=security,
        is_timed=timing_headers,
        cors=cors if settings.cors_origins else None,
    )
    put_outside(app, [request, Middleware(cors)] if settings.cors_origins else [request])
    report_once("uvicorn.error", "hypercorn.error")


def add_health(app: FastAPI) -> None:
    """Add `/health/live`, `/health/ready` and `/health/startup`."""
    app.include_router(_health_routes.router)


def add_metrics(app: FastAPI) -> None:
    """Add `/metrics`: Prometheus text, with METRICS_TOKEN, or from this machine in development."""
    app.include_router(_metrics_route.router)


def add_docs(app: FastAPI, settings: Settings) -> None:
    """Serve `/docs` without a network; in production there is neither page nor schema.

    Where nobody says that this is development, the peers on this machine alone get them.
    """
    if settings.is_production:
        remove_docs(app)
    else:
        serve_docs(app, only_here=settings.is_development_guessed)


def add_problem(app: FastAPI, kind: type[Exception], status: int, slug: str) -> None:
    """Answer errors of your own class with a problem document.

    Args:
        app: an app with neonkit.
        kind: the class; its subclasses answer alike.
        status: the HTTP status.
        slug: the last segment of the document's `type`, such as `out-of-stock`.
    """
    Runtime.of(app).problems[kind] = decided_problem(status, slug)


def add_boot_step(app: FastAPI, step: BootStep) -> None:
    """Have something done once the database answers, before the app counts as started.

    Args:
        app: an app with neonkit.
        step: takes the `Database`. Each process runs it at each start, and again where it failed:
            it must bear being repeated.
    """
    Runtime.of(app).boot_steps.append(step)
