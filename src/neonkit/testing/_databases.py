"""The databases of one test process: some in which tests take turns, and clones for the others."""

import itertools
import math
import warnings
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import CursorResult, Sequence, Table, text
from sqlalchemy.exc import DBAPIError

from neonkit.db import Database, Driver, PoolPolicy, TimeoutPolicy, create_engine
from neonkit.dsn import Dsn
from neonkit.local import WireProxy
from neonkit.testing._kept_history import KeptHistory
from neonkit.testing._wanted_tables import ALL_MODELS, WantedTables

if TYPE_CHECKING:
    from neonkit.migrations import Plan

_BEYOND_HEAD = (
    "the models say more than the migrations in {folder}; the tests' databases have it, and "
    "production will not: run `neonkit makemigrations`\n{words}"
)
_PREFIX = "neonkit_test_"
_OF_A_FOLDER = "SELECT datname FROM pg_database WHERE starts_with(datname, :family)"
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

    All are copies of a template: what the app's revisions make, and what its models say beyond
    them; without revisions every table of the models. Models that a test module declares later are
    added before the next test.

    Args:
        dsn: any database of the server, as a role that may create databases.
        is_durable: whether the server syncs its files: copying them is slow then. What revisions
            make is kept for the next run only where it does not.
        tables_of_tests: says which tables and sequences are the tests' own, of the folder of an
            app's revisions.
    """

    def __init__(
        self,
        dsn: Dsn,
        *,
        is_durable: bool,
        tables_of_tests: Callable[[Path], Iterable[Table | Sequence]] = lambda _: (),
    ) -> None:
        self._name = f"{_PREFIX}{token_hex(4)}"
        parameters = {**dsn.parameters, "application_name": self._name}
        self._dsn = dsn.direct().replace(parameters=parameters)
        self._is_durable = is_durable
        self._tables_of_tests = tables_of_tests
        self._numbers = itertools.count(1)
        self._tables: dict[Dsn, frozenset[str]] = {}
        self._templates: dict[WantedTables, Dsn] = {}
        self._beyond_head: dict[WantedTables, Plan] = {}
        self._shared: dict[tuple[Driver, WantedTables], tuple[Dsn, Database]] = {}
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
    async def sandbox(
        self, driver: Driver, wanted: WantedTables = ALL_MODELS
    ) -> AsyncIterator[Loan]:
        """Lend the shared database, inside one transaction that is rolled back after the block."""
        key = driver, wanted
        if key not in self._shared:
            dsn = await self._copy_template(wanted)
            self._shared[key] = dsn, Database(create_engine(dsn, driver=driver))
        dsn, database = self._shared[key]
        await self._add_tables(dsn, database, wanted)
        async with database.sandbox():
            yield Loan(database)

    @asynccontextmanager
    async def clone(self, driver: Driver, wanted: WantedTables = ALL_MODELS) -> AsyncIterator[Loan]:
        """Lend a database of its own, dropped after the block."""
        dsn = await self._copy_template(wanted)
        try:
            async with Database(create_engine(dsn, driver=driver)) as database:
                yield Loan(database, dsn)
        finally:
            await self._drop(dsn)

    @asynccontextmanager
    async def wired_clone(
        self, driver: Driver, wanted: WantedTables = ALL_MODELS
    ) -> AsyncIterator[Loan]:
        """Lend a database of its own behind a wire, with one connection to it open."""
        dsn = await self._copy_template(wanted)
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

    def beyond_head(self, wanted: WantedTables) -> "Plan":
        """What the models say beyond the revisions; a database of these tables was lent before."""
        return self._beyond_head[wanted]

    async def _copy_template(self, wanted: WantedTables) -> Dsn:
        template = self._templates.get(wanted)
        if template is None:
            template = await self._make_template(wanted)
            self._templates[wanted] = template
        if not self._has_tables(template, wanted):
            async with Database(create_engine(template)) as database:
                await self._add_tables(template, database, wanted)
        copy = await self._create(template.database)
        self._tables[copy] = self._tables[template]
        return copy

    async def _make_template(self, wanted: WantedTables) -> Dsn:
        if wanted.revisions is None:
            return await self._create()
        from neonkit.migrations import complete, upgrade

        kept = None if self._is_durable else KeptHistory.of(wanted.revisions)
        if kept is not None and kept.name in await self._kept(kept):
            template = await self._create(kept.name)
        else:
            template = await self._create()
            await upgrade(template, wanted.revisions)
            if kept is not None:
                await self._keep(template, kept)
        quoting = self._engine.dialect.identifier_preparer
        theirs = [
            quoting.format_table(each) if isinstance(each, Table) else quoting.format_sequence(each)
            for each in self._tables_of_tests(wanted.revisions)
        ]
        plan = await complete(template, wanted.app_metadatas, leaving_out=theirs)
        self._beyond_head[wanted] = plan
        if not plan.is_empty:
            words = "\n".join(plan.words)
            told = _BEYOND_HEAD.format(folder=wanted.revisions, words=words)
            warnings.warn(told, stacklevel=2)
        return template

    async def _kept(self, like: KeptHistory) -> set[str]:
        """Names of what is kept of a folder."""
        rows = await self._execute(_OF_A_FOLDER, {"family": like.family})
        return {name for (name,) in rows}

    async def _keep(self, made: Dsn, kept: KeptHistory) -> None:
        """Copy what revisions made for the next run, unless another process has done it."""
        for name in await self._kept(kept) - {kept.name}:
            with suppress(DBAPIError):  # another process drops it, or copies it still
                await self._execute(f'DROP DATABASE IF EXISTS "{name}"')
        copy = await self._create(made.database)
        with suppress(DBAPIError):  # it is there by now
            await self._execute(f'ALTER DATABASE "{copy.database}" RENAME TO "{kept.name}"')
            del self._tables[copy]

    async def _add_tables(self, dsn: Dsn, database: Database, wanted: WantedTables) -> None:
        if not self._has_tables(dsn, wanted):
            await database.bring_schema()
            await database.create_all(*wanted.metadatas)
            self._tables[dsn] = wanted.names()

    def _has_tables(self, dsn: Dsn, wanted: WantedTables) -> bool:
        return self._tables[dsn].issuperset(wanted.names())

    async def _create(self, template: str = "") -> Dsn:
        dsn = self._dsn.replace(database=f"{self._name}_{next(self._numbers)}")
        strategy = "" if self._is_durable else "STRATEGY FILE_COPY"
        source = f'TEMPLATE "{template}" {strategy}' if template else ""
        await self._execute(f'CREATE DATABASE "{dsn.database}" {source}')
        self._tables[dsn] = frozenset()
        return dsn

    async def _drop(self, dsn: Dsn) -> None:
        del self._tables[dsn]
        await self._execute(f'DROP DATABASE "{dsn.database}" WITH (FORCE)')

    async def _execute(
        self, statement: str, values: dict[str, object] | None = None
    ) -> CursorResult[str]:
        async with self._engine.connect() as connection:
            return await connection.execute(text(statement), values)
