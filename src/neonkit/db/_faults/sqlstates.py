"""SQLSTATEs as an application understands them, and Neon's texts where there is no code.

A code is looked up whole, then by its class (its first two characters), so that a code of a
later PostgreSQL still means something. Source: PostgreSQL, appendix A, "Error Codes".
"""

from enum import StrEnum


class FaultKind(StrEnum):
    """A kind of trouble in the database, by what can be done about it."""

    DUPLICATE = "duplicate"
    """A unique or exclusion constraint: the value is taken."""

    FOREIGN_KEY = "foreign-key"
    """The row that this one refers to does not exist."""

    DEPENDENTS = "dependents"
    """Other rows still refer to the row that was to go."""

    NOT_NULL = "not-null"
    """A column that must hold a value was given none."""

    CHECK = "check"
    """A CHECK constraint, or the check option of a view."""

    INVALID_VALUE = "invalid-value"
    """A value that its type cannot hold: too long, out of range, not a date."""

    SERIALIZATION = "serialization"
    """A concurrent transaction changed what this one read; possible at COMMIT too."""

    DEADLOCK = "deadlock"
    """This transaction was chosen to end a deadlock."""

    LOCK_TIMEOUT = "lock-timeout"
    """A lock stayed taken for `lock_timeout`, or was asked for with NOWAIT."""

    STALE_ROW = "stale-row"
    """The ORM wrote a row that has been changed or deleted since it was read."""

    STALE_PLAN = "stale-plan"
    """A prepared statement is gone, doubled, or older than its tables."""

    STATEMENT_TIMEOUT = "statement-timeout"
    """The server cancelled the statement, or ended its transaction for taking too long."""

    CONNECTION_LOST = "connection-lost"
    """An open connection ended."""

    UNAVAILABLE = "unavailable"
    """No connection could be made: refused, unknown host, silent, starting, waking up."""

    OUTCOME_UNKNOWN = "outcome-unknown"
    """Nobody knows whether the transaction was committed."""

    TOO_MANY_CONNECTIONS = "too-many-connections"
    """The server, its pooler or Neon's proxy admits no further connection now."""

    POOL_TIMEOUT = "pool-timeout"
    """Every connection of this process stayed busy."""

    READ_ONLY = "read-only"
    """A write met a standby, or a read-only transaction."""

    RESOURCES = "resources"
    """Disk, memory, a rate or a size limit: trying again at once does not help."""

    MISCONFIGURED = "misconfigured"
    """Password, database name, TLS, quota, endpoint: an operator must act."""

    DEFECT = "defect"
    """The statement itself is wrong, or the server is broken: nothing a client can mend."""

    @property
    def is_transient(self) -> bool:
        """True where the whole transaction may be run again, on a new connection if need be.

        Nothing was committed then, and the next attempt may well succeed. Decisions that the
        transaction took must be taken again, from what it reads then.
        """
        return self in _TRANSIENT


_TRANSIENT = frozenset(
    {
        FaultKind.SERIALIZATION,
        FaultKind.DEADLOCK,
        FaultKind.LOCK_TIMEOUT,
        FaultKind.STALE_ROW,
        FaultKind.STALE_PLAN,
        FaultKind.CONNECTION_LOST,
        FaultKind.UNAVAILABLE,
        FaultKind.TOO_MANY_CONNECTIONS,
        FaultKind.READ_ONLY,
    }
)

_CODES = {
    "08001": FaultKind.UNAVAILABLE,
    "08004": FaultKind.UNAVAILABLE,
    "08007": FaultKind.OUTCOME_UNKNOWN,
    "23001": FaultKind.DEPENDENTS,  # ON DELETE RESTRICT says this from PostgreSQL 18 on
    "23502": FaultKind.NOT_NULL,
    "23503": FaultKind.FOREIGN_KEY,
    "23505": FaultKind.DUPLICATE,
    "23P01": FaultKind.DUPLICATE,
    "25006": FaultKind.READ_ONLY,
    "25P03": FaultKind.CONNECTION_LOST,
    "25P04": FaultKind.STATEMENT_TIMEOUT,
    "40003": FaultKind.OUTCOME_UNKNOWN,
    "40P01": FaultKind.DEADLOCK,
    "42P05": FaultKind.STALE_PLAN,
    "53300": FaultKind.TOO_MANY_CONNECTIONS,
    "54000": FaultKind.INVALID_VALUE,  # a value too large for its index or for full-text search
    "55P03": FaultKind.LOCK_TIMEOUT,
    "57014": FaultKind.STATEMENT_TIMEOUT,
    "57P01": FaultKind.CONNECTION_LOST,
    "57P02": FaultKind.CONNECTION_LOST,
    "57P04": FaultKind.MISCONFIGURED,
    "57P05": FaultKind.CONNECTION_LOST,
    "58P01": FaultKind.MISCONFIGURED,
    "58P02": FaultKind.MISCONFIGURED,
    "58P03": FaultKind.MISCONFIGURED,
    "HV00N": FaultKind.UNAVAILABLE,
}

_CLASSES = {
    "08": FaultKind.CONNECTION_LOST,
    "22": FaultKind.INVALID_VALUE,
    "23": FaultKind.CHECK,
    "26": FaultKind.STALE_PLAN,
    "28": FaultKind.MISCONFIGURED,
    "3D": FaultKind.MISCONFIGURED,
    "40": FaultKind.SERIALIZATION,
    "44": FaultKind.CHECK,
    "53": FaultKind.RESOURCES,
    "57": FaultKind.UNAVAILABLE,
    "58": FaultKind.UNAVAILABLE,  # Neon: a page that its storage did not deliver in time
    "72": FaultKind.SERIALIZATION,
    "F0": FaultKind.MISCONFIGURED,
}


def kind_of_sqlstate(sqlstate: str) -> FaultKind:
    """Look up a code, then its class; what is in neither is a defect."""
    by_class = _CLASSES.get(sqlstate[:2], FaultKind.DEFECT)
    return _CODES.get(sqlstate, by_class)


# Neon's proxy answers every failed login with XX000, PgBouncer with 08P01, and libpq hands on
# no code at all: up to the login, the text is all there is. Final answers come first, since
# libpq joins those of several addresses into one. Lower case.
_REFUSALS = {
    FaultKind.MISCONFIGURED: (
        "password authentication failed",
        "sasl authentication failed",
        "authentication protocol violation",
        "unsupported channel binding method",
        "malformed password message",
        "unsupported authentication method",
        "no password supplied",
        "no pg_hba.conf entry",
        '" does not exist',
        "no such database",
        "no such user",
        "endpoint cannot be found",
        "endpoint is disabled",
        "endpoint has been disabled",
        "endpoint id is not specified",
        "inconsistent project name",
        "project name (",
        "is missing in startup packet",
        "unsupported startup parameter",
        "connection is insecure",
        "is not allowed to connect to this endpoint",
        "from a blocked network",
        "vpc endpoint id",
        "exceeded the compute time",
        "quota. upgrade your plan",
        "could not be found, or you don't have access to it",
        "is protected and cannot be used for password-based authentication",
        "certificate",
        "rejected ssl upgrade",
        "does not support ssl",
        # libpq, of what it was told, before it connects or by what the server offers then
        "channel binding required",
        "channel binding is required",
        "weak sslmode",
        "host name must be specified",
        "authentication method requirement",
        "requested an unknown authentication type",
        "sasl authentication mechanisms are supported",
        "definition of service",
        "service file",
        "private key",
        "private ssl key",
        "could not load ssl engine",
        "gssapi encryption required",
        "require_auth method",
        "for connection option",
        "invalid connection option",
        "invalid sslmode value",
        "invalid channel_binding value",
        "invalid port number",
        "invalid sslnegotiation value",
        "invalid gssencmode value",
        "invalid target_session_attrs value",
        "invalid load_balance_hosts value",
        'invalid value "',
        "could not parse network address",
        "could not look up local user id",
    ),
    FaultKind.RESOURCES: (
        "endpoint is temporarily unavailable",
        "exceeded the rate limit",
        "active endpoints limit exceeded",
        "limit of concurrently active endpoints",
    ),
    FaultKind.TOO_MANY_CONNECTIONS: (
        "too many connections",
        "too many clients",
        "too many database connection attempts",
        "remaining connection slots",
        "no more connections allowed",
        "query_wait_timeout",
    ),
    FaultKind.CONNECTION_LOST: ("connection is closed",),
}


def kind_of_refusal(text: str) -> FaultKind | None:
    """Look for what Neon's proxy, PgBouncer, libpq or asyncpg says instead of sending a code.

    Args:
        text: the message of an error that carries no code of PostgreSQL's own.

    Returns:
        `None` where the text is not known.
    """
    lowered = text.lower()
    for kind, known in _REFUSALS.items():
        if any(part in lowered for part in known):
            return kind
    return None


def words_of_refusal(text: str) -> str | None:
    """The part of a known refusal that is the same for everybody, to be shown in a log.

    Args:
        text: a server's message, which may hold the names of a host, a role and a database.
    """
    lowered = text.lower()
    known = (part for parts in _REFUSALS.values() for part in parts if part in lowered)
    return next((part.strip('" (') for part in known), None)
