"""Private names of psycopg's that the connections in `db` are built on."""

from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg.generators import execute, send
from psycopg.waiting import wait_async

from neonkit._seams.record import ATTRIBUTE, Seam

__all__ = ["SEAMS", "execute", "replace_fields", "send", "wait_async"]


def replace_fields(error: psycopg.Error, fields: Mapping[int, bytes | None]) -> None:
    """Let an error carry these fields of the server's answer, and no others."""
    error._info = dict(fields)


_PIPELINE = "psycopg:AsyncPipeline"
_CONNECTION = "psycopg:AsyncConnection"
_FLIGHT = "statements on psycopg go in round trips of their own, or a pipeline never ends"
_STATE = "a statement that failed leaves the connection inside of a pipeline"

SEAMS: Final = (
    Seam("psycopg.generators", "send", ATTRIBUTE, _FLIGHT),  # in C: it tells no parameters
    Seam("psycopg.generators", "execute", ATTRIBUTE, "BEGIN and COMMIT on psycopg fail"),
    Seam("psycopg.errors", "error_from_result", "(result, encoding)", "a failed BEGIN seems done"),
    Seam(
        "psycopg.waiting",
        "wait_async",
        "async (gen, fileno, interval, timeout)",
        "a request that was cancelled waits for its statement to end",
    ),
    Seam(
        _CONNECTION,
        "wait",
        "async (self, gen, interval, timeout)",
        "a request that was cancelled waits for its statement to end",
    ),
    Seam(_CONNECTION, "_pipeline", ATTRIBUTE, _FLIGHT),
    Seam(
        _CONNECTION,
        "_prepared",
        ATTRIBUTE,
        "a statement that is out of date fails again and again on its connection",
    ),
    Seam("psycopg._preparing:PrepareManager", "clear", "(self)", "the same"),
    Seam(_PIPELINE, "_conn", ATTRIBUTE, _FLIGHT),
    Seam(_PIPELINE, "pgconn", ATTRIBUTE, _FLIGHT),
    Seam(_PIPELINE, "command_queue", ATTRIBUTE, _FLIGHT),
    Seam(_PIPELINE, "result_queue", ATTRIBUTE, _FLIGHT),
    Seam(_PIPELINE, "_communicate_gen", "(self)", _FLIGHT),
    Seam(_PIPELINE, "_enqueue_sync", "(self)", _FLIGHT),
    Seam(_PIPELINE, "_fetch_gen", "(self, *, flush)", _FLIGHT),
    Seam(_PIPELINE, "_exit_gen", "(self)", _FLIGHT),
    Seam(_PIPELINE, "_exit", "(self, exc)", _STATE),
    Seam(
        _PIPELINE,
        "_process_results",
        "(self, queued, results)",
        "a deferred constraint that fails is answered as a broken connection",
    ),
    Seam(
        "psycopg:Error",
        "_info",
        ATTRIBUTE,
        "values of rows stand in the detail of an error, and so in a traceback",
    ),
)
