"""Statements that took too long: which, for what route, how long, how many rows; no values."""

import logging

from neonkit.observe._statement_events import Sink, StatementEvent

_log = logging.getLogger("neonkit.slow")


def slower_than(seconds: float, *sinks: Sink) -> Sink:
    """Make a sink that passes on the statements which took `seconds` or longer, failed or not."""

    def judge(query: StatementEvent) -> None:
        if query.seconds >= seconds:
            for sink in sinks:
                sink(query)

    return judge


def log_slow_query(query: StatementEvent) -> None:
    """Write one line to the logger `neonkit.slow`, with the statement's fingerprint."""
    fingerprint = query.fingerprint
    milliseconds = round(query.seconds * 1000, 1)
    _log.warning(
        "slow query %s of %s: %.1f ms, %s, %s: %s",
        fingerprint.hash,
        query.route,
        milliseconds,
        _outcome_of(query),
        _trips_of(query),
        fingerprint.text,
        extra={
            "fingerprint": fingerprint.hash,
            "statement": fingerprint.text,
            "route": query.route,
            "milliseconds": milliseconds,
            "rows": query.rows,
            "round_trips": query.trips,
            "has_failed": query.has_failed,
        },
    )


def _outcome_of(query: StatementEvent) -> str:
    if query.has_failed:
        return "failed"
    return "rows unknown" if query.rows is None else f"{query.rows} rows"


def _trips_of(query: StatementEvent) -> str:
    if query.trips is None:
        return "round trips unknown"
    return f"{query.trips} round trip{'' if query.trips == 1 else 's'}"
