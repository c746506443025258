"""Making the tables of models, with the schemas and the extensions that they need."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Constraint, Dialect, MetaData, Sequence, Table, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.exc import CompileError
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement

_TYPES = {
    "citext": "citext",
    "cube": "cube",
    "geography": "postgis",
    "geometry": "postgis",
    "halfvec": "vector",
    "hstore": "hstore",
    "lquery": "ltree",
    "ltree": "ltree",
    "ltxtquery": "ltree",
    "raster": "postgis_raster",
    "seg": "seg",
    "sparsevec": "vector",
    "vector": "vector",
}
_WORDS = {
    r"\bg(in|ist)_trgm_ops\b": "pg_trgm",
    r"\bgist_hstore_ops\b|\bhstore\(": "hstore",
    r"\b(digest|hmac|crypt|gen_salt|pgp_sym_encrypt)\(": "pgcrypto",
    r"\buuid_generate_v\w+\(": "uuid-ossp",
    r"\bunaccent\(": "unaccent",
    r"\b(similarity|word_similarity)\(": "pg_trgm",
}
_HAS_EXTENSION = text("SELECT extname::text FROM pg_extension")
_HAS_SCHEMA = text("SELECT nspname::text FROM pg_namespace")
_RANGES = re.compile(r"range$|^(box|circle|point|polygon|inet|cidr)$")


@dataclass(frozen=True)
class MadeForTables:
    """What was made beside the tables.

    Attributes:
        extensions: by name.
        schemas: by name.
    """

    extensions: tuple[str, ...]
    schemas: tuple[str, ...]


def make_tables(connection: Connection, *metadatas: MetaData) -> MadeForTables:
    """Make the missing tables, and before them the schemas and extensions that they need.

    It never changes a table that is there: migrations do.

    Returns:
        what had to be made for the tables.
    """
    made = MadeForTables(
        tuple(_make_extensions(connection, metadatas)), tuple(_make_schemas(connection, metadatas))
    )
    for metadata in metadatas:
        metadata.create_all(connection)
    return made


def schemas_of(*metadatas: MetaData) -> set[str]:
    """The schemas that models name."""
    named: set[str | None] = set()
    for table in _tables(metadatas):
        named.add(table.schema)
        named |= {getattr(column.type, "schema", None) for column in table.columns}
        named |= {
            each.default.schema for each in table.columns if isinstance(each.default, Sequence)
        }
    return {name for name in named if name}


def _make_schemas(connection: Connection, metadatas: Iterable[MetaData]) -> Iterator[str]:
    wanted = schemas_of(*metadatas)
    missing = wanted - set(connection.scalars(_HAS_SCHEMA)) if wanted else ()
    for name in sorted(missing):
        quoted = connection.dialect.identifier_preparer.quote(name)
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {quoted}"))
        yield name


def _make_extensions(connection: Connection, metadatas: Iterable[MetaData]) -> Iterator[str]:
    wanted = {name for table in _tables(metadatas) for name in _extensions_of(table, connection)}
    missing = wanted - set(connection.scalars(_HAS_EXTENSION)) if wanted else ()
    for name in sorted(missing):
        connection.execute(text(f'CREATE EXTENSION IF NOT EXISTS "{name}"'))
        yield name


def _tables(metadatas: Iterable[MetaData]) -> Iterator[Table]:
    for metadata in metadatas:
        yield from metadata.tables.values()


def _extensions_of(table: Table, connection: Connection) -> Iterator[str]:
    dialect = connection.dialect
    kinds = (_type_name(column, dialect) for column in table.columns)
    yield from (_TYPES[kind] for kind in kinds if kind in _TYPES)
    statements: list[DDLElement] = [CreateTable(table), *map(CreateIndex, table.indexes)]
    try:
        words = " ".join(str(each.compile(dialect=dialect)) for each in statements)
    except CompileError:  # its own words come when the table is made
        return
    yield from (name for pattern, name in _WORDS.items() if re.search(pattern, words))
    if any(_compares_scalars(rule, dialect) for rule in table.constraints):
        yield "btree_gist"


def _type_name(column: Column[Any], dialect: Dialect) -> str:
    try:
        words = column.type.compile(dialect=dialect)
    except CompileError:
        return ""
    return re.split(r"[(\[ ]", words.rpartition(".")[2].lower())[0]


def _compares_scalars(rule: Constraint, dialect: Dialect) -> bool:
    """True for an EXCLUDE that asks GiST whether plain values are equal."""
    return (
        isinstance(rule, ExcludeConstraint)
        and rule.using == "gist"
        and any(
            rule.operators.get(column.name) == "="
            and not _RANGES.search(_type_name(column, dialect))
            for column in rule.columns
        )
    )
