"""Which level of a transaction has written, by what the server says that it did."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neonkit.db._wire.uncommitted_writes import UncommittedWrites


@pytest.mark.parametrize(
    ("tag", "sql", "is_write"),
    [
        ("INSERT 0 1", "INSERT INTO a VALUES (1)", True),
        ("INSERT 0 0", "INSERT INTO a SELECT 1 WHERE false", False),
        ("UPDATE 3", "UPDATE a SET b = 1", True),
        ("DELETE 0", "DELETE FROM a", False),
        ("MERGE 1", "MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE", True),
        ("SELECT 1", "SELECT 1", False),
        ("SELECT 1", "WITH a AS (DELETE FROM b RETURNING 1) SELECT * FROM a", True),
        ("SELECT 1", "SELECT * FROM a FOR UPDATE", False),
        ("SET", "SET LOCAL lock_timeout = 1", False),
        ("SHOW", "SHOW server_version", False),
        ("LOCK TABLE", "LOCK TABLE a", False),
        ("EXPLAIN", "EXPLAIN DELETE FROM a", False),
        ("EXPLAIN", "EXPLAIN ANALYZE DELETE FROM a", True),
        ("CREATE TABLE", "CREATE TABLE a ()", True),
        ("COPY 2", "COPY a FROM STDIN", True),
        (None, "SELECT 1", False),
        (None, "DELETE FROM a RETURNING 1", True),
        (None, "SELECT 1 FROM a FOR UPDATE", False),
    ],
)
def test_a_statement_counts_by_its_command_tag(tag: str | None, sql: str, is_write: bool) -> None:
    """What changed nothing, locked or only looked is no write."""
    writes = UncommittedWrites()
    writes.note(tag, sql)

    assert writes.has_any(1) is is_write


def test_savepoints_end_by_their_names() -> None:
    """What is undone with a savepoint is forgotten, those inside of it included."""
    writes = UncommittedWrites()
    writes.note("SAVEPOINT", "SAVEPOINT outer_one")
    writes.note("SAVEPOINT", 'SAVEPOINT "inner one"')
    writes.note("INSERT 0 1", "INSERT INTO a VALUES (1)")
    assert (writes.depth, writes.has_any(1), writes.has_any(3)) == (3, True, True)

    writes.note("RELEASE", 'RELEASE SAVEPOINT "inner one"')
    assert (writes.depth, writes.has_any(2)) == (2, True)

    writes.note("ROLLBACK", "ROLLBACK TO SAVEPOINT outer_one")
    assert (writes.depth, writes.has_any(1)) == (1, False)


class _Model:
    """The same, kept as a plain list of levels."""

    def __init__(self) -> None:
        self.levels: list[tuple[str, bool]] = [("", False)]

    def close(self, name: str, *, keeps: bool) -> None:
        at = max(i for i, (known, _) in enumerate(self.levels) if known == name)
        wrote = any(each for _, each in self.levels[at:])
        self.levels = self.levels[:at]
        if keeps and wrote:
            self.levels[-1] = (self.levels[-1][0], True)


@given(st.lists(st.sampled_from(["save", "write", "release", "undo"]), max_size=30), st.data())
def test_any_order_of_savepoints(steps: list[str], data: st.DataObject) -> None:
    """Whatever is saved, released and undone: the open levels, and which of them have written."""
    writes, model = UncommittedWrites(), _Model()
    for number, step in enumerate(steps):
        names = [name for name, _ in model.levels[1:]]
        if step == "save":
            writes.note("SAVEPOINT", f"SAVEPOINT s{number}")
            model.levels.append((f"s{number}", False))
        elif step == "write":
            writes.note("INSERT 0 1", "INSERT INTO a VALUES (1)")
            model.levels[-1] = (model.levels[-1][0], True)
        elif names:
            name = data.draw(st.sampled_from(names))
            verb = "RELEASE" if step == "release" else "ROLLBACK TO"
            writes.note(verb.split(maxsplit=1)[0], f"{verb} SAVEPOINT {name}")
            model.close(name, keeps=step == "release")
        assert writes.depth == len(model.levels)
        for since in range(1, writes.depth + 1):
            assert writes.has_any(since) is any(each for _, each in model.levels[since - 1 :])
