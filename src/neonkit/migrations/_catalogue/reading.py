"""Reading a catalogue: one question for each kind of object, all in one transaction."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, text

from neonkit.migrations._catalogue.catalogue import (
    Catalogue,
    Column,
    Counter,
    Domain,
    Rule,
    Table,
    View,
)
from neonkit.migrations._catalogue.expressions import (
    readable,
    readable_default,
    short_type,
    unwrapped,
)
from neonkit.migrations._catalogue.queries import (
    COLUMNS,
    CONSTRAINTS,
    COUNTERS,
    DOMAINS,
    ENUMS,
    EXTENSIONS,
    FUNCTIONS,
    INDEXES,
    SCHEMA_NAMES,
    SCHEMAS,
    TABLES,
    TRIGGERS,
    VIEWS,
)

_LIMITS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def read_catalogue(connection: Connection, schemas: Collection[str] | None = None) -> Catalogue:
    """Read what a database has, without what is an extension's or the toolkit's own.

    Args:
        connection: in a transaction or not; nothing is changed.
        schemas: the only ones that count, beside the connection's own; all of them by default.
    """
    wanted = None if schemas is None else sorted(schemas)

    def ask(question: str) -> list[tuple[Any, ...]]:
        found = connection.execute(text(SCHEMAS + question), {"schemas": wanted})
        return [tuple(row) for row in found]

    extensions = connection.execute(text(EXTENSIONS)).scalars()
    columns: dict[str, dict[str, Column]] = defaultdict(dict)
    for table, name, *facts in ask(COLUMNS):
        columns[table][name] = _column(*facts)
    rules: dict[str, dict[tuple[str, str], Rule]] = defaultdict(dict)
    for kind, question in (
        ("constraint", CONSTRAINTS),
        ("index", INDEXES),
        ("trigger", TRIGGERS),
    ):
        for table, name, definition, comment, needs, target in ask(question):
            rules[table][kind, name] = Rule(
                kind, readable(definition), comment, frozenset(needs), target
            )
    return Catalogue(
        schemas=frozenset(name for (name,) in ask(SCHEMA_NAMES)),
        extensions=frozenset(extensions),
        enums={name: tuple(labels) for name, labels in ask(ENUMS)},
        domains={name: _domain(*facts) for name, *facts in ask(DOMAINS)},
        counters={
            name: Counter(_options(*facts), owner) for name, *facts, owner, _ in ask(COUNTERS)
        },
        tables={
            name: Table(columns[name], rules[name], _table_options(*facts), unlogged, comment)
            for name, unlogged, *facts, comment in ask(TABLES)
        },
        views={
            name: View("MATERIALIZED VIEW" if kept else "VIEW", sql.rstrip().rstrip(";"))
            for name, kept, sql in ask(VIEWS)
        },
        functions={name: sql.rstrip() for name, sql in ask(FUNCTIONS)},
    )


def _column(  # noqa: PLR0913, PLR0917  # a row of the catalogue
    kind: str,
    has_null: bool,
    default: str | None,
    computed: str,
    identity: str,
    comment: str,
    reads: list[str],
    *counter: Any,
) -> Column:
    kind = short_type(kind)
    if default is not None:
        default = unwrapped(default) if computed else readable_default(default, kind)
    return Column(
        type=kind,
        has_null=has_null,
        default=default,
        computed={"s": "STORED", "v": "VIRTUAL"}.get(computed, ""),
        identity={"a": "ALWAYS", "d": "BY DEFAULT"}.get(identity, ""),
        counter=_options("bigint", *_as_bigint(*counter)) if identity else "",
        comment=comment,
        reads=frozenset(reads),
    )


def _domain(kind: str, default: str | None, has_null: bool, checks: list[str] | None) -> Domain:
    parts = (check.partition(" CHECK ") for check in checks or ())
    return Domain(
        short_type(kind),
        default,
        has_null,
        tuple((name, readable(f"CHECK {rule}")) for name, _, rule in parts),
    )


def _options(  # noqa: PLR0913, PLR0917  # a row of the catalogue
    kind: str,
    start: int,
    step: int,
    least: int,
    most: int,
    cache: int,
    cycle: bool,
) -> str:
    """Write a sequence's options as people do: only those that are not the usual ones."""
    limit = _LIMITS[kind]
    usual_least, usual_most = (1, limit) if step > 0 else (-limit - 1, -1)
    parts = [
        f"AS {kind}" if kind != "bigint" else "",
        f"INCREMENT BY {step}" if step != 1 else "",
        f"MINVALUE {least}" if least != usual_least else "",
        f"MAXVALUE {most}" if most != usual_most else "",
        f"START WITH {start}" if start != (least if step > 0 else most) else "",
        f"CACHE {cache}" if cache != 1 else "",
        "CYCLE" if cycle else "",
    ]
    return " ".join(filter(None, parts))


def _as_bigint(
    kind: str, start: int, step: int, least: int, most: int, *rest: Any
) -> tuple[Any, ...]:
    """An identity column's counter has the column's type, and is not told it again."""
    limit, widest = _LIMITS[kind], _LIMITS["bigint"]
    return (
        start,
        step,
        -widest - 1 if least == -limit - 1 else least,
        widest if most == limit else most,
        *rest,
    )


def _table_options(storage: str, partition: str, parents: str, method: str, place: str) -> str:
    parts = (
        ("INHERITS (", parents, ")"),
        ("PARTITION BY ", partition, ""),
        ("USING ", method, ""),
        ("WITH (", storage, ")"),
        ("TABLESPACE ", place, ""),
    )
    return " ".join(f"{before}{part}{after}" for before, part, after in parts if part)
