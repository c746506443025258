"""A statement is put together once for its structure, and each one brings its own values."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    bindparam,
    insert,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.orm import aliased
from sqlmodel import Field, col

from neonkit import Database, TableModel, paginate
from neonkit.db import Bound, Condition, Key, bind, build_once
from neonkit.errors import ConditionFailedError, ConfigurationError
from neonkit.resources import PageRequest

pytestmark = pytest.mark.both_drivers


class Peg(TableModel, table=True):
    """Something to ask for."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50)
    size: int | None = Field(default=None)


NAMES = ["ash", "beech", "cedar", "%_\\", "O'Hara"]
_keys: Iterator[int] = count()


@pytest.fixture(autouse=True)
async def _pegs(db: Database) -> None:
    async with db.session() as session:
        session.add_all(Peg(name=name, size=i or None) for i, name in enumerate(NAMES))
        await session.commit()


def _key() -> Key:
    def no_problem(_error: object) -> Any:  # noqa: ANN401  # nothing is refused here
        raise AssertionError

    value = f"key-of-a-test-{next(_keys)}"
    return Key(value, b"somebody", (b"body",), slug_of=no_problem, kind_of=no_problem)


def _holding(name: str) -> Condition:
    """A condition of itself, made anew for each request."""
    known = select(col(Peg.id)).where(col(Peg.name) == name)
    return Condition(known.correlate(None).exists())


class _Ask:
    """Statements of few structures, each made anew with other values."""

    statements = st.builds(
        lambda make, names, size: make(names, size),
        st.sampled_from(
            [
                lambda names, _: (Peg.name == names[0], [n for n in NAMES if n == names[0]]),
                lambda names, _: (col(Peg.name).in_(names), [n for n in NAMES if n in names]),
                lambda _, size: (
                    Peg.size == size,
                    [n for i, n in enumerate(NAMES) if (i or None) == size],
                ),
                lambda names, size: (
                    (Peg.name != names[0]) & (col(Peg.size) > (size or 0)),
                    [n for i, n in enumerate(NAMES) if n != names[0] and i > (size or 0)],
                ),
            ]
        ),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=4),
        st.sampled_from([None, 1, 2, 3, 4]),
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(asked=_Ask.statements, guard=st.sampled_from([None, *NAMES, "nobody"]), keyed=st.booleans())
async def test_values_are_never_anothers(
    db: Database, asked: tuple[ColumnElement[bool], list[str]], guard: str | None, keyed: bool
) -> None:
    """Whatever was asked before: each statement, condition and key answers for its own values."""
    where, expected = asked
    statement = select(col(Peg.name)).where(where).order_by(col(Peg.id))
    conditions = [] if guard is None else [_holding(guard)]
    key = _key() if keyed else None
    if guard == "nobody":
        with pytest.raises(ConditionFailedError):
            await db.execute(statement, key, conditions=conditions)
        return

    found = await db.execute(statement, key, conditions=conditions)

    assert list(found.scalars()) == expected
    async with db.read_session() as session:
        listed = select(col(Peg.name)).where(where)
        page = await paginate(
            session, listed, PageRequest(total="exact"), sort=[col(Peg.id)], conditions=conditions
        )
    assert list[Any](page.items) == expected
    assert page.total == len(expected)


async def test_parameters_are_given_or_in_the_statement(db: Database) -> None:
    """By `parameters`, by `params()`, and by both, where what is given by name comes last."""
    named = select(col(Peg.name)).where(col(Peg.name) == bindparam("name"))

    for name in NAMES:
        given = await db.execute(named, parameters={"name": name})
        inside = await db.execute(named.params(name=name))
        both = await db.execute(named.params(name="nobody"), parameters={"name": name})
        assert given.scalars().all() == inside.scalars().all() == both.scalars().all() == [name]


async def test_a_value_may_be_computed_each_time(db: Database) -> None:
    """A parameter that is a function is asked whenever its statement is executed."""
    names = iter(NAMES)
    named = select(col(Peg.name)).where(
        col(Peg.name) == bindparam("name", callable_=lambda: next(names), type_=String())
    )

    for name in NAMES:
        assert (await db.execute(named)).scalars().all() == [name]


async def test_what_is_made_of_a_statement_is_not_taken_for_it(db: Database) -> None:
    """What is remembered of a statement stays with it, and does not go to its copies."""
    everything = select(col(Peg.name))
    assert len((await db.execute(everything)).all()) == len(NAMES)

    one = everything.where(col(Peg.name) == "ash")
    assert (await db.execute(one)).scalars().all() == ["ash"]
    assert len((await db.execute(everything)).all()) == len(NAMES)
    assert len((await db.execute(everything.limit(2))).all()) == 2


async def test_null_is_another_structure(db: Database) -> None:
    """`== None` is IS NULL, and a parameter that is NULL is equal to nothing."""
    for size, expected in [(1, ["beech"]), (None, ["ash"]), (2, ["cedar"])]:
        found = await db.execute(select(col(Peg.name)).where(col(Peg.size) == size))
        assert found.scalars().all() == expected
    either = select(literal("x")).where(null().is_(None))
    assert (await db.execute(either)).scalars().all() == ["x"]


async def test_writes_write_their_own_values(db: Database) -> None:
    """INSERT and UPDATE of one structure, with and without a condition."""
    for name in ("fir", "gum"):
        made = insert(Peg).values(name=name, size=7).returning(col(Peg.id))
        peg = (await db.execute(made, conditions=[_holding("ash")])).scalar_one()
        renamed = update(Peg).where(col(Peg.id) == peg).values(name=name.upper())
        await db.execute(renamed, conditions=[_holding(name)])
        found = await db.execute(select(col(Peg.name), col(Peg.size)).where(col(Peg.id) == peg))
        assert found.one() == (name.upper(), 7)


async def test_aliases_stay_with_their_statement(db: Database) -> None:
    """A sort key that is made of one of a statement's own aliases, or of the other."""
    for turn in range(4):
        left, right = aliased(Peg), aliased(Peg)
        chosen = (left, right)[turn % 2]
        pairs: Select[*tuple[Any, ...]] = select(col(left.size), col(right.size).label("other"))
        pairs = pairs.join_from(left, right, col(left.size) + col(right.size) == 5)
        sort: list[ColumnElement[Any]] = [col(chosen.size).label("rank"), col(left.id).label("own")]
        async with db.read_session() as session:
            page = await paginate(session, pairs, PageRequest(total="exact"), sort=sort)
        expected = [(1, 4), (2, 3), (3, 2), (4, 1)]
        assert [tuple(row) for row in page.items] == (expected[::-1] if turn % 2 else expected)
        assert page.total == 4


async def test_a_condition_may_be_any_expression(db: Database) -> None:
    """One that is written by hand holds for its own values too."""
    statement = select(col(Peg.size)).where(col(Peg.name) == "beech")
    for name, holds in [("ash", True), ("nobody", False), ("cedar", True)]:
        other = aliased(Peg)
        conditions = [Condition(select(col(other.id)).where(col(other.name) == name).exists())]
        if holds:
            assert (await db.execute(statement, conditions=conditions)).scalars().all() == [1]
        else:
            with pytest.raises(ConditionFailedError):
                await db.execute(statement, conditions=conditions)


async def test_execution_options_are_not_lost(db: Database) -> None:
    """A statement that has some is executed with them, and lends them to no other."""
    plain = select(col(Peg.name)).order_by(col(Peg.id))
    assert (await db.execute(plain)).scalars().first() == "ash"

    mapped = plain.execution_options(schema_translate_map={None: "nowhere"})
    with pytest.raises(Exception, match="nowhere"):
        await db.execute(mapped)
    assert (await db.execute(plain)).scalars().first() == "ash"


async def test_a_name_that_stands_for_two_values_is_refused(db: Database) -> None:
    """A parameter of the statement cannot take the place of one of the condition."""
    known = select(col(Peg.id)).where(col(Peg.name) == bindparam("name", "ash"))
    guarded = Condition(known.correlate(None).exists())
    asked = select(col(Peg.size)).where(col(Peg.name) == bindparam("name"))

    with pytest.raises(ConfigurationError, match="both have a parameter name"):
        await db.execute(asked, parameters={"name": "cedar"}, conditions=[guarded])


def test_one_structure_is_put_together_once() -> None:
    """Ten statements of one structure make one template, and one of what is made of it."""
    made: list[Select[*tuple[Any, ...]]] = []

    def wrap(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        made.append(statement)
        return statement.limit(1)

    bounds = [bind(select(col(Peg.id)).where(col(Peg.name) == f"n{i}")) for i in range(10)]
    results = {id(build_once(wrap, bound)) for bound in bounds}

    assert len(made) == len(results) == 1
    assert [list(bound.values.values()) for bound in bounds] == [[f"n{i}"] for i in range(10)]


async def test_nothing_is_shared_on_a_sqlalchemy_that_was_not_tested(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody has looked at its keys, a statement stands for itself with its values."""
    shared = [select(col(Peg.name)).where(col(Peg.name) == name) for name in NAMES]
    assert len({id(bind(each).templates[0]) for each in shared}) == 1

    monkeypatch.setattr(sqlalchemy, "__version__", "2.2.0")
    alone = [select(col(Peg.name)).where(col(Peg.name) == name) for name in NAMES]
    found = [
        (await db.execute(each, conditions=[_holding("ash")])).scalars().all() for each in alone
    ]

    assert found == [[name] for name in NAMES]
    assert all(bind(each) == Bound((each,), {}, is_lasting=False) for each in alone)
