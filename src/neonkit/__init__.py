"""neonkit: FastAPI and SQLModel on Neon."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neonkit import errors
    from neonkit.db import AsyncSession, Condition, Database, create_engine
    from neonkit.models import (
        InputModel,
        PatchModel,
        TableModel,
        TimestampMixin,
        UtcDateTime,
        VersionMixin,
    )
    from neonkit.resources import Page, paginate
    from neonkit.settings import Settings
    from neonkit.web import (
        CallerDep,
        CreatedDep,
        DatabaseDep,
        FilterDep,
        IdempotencyKey,
        IfMatchDep,
        OptionalIdempotencyKey,
        PageDep,
        PrincipalDep,
        ReadSessionDep,
        SessionDep,
        TaggedDep,
        add_problem,
        existing,
        get_database,
        get_read_session,
        get_session,
        install,
        require_role,
        throttle,
    )

_ROOMS = {
    "db": ("AsyncSession", "Condition", "Database", "create_engine"),
    "models": (
        "InputModel",
        "PatchModel",
        "TableModel",
        "TimestampMixin",
        "UtcDateTime",
        "VersionMixin",
    ),
    "resources": ("Page", "paginate"),
    "settings": ("Settings",),
    "web": (
        "CallerDep",
        "CreatedDep",
        "DatabaseDep",
        "FilterDep",
        "IdempotencyKey",
        "IfMatchDep",
        "OptionalIdempotencyKey",
        "PageDep",
        "PrincipalDep",
        "ReadSessionDep",
        "SessionDep",
        "TaggedDep",
        "add_problem",
        "existing",
        "get_database",
        "get_read_session",
        "get_session",
        "install",
        "require_role",
        "throttle",
    ),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "AsyncSession",
    "CallerDep",
    "Condition",
    "CreatedDep",
    "Database",
    "DatabaseDep",
    "FilterDep",
    "IdempotencyKey",
    "IfMatchDep",
    "InputModel",
    "OptionalIdempotencyKey",
    "Page",
    "PageDep",
    "PatchModel",
    "PrincipalDep",
    "ReadSessionDep",
    "SessionDep",
    "Settings",
    "TableModel",
    "TaggedDep",
    "TimestampMixin",
    "UtcDateTime",
    "VersionMixin",
    "add_problem",
    "create_engine",
    "errors",
    "existing",
    "get_database",
    "get_read_session",
    "get_session",
    "install",
    "paginate",
    "require_role",
    "throttle",
]


def __getattr__(name: str) -> object:
    """Import a public name from its room when it is first asked for."""
    if name == "errors":
        return import_module("neonkit.errors")
    if name not in _HOME:
        raise AttributeError(f"module 'neonkit' has no attribute {name!r}")
    value: object = getattr(import_module(f"neonkit.{_HOME[name]}"), name)
    globals()[name] = value
    return value
