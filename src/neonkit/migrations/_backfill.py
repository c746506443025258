"""Backfills: the rows of a table in use, changed in batches that hurt nobody.

A statement over the whole table keeps every row locked until the last is done, and what is left of
the old rows cannot be cleaned up before. Batches are short, each commits as itself, and between two
the database has as long for everybody else.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from alembic import op
from sqlalchemy import Connection, text

from neonkit.errors import MigrationError
from neonkit.migrations._lint.tables_in_use import quoted

_FIRST, _LEAST, _MOST = 500, 10, 100_000
_BATCH_SECONDS = 0.2
_KEY = text("""
SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
WHERE indrelid = to_regclass(:table) AND indisprimary ORDER BY array_position(indkey, attnum)
""")
_ROWS = text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:table)")


# Without a database nobody knows the key. COMMIT is PostgreSQL's for a DO outside a transaction.
_OFFLINE = """
DO $backfill$ DECLARE changed bigint; BEGIN LOOP
  UPDATE {0} SET {1} WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {0} WHERE {2} LIMIT {3} FOR UPDATE));
  GET DIAGNOSTICS changed = ROW_COUNT;
  EXIT WHEN changed = 0;
  COMMIT;
  PERFORM pg_sleep(0.1);
END LOOP; END $backfill$"""


def backfill(table: str, values: Mapping[str, str], *, where: str) -> int:
    """Change the rows of a table in batches, from within a revision's `upgrade`.

    A batch takes about 0.2 s and commits as itself; then nothing is done for as long. Where it was
    interrupted, the next run goes on: `where` must no longer be true of a row that was changed. A
    row that somebody is writing is waited for. Keep it in a revision of its own: whatever the
    revision did before it is committed first.

        def upgrade() -> None:
            backfill("posts", {"slug": "lower(title)"}, where="slug IS NULL")

    Args:
        table: with its schema where it is not on the search path; it must have a primary key.
        values: for each column an expression in SQL, of the row.
        where: a condition in SQL, true of the rows that are still to be changed.

    Returns:
        how many rows were changed.

    Raises:
        MigrationError: the table has no primary key.
    """
    context = op.get_context()
    assigned = ", ".join(f"{quoted(name)} = {_plain(value)}" for name, value in values.items())
    with context.autocommit_block():
        if context.as_sql:
            op.execute(_OFFLINE.format(quoted(table), assigned, _plain(where), _FIRST))
            return 0
        return _Backfill(op.get_bind(), table, assigned, _plain(where)).run()


def _plain(sql: str) -> str:
    """SQL in which no colon stands for a parameter."""
    return sql.replace(":", "\\:")


class _Backfill:
    """The batches of one table, in the order of its primary key."""

    def __init__(self, connection: Connection, table: str, assignments: str, where: str) -> None:
        self._connection = connection
        self._table = table
        key = [quoted(each) for each in connection.scalars(_KEY, {"table": quoted(table)})]
        if not key:
            raise MigrationError(
                f"{table} has no primary key by which to take its rows in batches: change them in "
                "one statement, in an hour in which nobody uses the table"
            )
        self._first = text(_batch_of(quoted(table), key, assignments, f"({where})"))
        after = f"({', '.join(key)}) > ({', '.join(f':k{at}' for at in range(len(key)))})"
        self._next = text(_batch_of(quoted(table), key, assignments, f"{after} AND ({where})"))

    def run(self) -> int:
        """Change every row that is still to be changed, and tell how many there were."""
        with _progress(self._table, self._rows()) as report:
            return sum(map(report, self._batches()))

    def _batches(self) -> Iterator[int]:
        """How many rows each batch has changed."""
        statement, size = self._first, _FIRST
        last: Sequence[object] = ()
        while True:
            began = time.monotonic()
            values = {f"k{at}": value for at, value in enumerate(last)}
            row = self._connection.execute(statement, {**values, "size": size}).one_or_none()
            if row is None:
                return
            *last, count = row
            yield count
            took = max(time.monotonic() - began, 0.001)
            size = min(max(int(size * _BATCH_SECONDS / took), _LEAST), _MOST, 2 * size)
            statement = self._next
            time.sleep(took)

    def _rows(self) -> float:
        return self._connection.scalar(_ROWS, {"table": quoted(self._table)}) or 0


def _batch_of(table: str, key: Sequence[str], assignments: str, where: str) -> str:
    """One batch: its rows locked in the order of their key, changed, and the last key told."""
    columns, backwards = ", ".join(key), ", ".join(f"{each} DESC" for each in key)
    return f"""
WITH batch AS (
  SELECT {columns} FROM {table} WHERE {where} ORDER BY {columns} LIMIT :size FOR UPDATE
), changed AS (
  UPDATE {table} SET {assignments} WHERE ({columns}) IN (SELECT {columns} FROM batch)
)
SELECT {columns}, count(*) OVER () FROM batch ORDER BY {backwards} LIMIT 1
"""  # nosec B608 # noqa: S608  # the author's own SQL and quoted names


@contextmanager
def _progress(table: str, rows: float) -> Iterator[Callable[[int], int]]:
    """A bar on the terminal, if there is one: how much of the table is done, by its estimate."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"filling {table}", total=rows if rows > 0 else None)

        def report(count: int) -> int:
            bar.advance(task, count)
            return count

        yield report
