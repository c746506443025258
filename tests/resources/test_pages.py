"""Lists on a real PostgreSQL: what a page holds, what follows it, what it costs."""

import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Index, MetaData, delete, event, func, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import (
    ORMExecuteState,
    aliased,
    contains_eager,
    joinedload,
    registry,
    selectinload,
    with_loader_criteria,
)
from sqlmodel import Field, Relationship, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from neonkit.errors import InvalidCursorError, RequestInvalidError
from neonkit.resources import CursorPolicy, Page, PageRequest, paginate, search_index

START = datetime(2030, 1, 1, tzinfo=UTC)
ROWS = 100_000


class Mood(Enum):
    """Ordered by PostgreSQL as declared, not by name."""

    SUNNY = "s"
    GREY = "g"
    DARK = "d"


class Local(SQLModel, registry=registry(metadata=MetaData())):
    """Tables that only this module knows."""


class Poet(Local, table=True):
    """Who writes."""

    id: int | None = Field(default=None, primary_key=True)
    name: str
    verses: list["Verse"] = Relationship(back_populates="poet")


class Verse(Local, table=True):
    """A row with every kind of sort key: ties, NULLs, ordered enums."""

    __table_args__ = (search_index("title", "body"),)

    id: int | None = Field(default=None, primary_key=True)
    poet_id: int | None = Field(default=None, foreign_key="poet.id")
    title: str = ""
    body: str = ""
    rank: int = 0
    price: Decimal | None = None
    mood: Mood | None = None
    sung_at: datetime | None = None
    is_short: bool | None = None
    poet: Poet | None = Relationship(back_populates="verses")


class Post(Local, table=True):
    """A row of a large table, indexed as the orders and searches of its list need."""

    __table_args__ = (search_index("title", "body"), Index(None, "created_at", "id"))

    id: int | None = Field(default=None, primary_key=True)
    author_id: int = Field(index=True)
    title: str
    body: str
    created_at: datetime


class Untouched(Local, table=True):
    """A table that nobody ever analyses."""

    id: int | None = Field(default=None, primary_key=True)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of this module's own, without durability."""
    tools = Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())
    folder = Path(tempfile.mkdtemp())
    # PostgreSQL refuses to run as root
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)

    def run(tool: str, *arguments: str) -> None:
        command = [str(tools / tool), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, cwd=folder, user=user, check=True, stdout=subprocess.DEVNULL)

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k '' -c fsync=off -c autovacuum=off"
    run("initdb", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8")
    try:
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on a database with this module's tables, the large one filled and analysed."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(Local.metadata.create_all)
        await connection.execute(
            text(
                """
                INSERT INTO post (author_id, title, body, created_at)
                SELECT n % 1000, 'Title ' || md5(n::text), 'Body ' || md5((-n)::text) || CASE
                       WHEN n % 4 = 0 THEN ' common' WHEN n BETWEEN 500 AND 999 THEN ' Early'
                       ELSE '' END, timestamptz '2030-01-01' + n / 3 * interval '1 minute'
                FROM generate_series(1, :rows) AS n
                """
            ),
            {"rows": ROWS},
        )
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE post"))
    yield engine
    await engine.dispose()


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """A session whose work is dropped."""
    async with dropped(engine) as session:
        yield session


@asynccontextmanager
async def dropped(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """A session whose work is dropped at the end of the block."""
    async with AsyncSession(engine) as session:
        yield session
        await session.rollback()


@contextmanager
def recorded(session: AsyncSession) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are sent in the block, with their parameters."""
    sent: list[tuple[str, Any]] = []
    engine = session.get_bind().engine

    def note(
        _connection: Connection, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def explain(session: AsyncSession, statement: str, parameters: Any) -> list[dict[str, Any]]:  # noqa: ANN401  # a driver's
    """The nodes of the plan that a statement was executed with."""
    connection = await session.connection()
    result = await connection.exec_driver_sql(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters
    )
    found = result.scalar_one()
    [plan] = json.loads(found) if isinstance(found, str) else found
    return list(_nodes(plan["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def discarded(node: dict[str, Any]) -> int:
    """How many rows a node read in vain."""
    keys = (
        "Rows Removed by Filter",
        "Rows Removed by Index Recheck",
        "Rows Removed by Join Filter",
    )
    return int(sum(node.get(key, 0) for key in keys))


def buffers(nodes: Sequence[dict[str, Any]]) -> int:
    """How many pages the whole plan touched."""
    return int(nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"])


async def test_a_list_is_paged_by_cursor_to_its_end(session: AsyncSession) -> None:
    """Pages follow one another by `next_cursor`, which the last one does not have."""
    session.add_all(Poet(name=name) for name in "abcde")
    await session.flush()
    page, names = PageRequest(limit=2), []
    for expected in (True, True, False):
        found = await paginate(session, select(Poet), page, sort=[col(Poet.name)])
        names.append([poet.name for poet in found.items])
        assert (found.next_cursor is not None) == expected
        page = PageRequest(limit=2, cursor=found.next_cursor)

    assert names == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_page_reached_by_offset_can_be_continued(session: AsyncSession) -> None:
    """A page by offset has the cursor of the next one, where there is one."""
    session.add_all(Poet(name=name) for name in "abcde")
    await session.flush()

    second = await paginate(
        session, select(Poet), PageRequest(limit=2, offset=1), sort=[col(Poet.name)]
    )
    third = await paginate(
        session, select(Poet), PageRequest(cursor=second.next_cursor), sort=[col(Poet.name)]
    )
    last = await paginate(
        session, select(Poet), PageRequest(limit=2, offset=3), sort=[col(Poet.name)]
    )

    assert [poet.name for poet in second.items + third.items] == ["b", "c", "d", "e"]
    assert last.next_cursor is None


_moments = st.integers(0, 3).map(lambda days: START + timedelta(days=days, microseconds=days))
_verses = st.fixed_dictionaries(
    {
        "title": st.sampled_from(["", "a", "B", "é", "%"]),
        "rank": st.integers(-1, 1),
        "price": st.none() | st.sampled_from([Decimal("0.10"), Decimal("2.50")]),
        "mood": st.none() | st.sampled_from(Mood),
        "sung_at": st.none() | _moments,
        "is_short": st.none() | st.booleans(),
    }
)
_keys = ("title", "rank", "price", "mood", "sung_at", "is_short", "id")
_sorts = st.permutations(_keys).flatmap(
    lambda keys: st.tuples(
        st.integers(1, len(keys)).map(lambda n: keys[:n]),
        st.lists(st.sampled_from(["", "-"]), min_size=len(keys), max_size=len(keys)),
    )
)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(_verses, max_size=25),
    sort=_sorts,
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
async def test_paging_visits_every_row_once_and_in_order(
    engine: AsyncEngine,
    rows: list[dict[str, Any]],
    sort: tuple[list[str], list[str]],
    sizes: list[int],
) -> None:
    """Whatever ties, NULLs and directions there are, pages of any size join to the sorted list."""
    keys, signs = sort
    named = ",".join(sign + key for key, sign in zip(keys, signs, strict=False))
    menu = [getattr(Verse, key) for key in _keys]
    async with dropped(engine) as session:
        if rows:
            connection = await session.connection()
            await connection.execute(insert(Verse), rows)
        order = [
            getattr(Verse, key).desc() if sign else getattr(Verse, key).asc()
            for key, sign in zip(keys, signs, strict=False)
        ]
        last = col(Verse.id).desc() if signs[len(keys) - 1] else col(Verse.id).asc()
        expected = (await session.exec(select(Verse.id).order_by(*order, last))).all()

        found: list[int | None] = []
        cursor = None
        for size in islice(cycle(sizes), len(rows) + 1):
            page = PageRequest(limit=size, cursor=cursor, sort=named)
            part = await paginate(session, select(Verse), page, sort=menu)
            assert len(part.items) <= page.limit
            found += [verse.id for verse in part.items]
            if (cursor := part.next_cursor) is None:
                break

    assert found == list(expected)


async def test_rows_that_come_and_go_disturb_no_other_row(session: AsyncSession) -> None:
    """While rows are inserted and deleted, cursors and their rows too, none repeats or is lost."""
    dice = random.Random(5)
    session.add_all(Verse(rank=dice.randint(0, 30)) for _ in range(120))
    await session.flush()
    stayed = set((await session.exec(select(Verse.id))).all())
    seen: list[int | None] = []
    page = PageRequest(limit=7, sort="-rank")
    for _ in range(100):
        part = await paginate(session, select(Verse), page, sort=[col(Verse.rank)])
        seen += [verse.id for verse in part.items]
        if part.next_cursor is None:
            break
        gone = {part.items[-1].id, dice.choice(sorted(stayed, key=str))}
        await session.exec(delete(Verse).where(col(Verse.id).in_(gone)))
        stayed -= gone
        session.add_all(Verse(rank=dice.randint(0, 30)) for _ in range(3))
        await session.flush()
        page = PageRequest(limit=7, sort="-rank", cursor=part.next_cursor)

    assert len(seen) == len(set(seen))
    assert stayed <= set(seen)


async def test_a_cursor_is_good_for_its_own_query_only(session: AsyncSession) -> None:
    """Another filter, order, search or key refuses it."""
    session.add_all(Verse(title=f"t{n}", rank=1) for n in range(4))
    await session.flush()
    menu, search = [col(Verse.id), col(Verse.title)], [col(Verse.title)]
    one = select(Verse).where(col(Verse.rank) == 1)
    policy = CursorPolicy((b"k" * 32,))
    first = await paginate(session, one, PageRequest(limit=1).signed_by(policy), sort=menu)

    async def follow(
        statement: SelectOfScalar[Verse], policy: CursorPolicy = policy, **given: str
    ) -> Page[Verse]:
        asked = {"cursor": first.next_cursor, **given}
        page = PageRequest.model_validate(asked).signed_by(policy)
        return await paginate(session, statement, page, sort=menu, search=search)

    assert len((await follow(one)).items) == 3
    assert len((await follow(one, sort="id")).items) == 3
    for refused in (
        follow(select(Verse)),
        follow(select(Verse).where(col(Verse.rank) == 2)),
        follow(one, sort="-id"),
        follow(one, q="t"),
        follow(one, policy=CursorPolicy.random()),
    ):
        with pytest.raises(InvalidCursorError):
            await refused


async def test_the_exact_total_rides_along(session: AsyncSession) -> None:
    """A page and the count of the whole list are one statement; without `total` nothing counts."""
    session.add_all(Verse(rank=n % 2) for n in range(10))
    await session.flush()
    odd = select(Verse).where(col(Verse.rank) == 1)
    with recorded(session) as sent:
        counted = await paginate(
            session, odd, PageRequest(limit=2, total="exact"), sort=[col(Verse.id)]
        )
        plain = await paginate(session, odd, PageRequest(limit=2), sort=[col(Verse.id)])

    assert (counted.total, len(counted.items), plain.total) == (5, 2, None)
    assert ["count(" in statement for statement, _ in sent] == [True, False]


async def test_an_empty_page_has_a_total_too(session: AsyncSession) -> None:
    """Nothing there: zero. Past the end, by offset or by cursor: the count of the whole list."""
    sort = [col(Verse.id)]
    with recorded(session) as sent:
        none = await paginate(session, select(Verse), PageRequest(total="exact"), sort=sort)
    session.add_all(Verse() for _ in range(5))
    await session.flush()
    first = await paginate(session, select(Verse), PageRequest(limit=3), sort=sort)
    last = max(verse.id or 0 for verse in first.items)
    beyond = PageRequest(offset=50, total="exact")
    past = await paginate(session, select(Verse), beyond, sort=sort)
    await session.exec(delete(Verse).where(col(Verse.id) > last))
    rest = PageRequest(cursor=first.next_cursor, total="exact")
    gone = await paginate(session, select(Verse), rest, sort=sort)

    assert (none.items, none.total, len(sent)) == ([], 0, 1)
    assert (past.items, past.total, past.next_cursor) == ([], 5, None)
    assert (gone.items, gone.total, gone.next_cursor) == ([], 3, None)


async def test_an_estimate_never_counts(session: AsyncSession) -> None:
    """The table's own figure where nothing filters, in the same trip; else the planner's."""
    sort, estimated = [col(Post.id)], PageRequest(limit=1, total="estimated")
    with recorded(session) as sent:
        whole = await paginate(session, select(Post), estimated, sort=sort)
        trips = len(sent)
        filtered = await paginate(
            session, select(Post).where(col(Post.author_id) == 7), estimated, sort=sort
        )
    unknown = await paginate(session, select(Untouched), estimated, sort=[col(Untouched.id)])
    past = PageRequest(offset=10_000, total="estimated")
    empty = await paginate(session, select(Post).where(col(Post.id) < 5), past, sort=sort)

    assert (whole.total, trips) == (ROWS, 1)
    assert filtered.total is not None
    assert 50 <= filtered.total <= 200
    assert unknown.total is not None
    assert empty.total is not None
    assert empty.total <= 10
    assert not any("count(" in statement for statement, _ in sent)


async def test_relations_columns_and_joins_are_kept(session: AsyncSession) -> None:
    """Loader options, joins, aliases, labels and plain columns work as without paging."""
    poets = [Poet(name=name) for name in "ab"]
    session.add_all([*poets, *(Verse(poet=poets[n % 2], rank=n) for n in range(6)), Verse(rank=9)])
    await session.flush()
    session.expunge_all()
    counted = PageRequest(limit=3, total="exact")

    def verses(part: Page[Poet]) -> list[int]:
        return [len(poet.verses) for poet in part.items]

    for load in (selectinload, joinedload):
        part = await paginate(
            session,
            select(Poet).options(load(Poet.verses)),  # type: ignore[arg-type]  # SQLModel's relations
            counted,
            sort=[col(Poet.name)],
        )
        assert (verses(part), part.total) == ([3, 3], 2)
        session.expunge_all()

    joined = select(Verse).join(Poet).where(col(Poet.name) == "a")
    loaded = joined.options(contains_eager(Verse.poet))  # type: ignore[arg-type]  # SQLModel's relations
    eager = await paginate(session, loaded, counted, sort=[col(Verse.rank)])
    assert [verse.poet.name for verse in eager.items if verse.poet] == ["a"] * 3

    other = aliased(Verse)
    renamed = await paginate(session, select(other), counted, sort=[col(other.rank).desc()])
    assert [verse.rank for verse in renamed.items] == [9, 5, 4]


async def test_a_list_of_columns_is_the_sessions_own(session: AsyncSession) -> None:
    """What waits to be flushed is in it, and what hears of each statement may change it."""
    names = select(col(Poet.id), col(Poet.name))
    session.add_all(Poet(name=name) for name in "ab")

    waiting = await paginate(session, names, PageRequest(), sort=[col(Poet.name)])
    assert [row.name for row in waiting.items] == ["a", "b"]
    (poet,) = (await session.exec(select(Poet).where(Poet.name == "b"))).all()
    poet.name = "c"
    changed = await paginate(session, names, PageRequest(), sort=[col(Poet.name)])
    assert [row.name for row in changed.items] == ["a", "c"]

    def only_a(state: ORMExecuteState) -> None:
        state.statement = state.statement.options(with_loader_criteria(Poet, col(Poet.name) == "a"))

    event.listen(session.sync_session, "do_orm_execute", only_a)
    heard = await paginate(session, names, PageRequest(), sort=[col(Poet.name)])
    assert [row.name for row in heard.items] == ["a"]


async def test_rows_of_an_outer_join_are_paged_with_their_nulls(session: AsyncSession) -> None:
    """Several columns come as rows, and keys that an outer join leaves NULL are not lost."""
    poets = [Poet(name=name) for name in "ab"]
    session.add_all([*poets, *(Verse(poet=poets[0], rank=n) for n in range(3)), Verse(rank=9)])
    await session.flush()
    pairs = select(Poet.name, Verse.rank).outerjoin(Verse)
    wanted = [("a", 0), ("a", 1), ("a", 2), ("b", None)]
    for sort, expected in (("rank", wanted), ("-rank", [wanted[3], *wanted[2::-1]])):
        rows, cursor = [], None
        for _ in range(9):
            page = PageRequest(limit=1, sort=sort, cursor=cursor, total="exact")
            part = await paginate(session, pairs, page, sort=[col(Verse.rank)])
            assert part.total == 4
            rows += part.items
            if (cursor := part.next_cursor) is None:
                break
        assert [tuple(row) for row in rows] == expected
        assert [row.name for row in rows] == [name for name, _ in expected]


async def test_a_label_names_an_expression_to_sort_by(session: AsyncSession) -> None:
    """An expression is sorted and continued by, under the name that its label gives it."""
    session.add_all(Poet(name=name) for name in ("b", "A", "C", "a"))
    await session.flush()
    sort = [func.lower(Poet.name).label("name")]
    first = await paginate(session, select(Poet), PageRequest(limit=2, sort="name"), sort=sort)
    rest = PageRequest(sort="name", cursor=first.next_cursor)
    second = await paginate(session, select(Poet), rest, sort=sort)

    assert [poet.name for poet in first.items + second.items] == ["A", "a", "b", "C"]


@pytest.mark.parametrize(
    "q",
    [
        "%",
        "_",
        "\\",
        "\\%",
        "'",
        "' OR 1=1 --",
        "$$",
        "%s",
        "{0}",
        ":x",
        "${jndi:x}",
        "(a+)+$",
        "É",
    ],
)
async def test_a_search_is_literal_and_without_case(session: AsyncSession, q: str) -> None:
    """Only what contains the text is found, in any of the columns and any case."""
    session.add_all(
        [
            Verse(title=f"x{q.lower()}y"),
            Verse(title="x", body=f"{q.upper()}"),
            Verse(title="xy", body="plain"),
        ]
    )
    await session.flush()
    part = await paginate(
        session,
        select(Verse),
        PageRequest(q=q),
        sort=[col(Verse.id)],
        search=[col(Verse.title), col(Verse.body)],
    )

    assert [verse.title for verse in part.items] == [f"x{q.lower()}y", "x"]


async def test_a_search_where_nothing_is_searched_is_refused(session: AsyncSession) -> None:
    """`q` on a list without search columns is a validation error of `/query/q`."""
    with pytest.raises(RequestInvalidError) as caught:
        await paginate(session, select(Poet), PageRequest(q="a"), sort=[col(Poet.id)])

    assert [problem.pointer for problem in caught.value.errors] == ["/query/q"]


@pytest.mark.parametrize("q", ["%a" * 100, "(a+)+$" * 30, "_" * 200, "\\" * 200])
async def test_a_hostile_search_is_quick(session: AsyncSession, q: str) -> None:
    """A text of wildcards or of a bad regular expression costs no more than another."""
    async with asyncio.timeout(2):
        part = await paginate(
            session,
            select(Post),
            PageRequest(q=q),
            sort=[col(Post.id)],
            search=[col(Post.title), col(Post.body)],
        )

    assert part.items == []


@pytest.mark.parametrize("sort", ["-created_at", "created_at", "id", "-id"])
@pytest.mark.parametrize("author", [None, 7])
async def test_a_list_is_read_through_an_index(
    session: AsyncSession, sort: str, author: int | None
) -> None:
    """No page of a large table reads the whole table."""
    statement = select(Post) if author is None else select(Post).where(Post.author_id == author)
    with recorded(session) as sent:
        await paginate(
            session,
            statement,
            PageRequest(sort=sort, offset=10),
            sort=[col(Post.id), col(Post.created_at)],
        )

    nodes = await explain(session, *sent[-1])
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]
    assert max(map(discarded, nodes)) < ROWS * 0.05


@pytest.mark.parametrize("sort", ["-created_at,-id", "created_at,id", "-created_at,id", "-id"])
async def test_page_1000_costs_what_page_1_costs(session: AsyncSession, sort: str) -> None:
    """By cursor, the thousandth page touches as many buffers as the first."""
    menu = [col(Post.id), col(Post.created_at)]

    async def turn(page: PageRequest) -> tuple[str | None, int]:
        with recorded(session) as sent:
            part = await paginate(session, select(Post), page, sort=menu)
        return part.next_cursor, buffers(await explain(session, *sent[-1]))

    _, first = await turn(PageRequest(sort=sort))
    near, _ = await turn(PageRequest(sort=sort, limit=100, offset=10_000))
    deep = await paginate(
        session, select(Post), PageRequest(sort=sort, limit=100, cursor=near), sort=menu
    )
    for _ in range(98):
        page = PageRequest(sort=sort, limit=100, cursor=deep.next_cursor)
        deep = await paginate(session, select(Post), page, sort=menu)
    _, thousandth = await turn(PageRequest(sort=sort, cursor=deep.next_cursor))

    assert thousandth <= first + 6  # a descent of the index from its root


@pytest.mark.parametrize("sort", [None, "-created_at", "id"])
@pytest.mark.parametrize("q", ["early", "arl", "Title 9", "body c4ca", "no such thing"])
async def test_a_search_is_answered_through_an_index(
    session: AsyncSession, q: str, sort: str | None
) -> None:
    """What matches under one row in a hundred is found by trigrams, first page and later ones."""
    menu, search = [col(Post.created_at).desc(), col(Post.id)], [col(Post.title), col(Post.body)]
    cursor = None
    for _ in range(8):
        with recorded(session) as sent:
            page = PageRequest(q=q, sort=sort, cursor=cursor)
            part = await paginate(session, select(Post), page, sort=menu, search=search)
        nodes = await explain(session, *sent[-1])
        assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]
        assert max(map(discarded, nodes)) < ROWS * 0.05
        if (cursor := part.next_cursor) is None:
            break
