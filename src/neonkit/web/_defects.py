"""Defects: errors that no request should meet, each logged once, with its route and request id."""

import logging
from typing import Any

from fastapi.exceptions import ResponseValidationError
from pydantic import ValidationError
from starlette.types import Scope

from neonkit.db import fault_of
from neonkit.web._pointers import pointer_to
from neonkit.web._route_names import method_of, route_of
from neonkit.web._web_socket_ends import is_denied

_log = logging.getLogger("neonkit.errors")
_REPORTED = "_neonkit_is_reported"
_ANSWERED = "_neonkit_is_answered"
_MOST_TOLD = 10
_MISSING = {"42P01", "42703"}  # undefined_table, undefined_column
_BEHIND = " (the database is behind the models: run `neonkit makemigrations` and `neonkit migrate`)"
_NO_HANDSHAKE = (
    "ASGI callable returned without completing handshake."  # uvicorn's, of a refusal too
)


def report_defect(scope: Scope, error: Exception) -> None:
    """Log an error that is ours: the route, what happened, and the traceback; once for an error."""
    if is_reported(error):
        return
    setattr(error, _REPORTED, True)
    told = _without_values(error)
    _log.error(
        "%s %s: %s: %s%s",
        method_of(scope),
        route_of(scope),
        type(error).__name__,
        told,
        _way_on(error),
        exc_info=(type(told), told, error.__traceback__),
        extra={
            "request_id": scope.get("state", {}).get("request_id"),
            "route": route_of(scope),
        },
    )


def is_reported(error: BaseException) -> bool:
    """Tell if an error has its line in the log already."""
    return getattr(error, _REPORTED, False)


def mark_answered(error: BaseException) -> None:
    """Note that an error was answered as its class is meant to be: it goes no further."""
    setattr(error, _ANSWERED, True)


def is_answered(error: BaseException) -> bool:
    """Tell if an error was answered as its class is meant to be."""
    return getattr(error, _ANSWERED, False)


class ReportedOnce(logging.Filter):
    """Drops a server's own record of an error that has a line with its route already.

    The error goes on to the server, as every app's does, so that what wraps the app may see it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a record, unless it tells of an error that was reported."""
        if record.msg == _NO_HANDSHAKE and is_denied.get():
            return False
        error = record.exc_info[1] if record.exc_info else None
        return error is None or not is_reported(error)


def report_once(*loggers: str) -> None:
    """Let servers' logs tell nothing that is told with its route already."""
    for name in loggers:
        log = logging.getLogger(name)
        if not any(isinstance(each, ReportedOnce) for each in log.filters):
            log.addFilter(ReportedOnce())


def _way_on(error: Exception) -> str:
    """What to do where a table or a column is not there: its model is newer than the database."""
    fault = fault_of(error)
    return _BEHIND if fault is not None and fault.sqlstate in _MISSING else ""


class _ValuelessError(Exception):
    """Stands in the log for an error whose text holds a row's or a client's values."""


def _without_values(error: Exception) -> Exception:
    """The error as the log may tell it: a validation error repeats all that was validated."""
    if not isinstance(error, ValidationError | ResponseValidationError):
        return error
    found: list[dict[str, Any]] = list(error.errors())  # type: ignore[arg-type]  # a TypedDict or a dict
    faults = [f"{pointer_to(each['loc'])}: {each['msg']}" for each in found[:_MOST_TOLD]]
    return _ValuelessError("; ".join(faults))
