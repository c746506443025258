"""A statement's fingerprint: no values, and the same whatever they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neonkit.observe import Fingerprint

_SECRET = "hunter2"


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("SELECT 1,\n  col1 FROM t2", "SELECT ?, col1 FROM t2"),
        ("SELECT $1::VARCHAR AND b", "SELECT ? AND b"),
        ("SELECT $1::TIMESTAMP WITH TIME ZONE, x", "SELECT ?, x"),
        ("x IN ($1::INTEGER, $2::INTEGER)", "x IN (?)"),
        ("x = ANY ($1::INTEGER[])", "x = ANY (?)"),
        ("x IN (%s, %s) AND y = %(name)s", "x IN (?) AND y = ?"),
        ("VALUES (1, 'a'), (2, 'b')", "VALUES (?)"),
        ("VALUES ($1::INTEGER, $2::VARCHAR), ($3::INTEGER, $4::VARCHAR)", "VALUES (?)"),
        ("x = 'it''s hunter2' AND y", "x = ? AND y"),
        (r"x = E'it\'s hunter2' AND y", "x = ? AND y"),
        ("x = $$it's hunter2$$ AND y", "x = ? AND y"),
        ("x = $a$it's $$ hunter2$a$ AND y", "x = ? AND y"),
        ("x = X'1F' OR x = B'1' OR x = U&'a'", "x = ? OR x = ? OR x = ?"),
        ("x > -1.5e-3 OR x = .5 OR x = 0x1F OR x = 1_000", "x > -?-? OR x = ? OR x = ? OR x = ?"),
        ('SELECT "it\'s 1" FROM "a""b"', 'SELECT "it\'s 1" FROM "a""b"'),
        ("SELECT a -- 'hunter2\nFROM t", "SELECT a FROM t"),
        ("SELECT a /* it's /* hunter2 */ hunter2 */ FROM t", "SELECT a FROM t"),
        ("SELECT '/*', a, '*/'", "SELECT ?, a, ?"),
        ("x = 'hunter2 AND", "x = ?"),
        ("x /* hunter2", "x"),
    ],
)
def test_values_are_taken_out(statement: str, text: str) -> None:
    """Every way that PostgreSQL writes a value becomes `?`, a list of them `(?)`."""
    assert Fingerprint.of(statement).text == text


@given(st.text())
def test_no_quoted_value_survives(noise: str) -> None:
    """What stands in a well-written literal is not in the text, whatever is around it there."""
    value = f"{noise}{_SECRET}{noise}".replace("'", "''")

    assert Fingerprint.of(f"SELECT '{value}', a").text == "SELECT ?, a"


@given(st.text("'\"$a/*-e\\ (,\n"))
def test_any_text_has_a_fingerprint(statement: str) -> None:
    """Broken SQL has one too, and what is no part of a name or a value in it stays."""
    assert Fingerprint.of(f"SELECT {statement}").text.startswith("SELECT")


def test_the_hash_is_of_the_statement_and_not_of_its_values() -> None:
    """Lists of any length and other literals give one hash; another column gives another."""
    one = Fingerprint.of("SELECT a FROM t WHERE a IN ($1::INTEGER) AND b = 'x'")
    two = Fingerprint.of("SELECT a  FROM t WHERE a IN ($1::INTEGER, $2::INTEGER) AND b = 'y'")

    assert one == two
    assert one.hash != Fingerprint.of("SELECT c FROM t").hash
    assert len(one.hash) == 12


def test_a_long_statement_is_cut_but_hashed_whole() -> None:
    """2,000 characters are enough to recognise it; what follows still counts."""
    long = "SELECT " + "a, " * 1000

    one, two = Fingerprint.of(long + "b"), Fingerprint.of(long + "c")

    assert len(one.text) == 2000
    assert one.text == two.text
    assert one.hash != two.hash
