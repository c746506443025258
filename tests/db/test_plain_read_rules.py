"""Which statements may go without BEGIN."""

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.expression import Executable

from neonkit.db._wire.plain_reads import PlainReads

_metadata = MetaData()
PEOPLE = Table("people", _metadata, Column("id", Integer), Column("name", String))
WATCHED = Table("watched", _metadata, Column("id", Integer), info={"volatile": True})


def _is_plain(statement: Executable, *functions: str) -> bool:
    compiled = statement.compile(dialect=postgresql.dialect())  # type: ignore[attr-defined, no-untyped-call]  # as SQLAlchemy has it
    return compiled in PlainReads(functions)


def _inserting() -> Select[int]:
    made = insert(PEOPLE).values(name="a").returning(PEOPLE.c.id).cte("made")
    return select(made.c.id)


@pytest.mark.parametrize(
    "statement",
    [
        select(PEOPLE),
        select(func.count()).select_from(PEOPLE),
        select(func.lower(PEOPLE.c.name), func.coalesce(PEOPLE.c.id, 0)),
        select(PEOPLE).where(PEOPLE.c.id.in_([1, 2])).order_by(PEOPLE.c.id).limit(3),
        select(PEOPLE).where(PEOPLE.c.id.in_(select(PEOPLE.c.id))),
        select(PEOPLE).where(select(PEOPLE.c.id).exists()),
        select(PEOPLE.c.name.cast(String(10))),
        select(func.row_number().over(order_by=PEOPLE.c.id)),
        select(func.count().filter(PEOPLE.c.id > 1)),
        select(select(PEOPLE).cte("them")),
        union_all(select(PEOPLE), select(PEOPLE)),
        select(PEOPLE).where(PEOPLE.c.name == literal_column("'FOR UPDATE pg_sleep('")),
        select(func.now()),
    ],
    ids=str,
)
def test_reading_needs_no_transaction(statement: Executable) -> None:
    """What only reads, with functions that are known, is plain."""
    assert _is_plain(statement)


@pytest.mark.parametrize(
    "statement",
    [
        insert(PEOPLE).values(name="a"),
        update(PEOPLE).values(name="a").returning(PEOPLE.c.id),
        delete(PEOPLE),
        text("SELECT 1"),
        text("SELECT 1").columns(id=Integer),
        select(PEOPLE).with_for_update(),
        select(PEOPLE).with_for_update(read=True),
        select(PEOPLE).with_for_update(key_share=True),
        select(PEOPLE).with_for_update(read=True, key_share=True),
        select(select(PEOPLE).with_for_update().subquery()),
        select(func.pg_advisory_xact_lock(1)),
        select(func.nextval("a_sequence")),
        select(func.my.lower(PEOPLE.c.name)),
        select(func.Lower(PEOPLE.c.name).op("@")(func.mine())),
        select(PEOPLE).where(func.set_config("a", "b", True) == "b"),
        select(literal_column("mine(1)")),
        select(literal_column('"Mine" (1)')),
        select(literal_column("1 /* ' */, mine(1) /* ' */")),
        select(literal_column("$a$'$a$, mine(1), $a$'$a$")),
        select(literal_column(r"E'\'', mine(1), E'\''")),
        select(PEOPLE).where(PEOPLE.c.id == select(func.txid_current()).scalar_subquery()),
        _inserting(),
        select(WATCHED),
        select(PEOPLE).join(WATCHED, WATCHED.c.id == PEOPLE.c.id),
        select(select(WATCHED).subquery()),
        union_all(select(PEOPLE.c.id), select(func.lastval())),
    ],
    ids=str,
)
def test_what_may_write_or_lock_begins_a_transaction(statement: Executable) -> None:
    """Writing, locking, text, and functions that nobody vouched for are not plain."""
    assert not _is_plain(statement)


def test_a_function_is_plain_once_somebody_says_so() -> None:
    """`plain_functions` adds to the list, whatever the case."""
    assert _is_plain(select(func.distance_between(PEOPLE.c.id)), "Distance_Between")
    assert not _is_plain(select(func.distance_between(PEOPLE.c.id)), "distance")
