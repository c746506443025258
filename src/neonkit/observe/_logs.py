"""The log on standard error: JSON for machines, or lines for people; never a password."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    "asctime",
    "color_message",  # uvicorn's message a second time, for its own formatter
    "message",
    "taskName",
}

# str.splitlines() breaks lines at these, and terminals obey some of them
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_IN_TRACEBACK = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")

_PASSWORD = re.compile(
    r"""(?ix)
    ( postgres [a-z0-9+_]* :// [^\s:/@]* : ) \S+ (?= @ )   # in a URL: up to the last @
    | ( \b password \s* = \s* ) (?: '(?:[^'\\]|\\.)*' | [^\s&'"]+ )   # conninfo, or a query
    """
)

_JSON = json.JSONEncoder(allow_nan=False)
_COLOURS = MappingProxyType({"warning": "33", "error": "31", "critical": "1;31", "debug": "2"})

# SQLAlchemy names a logger after the class it speaks for: our subclass of its pool is in neonkit.db
_CHATTY = ("alembic", "sqlalchemy", "neonkit.db", "uvicorn.error", "watchfiles")


class JsonFormatter(logging.Formatter):
    """One JSON object per line.

    Its fields: `timestamp` (RFC 3339, UTC), `level`, `logger`, `message`, whatever was given as
    `extra`, and `exception` where there was one. Values that JSON does not know are written as
    `str` writes them. A password inside of a PostgreSQL URL is masked.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        entry: dict[str, object] = {
            "timestamp": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update(
            (name, value)
            for name, value in vars(record).items()
            if name not in _OWN_FIELDS and name not in entry
        )
        trace = _trace_of(self, record)
        if trace:
            entry["exception"] = trace
        return _JSON.encode(_masked(entry))


class ConsoleFormatter(logging.Formatter):
    """Lines for people: local time, level, message; a traceback keeps its lines.

    Control characters are shown as escapes, so that no message can forge a second line or
    steer the terminal.

    Args:
        has_colours: colour the levels with ANSI sequences.
    """

    def __init__(self, *, has_colours: bool = False) -> None:
        super().__init__()
        self._has_colours = has_colours

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = record.levelname.lower()
        message = _CONTROL.sub(_escape, _mask(record.getMessage()))
        line = f"{time} {self._coloured(level)} {message}"
        trace = _trace_of(self, record)
        return f"{line}\n{_CONTROL_IN_TRACEBACK.sub(_escape, _mask(trace))}" if trace else line

    def _coloured(self, level: str) -> str:
        padded = f"{level:<8}"
        colour = _COLOURS.get(level)
        return f"\x1b[{colour}m{padded}\x1b[0m" if colour and self._has_colours else padded


def configure_logging(level: str, format: Literal["json", "console"]) -> None:  # noqa: A002  # the setting's own name
    """Send every logger of the process to standard error, in one format.

    Replaces the handlers of the root logger and of uvicorn's; calling it again is harmless.
    uvicorn and SQLAlchemy are heard from `warning` on only, whatever the level: the service says
    itself what they would, and SQLAlchemy's debug lines hold the values of rows. `echo` of an
    engine is not affected.

    Args:
        level: `debug`, `info`, `warning`, `error` or `critical`, in any case.
        format: `json`, or `console` with colours where standard error is a terminal.

    Raises:
        ValueError: `level` is not one of these.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"no such log level: {level!r}; use debug, info, warning, error, critical")
    handler = logging.StreamHandler()
    is_json = format == "json"
    handler.setFormatter(
        JsonFormatter() if is_json else ConsoleFormatter(has_colours=sys.stderr.isatty())
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    _keep_sqlalchemy_from_printing()
    logging.captureWarnings(capture=True)


def _keep_sqlalchemy_from_printing() -> None:
    """Leave `echo` to the root's handler: SQLAlchemy adds one of its own where it finds none."""
    for name in ("sqlalchemy.engine.Engine", "sqlalchemy.pool"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace_of(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    trace = ""
    if record.exc_info and record.exc_info[0] is not None:
        trace = formatter.formatException(record.exc_info)
    if record.stack_info:
        trace = f"{trace}\n{record.stack_info}" if trace else record.stack_info
    return trace


def _masked(value: object) -> object:
    """Make a value of JSON out of any value, with the passwords in its strings masked."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    if isinstance(value, dict):
        return {_mask(str(key)): _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(item) for item in value]
    return _mask(str(value))


def _mask(text: str) -> str:
    if "://" not in text and "=" not in text:  # as every password has it, and few texts do
        return text
    return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
