"""From a constraint's name to the field that a client sent."""

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    func,
)

from neonkit.db._faults.classification import Fault, problem_error_of
from neonkit.db._faults.sqlstates import FaultKind
from neonkit.errors import DuplicateError, InvalidInputError

CONVENTION = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class NameTakenError(DuplicateError):
    """What a violation of one index means here."""


def tables(convention: dict[str, str] | None) -> MetaData:
    """Declare the same tables with a naming convention, or with names left to PostgreSQL."""
    metadata = MetaData(naming_convention=convention)
    Table("teams", metadata, Column("id", Integer, primary_key=True))
    Table(
        "users",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("email", String, unique=True),
        Column("nick", String),
        Column("given", String, info={"field": "given/name"}),
        Column("age", Integer),
        Column("team_id", ForeignKey("teams.id")),
        UniqueConstraint("team_id", "nick"),
        UniqueConstraint("nick", "age"),
        UniqueConstraint("given"),
        UniqueConstraint(
            "age", name="longer_than_the_63_characters_that_postgresql_keeps_of_any_name"
        ),
        CheckConstraint("age >= 0", name="age" if convention else None),
        CheckConstraint("nick <> ''", name="nick_given", info={"field": "nick"}),
        Index("lower_email", func.lower(Column("email")), unique=True, info={"field": "email"}),
        Index("one_nick", "nick", unique=True, info={"error": NameTakenError}),
    )
    Table(
        "members",
        metadata,
        Column("user_id", ForeignKey("users.id")),
        Column("team_id", ForeignKey("teams.id")),
        UniqueConstraint("user_id", "team_id"),
    )
    return metadata


def pointers(
    kind: FaultKind,
    constraint: str | None,
    metadata: MetaData,
    *,
    table: str = "users",
    column: str | None = None,
) -> list[str]:
    """Give the pointers of the error that a fault becomes."""
    error = problem_error_of(Fault(kind, None, constraint, table, column), metadata)
    assert error is not None
    return [problem.pointer for problem in error.errors]


@pytest.mark.parametrize(
    ("kind", "conventional", "default", "expected"),
    [
        (FaultKind.DUPLICATE, "uq_users_email", "users_email_key", ["/body/email"]),
        (FaultKind.DUPLICATE, "uq_users_team_id_nick", "users_team_id_nick_key", ["/body/nick"]),
        (
            FaultKind.DUPLICATE,
            "uq_users_nick_age",
            "users_nick_age_key",
            ["/body/nick", "/body/age"],
        ),
        (FaultKind.DUPLICATE, "uq_users_given", "users_given_key", ["/body/given~1name"]),
        (FaultKind.DUPLICATE, "lower_email", "lower_email", ["/body/email"]),
        (FaultKind.DUPLICATE, "pk_users", "users_pkey", ["/body/id"]),
        (
            FaultKind.FOREIGN_KEY,
            "fk_users_team_id_teams",
            "users_team_id_fkey",
            ["/body/team_id"],
        ),
        (FaultKind.CHECK, "ck_users_age", "users_age_check", ["/body/age"]),
        (FaultKind.CHECK, "ck_users_nick_given", "nick_given", ["/body/nick"]),
        (FaultKind.DUPLICATE, "uq_users_nothing_like_it", "users_nothing_key", []),
        (FaultKind.DEPENDENTS, "fk_users_team_id_teams", "users_team_id_fkey", []),
    ],
)
def test_a_constraint_names_its_fields(
    kind: FaultKind, conventional: str, default: str, expected: list[str]
) -> None:
    """The field is found by our naming convention, and by the names PostgreSQL gives."""
    assert pointers(kind, conventional, tables(CONVENTION)) == expected
    assert pointers(kind, default, tables(None)) == expected


def test_a_unique_pair_of_references_names_both() -> None:
    """Foreign keys are left out of a unique value only where something else remains."""
    error = problem_error_of(
        Fault(FaultKind.DUPLICATE, "23505", "uq_members_user_id_team_id", "members"),
        tables(CONVENTION),
    )
    assert error is not None
    assert [each.pointer for each in error.errors] == ["/body/user_id", "/body/team_id"]


def test_a_column_that_must_not_be_null_is_named_by_the_server() -> None:
    """No constraint is needed where the server names the column."""
    metadata = tables(CONVENTION)
    assert pointers(FaultKind.NOT_NULL, None, metadata, column="nick") == ["/body/nick"]
    assert pointers(FaultKind.NOT_NULL, None, metadata, column="given") == ["/body/given~1name"]
    assert pointers(FaultKind.NOT_NULL, None, MetaData(), column="nick") == ["/body/nick"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("users_email_key", ["/body/email"]),
        ("uq_users_email", ["/body/email"]),
        ("users_email_idx", ["/body/email"]),
        ("users_pkey", []),
        ("users__key", []),
        ("others_email_key", []),
        ("whatever", []),
    ],
)
def test_a_table_that_nobody_declared_is_read_from_the_name(name: str, expected: list[str]) -> None:
    """Without a declaration, names of the two usual forms still give a field."""
    assert pointers(FaultKind.DUPLICATE, name, MetaData()) == expected


def test_an_index_may_name_the_error_it_means() -> None:
    """`info["error"]` of a constraint or an index is raised in place of the general one."""
    error = problem_error_of(
        Fault(FaultKind.DUPLICATE, "23505", "one_nick", "users"), tables(CONVENTION)
    )
    assert isinstance(error, NameTakenError)
    assert [(each.pointer, each.code) for each in error.errors] == [("/body/nick", "duplicate")]


def test_a_value_that_its_type_refuses_names_no_field() -> None:
    """PostgreSQL does not say which column a value of class 22 was for, and nobody guesses."""
    error = problem_error_of(Fault(FaultKind.INVALID_VALUE, "22001"))
    assert isinstance(error, InvalidInputError)
    assert error.errors == ()
