"""What a database has, as PostgreSQL itself writes it down: the other half of every comparison.

Names are written as SQL writes them: quoted where they must be, and with their schema where it is
not the connection's own. So they can be compared, printed and put into a statement as they are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Counter:
    """A sequence, or the one inside of an identity column.

    Attributes:
        options: everything that `CREATE SEQUENCE` says after the name.
        owner: the column that it goes away with, as `table.column`.
    """

    options: str
    owner: str | None = None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        type: as `format_type` writes it, with its collation where that is not the type's own.
        has_null: whether NULL may stand in it.
        default: an expression; of a computed column, what computes it.
        computed: `STORED` or `VIRTUAL`; empty for a column that is none.
        identity: `ALWAYS` or `BY DEFAULT`; empty for a column that is none.
        counter: what an identity column counts by.
        comment: empty where there is none.
        reads: the columns that a computed one is made of.
    """

    type: str
    has_null: bool = True
    default: str | None = None
    computed: str = ""
    identity: str = ""
    counter: str = ""
    comment: str = ""
    reads: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True)
class Rule:
    """A constraint, an index or a trigger of a table.

    Attributes:
        kind: `constraint`, `index` or `trigger`.
        definition: a constraint's own words; an index's or a trigger's whole statement.
        comment: empty where there is none.
        columns: those of its table that it depends on.
        target: the table that a foreign key refers to.
    """

    kind: str
    definition: str
    comment: str = ""
    columns: frozenset[str] = field(default=frozenset(), compare=False)
    target: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: by name, in their order.
        rules: by kind and name.
        options: what `CREATE TABLE` says after the columns.
        is_unlogged: whether it is lost in a crash.
        comment: empty where there is none.
    """

    columns: Mapping[str, Column]
    rules: Mapping[tuple[str, str], Rule]
    options: str = ""
    is_unlogged: bool = False
    comment: str = ""


@dataclass(frozen=True)
class View:
    """A view; `kind` is `VIEW` or `MATERIALIZED VIEW`."""

    kind: str
    definition: str


@dataclass(frozen=True)
class Domain:
    """A type with rules of its own."""

    type: str
    default: str | None
    has_null: bool
    checks: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Catalogue:
    """Everything that a revision can make.

    Attributes:
        schemas: without the one that is the connection's own.
        extensions: without `plpgsql`.
        enums: native ones, with their labels in order.
        domains: by name.
        counters: the sequences that are not an identity column's.
        tables: by name.
        views: by name, in the order in which they can be made.
        functions: the whole statement by signature.
    """

    schemas: frozenset[str] = frozenset()
    extensions: frozenset[str] = frozenset()
    enums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    domains: Mapping[str, Domain] = field(default_factory=dict)
    counters: Mapping[str, Counter] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    views: Mapping[str, View] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)

    def keeping(self, other: "Catalogue", *, tables: bool = False) -> "Catalogue":
        """Add what `other` has beside it and models need not name.

        Those are schemas, extensions, views, functions and triggers, which people write into
        revisions by hand.

        Args:
            other: what is there.
            tables: keep tables, sequences and types as well: they may be somebody else's.
        """
        kept = replace(
            self,
            schemas=self.schemas | other.schemas,
            extensions=self.extensions | other.extensions,
            views={**other.views, **self.views},
            functions={**other.functions, **self.functions},
            tables={name: _with_triggers(table, other.tables.get(name))
                    for name, table in self.tables.items()},
        )  # fmt: skip
        if not tables:
            return kept
        return replace(
            kept,
            enums={**other.enums, **kept.enums},
            domains={**other.domains, **kept.domains},
            counters={**other.counters, **kept.counters},
            tables={**other.tables, **kept.tables},
        )

    def without(self, names: Iterable[str]) -> "Catalogue":
        """Leave tables and sequences out, with what only these tables own or use."""
        gone = set(names)
        kept = {name: table for name, table in self.tables.items() if name not in gone}
        left = _types_in(self.tables[name] for name in gone & self.tables.keys()) - _types_in(
            kept.values()
        )
        return replace(
            self,
            enums={name: labels for name, labels in self.enums.items() if name not in left},
            domains={name: domain for name, domain in self.domains.items() if name not in left},
            tables=kept,
            counters={
                name: counter
                for name, counter in self.counters.items()
                if name not in gone
                and (counter.owner is None or table_of(counter.owner) not in gone)
            },
        )


def table_of(column: str) -> str:
    """The table of a column that is written as `table.column`."""
    table, _, name = column.rpartition(".")
    if name.count('"') % 2:  # a point inside of a quoted name
        return column[: column.rindex('."')]
    return table


def _types_in(tables: Iterable[Table]) -> set[str]:
    return {column.type.removesuffix("[]") for table in tables for column in table.columns.values()}


def _with_triggers(table: Table, other: Table | None) -> Table:
    if other is None:
        return table
    triggers = {key: rule for key, rule in other.rules.items() if rule.kind == "trigger"}
    return replace(table, rules={**triggers, **table.rules})
