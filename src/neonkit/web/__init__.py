"""The one room that names FastAPI: install on an app, dependencies, problems, middleware."""

from neonkit._public_names import show_public_names
from neonkit.auth import Principal
from neonkit.web._admission import admission, refusal_at_door
from neonkit.web._answers import CreatedDep, existing
from neonkit.web._body_middleware import BodyMiddleware
from neonkit.web._callers import (
    CallerDep,
    PrincipalDep,
    SignInsDep,
    TokenPolicyDep,
    get_caller,
    get_principal,
    get_sign_ins,
    require_role,
)
from neonkit.web._drain_switch import draining
from neonkit.web._entity_tags import IfMatchDep, TaggedDep
from neonkit.web._filter_parameter import FilterDep
from neonkit.web._head_middleware import HeadPolicy, refusal_of
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
from neonkit.web._openapi import raises, readable_operation_ids
from neonkit.web._page_parameter import PageDep
from neonkit.web._runtime import NotInstalledError, NotRunningError, Runtime
from neonkit.web._session_dependencies import (
    DatabaseDep,
    ReadSessionDep,
    SessionDep,
    get_database,
    get_read_session,
    get_session,
)
from neonkit.web._strict_parameters import strict_parameters
from neonkit.web._throttling import (
    EarlyThrottle,
    ThrottlesDep,
    address_of,
    get_throttles,
    throttle,
)
from neonkit.web._time_limit import timeout

__all__ = [
    "BodyMiddleware",
    "CallerDep",
    "CreatedDep",
    "DatabaseDep",
    "EarlyThrottle",
    "FilterDep",
    "HeadPolicy",
    "IdempotencyKey",
    "IfMatchDep",
    "NotInstalledError",
    "NotRunningError",
    "OptionalIdempotencyKey",
    "PageDep",
    "Principal",
    "PrincipalDep",
    "ReadSessionDep",
    "Runtime",
    "SessionDep",
    "SignInsDep",
    "TaggedDep",
    "ThrottlesDep",
    "TokenPolicyDep",
    "add_boot_step",
    "add_docs",
    "add_health",
    "add_metrics",
    "add_middleware",
    "add_problem",
    "add_problems",
    "address_of",
    "admission",
    "draining",
    "existing",
    "get_caller",
    "get_database",
    "get_principal",
    "get_read_session",
    "get_session",
    "get_sign_ins",
    "get_throttles",
    "install",
    "raises",
    "readable_operation_ids",
    "refusal_at_door",
    "refusal_of",
    "require_role",
    "strict_parameters",
    "throttle",
    "timeout",
    "wrap_lifespan",
]

show_public_names(__name__)
