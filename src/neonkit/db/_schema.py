"""The toolkit's own tables: in the schema `neonkit`, made and versioned apart from the app's."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_LOCK = text("SELECT pg_advisory_xact_lock(x'6E656F6E736368'::bigint)")  # "neonsch"
# By a scan, since `to_regclass` answers from the backend's cache of names: asked before and after
# the wait for the lock, in one transaction, it would not see what another process made meanwhile.
_HAS_REVISION = text(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables"
    " WHERE schemaname = 'neonkit' AND tablename = 'revision')"
)
_REVISION = text("SELECT number FROM neonkit.revision")
_SET_REVISION = text("UPDATE neonkit.revision SET number = :number")
_REVISIONS = (
    (
        "CREATE SCHEMA IF NOT EXISTS neonkit",
        "CREATE TABLE neonkit.revision (number integer NOT NULL)",
        "INSERT INTO neonkit.revision VALUES (0)",
        """
        CREATE TABLE neonkit.keys (
          scope bytea NOT NULL,
          key text NOT NULL,
          fingerprint bytea NOT NULL,
          answer text NOT NULL,
          expires_at timestamptz,
          PRIMARY KEY (scope, key)
        )
        """,
        "CREATE INDEX ON neonkit.keys (expires_at)",
    ),
    (
        # a sign-in that was renewed or has ended; its id is a hash, and no token is kept
        """
        CREATE TABLE neonkit.sign_ins (
          id bytea PRIMARY KEY,
          generation integer NOT NULL,
          renewed_at timestamptz NOT NULL,
          ended_at timestamptz,
          expires_at timestamptz NOT NULL
        )
        """,
        "CREATE INDEX ON neonkit.sign_ins (expires_at)",
        # how often somebody has ended all of their sign-ins, and the one that went on
        """
        CREATE TABLE neonkit.sign_in_epochs (
          subject text PRIMARY KEY,
          number integer NOT NULL,
          kept bytea
        )
        """,
    ),
    (
        # how often something was tried, within a window; its key is a digest of who tries
        """
        CREATE TABLE neonkit.throttles (
          key bytea PRIMARY KEY,
          count integer NOT NULL,
          ends_at timestamptz NOT NULL
        )
        """,
        "CREATE INDEX ON neonkit.throttles (ends_at)",
    ),
    (
        # the newest token that somebody was sent, for each purpose; no token is kept
        """
        CREATE TABLE neonkit.one_time_tokens (
          purpose text NOT NULL,
          subject text NOT NULL,
          digest bytea NOT NULL,
          expires_at timestamptz NOT NULL,
          PRIMARY KEY (purpose, subject)
        )
        """,
        "CREATE UNIQUE INDEX ON neonkit.one_time_tokens (digest)",
    ),
)


async def schema_lead(connection: AsyncConnection) -> int:
    """By how many revisions the schema is ahead of this release; below zero where it is behind."""
    return await _number_of(connection) - len(_REVISIONS)


async def bring_schema(connection: AsyncConnection) -> None:
    """Make what the schema lacks, in the connection's transaction; the caller commits.

    Safe from many processes at once; nothing is locked where nothing is missing.
    """
    if await schema_lead(connection) >= 0:
        return
    await connection.execute(_LOCK)
    for statements in _REVISIONS[await _number_of(connection) :]:
        for statement in statements:
            await connection.execute(text(statement))
    await connection.execute(_SET_REVISION, {"number": len(_REVISIONS)})


async def _number_of(connection: AsyncConnection) -> int:
    """How many of the revisions it has."""
    if not (await connection.execute(_HAS_REVISION)).scalar_one():
        return 0
    number: int = (await connection.execute(_REVISION)).scalar_one()
    return number
