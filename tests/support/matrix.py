"""A database that fails as it is told, and the roads by which an app goes to it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count

from sqlalchemy import column, insert, table, text
from sqlmodel import Field, col, select

from neonkit import AsyncSession, Database, TableModel
from neonkit.db import Driver, Key
from neonkit.local import WireProxy

_keys = count()


class Anchor(TableModel, table=True):
    """A row that is written once."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50)


SEEN = select(table("seen", column("name")).c.name)
"""A plain read of what is behind a view, which may stumble as a write does."""

_MADE = """
CREATE SEQUENCE attempts

CREATE TABLE trouble (sqlstate text, times int, at text, seconds float)

CREATE FUNCTION stumble(place text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE told trouble;
BEGIN
  SELECT * INTO told FROM trouble WHERE at = place AND nextval('attempts') <= times;
  IF NOT FOUND THEN RETURN true; END IF;
  PERFORM pg_sleep(told.seconds);
  RAISE EXCEPTION 'trouble' USING ERRCODE = told.sqlstate;
END $$

CREATE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM stumble(TG_ARGV[0]); RETURN NEW; END $$

CREATE TRIGGER statement BEFORE INSERT ON anchor
FOR EACH ROW EXECUTE FUNCTION on_write('statement')

CREATE CONSTRAINT TRIGGER commit AFTER INSERT ON anchor DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION on_write('commit')

CREATE VIEW seen AS SELECT name FROM anchor WHERE stumble('statement')
"""


@dataclass(frozen=True)
class Stage:
    """One database for many tests, which begin by emptying it.

    Attributes:
        db: the app's way to it.
        past: a way past the wire.
        wire: between app and database.
        driver: of the app's way.
    """

    db: Database
    past: Database
    wire: WireProxy
    driver: Driver

    async def make(self) -> None:
        """Make what it takes to fail."""
        async with self.past.engine.begin() as connection:
            for statement in _MADE.split("\n\n"):
                await connection.exec_driver_sql(statement)

    async def clear(self) -> None:
        """Empty it: one row is there, and nothing fails."""
        await self.past.execute(text("TRUNCATE anchor, trouble"))
        await self.past.execute(text("INSERT INTO anchor (name) VALUES ('first')"))
        await self.past.execute(text("ALTER SEQUENCE attempts RESTART"))

    async def fail(
        self, sqlstate: str, times: int = 1, at: str = "statement", seconds: float = 0
    ) -> None:
        """Let so many statements, or their commits, fail with a code, after so many seconds."""
        values = {"sqlstate": sqlstate, "times": times, "at": at, "seconds": seconds}
        trouble = text("INSERT INTO trouble VALUES (:sqlstate, :times, :at, :seconds)")
        await self.past.execute(trouble, parameters=values)

    async def attempts(self) -> int:
        """How many came there since, those that failed included."""
        asked = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM attempts")
        found: int = (await self.past.execute(asked)).scalar_one()
        return found

    async def names(self) -> list[str]:
        """What was written since."""
        found = await self.past.execute(text("SELECT name FROM anchor ORDER BY id OFFSET 1"))
        return list(found.scalars())


_NEW = insert(Anchor).values(name="new").returning(col(Anchor.name))


async def keyed(db: Database) -> object:
    """One statement, under a key."""
    key = Key(f"key-of-{next(_keys)}", b"one caller", (b"one body",))
    return (await db.execute(_NEW, key)).scalar_one()


async def unkeyed(db: Database) -> object:
    """One statement, without one."""
    return (await db.execute(_NEW)).scalar_one()


async def function(db: Database) -> object:
    """A function of a session."""

    async def work(session: AsyncSession) -> str:
        await session.exec(SEEN_ONCE)
        session.add(Anchor(name="new"))
        await session.flush()
        return "new"

    return await db.run_transaction(work)


SEEN_ONCE = select(col(Anchor.id)).limit(1).with_for_update()


async def read(db: Database) -> object:
    """A plain read."""
    return (await db.execute(SEEN)).scalars().first()


async def look(db: Database) -> object:
    """The same by a session."""
    async with db.session() as session:
        return (await session.exec(SEEN)).first()


async def session(db: Database) -> object:
    """A session of plain code, that commits by itself."""
    async with db.session() as session:
        session.add_all([Anchor(name="new"), Anchor(name="second")])
        await session.commit()
    return "new"


Road = Callable[[Database], Awaitable[object]]
WRITES: list[Road] = [keyed, unkeyed, function]
READS: list[Road] = [read, look]
SURE: list[Road] = [keyed, function, *READS]
"""The roads on which nothing that is lost is in doubt."""
