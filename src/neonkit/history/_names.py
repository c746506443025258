"""The names that models give, and whether a database has them: one question, nothing made."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, MetaData, Table, text

_THERE = text("""
SELECT nspname::text, relname::text, pg_table_is_visible(c.oid), array_agg(attname::text)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
  JOIN pg_attribute ON attrelid = c.oid
WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND attnum > 0 AND NOT attisdropped
  AND nspname !~ '^pg_' AND nspname <> 'information_schema'
GROUP BY 1, 2, 3
""")


def missing_names(connection: Connection, metadatas: Sequence[MetaData]) -> list[str]:
    """The tables and columns that models name and the database lacks, as `note` and `note.title`.

    Types, defaults and constraints are not compared: that takes a database made from the models.
    """
    there: dict[tuple[str | None, str], set[str]] = {}
    for schema, name, is_visible, columns in connection.execute(_THERE):
        there[schema, name] = {*columns}
        if is_visible:
            there[None, name] = {*columns}
    tables = [table for metadata in metadatas for table in metadata.tables.values()]
    return [name for table in tables for name in _missing(table, there)]


def _missing(table: Table, there: dict[tuple[str | None, str], set[str]]) -> Iterator[str]:
    columns = there.get((table.schema, table.name))
    if columns is None:
        yield table.fullname
        return
    wanted = (column.name for column in table.columns if not column.system)
    yield from (f"{table.fullname}.{name}" for name in wanted if name not in columns)
