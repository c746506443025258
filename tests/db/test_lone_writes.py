"""Which units of work go as one statement: every clause of the rule, held against a stock session.

Each work says what it guarantees. It runs on both kinds of session, on the same rows; a clause
that were missing would let a part of it commit, and leave other rows than the stock session does.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, func, text
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session, load_only
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, create_engine
from neonkit.db import Driver, listen, strange_listeners, unlisten, why_not_alone
from neonkit.db._units import sessions
from neonkit.db._units.sessions import session_factory
from neonkit.db._wire.connection import wire_connection_of
from neonkit.db._wire.dialect import NeonDialect
from neonkit.testing._databases import Databases
from support.rows import (
    SEED,
    TABLES,
    Album,
    AlbumPage,
    Anchor,
    Bag,
    Box,
    Chosen,
    Coded,
    Counted,
    Deed,
    Dog,
    Egg,
    Hive,
    Knot,
    Late,
    Lateable,
    Later,
    Lid,
    Made,
    MadeFromNothing,
    MadeList,
    Misnoted,
    Misserved,
    Nameless,
    NameUser,
    Nest,
    Noted,
    Numbered,
    Painted,
    Picked,
    Pile,
    Placed,
    Point,
    Quiet,
    RefusedError,
    Renumbered,
    Ring,
    RingKey,
    Sheet,
    Silent,
    Slip,
    Stamped,
    Strictly,
    Tag,
    Truck,
    Unchanged,
    Vehicle,
    Watched,
)
from support.sent import collecting
from support.stock import kind_of, listening, run_script, stock_engine, stock_sessions

Work = Callable[[AsyncSession], Awaitable[object]]


@dataclass(frozen=True)
class Outcome:
    """What a unit of work came to.

    Attributes:
        result: what it returned, or its error's class and SQLSTATE.
        rows: what is in the tables afterwards, times excepted.
    """

    result: object
    rows: dict[str, list[tuple[object, ...]]]


@dataclass
class Bench:
    """One database, and both kinds of session on it.

    Attributes:
        reasons: why each flush of a commit did not go alone; `None` where it did.
        sent: first words of what our engine has sent.
    """

    db: Database
    stock: AsyncEngine
    reasons: list[str | None]
    sent: list[str]

    async def on_stock(self, work: Work) -> Outcome:
        """Run a work on a stock session."""
        return await self._run(stock_sessions(self.stock), work)

    async def on_ours(self, work: Work) -> Outcome:
        """Run a work on a session of the toolkit's."""
        return await self._run(self.db.session, work)

    async def _run(self, lend: Callable[[], Any], work: Work) -> Outcome:
        await run_script(self.stock, SEED)
        self.reasons.clear()
        self.sent.clear()
        try:
            async with lend() as session:
                result = await work(session)
        except Exception as error:  # noqa: BLE001  # what a work raises is what is compared
            result = kind_of(error)
        async with self.stock.connect() as connection:
            rows = {}
            for table in TABLES:
                names = [each.name for each in table.columns if not each.name.endswith("_at")]
                query = f"SELECT {', '.join(names)} FROM {table.name} ORDER BY {', '.join(names)}"
                rows[table.name] = [tuple(row) for row in await connection.exec_driver_sql(query)]
        return Outcome(result, rows)


@pytest.fixture(scope="module", params=get_args(Driver))
async def engines(
    request: pytest.FixtureRequest, _neonkit_databases: Databases
) -> AsyncIterator[tuple[Database, AsyncEngine]]:
    """One database for all of these tests, which begin by emptying it."""
    async with (
        _neonkit_databases.clone(request.param) as loan,
        stock_engine(loan.database) as stock,
    ):
        yield loan.database, stock


@pytest.fixture
def bench(
    engines: tuple[Database, AsyncEngine], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """A bench, and a look over the shoulder of what decides."""
    db, stock = engines
    reasons: list[str | None] = []

    def observed(session: Session) -> str | None:
        reasons.append(why_not_alone(session))
        return reasons[-1]

    monkeypatch.setattr(sessions, "why_not_alone", observed)
    with collecting(db.engine) as sent:
        yield Bench(db, stock, reasons, sent)


WORKS: dict[str, tuple[str, Work]] = {}


def not_alone(why: str) -> Callable[[Work], Work]:
    """Register a work that takes a transaction, and the reason."""

    def register(work: Work) -> Work:
        WORKS[work.__name__] = why, work
        return work

    return register


def _engine_of(session: AsyncSession) -> Engine:
    bind = session.get_bind()
    assert isinstance(bind, Engine)
    return bind


async def _first(session: AsyncSession, kind: type[Any]) -> Any:  # noqa: ANN401  # of that kind
    return (await session.exec(select(kind).limit(1))).one()


@not_alone("2 objects are")
async def two_objects(session: AsyncSession) -> None:
    """Two rows are both there, or neither."""
    session.add_all([Box(label="new"), Slip(box_id=99)])
    await session.commit()


@not_alone("2 objects are")
async def one_more_from_a_listener(session: AsyncSession) -> None:
    """A row that a `before_flush` listener adds belongs to it."""
    await _first(session, Box)

    def add(sync: Session, *_: object) -> None:
        sync.add(Slip(box_id=99))

    with listening(session.sync_session, "before_flush", add):
        session.add(Box(label="new"))
        await session.commit()


@not_alone("2 objects are")
async def a_listener_that_came_after_a_commit(session: AsyncSession) -> None:
    """So does one from a listener that was added after an earlier commit."""
    session.add(Box(label="before"))
    await session.commit()
    await one_more_from_a_listener(session)


@not_alone("was not tested")
async def an_untested_sqlalchemy(session: AsyncSession) -> None:
    """A SQLAlchemy that was not tested is not trusted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlalchemy, "__version__", "2.2.0")
        session.add(Box(label="new"))
        await session.commit()


@not_alone("begun by hand")
async def a_transaction_begun_by_hand(session: AsyncSession) -> None:
    """Who begins a transaction gets one."""
    await session.begin()
    session.add(Box(label="new"))
    await session.commit()


@not_alone("a savepoint is open")
async def an_open_savepoint(session: AsyncSession) -> None:
    """What is inside of a savepoint ends with it."""
    await _first(session, Box)
    await session.begin_nested()
    session.add(Box(label="new"))
    await session.commit()


@not_alone("before")
async def something_written_before(session: AsyncSession) -> None:
    """What was flushed is undone with what fails afterwards."""
    session.add(Box(label="new"))
    await session.flush()
    session.add(Box(label="first"))
    await session.commit()


@not_alone("before")
async def something_locked_before(session: AsyncSession) -> None:
    """A lock is held until the change is committed."""
    box = (await session.exec(select(Box).limit(1).with_for_update())).one()
    box.size = -1
    await session.commit()


@not_alone("before")
async def something_set_before(session: AsyncSession) -> None:
    """A setting of the transaction is in force for its last statement."""
    await (await session.connection()).execute(text("SET LOCAL TimeZone = 'Asia/Tokyo'"))
    session.add(Box(label="new"))
    await session.commit()


@not_alone("before")
async def another_isolation_level(session: AsyncSession) -> None:
    """Who asks for an isolation level gets a transaction of that level."""
    await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
    session.add(Box(label="new"))
    await session.commit()


@not_alone("before")
async def a_deferrable_transaction(session: AsyncSession) -> None:
    """Who asks for a deferrable transaction gets one."""
    await session.connection(execution_options={"postgresql_deferrable": True})
    session.add(Box(label="new"))
    await session.commit()


@not_alone("before")
async def a_reading_transaction(session: AsyncSession) -> None:
    """Who asks for a reading transaction may not write; the toolkit's error is its own."""
    await session.connection(execution_options={"postgresql_readonly": True})
    session.add(Box(label="new"))
    with pytest.raises(Exception, match="read"):
        await session.commit()
    await session.rollback()


@not_alone("several tables")
async def joined_inheritance(session: AsyncSession) -> None:
    """Two rows of one object are both there, or neither."""
    session.add(Truck(load=-1))
    await session.commit()


@not_alone("returns nothing")
async def a_table_without_returning(session: AsyncSession) -> object:
    """Where an id is asked for first, that statement does not go in place of the INSERT."""
    silent = Silent(label="new")
    session.add(silent)
    await session.commit()
    return silent.id


@not_alone("a statement of its own")
async def a_default_that_executes(session: AsyncSession) -> None:
    """What a default executes is undone with the row."""
    session.add(Numbered())
    await session.commit()


@not_alone("a statement of its own")
async def a_default_of_changes(session: AsyncSession) -> None:
    """So is what the default of a change executes."""
    (await _first(session, Renumbered)).label = "changed"
    await session.commit()


@not_alone("a statement of its own")
async def a_sequence(session: AsyncSession) -> object:
    """A number of a sequence is asked for with the row."""
    row = Counted()
    session.add(row)
    await session.commit()
    return row.id


@not_alone("handles what comes back")
async def an_expression_of_a_type_that_refuses(session: AsyncSession) -> None:
    """What the server computes for a row undoes it, if its type cannot read it."""
    session.add(Made(label=func.upper("made")))
    await session.commit()


@not_alone("refresh_flush")
async def a_default_of_another_class(session: AsyncSession) -> None:
    """A default that cannot be followed undoes the row."""
    session.add(Misnoted())
    await session.commit()


@not_alone("refresh_flush")
async def a_server_default_of_another_class(session: AsyncSession) -> None:
    """So does one of the server's."""
    session.add(Misserved())
    await session.commit()


@not_alone("refresh_flush")
async def a_server_default_that_a_class_refuses(session: AsyncSession) -> None:
    """So does one that a class of the user's refuses."""
    session.add(Strictly())
    await session.commit()


@not_alone("handles what comes back")
async def a_type_that_refuses(session: AsyncSession) -> None:
    """A value that its type cannot read undoes the row."""
    session.add(Made())
    await session.commit()


@not_alone("handles what comes back")
async def an_array_that_refuses(session: AsyncSession) -> None:
    """So does one inside of an array."""
    session.add(MadeList())
    await session.commit()


@not_alone("handles what comes back")
async def a_homemade_type_that_refuses(session: AsyncSession) -> None:
    """So does one of a type that is not a decorator."""
    session.add(MadeFromNothing())
    await session.commit()


@not_alone("handles what comes back")
async def an_unknown_choice(session: AsyncSession) -> None:
    """So does a choice that the enumeration does not know."""
    session.add(Chosen())
    await session.commit()


@not_alone("deferrable")
async def a_deferred_constraint(session: AsyncSession) -> None:
    """A constraint that is checked at COMMIT is checked there."""
    session.add(Late(label="first"))
    await session.commit()


@not_alone("deferrable")
async def a_constraint_that_is_only_initially_deferred(session: AsyncSession) -> None:
    """So is one of which only that was said."""
    session.add(Later(label="first"))
    await session.commit()


@not_alone("deferrable")
async def a_deferrable_constraint(session: AsyncSession) -> None:
    """So is one that may be deferred, whatever the database's own default."""
    session.add(Lateable(label="first"))
    await session.commit()


@not_alone("deferrable")
async def a_deferred_reference(session: AsyncSession) -> None:
    """So is one of another table."""
    await session.delete(await _first(session, Anchor))
    await session.commit()


@not_alone("the table's own")
async def a_key_that_may_be_none(session: AsyncSession) -> None:
    """A row that SQLAlchemy cannot tell from others is refused after it was written."""
    session.add(Nameless(size=2))
    await session.commit()


@not_alone("volatile")
async def a_volatile_table(session: AsyncSession) -> None:
    """A table that may do more than it is told has a transaction."""
    session.add(Watched(label="new"))
    await session.commit()


@not_alone("lost its parent")
async def an_orphan(session: AsyncSession) -> None:
    """What is nothing without its parent is deleted."""
    egg = await _first(session, Egg)
    await session.refresh(egg, ["nest"])
    nest, egg.nest = egg.nest, None
    session.expunge(nest)
    await session.commit()


@not_alone("its key, or what others know it by")
async def a_changed_code(session: AsyncSession) -> None:
    """Those that know a row by its code are told in the same transaction."""
    (await _first(session, Coded)).code = "bad"
    await session.commit()


@not_alone("its key, or what others know it by")
async def a_changed_name(session: AsyncSession) -> None:
    """So are those that it does not know of."""
    user = await _first(session, NameUser)
    await session.refresh(user, ["by_name"])
    user.by_name.name = "bad"
    await session.commit()


@not_alone("its key, or what others know it by")
async def a_changed_key(session: AsyncSession) -> None:
    """So are those that know its key."""
    user = await _first(session, NameUser)
    await session.refresh(user, ["by_key"])
    user.by_key.id = "bad"
    await session.commit()


@not_alone("its key, or what others know it by")
async def a_changed_key_of_links(session: AsyncSession) -> None:
    """So are links, whose rows repeat a key."""
    (await _first(session, Tag)).id = 7
    await session.commit()


@not_alone("written after the row")
async def a_reference_to_itself(session: AsyncSession) -> None:
    """A reference that takes a second statement is there, or its row is not."""
    knot = Knot()
    knot.next = knot
    session.add(knot)
    await session.commit()


@not_alone("goes with it")
async def what_it_owns(session: AsyncSession) -> None:
    """What goes with its owner goes, or its owner stays."""
    deed = await _first(session, Deed)
    await session.refresh(deed, ["seal"])
    deed.seal = None
    await session.commit()


@not_alone("rows that refer to it")
async def a_delete_of_what_has_rows(session: AsyncSession) -> None:
    """Rows that refer to a deleted row let go of it, or it stays."""
    pile = await _first(session, Pile)
    await session.delete(pile)
    await session.commit()


@not_alone("rows that refer to it")
async def a_delete_of_what_has_links(session: AsyncSession) -> None:
    """So do links that are loaded, whatever was said of those that are not."""
    bag = await _first(session, Bag)
    await session.refresh(bag, ["tags"])
    await session.delete(bag)
    await session.commit()


@not_alone("a collection changed")
async def a_collection(session: AsyncSession) -> None:
    """A row and what it takes into its collection are written, or neither."""
    sheet = await session.get_one(Sheet, 2)
    session.add(Pile(label="new", sheets=[sheet]))
    await session.commit()


@not_alone("a collection changed")
async def one_of_one(session: AsyncSession) -> None:
    """So are a row and the one that refers to it."""
    lid = await session.get_one(Lid, 2)
    session.add(Pile(label="new", lid=lid))
    await session.commit()


@not_alone("a collection changed")
async def many_to_many(session: AsyncSession) -> None:
    """So are a row and its links."""
    tag = await _first(session, Tag)
    session.add(Pile(label="new", tags=[tag]))
    await session.commit()


@not_alone("2 objects are")
async def a_child_and_its_parents_name(session: AsyncSession) -> None:
    """A parent that changed as well is written with its child, or neither is."""
    album = await _first(session, Album)
    album.label = "changed"
    session.add(AlbumPage(album=album, number=-1))
    await session.commit()


@not_alone("a collection beside it changed")
async def a_child_and_one_that_is_loose(session: AsyncSession) -> None:
    """A child that has only its parent's word for it is written with the other one."""
    pile, sheet = await _first(session, Pile), await session.get_one(Sheet, 2)
    await session.refresh(pile, ["sheets"])
    pile.sheets.append(sheet)
    pile.sheets[0].pile_id = None
    await session.commit()


@not_alone("a collection beside it changed")
async def what_leaves_a_parent_that_deletes_it(session: AsyncSession) -> None:
    """A parent that may delete what leaves it decides inside of the transaction."""
    egg = await _first(session, Egg)
    await session.refresh(egg, ["nest"])
    await session.refresh(egg.nest, ["eggs"])
    egg.nest = await session.get_one(Nest, 2)
    await session.commit()


@not_alone("a collection beside it changed")
async def a_member_that_is_written_twice(session: AsyncSession) -> None:
    """A row that takes a second statement is there with both, or not at all."""
    ring = await _first(session, Ring)
    await session.refresh(ring, ["keys"])
    ring.keys.append(RingKey())
    await session.commit()


@not_alone("2 objects are")
async def a_link_beside_it(session: AsyncSession) -> None:
    """A link and a row are both there, or neither."""
    pile, tag = await session.get_one(Pile, 1), Tag(label="new")
    await session.refresh(pile, ["tags"])
    pile.tags.append(tag)
    session.add(tag)
    await session.commit()


@not_alone("somebody listens to before_update")
async def a_parent_that_is_listened_to(session: AsyncSession) -> None:
    """What those write who hear of the parent is undone with its child."""
    album = await _first(session, Album)

    def write(_mapper: object, connection: Connection, _album: object) -> None:
        connection.execute(text("INSERT INTO alone_tag (label) VALUES ('heard')"))

    with listening(Album, "before_update", write):
        session.add(AlbumPage(album=album, number=-1))
        await session.commit()


@not_alone("read back beside it")
async def a_parent_that_is_read_back(session: AsyncSession) -> object:
    """What is read back of a parent is read before others can change it."""
    few = select(Box).options(load_only(Box.label)).order_by(Box.id).limit(1)
    box = (await session.exec(few)).one()
    session.add(Slip(box=box))
    await session.commit()
    return box.size


@not_alone("lost its parent")
async def an_orphan_beside_it(session: AsyncSession) -> None:
    """What is deleted beside a row is deleted with it, or neither is."""
    hive = await _first(session, Hive)
    await session.refresh(hive, ["cells"])
    cell = hive.cells.pop()
    session.expunge(hive)
    cell.label = str(cell.label)
    session.add(Box(label="first"))
    await session.commit()


@not_alone("would be read back")
async def a_value_that_is_read_back(session: AsyncSession) -> object:
    """What is read back after a change is read before others can change it again."""
    few = select(Box).options(load_only(Box.label)).order_by(Box.id).limit(1)
    box = (await session.exec(few)).one()
    box.label = "changed"
    await session.commit()
    return box.made_at is not None


@not_alone("would be read back")
async def a_value_that_is_not_made_yet(session: AsyncSession) -> object:
    """So is what a new row gets only by a change."""
    row = Unchanged()
    session.add(row)
    await session.commit()
    return row.changed_at


async def _add(session: AsyncSession) -> None:
    session.add(Box(label="new"))


async def _change(session: AsyncSession) -> None:
    (await _first(session, Box)).size = 7


async def _delete(session: AsyncSession) -> None:
    await session.delete(await session.get_one(Box, 2))


async def _change_quietly(session: AsyncSession) -> None:
    (await _first(session, Quiet)).label = "changed"


ENGINE_EVENTS = (
    "begin",
    "before_execute",
    "before_cursor_execute",
    "after_cursor_execute",
    "after_execute",
    "commit",
    "do_execute",
)
HEARD: list[tuple[str, Work]] = [
    *((f"engine's {name}", _add) for name in ENGINE_EVENTS),
    ("connection", _change),
    ("before_commit", _add),
    ("after_begin", _add),
    ("after_transaction_create", _change),
    ("after_transaction_end", _change),
    ("after_flush", _change),
    ("after_flush_postexec", _change),
    ("pending_to_persistent", _add),
    ("persistent_to_deleted", _delete),
    ("before_insert", _add),
    ("after_insert", _add),
    ("before_update", _change),
    ("after_update", _change),
    ("before_delete", _delete),
    ("after_delete", _delete),
    ("refresh_flush", _add),
    ("expire", _change_quietly),
]


def _target_of(session: AsyncSession, name: str) -> object:
    if name.startswith("engine's "):
        return _engine_of(session)
    if name == "expire":
        return Quiet
    mapper_events = ("_insert", "_update", "_delete", "refresh_flush")
    return Box if name.endswith(mapper_events) else session.sync_session


@contextmanager
def _refusing(target: object, name: str) -> Iterator[None]:
    """Refuse the first time that an event comes."""
    heard: list[object] = []

    def refuse(*details: object) -> None:
        heard.append(details)
        if len(heard) == 1:
            if name == "before_commit":
                details[0].flush()  # type: ignore[attr-defined]  # a session
            if name != "commit":  # SQLAlchemy would forget the transaction and leave it open
                raise RefusedError

    with listening(target, name, refuse):
        yield
    assert heard


@pytest.mark.parametrize(("name", "change"), HEARD, ids=[name for name, _ in HEARD])
async def test_who_listens_may_still_refuse(bench: Bench, name: str, change: Work) -> None:
    """What a listener refuses, after the statement too, is undone."""

    async def work(session: AsyncSession) -> None:
        await change(session)
        if name == "connection":
            connection = await session.connection()
            target: object = connection.sync_connection
            assert target is not None
            with _refusing(target, "after_cursor_execute"):
                await session.commit()
        else:
            with _refusing(_target_of(session, name), name.rpartition(" ")[2]):
                await session.commit()

    expected = await bench.on_stock(work)
    assert await bench.on_ours(work) == expected
    assert (expected.result is None) == (name == "engine's commit")
    assert f"somebody listens to {'the ' if ' ' in name or name == 'connection' else ''}{name}" in (
        bench.reasons
    )


@pytest.mark.parametrize("name", WORKS)
async def test_what_takes_a_transaction(bench: Bench, name: str) -> None:
    """What the work of that name says; it takes a transaction, and comes to the same."""
    why, work = WORKS[name]
    expected = await bench.on_stock(work)
    actual = await bench.on_ours(work)

    assert why in str(bench.reasons[-1])
    assert "BEGIN" in bench.sent
    assert actual == expected


LONE: dict[str, Work] = {}


def alone(work: Work) -> Work:
    """Register a work whose last commit is one statement."""
    LONE[work.__name__] = work
    return work


@alone
async def a_row_with_what_the_server_makes(session: AsyncSession) -> object:
    """What the server makes comes back with the INSERT."""
    box = Box(label="new")
    session.add(box)
    await session.commit()
    return box.id, box.size, box.made_at.tzinfo, box.changed_at == box.made_at


@alone
async def one_attribute(session: AsyncSession) -> object:
    """A change of a row that was read is one UPDATE."""
    box = await _first(session, Box)
    box.size = 7
    await session.commit()
    return box.size, box.changed_at > box.made_at


@alone
async def an_expression(session: AsyncSession) -> None:
    """What the server is to compute is computed there."""
    box = await _first(session, Box)
    box.size = Box.size + 1
    await session.commit()


@alone
async def a_delete(session: AsyncSession) -> None:
    """Rows that refer to it are the database's affair, where the relation says so."""
    await session.delete(await session.get_one(Box, 2))
    await session.commit()


@alone
async def a_child(session: AsyncSession) -> object:
    """A row that refers to another is one row."""
    slip = Slip(box_id=2)
    session.add(slip)
    await session.commit()
    return slip.id


@alone
async def a_child_by_its_parent(session: AsyncSession) -> object:
    """A parent that is given as an object is not written for it, whatever it has of its own."""
    album = await _first(session, Album)
    page = AlbumPage(album=album)
    session.add(page)
    await session.commit()
    page.number = 2
    await session.commit()
    await session.delete(page)
    await session.commit()
    return page.album_id, album.version


@alone
async def a_child_of_a_collection(session: AsyncSession) -> object:
    """Nor is one that takes a child into its collection, loaded or not."""
    album = await _first(session, Album)
    await session.refresh(album, ["pages"])
    album.pages.append(AlbumPage(number=2))
    await session.commit()
    return [page.album_id for page in album.pages]


@alone
async def a_child_that_moves(session: AsyncSession) -> object:
    """Nor are the two between which a child moves."""
    page, album = await session.get_one(AlbumPage, 1), await session.get_one(Album, 2)
    await session.refresh(page, ["album"])
    await session.refresh(page.album, ["pages"])
    page.album = album
    await session.commit()
    await session.refresh(album, ["pages"])
    album.pages.remove(page)
    await session.commit()
    return page.album_id


@alone
async def an_object_beside_it_that_stays_as_it_is(session: AsyncSession) -> None:
    """What was set to the value that it had is not written."""
    album, pile = await _first(session, Album), await _first(session, Pile)
    album.label = str(album.label)
    pile.label = "changed"
    await session.commit()


@alone
async def defaults_of_python(session: AsyncSession) -> object:
    """A function that asks nobody has ended before the statement goes."""
    row = Stamped(label="new")
    session.add(row)
    await session.commit()
    before, row.label = row.changed_at, "changed"
    await session.commit()
    changed = row.changed_at > before
    await session.delete(row)
    await session.commit()
    return changed, row.made_at <= before


@alone
async def an_enumeration_with_a_server_default(session: AsyncSession) -> object:
    """A choice that the enumeration knows cannot be refused when it comes back."""
    row = Painted(label="new")
    session.add(row)
    await session.commit()
    seen = row.inside, row.outside, row.layers
    row.label, row.inside = "changed", row.outside
    await session.commit()
    await session.delete(row)
    await session.commit()
    return seen


@alone
async def a_choice_that_is_given(session: AsyncSession) -> None:
    """What is given does not come back, whatever the server would have made."""
    session.add(Chosen(choice="a"))
    await session.commit()


@alone
async def a_value_of_a_type_that_refuses(session: AsyncSession) -> None:
    """So it is with types that refuse."""
    session.add(Made(label="MADE"))
    await session.commit()


@alone
async def a_change_and_a_delete_under_a_default_that_executes(session: AsyncSession) -> None:
    """A default of INSERT means nothing to an UPDATE or DELETE, nor to an INSERT with a value."""
    row = await _first(session, Numbered)
    row.label = "changed"
    await session.commit()
    await session.delete(row)
    await session.commit()
    session.add(Numbered(number=8))
    await session.commit()


@alone
async def a_new_row_under_a_default_of_changes(session: AsyncSession) -> None:
    """A default of UPDATE means nothing to an INSERT or DELETE, nor to an UPDATE with a value."""
    row = Renumbered(label="new")
    session.add(row)
    await session.commit()
    row.changes = 3
    await session.commit()
    await session.delete(row)
    await session.commit()


@alone
async def values_that_tell_when_they_change(session: AsyncSession) -> object:
    """`MutableDict` and its relatives follow what was given, and what was made for them."""
    row = Noted(label="new", given={"a": 1})
    session.add(row)
    await session.commit()
    assert row.given is not None
    row.given["b"] = row.made["c"] = row.served["d"] = 2
    row.scalar.append(3)
    await session.commit()
    seen = row.given, row.made, row.served, row.scalar
    await session.delete(row)
    await session.commit()
    return seen


@alone
async def a_value_that_a_class_follows(session: AsyncSession) -> None:
    """So do classes of the user's own, where the value was given."""
    row = Strictly(data={})
    session.add(row)
    await session.commit()
    row.label = "changed"
    await session.commit()


@alone
async def two_columns_in_one(session: AsyncSession) -> object:
    """A `composite()` is made of its columns again."""
    row = Placed(point=Point(1, 2))
    session.add(row)
    await session.commit()
    row.point = Point(3, 4)
    await session.commit()
    return row.point


@alone
async def a_kind_of_its_table(session: AsyncSession) -> object:
    """Single-table inheritance is one table."""
    dog = Dog(tricks=3)
    session.add(dog)
    await session.commit()
    return dog.id, dog.kind


@alone
async def the_base_of_several_tables(session: AsyncSession) -> object:
    """So is the base of joined inheritance."""
    vehicle = Vehicle()
    session.add(vehicle)
    await session.commit()
    return vehicle.id, vehicle.kind


@alone
async def one_after_another(session: AsyncSession) -> object:
    """So is what comes after a commit, and after a rollback."""
    for label in ("one", "two"):
        session.add(Box(label=label))
        await session.commit()
    session.add(Box(label="first"))
    with pytest.raises(IntegrityError) as refused:
        await session.commit()
    await session.rollback()
    session.add(Box(label="three"))
    await session.commit()
    return kind_of(refused.value)


@alone
async def what_a_listener_completes(session: AsyncSession) -> object:
    """A `before_flush` listener may change the one object."""

    def grow(sync: Session, *_: object) -> None:
        for box in sync.new:
            box.size = 9

    box = Box(label="new")
    with listening(session.sync_session, "before_flush", grow):
        session.add(box)
        await session.commit()
    return box.size


@alone
async def what_is_only_heard_afterwards(session: AsyncSession) -> object:
    """Listeners that come after a COMMIT come after the statement."""
    heard: list[str] = []
    sync = session.sync_session
    session.add(Box(label="new"))
    with listening(sync, "after_commit", lambda _: heard.append("commit")):
        await session.commit()
    return heard


@alone
async def with_a_listener_marked_harmless(session: AsyncSession) -> object:
    """So does what `neonkit.db.listen` was told of."""
    heard: list[object] = []

    def hear(*details: object) -> None:
        heard.append(details)

    engine = _engine_of(session)
    listen(engine, "after_cursor_execute", hear)
    session.add(Box(label="new"))
    await session.commit()
    unlisten(engine, "after_cursor_execute", hear)
    return len(heard)


@alone
async def after_another_isolation_level(session: AsyncSession) -> None:
    """A connection that has had another isolation level is as good as new."""
    await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
    await session.commit()
    session.add(Box(label="new"))
    await session.commit()


@pytest.mark.parametrize("name", LONE)
async def test_what_goes_alone(bench: Bench, name: str) -> None:
    """What the work of that name says; it takes no transaction, and comes to the same."""
    work = LONE[name]
    expected = await bench.on_stock(work)
    actual = await bench.on_ours(work)

    assert bench.reasons[-1] is None
    assert "BEGIN" not in bench.sent
    assert bench.sent[-1] in {"INSERT", "UPDATE", "DELETE"}
    assert actual == expected


async def test_who_listens_is_named(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Once in the log, and to whoever asks; a name that only looks like a tracer's is no tracer."""

    def hear(*_: object) -> None:
        pass

    hear.__module__, hear.__qualname__ = (
        "sentry_sdk.integrations.sqlalchemy",
        "_after_cursor_execute",
    )
    with (
        caplog.at_level("DEBUG", logger="neonkit.db"),
        listening(bench.db.engine.sync_engine, "after_cursor_execute", hear),
    ):
        named = strange_listeners(bench.db.engine)
        for _ in range(2):
            async with bench.db.session() as session:
                session.add(Tag(label="new"))
                await session.commit()
    assert named == [f"after_cursor_execute: {hear.__module__}.{hear.__qualname__}"]
    assert [named[0] in record.getMessage() for record in caplog.records] == [True]
    assert strange_listeners(bench.db.engine) == []


async def test_a_bound_connection_keeps_its_transaction(bench: Bench) -> None:
    """A session on somebody's connection commits nothing that its owner can still undo."""
    await run_script(bench.stock, SEED)
    async with bench.db.engine.connect() as connection:
        await connection.begin()
        async with session_factory(connection, lone_writes=True)() as session:
            session.add(Box(label="new"))
            await session.commit()
        await connection.rollback()

    assert bench.reasons == ["the session is bound to a connection"]
    async with bench.stock.connect() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM alone_box")).scalar() == 2


async def test_another_driver_has_its_transaction(bench: Bench) -> None:
    """A connection that is not the toolkit's is never taken for one that may go alone."""
    await run_script(bench.stock, SEED)
    async with session_factory(bench.stock, lone_writes=True)() as session:
        await _change(session)
        await session.commit()

    assert bench.reasons == ["something was written, locked or set before"]


async def test_lone_writes_can_be_turned_off(bench: Bench) -> None:
    """`lone_writes=False` gives every write its transaction."""
    await run_script(bench.stock, SEED)
    async with session_factory(bench.db.engine, lone_writes=False)() as session:
        await _change(session)
        await session.commit()

    await asyncio.sleep(0)  # asyncpg tells its loggers in the loop's next turn
    assert bench.sent == ["SELECT", "BEGIN", "UPDATE", "COMMIT"]


async def test_only_the_next_statement_goes_alone(bench: Bench) -> None:
    """Where a read comes first after all, the change takes a transaction."""

    async def work(session: AsyncSession) -> None:
        row = await _first(session, Quiet)
        session.expire(row)
        row.label = "changed"
        await session.commit()

    expected = await bench.on_stock(work)
    assert await bench.on_ours(work) == expected
    assert bench.reasons == [None]
    await asyncio.sleep(0)  # asyncpg tells its loggers in the loop's next turn
    assert bench.sent == ["SELECT", "SELECT", "BEGIN", "UPDATE", "COMMIT"]


async def _fail_to_encode(session: AsyncSession) -> None:
    session.add(Picked(choice="unknown"))
    with pytest.raises(StatementError):
        await session.commit()


async def _fail_to_connect(session: AsyncSession) -> None:
    session.add(Box(label="new"))
    with (
        listening(_engine_of(session).pool, "checkout", _refuse),
        pytest.raises(RefusedError),
    ):
        await session.commit()


def _refuse(*_: object) -> None:
    raise RefusedError


@pytest.mark.parametrize("fail", [_fail_to_encode, _fail_to_connect])
async def test_what_was_never_sent_leaves_nothing_behind(bench: Bench, fail: Work) -> None:
    """A statement that failed before it was sent does not pass its freedom on to the next one."""

    async def work(session: AsyncSession) -> None:
        await fail(session)
        await session.rollback()
        connection = await session.connection()
        await connection.execute(text("INSERT INTO alone_tag (label) VALUES ('dropped')"))
        await session.rollback()

    expected = await bench.on_stock(work)
    assert await bench.on_ours(work) == expected
    assert bench.reasons == [None]


async def test_where_statements_share_a_snapshot_nothing_goes_alone(bench: Bench) -> None:
    """A server whose default isolation is not READ COMMITTED gets BEGIN with each write."""
    dialect = bench.db.engine.dialect
    assert isinstance(dialect, NeonDialect)
    dsn = dialect.connector.dsn.with_options({"default_transaction_isolation": "serializable"})
    await run_script(bench.stock, SEED)

    async with Database(create_engine(dsn)) as other:
        with collecting(other.engine) as sent:
            async with other.session() as session:
                await _add(session)
                await session.commit()
            await asyncio.sleep(0)  # asyncpg tells its loggers in the loop's next turn
    assert sent == ["BEGIN", "INSERT", "COMMIT"]


async def test_a_connection_outside_of_a_session_is_not_in_the_open(bench: Bench) -> None:
    """Only a unit of work may go without BEGIN; who has just a connection has a transaction."""
    async with bench.db.engine.connect() as connection:
        assert connection.sync_connection is not None
        adapted = wire_connection_of(connection.sync_connection)
        assert adapted is not None
        assert not adapted.is_in_the_open
