"""The checks of `doctor`: each is a question, its answer, and the fix."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from neonkit.db import create_engine, strange_listeners
from neonkit.settings import Settings, describe_database

_NEON_RESERVES = 7  # connections of max_connections, for Neon's own use
_POOLER_ADMITS = 10_000  # clients of Neon's pooler (max_client_conn)
_NOWHERE = "postgresql://nobody@localhost/nothing"  # never connected to
_OLDEST = 140_000  # server_version_num


@dataclass(frozen=True)
class Check:
    """One answer.

    Attributes:
        name: a stable word for programs.
        status: `ok`; `warn` for what works and is unwise; `fail` for what does not work.
        what: what was found; never holds a secret.
        fix: what to do, `None` where there is nothing to do.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    what: str
    fix: str | None = None


@dataclass(frozen=True)
class ServerReport:
    """A server's word on itself, on one connection and outside of any transaction.

    Attributes:
        is_behind_pooler: whether a pooler is in between.
        version: as people write it.
        version_number: `server_version_num`.
        max_connections: sessions in all.
        reserved: those of them that an ordinary role does not get.
        statement_timeout: as PostgreSQL writes it, such as `5s`; `0` for none.
        lock_timeout: the same.
        folds_beyond_ascii: whether `lower` knows letters such as Ä.
    """

    is_behind_pooler: bool
    version: str
    version_number: int
    max_connections: int
    reserved: int
    statement_timeout: str
    lock_timeout: str
    folds_beyond_ascii: bool


def check_settings(settings: Settings) -> Iterator[Check]:
    """Check what needs no connection."""
    yield Check("settings", "ok", "every value is valid, and the timeouts fit into each other")
    for warning in settings.warnings:
        what, separator, fix = warning.partition(": ")
        yield Check("settings", "warn", what, fix if separator else None)
    yield _check_url(settings)
    yield from _check_hosts(settings)
    yield from _check_listeners(settings)


def _check_listeners(settings: Settings) -> Iterator[Check]:
    """Ask an engine like the app's own; what the app does to every engine was done by now."""
    engine = create_engine(_NOWHERE, driver=settings.database_driver)
    for name in strange_listeners(engine):
        yield Check(
            "listeners",
            "warn",
            f"somebody listens to every engine ({name}), so each write has its BEGIN and COMMIT",
            "listen by neonkit.db.listen, if it neither writes nor refuses",
        )


def _check_url(settings: Settings) -> Check:
    if settings.traffic_dsn is not None:
        return Check("url", "ok", f"traffic goes to {settings.traffic_dsn.masked}")
    return Check(
        "url",
        "ok",
        f"no database URL is set: development uses an {describe_database(None)}",
        "for another database, set NEON_DATABASE_URL to the connection string of Neon's console",
    )


def _check_hosts(settings: Settings) -> Iterator[Check]:
    traffic, direct = settings.traffic_dsn, settings.direct_dsn
    if traffic is None or direct is None:
        return
    if not traffic.is_neon:
        yield Check("host", "ok", "not a host of Neon's: traffic and migrations use the same one")
    elif not traffic.is_pooled or direct.is_pooled:
        yield Check(
            "host",
            "warn",
            f"traffic goes to {traffic.host}, migrations to {direct.host}",
            "traffic wants the pooled host (ep-…-pooler), migrations the direct one",
        )
    else:
        yield Check("host", "ok", f"traffic is pooled; migrations go to {direct.host}")
    if traffic.requires_binding and settings.database_driver == "asyncpg":
        yield Check(
            "parameters",
            "ok",
            "channel_binding=require: asyncpg has none, so the server's certificate and name are "
            "verified in its place, as with sslmode=verify-full",
        )


def check_server(settings: Settings, report: ServerReport) -> Iterator[Check]:
    """Compare the server that takes the traffic with what the settings want of it."""
    yield _check_version(report)
    yield _check_sum(settings, report)
    yield _check_timeouts(settings, report)
    if report.is_behind_pooler and settings.database_driver == "asyncpg":
        yield _check_statements(settings)
    if not report.folds_beyond_ascii:
        yield Check(
            "locale",
            "warn",
            "this database's locale knows the case of ASCII letters only: a search for ä does "
            "not find Ä",
            "create the database with another locale, such as en_US.UTF-8 or an ICU one",
        )


def _check_version(report: ServerReport) -> Check:
    if report.version_number >= _OLDEST:
        return Check("version", "ok", f"PostgreSQL {report.version}")
    return Check(
        "version", "warn", f"PostgreSQL {report.version} is older than 14", "upgrade the server"
    )


def _check_sum(settings: Settings, report: ServerReport) -> Check:
    workers = settings.workers
    wanted = (settings.pool_size + settings.max_overflow + 1) * workers
    dsn = settings.traffic_dsn
    if dsn is not None and dsn.is_pooled:
        usable, of = _POOLER_ADMITS, "clients of Neon's pooler"
    else:
        reserved = _NEON_RESERVES if dsn is not None and dsn.is_neon else report.reserved
        usable = report.max_connections - reserved
        of = f"connections ({report.max_connections} less {reserved} reserved)"
    what = (
        f"(POOL_SIZE {settings.pool_size} + MAX_OVERFLOW {settings.max_overflow} + 1) * "
        f"{workers} workers = {wanted}, of {usable} {of}"
    )
    if wanted > usable:
        largest = max(1, usable // workers - 1 - settings.max_overflow)
        return Check(
            "pool", "fail", what, f"lower POOL_SIZE (to {largest}), MAX_OVERFLOW or WORKERS"
        )
    if 2 * wanted > usable:
        return Check(
            "pool",
            "warn",
            f"{what}: not enough for two generations of processes during a deployment",
            "lower POOL_SIZE, MAX_OVERFLOW or WORKERS, or use the pooled host",
        )
    return Check("pool", "ok", what)


def _check_timeouts(settings: Settings, report: ServerReport) -> Check:
    inside = (
        f"in a transaction statement_timeout {settings.statement_timeout:g} s and lock_timeout "
        f"{settings.lock_timeout:g} s, on the server"
    )
    if report.statement_timeout != "0":
        outside = (
            f"outside of one {report.statement_timeout} and {report.lock_timeout}, on the server"
        )
        return Check("timeouts", "ok", f"{inside}; {outside}")
    return Check(
        "timeouts",
        "ok",
        f"{inside}; outside of one only this side's deadline, with a cancel",
        "for the server's own as well: ALTER ROLE … SET statement_timeout = "
        f"'{settings.statement_timeout:g}s' (other users of the role get it too)",
    )


def _check_statements(settings: Settings) -> Check:
    said, dsn = settings.pooler_tracks_statements, settings.traffic_dsn
    if (dsn is not None and dsn.is_neon) if said == "auto" else said:
        return Check(
            "statements", "ok", "the pooler keeps prepared statements: each costs one trip"
        )
    return Check(
        "statements",
        "warn",
        "a pooler is in between that is not known to keep prepared statements: asyncpg prepares "
        "each statement each time, which costs one round trip more",
        "where it is PgBouncer 1.21 or newer with max_prepared_statements above 0, "
        "POOLER_TRACKS_STATEMENTS=true; else DATABASE_DRIVER=psycopg, which it costs nothing",
    )
