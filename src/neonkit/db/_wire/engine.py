"""One line for an app that exists: any Neon URL in, SQLAlchemy's `AsyncEngine` out."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, Literal, Never, TypeAlias, get_args

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.dialects import registry
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from neonkit._seams.sqlalchemy import connect_by
from neonkit.db._policies import PoolPolicy, TimeoutPolicy
from neonkit.db._wire.connector import Connector
from neonkit.db._wire.dialect import NeonDialect
from neonkit.db._wire.passwords import PasswordSource
from neonkit.db._wire.pool import Pool, refuse_strangers, replace_stale
from neonkit.db._wire.returning_connection import ReturningConnection
from neonkit.db._wire.sent_statements import Watcher
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError

Driver: TypeAlias = Literal["asyncpg", "psycopg"]

_INSTEAD: Final = {
    "async_creator": "say password=… for a password that changes, the rest is the URL's",
    "connect_args": "write them into the URL as libpq does, or say timeouts=TimeoutPolicy(…)",
    "execution_options": "call engine.execution_options(…)",
    "hide_parameters": "values are always hidden",
    "isolation_level": "call engine.execution_options(isolation_level=…)",
    "max_overflow": "say pool=PoolPolicy(overflow=…)",
    "pool_pre_ping": "leave it out, a broken connection is noticed without asking",
    "pool_recycle": "say pool=PoolPolicy(recycle=…)",
    "pool_size": "say pool=PoolPolicy(size=…)",
    "pool_timeout": "say pool=PoolPolicy(timeout=…)",
    "pool_use_lifo": "leave it out, it is so",
    "poolclass": "leave it out, the pool is part of the engine",
}

for _driver in get_args(Driver):
    registry.register(f"postgresql.neonkit_{_driver}", f"neonkit.db._wire.{_driver}", "Dialect")


def create_engine(  # noqa: PLR0913  # each a choice of its own, by name
    url: str | Dsn,
    *,
    driver: Driver = "asyncpg",
    password: PasswordSource | None = None,
    pool: PoolPolicy | None = None,
    timeouts: TimeoutPolicy | None = None,
    application_name: str | None = None,
    pooler_tracks_statements: bool | Literal["auto"] = "auto",
    plain_functions: Collection[str] = (),
    json_serializer: Callable[[Any], str] | None = None,
    json_deserializer: Callable[[Any], Any] | None = None,
    echo: bool = False,
    **unknown: Never,
) -> AsyncEngine:
    """Make an engine for any Neon URL, pooled or direct, and for any other PostgreSQL.

    Nothing is connected before the first statement. Values never appear in logs or errors.

    Args:
        url: as Neon's console prints it; `sslmode`, `channel_binding` and `options` included.
        driver: what speaks to the server. Both cost the same round trips, but for a transaction's
            BEGIN and what a pooler does not keep, which psycopg sends with a statement.
        password: a function, or a coroutine function, that gives the password of the moment: it
            is called for each new connection, in place of the URL's.
        pool: how many connections, how long they idle; 15 and 240 s by default.
        timeouts: bounds on connecting, statements and locks; 12, 5 and 2 s by default.
        application_name: what `pg_stat_activity` shows, unless the URL names one.
        pooler_tracks_statements: whether prepared statements survive behind a pooler; `auto`
            knows Neon's, and asks the first connection otherwise.
        plain_functions: names of your database's functions that neither write nor lock: a SELECT
            that calls one goes without BEGIN, as one that calls PostgreSQL's own does.
        json_serializer: writes values of JSON columns; `json.dumps` by default.
        json_deserializer: reads the text of JSON columns; `json.loads` by default.
        echo: log each statement.
        **unknown: refused, each with the name of what takes its place here.

    Raises:
        TypeError: an argument that there is not.
        UrlError: the URL is wrong, or requires what the driver cannot give (on asyncpg a
            `channel_binding=require` that no verified certificate stands in for); it says which
            part, and what it should look like.
        ConfigurationError: the driver cannot be imported.
    """
    if unknown:
        raise TypeError(_no_such_arguments(unknown))
    dsn = url if isinstance(url, Dsn) else Dsn.parse(url)
    if application_name and "application_name" not in dsn.parameters:
        dsn = dsn.replace(parameters={**dsn.parameters, "application_name": application_name})
    if driver == "asyncpg":
        dsn.for_asyncpg()  # refuses now, rather than at each attempt to connect
    pool = pool or PoolPolicy()
    connector = _connector_class(driver)(
        dsn,
        timeouts or TimeoutPolicy(),
        tracks_statements=_tracks_statements(dsn, pooler_tracks_statements),
        password=password,
    )
    # looked up at each call: tracers put theirs there, maybe after this module was imported
    engine = sqlalchemy_asyncio.create_async_engine(
        URL.create(
            f"postgresql+neonkit_{driver}",
            username=dsn.user,
            host=dsn.host,
            port=dsn.port,
            database=dsn.database,
        ),
        connector=connector,
        plain_functions=plain_functions,
        poolclass=Pool,
        pool_size=pool.capacity,
        max_overflow=0,
        pool_timeout=pool.timeout,
        pool_use_lifo=True,
        hide_parameters=True,
        json_serializer=json_serializer,
        json_deserializer=json_deserializer,
        echo=echo,
    )
    connect_by(engine.sync_engine, ReturningConnection)
    opened: Any = engine.sync_engine.pool  # of the class above
    refuse_strangers(opened)
    replace_stale(opened, pool.recycle)
    return engine


def is_behind_pooler(engine: AsyncEngine) -> bool:
    """True if the first connection of `create_engine`'s engine found a pooler in between."""
    dialect = engine.sync_engine.dialect
    return isinstance(dialect, NeonDialect) and dialect.connector.has_pooler


@contextmanager
def watching(engine: Engine, watcher: Watcher) -> Iterator[None]:
    """Tell somebody of each statement of `create_engine`'s engine, for the block.

    Nobody listens to SQLAlchemy's events for that, which cost each statement more than it does.

    Raises:
        ConfigurationError: the engine is another's.
    """
    connector = _dialect_of(engine).connector
    connector.watchers += (watcher,)
    try:
        yield
    finally:
        connector.watchers = tuple(each for each in connector.watchers if each is not watcher)


def is_ours(engine: Engine) -> bool:
    """True if `create_engine` made it."""
    return isinstance(engine.dialect, NeonDialect)


def dsn_of(connection: Connection) -> Dsn:
    """The address of a connection of `create_engine`'s engine, password included.

    Raises:
        ConfigurationError: the engine is another's.
    """
    return _dialect_of(connection.engine).connector.dsn


def _dialect_of(engine: Engine) -> NeonDialect:
    dialect = engine.dialect
    if not isinstance(dialect, NeonDialect):
        raise ConfigurationError(
            f"this needs an engine made by neonkit.create_engine, not one for {engine.url!r}"
        )
    return dialect


def _no_such_arguments(names: Iterable[str]) -> str:
    told = (
        f"no {name} ({_INSTEAD.get(name, 'its docstring lists what it takes')})" for name in names
    )
    return f"neonkit.create_engine takes {', '.join(told)}"


def _tracks_statements(dsn: Dsn, said: bool | Literal["auto"]) -> bool | None:
    if said != "auto":
        return said
    return True if dsn.is_neon else None


def _connector_class(driver: Driver) -> type[Connector[Any]]:
    try:
        found: type[Connector[Any]] = import_module(f"neonkit.db._wire.{driver}").Connector
    except ImportError as error:
        package = "psycopg[binary]" if driver == "psycopg" else driver
        raise ConfigurationError(
            f"the driver {driver} cannot be imported ({error}): pip install '{package}'"
        ) from error
    return found
