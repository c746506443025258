"""Statements that make what a catalogue describes."""

import re
from collections.abc import Collection, Mapping

from neonkit.migrations._catalogue.catalogue import Catalogue, Column, Counter, Rule, Table
from neonkit.migrations._catalogue.expressions import base_of

_SERIALS = {"smallint": "smallserial", "integer": "serial", "bigint": "bigserial"}
_TEXTS = {"varchar", "text", "char", "citext"}
_NUMBERS = {"smallint", "integer", "bigint", "numeric", "real", "double precision"}
_TIMES = {"date", "timestamp", "timestamptz"}
_JSON = {"json", "jsonb"}
_CASTING = (_TEXTS, _NUMBERS, _TIMES, _JSON)
_UNIQUE = re.compile(
    r"^UNIQUE(?P<nulls> NULLS NOT DISTINCT)? (?P<columns>.*?)(?P<when> DEFERR.*)?$"
)


def create_table(name: str, catalogue: Catalogue, deferred: Collection[str] = ()) -> str:
    """Write a table with its constraints.

    Args:
        name: of the table.
        catalogue: has it.
        deferred: the constraints that are added later.
    """
    table = catalogue.tables[name]
    key = primary_key(table)
    lines = [column_words(name, each, catalogue, key) for each in table.columns]
    lines += [
        f"CONSTRAINT {rule_name} {rule.definition}"
        for (kind, rule_name), rule in sorted(table.rules.items(), key=_as_people_write)
        if kind == "constraint" and rule_name not in deferred
    ]
    body = "".join(f"\n    {line}," for line in lines).removesuffix(",")
    options = f" {table.options}" if table.options else ""
    kind = "UNLOGGED TABLE" if table.is_unlogged else "TABLE"
    return (
        f"CREATE {kind} {name} ({body}\n){options}"
        if lines
        else (f"CREATE {kind} {name} (){options}")
    )


def column_words(
    table: str,
    name: str,
    catalogue: Catalogue,
    key: Collection[str] = (),
    default: str | None = None,
) -> str:
    """Write a column as `CREATE TABLE` and `ADD COLUMN` take it.

    Args:
        table: its table.
        name: of the column.
        catalogue: has both.
        key: columns that are not NULL by the primary key.
        default: in place of its own.
    """
    column = catalogue.tables[table].columns[name]
    serial = serial_of(table, name, catalogue)
    if serial is not None:
        return f"{name} {serial}" + _not_null(name, column, {*key, name})
    return f"{name} {column.type}{_origin(column, default)}{_not_null(name, column, key)}"


def serial_of(table: str, name: str, catalogue: Catalogue) -> str | None:
    """Name a column's type where `serial` says all of it."""
    column = catalogue.tables[table].columns[name]
    counter = counter_of(column)
    found = catalogue.counters.get(counter or "")
    bare, prefix = _bare(table)
    is_usual = (
        counter == f"{prefix}{bare}_{name}_seq"
        and column.type in _SERIALS
        and not column.has_null
        and found == Counter(_usual_options(column.type), f"{table}.{name}")
    )
    return _SERIALS[column.type] if is_usual else None


def counter_of(column: Column) -> str | None:
    """The sequence that gives a column its default."""
    found = re.fullmatch(r"nextval\('(.+)'::regclass\)", column.default or "")
    return found and found[1].replace("''", "'")


def serial_counters(catalogue: Catalogue) -> set[str]:
    """Sequences that come and go with a `serial` column."""
    return {
        counter
        for table_name, table in catalogue.tables.items()
        for name, column in table.columns.items()
        if serial_of(table_name, name, catalogue) and (counter := counter_of(column))
    }


def primary_key(table: Table) -> frozenset[str]:
    """The columns of a table's primary key."""
    keys = (r.columns for r in table.rules.values() if r.definition.startswith("PRIMARY KEY"))
    return next(keys, frozenset())


def add_constraint(table: str, name: str, rule: Rule) -> str:
    """Add a constraint at once: existing rows are looked at under the lock."""
    return f"ALTER TABLE {table} ADD CONSTRAINT {name} {rule.definition}"


def create_index(name: str, rule: Rule, *, is_concurrent: bool) -> str:
    """Make an index, beside those who write or in their way."""
    made = f"INDEX CONCURRENTLY IF NOT EXISTS {name} ON" if is_concurrent else f"INDEX {name} ON"
    statement = rule.definition.replace(f"INDEX {name} ON", made, 1)
    return statement.replace(" ON ONLY ", " ON ").removesuffix(" INVALID")


def unique_index(table: str, name: str, rule: Rule) -> list[str]:
    """Make the index of a UNIQUE constraint beside those who write, and then the constraint."""
    found = _UNIQUE.match(rule.definition)
    assert found, rule.definition  # noqa: S101  # as pg_get_constraintdef writes it
    columns, nulls = found["columns"], found["nulls"] or ""
    within, _, included = columns.partition(" INCLUDE ")
    include = f" INCLUDE {included}" if included else ""
    return [
        f"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {name} "
        f"ON {table} {within}{include}{nulls}",
        f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}{found['when'] or ''}",
    ]


def conversion(column: str, old: str, new: str) -> str:
    """Say how values of a type become those of another: empty where PostgreSQL knows it."""
    before, after = base_of(old), base_of(new)
    is_known = (
        before == after
        or after in _TEXTS - {"citext"}
        or (any(before in family and after in family for family in _CASTING))
    )
    if {before, after} == {"timestamp", "timestamptz"}:
        words = f"{column} AT TIME ZONE 'UTC'"
    elif is_known:
        return ""
    elif before == "boolean" and after in _NUMBERS:
        words = f"{column}::integer::{after}"
    elif after == "boolean" and before in _NUMBERS:
        words = f"{column} <> 0"
    elif before in _TEXTS:
        words = f"{column}::{after}"
    else:
        words = f"{column}::text{'[]' * after.endswith('[]')}::{after}"
    return f" USING {words}"


def every_option(options: str) -> str:
    """Write all options of a sequence, the usual ones too, as `ALTER SEQUENCE` needs them."""
    found = dict(re.findall(r"(AS|INCREMENT BY|MINVALUE|MAXVALUE|START WITH|CACHE) (\S+)", options))
    step = int(found.get("INCREMENT BY", 1))
    kind = found.get("AS", "bigint")
    start = found.get("MINVALUE" if step > 0 else "MAXVALUE", "1" if step > 0 else "-1")
    parts = [
        f"AS {kind}",
        f"INCREMENT BY {step}",
        f"MINVALUE {found['MINVALUE']}" if "MINVALUE" in found else "NO MINVALUE",
        f"MAXVALUE {found['MAXVALUE']}" if "MAXVALUE" in found else "NO MAXVALUE",
        f"START WITH {found.get('START WITH', start)}",
        f"CACHE {found.get('CACHE', 1)}",
        "CYCLE" if options.endswith("CYCLE") else "NO CYCLE",
    ]
    return " ".join(parts)


def bounds_of(options: str) -> tuple[str, str]:
    """The least and the most that a sequence may give."""
    found = dict(re.findall(r"(AS|INCREMENT BY|MINVALUE|MAXVALUE) (\S+)", options))
    widest = {"smallint": 2**15 - 1, "integer": 2**31 - 1}.get(found.get("AS", ""), 2**63 - 1)
    is_rising = int(found.get("INCREMENT BY", 1)) > 0
    usual = ("1", str(widest)) if is_rising else (str(-widest - 1), "-1")
    return found.get("MINVALUE", usual[0]), found.get("MAXVALUE", usual[1])


def set_counter(sequence: str, column: str, table: str) -> str:
    """Let a sequence go on after the numbers that a column has."""
    return f"SELECT setval({sequence}, max({column})) FROM {table} HAVING max({column}) > 0"  # nosec B608 # noqa: S608  # names as the catalogue writes them


def bring_within(sequence: str, bounds: tuple[str, str]) -> str:
    """Let a sequence stand where its new bounds allow it."""
    least, most = bounds
    return f"SELECT setval({literal(sequence)}, least(greatest(last_value, {least}), {most}), is_called) FROM {sequence}"  # nosec B608 # noqa: E501, S608  # names as the catalogue writes them


def literal(words: str) -> str:
    """Write text as SQL does; an empty comment is none."""
    return "'" + words.replace("'", "''") + "'" if words else "NULL"


def in_order(
    tables: Mapping[str, Table], names: Collection[str]
) -> tuple[list[str], set[tuple[str, str]]]:
    """Order new tables so that each comes after those it refers to.

    Returns:
        the tables, and the foreign keys that must wait because their tables refer to each other.
    """
    ordered: list[str] = []
    waiting = sorted(names)
    late: set[tuple[str, str]] = set()

    def missing(name: str) -> list[tuple[str, str]]:
        return [
            (name, key[1])
            for key, rule in tables[name].rules.items()
            if rule.target in waiting and rule.target != name
        ]

    while waiting:
        free = next((name for name in waiting if not _parents(tables[name]) & {*waiting}
                     and not missing(name)), None)  # fmt: skip
        if free is None:
            free = min(waiting, key=lambda name: len(missing(name)))
            late.update(missing(free))
        waiting.remove(free)
        ordered.append(free)
    return ordered, late


def _parents(table: Table) -> set[str]:
    found = re.match(r"INHERITS \((.*?)\)", table.options)
    return set(found[1].split(", ")) if found else set()


def _as_people_write(entry: tuple[tuple[str, str], Rule]) -> tuple[int, str]:
    """The primary key first, foreign keys last."""
    (_, name), rule = entry
    words = ("PRIMARY", "UNIQUE", "EXCLUDE", "CHECK", "FOREIGN")
    return words.index(rule.definition.split()[0]) if rule.kind == "constraint" else 9, name


def _origin(column: Column, default: str | None) -> str:
    if column.computed:
        return f" GENERATED ALWAYS AS ({column.default}) {column.computed}"
    if column.identity:
        options = f" ({column.counter})" if column.counter else ""
        return f" GENERATED {column.identity} AS IDENTITY{options}"
    value = default if default is not None else column.default
    return "" if value is None else f" DEFAULT {value}"


def _not_null(name: str, column: Column, known: Collection[str]) -> str:
    return "" if column.has_null or name in known else " NOT NULL"


def _usual_options(kind: str) -> str:
    return "" if kind == "bigint" else f"AS {kind}"


def _bare(table: str) -> tuple[str, str]:
    """A table's name without its schema, and the schema with its point."""
    if table.endswith('"'):
        start = table.rindex('"', 0, len(table) - 1)
        return table[start:], table[:start]
    schema, point, name = table.rpartition(".")
    return name, schema + point
