"""The databases of one test process: one in which tests take turns, and clones for the others."""

import itertools
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from secrets import token_hex
from types import TracebackType
from typing import Self

from sqlalchemy import CursorResult, text
from sqlmodel import SQLModel

from neonkit.db import Database, Driver, PoolPolicy, TimeoutPolicy, create_engine
from neonkit.dsn import Dsn
from neonkit.local import WireProxy

_PREFIX = "neonkit_test_"
_PATIENT = TimeoutPolicy(statement=60.0)  # a loaded machine may copy a database for seconds
_STEADY = PoolPolicy(size=1, overflow=0, recycle=math.inf)

# a process that makes databases shows what their names begin with as its application's name,
# from before the first to after the last of them: the others were left by processes that died
_LEFT_BEHIND = """
SELECT made.datname FROM pg_database AS made
WHERE starts_with(made.datname, :prefix)
  AND pg_get_userbyid(made.datdba) = current_user
  AND NOT EXISTS (
    SELECT FROM pg_stat_activity WHERE application_name = left(made.datname, :length)
  )
"""


@dataclass(frozen=True)
class Loan:
    """A database for the length of one test.

    Attributes:
        database: where its sessions go.
        clone: the address, if the database is the test's own and commits in it are real.
        wire: through which that address leads, if the test wants one.
    """

    database: Database
    clone: Dsn | None = None
    wire: WireProxy | None = None


class Databases:
    """Makes the databases of a test process on one server, and drops them at its end.

    All are copies of a template that has every table of `SQLModel.metadata`. Models that a test
    module declares later are added before the next test.

    Args:
        dsn: any database of the server, as a role that may create databases.
        is_durable: whether the server syncs its files: copying them is slow then.
    """

    def __init__(self, dsn: Dsn, *, is_durable: bool) -> None:
        self._name = f"{_PREFIX}{token_hex(4)}"
        parameters = {**dsn.parameters, "application_name": self._name}
        self._dsn = dsn.direct().replace(parameters=parameters)
        self._strategy = "" if is_durable else "STRATEGY FILE_COPY"
        self._numbers = itertools.count(1)
        self._tables: dict[Dsn, frozenset[str]] = {}
        self._template: Dsn | None = None
        self._shared: dict[Driver, tuple[Dsn, Database]] = {}
        engine = create_engine(self._dsn, pool=_STEADY, timeouts=_PATIENT)
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def __aenter__(self) -> Self:
        about = {"prefix": _PREFIX, "length": len(self._name)}
        for (name,) in await self._execute(_LEFT_BEHIND, about):
            await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            for _, database in self._shared.values():
                await database.close()
            for dsn in list(self._tables):
                await self._drop(dsn)
        finally:
            await self._engine.dispose()

    @asynccontextmanager
    async def sandbox(self, driver: Driver) -> AsyncIterator[Loan]:
        """Lend the shared database, inside one transaction that is rolled back after the block."""
        if driver not in self._shared:
            dsn = await self._copy_template()
            self._shared[driver] = dsn, Database(create_engine(dsn, driver=driver))
        dsn, database = self._shared[driver]
        await self._add_tables(dsn, database)
        async with database.sandbox():
            yield Loan(database)

    @asynccontextmanager
    async def clone(self, driver: Driver) -> AsyncIterator[Loan]:
        """Lend a database of its own, dropped after the block."""
        dsn = await self._copy_template()
        try:
            async with Database(create_engine(dsn, driver=driver)) as database:
                yield Loan(database, dsn)
        finally:
            await self._drop(dsn)

    @asynccontextmanager
    async def wired_clone(self, driver: Driver) -> AsyncIterator[Loan]:
        """Lend a database of its own behind a wire, with one connection to it open."""
        dsn = await self._copy_template()
        try:
            async with (
                WireProxy.like_neon(dsn) as wire,
                Database(create_engine(wire.dsn, driver=driver)) as database,
            ):
                async with database.engine.connect():
                    pass
                yield Loan(database, wire.dsn, wire)
        finally:
            await self._drop(dsn)

    async def _copy_template(self) -> Dsn:
        if self._template is None:
            self._template = await self._create("")
        if not self._has_tables(self._template):
            async with Database(create_engine(self._template)) as database:
                await self._add_tables(self._template, database)
        copy = await self._create(f'TEMPLATE "{self._template.database}" {self._strategy}')
        self._tables[copy] = self._tables[self._template]
        return copy

    async def _add_tables(self, dsn: Dsn, database: Database) -> None:
        if not self._has_tables(dsn):
            await database.bring_schema()
            await database.create_all(SQLModel.metadata)
            self._tables[dsn] = frozenset(SQLModel.metadata.tables)

    def _has_tables(self, dsn: Dsn) -> bool:
        return self._tables[dsn].issuperset(SQLModel.metadata.tables)

    async def _create(self, source: str) -> Dsn:
        dsn = self._dsn.replace(database=f"{self._name}_{next(self._numbers)}")
        await self._execute(f'CREATE DATABASE "{dsn.database}" {source}')
        self._tables[dsn] = frozenset()
        return dsn

    async def _drop(self, dsn: Dsn) -> None:
        del self._tables[dsn]
        await self._execute(f'DROP DATABASE "{dsn.database}" WITH (FORCE)')

    async def _execute(
        self, statement: str, values: dict[str, object] | None = None
    ) -> CursorResult[tuple[str]]:
        async with self._engine.connect() as connection:
            return await connection.execute(text(statement), values)
