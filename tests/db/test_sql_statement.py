"""Statements written as SQL: their steps are told apart, and stand beside a key's."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Integer, String, text
from sqlmodel import Field, col, select

from neonkit import Condition, Database, TableModel
from neonkit.db import Key, sql_statement
from neonkit.errors import ConditionFailedError, ConfigurationError

pytestmark = [pytest.mark.both_drivers, pytest.mark.real_commits]


class Crock(TableModel, table=True):
    """Something that is filled."""

    id: int | None = Field(default=None, primary_key=True)
    label: str = Field(max_length=50)
    level: int = Field(default=0)


FILL = sql_statement(
    """
    WITH crocks AS (  -- a comment, with a comma and a (bracket
      SELECT id FROM crock WHERE label = :label AND label <> ') SELECT '
    ),
    /* another, SELECT */ filled AS MATERIALIZED (
      UPDATE crock SET level = level + :more FROM (SELECT 1) AS one
      WHERE crock.id IN (SELECT id FROM crock WHERE label = :label)
      RETURNING crock.id, crock.level
    )
    SELECT id, level, 'a, "b"'::text AS word FROM filled
    """,
    id=Integer,
    level=Integer,
    word=String,
)
_keys: Iterator[int] = count()


def _key() -> Key:
    return Key(f"key-of-a-crock-{next(_keys)}", b"somebody", (b"body",))


@pytest.fixture
async def crock(db: Database) -> Crock:
    """One crock, empty."""
    async with db.session() as session:
        made = Crock(label="plum")
        session.add(made)
        await session.commit()
    return made


async def _level(db: Database) -> int:
    async with db.read_session() as session:
        return (await session.exec(select(Crock.level))).one()


async def test_it_writes_and_answers(db: Database, crock: Crock) -> None:
    """One statement, its steps and its answer, in a round trip."""
    filled = await db.execute(FILL, parameters={"label": "plum", "more": 3})

    assert tuple(filled.one()) == (crock.id, 3, 'a, "b"')
    assert await _level(db) == 3


async def test_a_key_goes_around_it(db: Database, crock: Crock) -> None:
    """Under a key it happens once, and the repeat has the same answer."""
    key = _key()
    answers = [
        tuple((await db.execute(FILL, key, parameters={"label": "plum", "more": 3})).one())
        for _ in range(2)
    ]

    assert answers == [(crock.id, 3, 'a, "b"')] * 2
    assert await _level(db) == 3


@pytest.mark.usefixtures("crock")
@pytest.mark.parametrize("is_keyed", [True, False])
async def test_a_condition_that_fails_undoes_it(db: Database, is_keyed: bool) -> None:
    """Nothing of its steps stays, and the key is free."""
    key = _key() if is_keyed else None
    other = Condition(
        select(Crock.id).where(col(Crock.label) == "none").exists(), name="other crock"
    )
    values = {"label": "plum", "more": 3}

    with pytest.raises(ConditionFailedError, match="other crock") as failed:
        await db.execute(FILL, key, parameters=values, conditions=[other])

    assert failed.value.name == "other crock"
    assert await _level(db) == 0
    assert (await db.execute(FILL, key, parameters=values)).one().level == 3


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1", "does not begin with WITH"),
        ("", "does not begin with WITH"),
        ("UPDATE a SET b = 1", "does not begin with WITH"),
        ("WITH a AS (SELECT 1)", "no SELECT follows"),
        ("WITH a AS (SELECT 1) DELETE FROM b", "no SELECT follows"),
        ("WITH a (b) AS (SELECT 1) SELECT 1", "is no step"),
        ("WITH RECURSIVE a AS (SELECT 1) SELECT 1", "is no step"),
    ],
)
def test_other_forms_are_refused_in_words(sql: str, words: str) -> None:
    """At the call, which is at import: not with the first request."""
    with pytest.raises(ConfigurationError, match=words):
        sql_statement(sql, a=Integer)


_inner = st.recursive(
    st.sampled_from(
        [
            "a",
            " , ",
            "SELECT",
            "WITH",
            "') , ('",
            '")"',
            "-- ) , (\n",
            "/* ) */",
            "$t$ ) , $t$",
            "1",
        ]
    ),
    lambda parts: st.lists(parts, max_size=4).map(lambda inner: f"( {' '.join(inner)} )"),
    max_leaves=12,
)


@given(bodies=st.lists(st.lists(_inner, max_size=5).map(" ".join), min_size=1, max_size=4))
def test_steps_are_told_apart_whatever_is_in_them(bodies: list[str]) -> None:
    """Brackets, commas, comments and quotes inside of a step are its own."""
    steps = ", ".join(f"s{i} AS ({body})" for i, body in enumerate(bodies))
    statement: Any = sql_statement(f"WITH {steps} SELECT x FROM s0", x=Integer)

    found = [str(cte.element.element.text) for cte in statement._independent_ctes]
    assert found == [str(text(body).text) for body in bodies]
