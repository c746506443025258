"""The one room that names FastAPI: install on an app, dependencies, problems, middleware."""

from neonkit.auth import Principal
from neonkit.web._callers import (
    ActingPrincipal,
    Caller,
    CallerDep,
    PrincipalDep,
    TokenPolicyDep,
    require_role,
)
from neonkit.web._filter_parameter import FilterDep
from neonkit.web._idempotency_key import IdempotencyKey, OptionalIdempotencyKey
from neonkit.web._install import (
    add_boot_step,
    add_docs,
    add_health,
    add_metrics,
    add_middleware,
    add_problem,
    add_problems,
    install,
    wrap_lifespan,
)
from neonkit.web._openapi import raises
from neonkit.web._page_parameter import PageDep
from neonkit.web._query_strings import strict_query
from neonkit.web._request_middleware import draining
from neonkit.web._runtime import NotInstalledError, Runtime
from neonkit.web._session_dependencies import (
    DatabaseDep,
    ReadSessionDep,
    SessionDep,
    get_database,
    get_read_session,
    get_session,
)

__all__ = [
    "ActingPrincipal",
    "Caller",
    "CallerDep",
    "DatabaseDep",
    "FilterDep",
    "IdempotencyKey",
    "NotInstalledError",
    "OptionalIdempotencyKey",
    "PageDep",
    "Principal",
    "PrincipalDep",
    "ReadSessionDep",
    "Runtime",
    "SessionDep",
    "TokenPolicyDep",
    "add_boot_step",
    "add_docs",
    "add_health",
    "add_metrics",
    "add_middleware",
    "add_problem",
    "add_problems",
    "draining",
    "get_database",
    "get_read_session",
    "get_session",
    "install",
    "raises",
    "require_role",
    "strict_query",
    "wrap_lifespan",
]
