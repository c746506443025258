"""Rehearsal: the pending revisions run on a copy, while others read and write its tables."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import SQLAlchemyError

from neonkit.dsn import Dsn
from neonkit.errors import MigrationError
from neonkit.migrations._lint.effects import effects_of
from neonkit.migrations._lint.findings import Pending, read_pending
from neonkit.migrations._lint.tables_in_use import quoted
from neonkit.migrations._running.patience import run_patiently
from neonkit.migrations._running.scratch import made_from
from neonkit.migrations._running.steps import connected, pending_steps, run_to
from neonkit.migrations._scripts import head_of, read_script

# Alembic's own, and what a backfill asks of the catalogue
_ASIDE = "alembic_version", "SELECT pg_catalog.pg_class.relname", "pg_index JOIN", "reltuples FROM"
_EVERY = 0.005
_NOTICED = 0.02  # shorter ones are the trickle's own
_LOCK_PATIENCE = 60.0
_LOCKS = text("""
SELECT relation::regclass::text, mode FROM pg_locks
WHERE pid = :pid AND granted AND locktype = 'relation'
  AND relation::regclass::text = ANY(:tables)
  AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
""")
_TABLES = text("""
SELECT oid::regclass::text, greatest(reltuples, 0)::bigint,
  (SELECT quote_ident(attname) FROM pg_attribute
   WHERE attrelid = pg_class.oid AND attnum > 0 AND attgenerated = '' AND attidentity <> 'a'
     AND NOT attisdropped LIMIT 1)
FROM pg_class WHERE oid IN (SELECT to_regclass(name)::oid FROM unnest(CAST(:names AS text[])) name)
  AND relkind = 'r'
""")
_FILES = text("""
SELECT name, pg_relation_filenode(to_regclass(name)) FROM unnest(CAST(:names AS text[])) name
""")
_MAINTENANCE = "postgres"


@dataclass(frozen=True)
class Held:
    """A lock that readers or writers would notice.

    Attributes:
        table: on which.
        mode: PostgreSQL's name of it.
        seconds: for how long, as far as it was seen.
    """

    table: str
    mode: str
    seconds: float


@dataclass
class Rehearsed:
    """One statement, as it went on the copy.

    Attributes:
        revision: whose it is.
        statement: as it was sent.
        seconds: how long it took, in all where it was sent several times.
        times: how often it was sent, one after the other, as a backfill does.
        rewritten: rows that were written anew, by table.
        locks: that it took or kept, on the tables that were in use.
        waits: the longest wait of a reader and of a writer meanwhile, in seconds, by table.
    """

    revision: str
    statement: str
    seconds: float
    rewritten: dict[str, int] = field(default_factory=dict)
    locks: list[Held] = field(default_factory=list)
    waits: dict[str, dict[str, float]] = field(default_factory=dict)
    times: int = 1

    def __str__(self) -> str:
        times = f"  {self.times} times" if self.times > 1 else ""
        told = " ".join(self.statement.split())
        lines = [f"{self.revision}  {self.seconds:.3f} s{times}  {told}"]
        lines += [f"{each.mode} on {each.table}, {each.seconds:.3f} s" for each in self.locks]
        lines += [f"{rows:,} rows of {name} written anew" for name, rows in self.rewritten.items()]
        lines += [
            f"a {who} of {table} waited {seconds:.3f} s"
            for table, waits in self.waits.items()
            for who, seconds in waits.items()
        ]
        return "\n    ".join(lines)


async def rehearse(dsn: Dsn, folder: Path, copy: Dsn | None = None) -> list[Rehearsed]:
    """Run the revisions that a database lacks on a copy of it, and tell what happened.

    Meanwhile one reads and one writes a row of each table that is there and that they touch, every
    5 ms or so. The database itself is only read.

    Args:
        dsn: the direct URL of a database on this machine; it is copied, and nobody may be connected
            to it. With `copy` it may be anywhere, and is not touched.
        folder: of a `History` that is ours.
        copy: a database to run them on instead, such as a branch's: it is changed for good.

    Raises:
        MigrationError: the database is on another machine, is in use, or cannot be reached; or a
            revision failed on the copy.
    """
    script = read_script(folder)
    head = head_of(script)
    if head is None:
        return []
    if copy is None and not dsn.is_local:
        raise MigrationError(
            f"the database at {dsn.host} cannot be copied from here: make a branch of it, and give "
            "its direct URL with --on"
        )
    async with _stage(dsn, copy) as stage:
        return await _rehearse(stage, script, head)


@asynccontextmanager
async def _stage(dsn: Dsn, copy: Dsn | None) -> AsyncIterator[Dsn]:
    if copy is not None:
        if (copy.host, copy.port, copy.database) == (dsn.host, dsn.port, dsn.database):
            raise MigrationError("--on names the database itself: give it the URL of a copy")
        yield copy
        return
    async with made_from(dsn.database, dsn.replace(database=_MAINTENANCE)) as made:
        yield made


async def _rehearse(dsn: Dsn, script: ScriptDirectory, head: str) -> list[Rehearsed]:
    async with connected(dsn) as connection:
        steps = await connection.run_sync(pending_steps, script, head)
        names = {"names": sorted(_touched(read_pending(steps)))}
        tables = (await connection.execute(_TABLES, names)).all()
        await connection.rollback()
    audience = [_Member(name, column, who) for name, _, column in tables for who in _ASKS]
    rows = {name: int(count) for name, count, _ in tables}
    actor = _Actor(dsn, script, steps, rows)
    async with asyncio.TaskGroup() as group:
        watchers = [group.create_task(member.attend(dsn)) for member in audience]
        watchers.append(group.create_task(actor.be_watched()))
        try:  # in a thread: a backfill sleeps, and the audience must not
            await asyncio.to_thread(lambda: asyncio.run(actor.play()))
        finally:
            for watcher in watchers:
                watcher.cancel()
    return actor.report(audience)


def _touched(pending: Iterable[Pending]) -> set[str]:
    """The tables that the revisions name."""
    return {
        quoted(effect.table)
        for each in pending
        for statement in each.statements or ()
        for effect in effects_of(statement)
        if effect.table
    }


_ASKS = {
    "reader": "SELECT {column} FROM {table} LIMIT 1",
    "writer": "UPDATE {table} SET {column} = {column} "
    "WHERE ctid = (SELECT ctid FROM {table} LIMIT 1)",
}


class _Member:
    """Somebody who uses a table again and again.

    Attributes:
        table: which one.
        who: `reader` or `writer`.
        waited: when each wait began, and how many seconds it was.
    """

    def __init__(self, table: str, column: str, who: str) -> None:
        self.table, self.who = table, who
        self.waited: list[tuple[float, float]] = []
        self._ask = _ASKS[who].format(table=table, column=column)

    async def attend(self, dsn: Dsn) -> None:
        """Use it until the task is cancelled, as a service does: one statement at a time."""
        async with connected(dsn) as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            while True:
                began = time.monotonic()
                with suppress(SQLAlchemyError):  # the table may be gone by now, or a column
                    await connection.exec_driver_sql(self._ask)
                self.waited.append((began, time.monotonic() - began))
                await asyncio.sleep(_EVERY)

    def longest(self, began: float, ended: float) -> float:
        """The longest wait that fell into a time."""
        return max(
            (wait for at, wait in self.waited if at <= ended and at + wait >= began), default=0
        )


class _Actor:
    """The migration itself: what it sends, and what it holds."""

    def __init__(
        self, dsn: Dsn, script: ScriptDirectory, steps: Sequence[RevisionStep], rows: dict[str, int]
    ) -> None:
        self._dsn, self._script, self._steps, self._rows = dsn, script, steps, rows
        self._pid: int | None = None
        self._revision = ""
        self._began = 0.0
        self._is_looking = False
        self._files: dict[str, object] = {}
        self._sent: list[tuple[float, Rehearsed]] = []
        self._looked: list[tuple[float, frozenset[tuple[str, str]]]] = []

    async def play(self) -> None:
        """Apply the revisions one by one."""
        async with connected(self._dsn) as connection:
            self._pid = await connection.scalar(text("SELECT pg_backend_pid()"))
            self._files = await connection.run_sync(self._read_files)
            await connection.rollback()
            for step in self._steps:
                self._revision = step.revision.revision
                await run_patiently(connection, partial(self._run, step), _LOCK_PATIENCE)

    async def be_watched(self) -> None:
        """Note which locks it holds, every 5 ms or so."""
        async with connected(self._dsn) as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            while True:
                values = {"pid": self._pid or 0, "tables": list(self._rows)}
                rows = await connection.execute(_LOCKS, values)
                held = frozenset((table, mode) for table, mode in rows)
                self._looked.append((time.monotonic(), held))
                await asyncio.sleep(_EVERY)

    def report(self, audience: Sequence[_Member]) -> list[Rehearsed]:
        """What each statement did to the audience."""
        for began, done in self._sent:
            ended = began + done.seconds
            done.locks = self._locks_between(began, ended)
            for member in audience:
                wait = member.longest(began, ended)
                if wait >= _NOTICED:
                    done.waits.setdefault(member.table, {})[member.who] = round(wait, 3)
        return _together(done for _, done in self._sent)

    def _read_files(self, connection: Connection) -> dict[str, object]:
        rows = connection.execute(_FILES, {"names": list(self._rows)}).all()
        return {row[0]: row[1] for row in rows}

    def _run(self, step: RevisionStep, connection: Connection) -> None:
        event.listen(connection, "before_cursor_execute", self._before)
        event.listen(connection, "after_cursor_execute", self._after)
        try:
            run_to(connection, self._script, step.revision.revision)
        finally:
            event.remove(connection, "before_cursor_execute", self._before)
            event.remove(connection, "after_cursor_execute", self._after)

    def _before(self, _connection: Connection, *_: object) -> None:
        if not self._is_looking:
            self._began = time.monotonic()

    def _after(self, connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if self._is_looking or any(sign in statement for sign in _ASIDE):
            return
        seconds = round(time.monotonic() - self._began, 3)
        self._is_looking = True
        files = self._read_files(connection)
        self._is_looking = False
        anew = {
            name: self._rows[name]
            for name, file in files.items()
            if file is not None and file != self._files[name]
        }
        self._files = files
        self._sent.append((self._began, Rehearsed(self._revision, statement, seconds, anew)))

    def _locks_between(self, began: float, ended: float) -> list[Held]:
        """The locks on each table in a time, and how long each was held in all."""
        found = {}
        for place, (at, held) in enumerate(self._looked):
            if began <= at <= ended + _EVERY:
                found.update({lock: self._span(lock, place) for lock in held})
        return [Held(table, mode, round(span, 3)) for (table, mode), span in found.items()]

    def _span(self, lock: tuple[str, str], place: int) -> float:
        """How long a lock was held, each time that somebody looked, around one of these times."""
        first = last = place
        while first and lock in self._looked[first - 1][1]:
            first -= 1
        while last + 1 < len(self._looked) and lock in self._looked[last + 1][1]:
            last += 1
        return self._looked[last][0] - self._looked[first][0]


def _together(sent: Iterable[Rehearsed]) -> list[Rehearsed]:
    """Tell a statement once that was sent again and again."""
    told: list[Rehearsed] = []
    for each in sent:
        last = told[-1] if told else None
        if last is None or (last.revision, last.statement) != (each.revision, each.statement):
            told.append(each)
            continue
        last.seconds, last.times = round(last.seconds + each.seconds, 3), last.times + 1
        last.rewritten |= each.rewritten
        last.locks = [
            *{(held.table, held.mode): held for held in (*last.locks, *each.locks)}.values()
        ]
        for table, waits in each.waits.items():
            known = last.waits.setdefault(table, {})
            known |= {who: max(wait, known.get(who, 0)) for who, wait in waits.items()}
    return told
