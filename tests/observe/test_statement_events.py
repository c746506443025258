"""Statements as events: each one once, with its rows, and never a value."""

import logging

import pytest
from sqlalchemy import insert, literal
from sqlalchemy.exc import DBAPIError
from sqlmodel import Field, col, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, TableModel
from neonkit.db import open_scope
from neonkit.observe import StatementEvent, log_slow_query, slower_than, watch_statements


class Bead(TableModel, table=True):
    """Something to read and write."""

    id: int | None = Field(default=None, primary_key=True)
    colour: str = Field(max_length=50)


async def _run(session: AsyncSession, statement: str, **values: object) -> None:
    await (await session.connection()).execute(text(statement), values)


async def _add(session: AsyncSession, count: int) -> None:
    statement = insert(Bead).returning(col(Bead.id))
    values = [{"colour": f"hunter{number}"} for number in range(count)]
    await (await session.connection()).execute(statement, values)


async def test_each_statement_is_one_event_with_its_rows(db: Database) -> None:
    """Reading and writing sessions, batches split by SQLAlchemy: the rows add up."""
    seen: list[StatementEvent] = []
    with watch_statements(db.engine, seen.append):
        async with db.session() as session:
            await _add(session, 3)
            await session.commit()
        async with db.read_session() as session:
            await session.exec(select(Bead).where(col(Bead.colour) != "hunter2"))

    assert [event.rows for event in seen if "bead" in event.statement] == [3, 2]
    assert all(event.seconds > 0 and not event.has_failed for event in seen)


@pytest.mark.real_commits
async def test_the_engine_of_readers_is_watched_too(db: Database) -> None:
    """The engine of reading sessions is derived from the first, and does not go unseen."""
    seen: list[StatementEvent] = []
    with watch_statements(db.engine, seen.append):
        async with db.read_session() as session:
            await session.exec(select(literal(1)))

    assert [event.rows for event in seen] == [1]


async def test_nothing_is_seen_after_the_block(db: Database) -> None:
    """Whoever stops watching leaves nothing on the engine."""
    seen: list[StatementEvent] = []
    with watch_statements(db.engine, seen.append):
        pass
    async with db.session() as session:
        await _run(session, "SELECT 1")
        with pytest.raises(DBAPIError):
            await _run(session, "SELECT 1 / 0")
        await session.rollback()

    assert seen == []


async def test_a_failed_statement_is_one_event(db: Database) -> None:
    """It has taken its time as well; how many rows is not known."""
    seen: list[StatementEvent] = []
    with watch_statements(db.engine, seen.append):
        async with db.session() as session:
            with pytest.raises(DBAPIError):
                await _run(session, "SELECT 1 / 0")
            await session.rollback()

    failed = [event for event in seen if "/ 0" in event.statement]
    assert [(event.rows, event.has_failed) for event in failed] == [(None, True)]


@pytest.mark.real_commits
async def test_a_statement_cut_off_by_the_deadline_is_one_event(db: Database) -> None:
    """No answer came: the time until then counts."""
    seen: list[StatementEvent] = []
    with watch_statements(db.engine, seen.append):
        async with db.session() as session:
            await _run(session, "SELECT 1")
            with open_scope(0.1), pytest.raises(TimeoutError):
                await _run(session, "SELECT pg_sleep(30)")
            await session.rollback()

    late = seen[-1]
    assert late.has_failed
    assert 0.05 < late.seconds < 10


async def test_the_event_knows_what_it_was_sent_for(db: Database) -> None:
    """The scope's label is the route; without a scope it is a dash."""
    seen: list[StatementEvent] = []
    with watch_statements(db.engine, seen.append):
        async with db.session() as session:
            await _run(session, "SELECT 1")
            with open_scope() as scope:
                scope.label = lambda: "/beads/{id}"
                await _run(session, "SELECT 1")

    assert [event.route for event in seen if event.statement == "SELECT 1"] == ["-", "/beads/{id}"]


async def test_a_slow_query_is_logged_without_its_values(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """One line: fingerprint, route, milliseconds and rows; parameters and literals are masked."""
    with watch_statements(db.engine, slower_than(0.05, log_slow_query)):
        async with db.session() as session:
            await _run(session, "SELECT 'hunter2'")
            await _run(
                session,
                "SELECT pg_sleep(0.1), 'hunter2', CAST(:secret AS text) /* hunter2 */",
                secret="hunter2",
            )

    (record,) = (record for record in caplog.records if record.name == "neonkit.slow")
    assert record.levelno == logging.WARNING
    fields = vars(record)
    assert fields["statement"] == "SELECT pg_sleep(?), ?, CAST(? AS text)"
    assert len(fields["fingerprint"]) == 12
    assert fields["route"] == "-"
    assert fields["rows"] == 1
    assert 100 <= fields["milliseconds"] < 10_000
    assert "hunter2" not in str(fields)
    assert fields["fingerprint"] in record.getMessage()


def test_an_event_does_not_show_its_statement() -> None:
    """Its repr is safe for a log: literals of a `text()` are not in it."""
    event = StatementEvent("SELECT 'hunter2'", "-", 0.1, 1)

    assert "hunter2" not in repr(event)


def test_a_query_is_slow_from_the_threshold_on() -> None:
    """SLOW_QUERY_SECONDS itself counts as slow."""
    seen: list[StatementEvent] = []
    sink = slower_than(0.5, seen.append)

    for seconds in (0.49, 0.5, 0.51):
        sink(StatementEvent("SELECT", "-", seconds, None))

    assert [event.seconds for event in seen] == [0.5, 0.51]
