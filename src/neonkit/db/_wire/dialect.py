"""SQLAlchemy's PostgreSQL, connecting through a `Connector` and asking nothing twice."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import URL, Connection
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine.interfaces import DBAPIConnection, IsolationLevel
from sqlalchemy.util import await_

from neonkit._seams.sqlalchemy import raise_translated
from neonkit.db._wire.connection import UnitOfWorkConnection
from neonkit.db._wire.connector import Connector, ServerFacts
from neonkit.db._wire.phases import Sending
from neonkit.db._wire.plain_reads import PlainReads
from neonkit.errors import ConfigurationError

_LISTENED = (
    "a listener of do_connect gave {changed} to an engine of neonkit.create_engine, which connects "
    "by its URL alone: write it into the URL, or say create_engine(…, password=…) for a password "
    "that changes"
)


class NeonDialect(PGDialect):
    """The part of the dialect that all drivers share; it comes before SQLAlchemy's dialect for one.

    Attributes:
        adapter: adapts the connections that the connector opens.
        has_plans: whether plain reads may go by ready plans.
    """

    supports_statement_cache = True
    has_terminate = True
    adapter: type[UnitOfWorkConnection]
    has_plans = False

    def __init__(
        self, connector: Connector[Any], plain_functions: Collection[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.connector = connector
        self.plain_reads = PlainReads(plain_functions)

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Tell the cursor how the statement is sent, and execute it."""
        compiled = context.compiled if context is not None else None
        is_plain = not cursor.server_side and compiled in self.plain_reads
        wire: UnitOfWorkConnection = cursor.wire
        cursor.sending = wire.next_sending(is_plain=is_plain)
        carried = None
        if cursor.sending is Sending.LONE:
            carried = wire.carry_check(compiled, statement, parameters)
        if carried is None:
            super().do_execute(cursor, statement, parameters, context)
            return
        with wire.vouched_for():
            super().do_execute(cursor, *carried, context)
        if cursor.rowcount == 0:
            wire.wait_for(wire.explain_nothing())
        else:
            wire.settle()

    def create_connect_args(self, url: URL) -> tuple[list[str], dict[str, Any]]:
        """Nothing: the `Connector` has it all."""
        return [], {}

    def connect(self, *args: Any, **changed: Any) -> DBAPIConnection:
        """Open and adapt one connection.

        Raises:
            ConfigurationError: a listener of `do_connect` wants it otherwise.
        """
        if args or changed:
            raise ConfigurationError(_LISTENED.format(changed=", ".join(changed) or "arguments"))
        connection: DBAPIConnection = await_(self._open())
        return connection

    async def _open(self) -> Any:
        try:
            connection = await self.connector.connect()
        except Exception as error:  # noqa: BLE001  # re-raised, translated
            raise_translated(self.adapter, self.loaded_dbapi, error)
        return self.adapter(self.loaded_dbapi, connection, self.connector)

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Close a connection that nobody waits for."""
        dbapi_connection.abandon()

    def set_isolation_level(self, dbapi_connection: Any, level: IsolationLevel) -> None:
        """Choose the isolation level of further transactions."""
        dbapi_connection.set_isolation_level(level)

    def reset_isolation_level(self, dbapi_conn: Any) -> None:
        """Go back to the server's own default, by which plain reads go in the open."""
        dbapi_conn.set_isolation_level(None)

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        """True if each statement commits as itself."""
        return bool(dbapi_conn.isolation_level == "AUTOCOMMIT")

    def set_readonly(self, connection: Any, value: bool) -> None:
        """Choose whether further transactions only read."""
        connection.is_read_only = value

    def get_readonly(self, connection: Any) -> bool:
        """True if further transactions only read."""
        return bool(connection.is_read_only)

    def set_deferrable(self, connection: Any, value: bool) -> None:
        """Choose whether further transactions are DEFERRABLE."""
        connection.is_deferrable = value

    def get_deferrable(self, connection: Any) -> bool:
        """True if further transactions are DEFERRABLE."""
        return bool(connection.is_deferrable)

    @property
    def _facts(self) -> ServerFacts:
        facts = self.connector.facts
        assert facts is not None, "asked before the first connection"  # noqa: S101
        return facts

    def _get_server_version_info(self, connection: Connection) -> tuple[int, ...]:
        return self._facts.version

    def _get_default_schema_name(self, connection: Connection) -> str:
        return self._facts.schema

    def get_default_isolation_level(self, dbapi_conn: Any) -> IsolationLevel:
        """The word of `default_transaction_isolation` at the first connection."""
        return self._facts.isolation

    def _set_backslash_escapes(self, connection: Connection) -> None:
        # reported by the server at connect: every supported PostgreSQL has it on by default
        self._backslash_escapes = not self._facts.has_standard_strings
