"""From one table to another of the same name: its columns, its storage and its comment."""

import re

from neonkit.migrations._catalogue.catalogue import Column, Table
from neonkit.migrations._comparison.change import Change, split_name
from neonkit.migrations._comparison.plan import Rank
from neonkit.migrations._comparison.rules import RuleComparison
from neonkit.migrations._comparison.statements import (
    column_words,
    conversion,
    counter_of,
    every_option,
    literal,
    set_counter,
)


class TableComparison:
    """A table that both have: what its columns become."""

    def __init__(self, whole: Change, name: str) -> None:
        self.whole, self.plan, self.name = whole, whole.plan, name
        self.old: Table = whole.old.tables[name]
        self.new: Table = whole.new.tables[name]
        self.shared = [each for each in self.new.columns if each in self.old.columns]
        self.retyped = {each for each in self.shared if self._is_retyped(each)}
        self.remade = self._remade()
        self.dropped = {each for each in self.old.columns if each not in self.new.columns}

    @property
    def locked_by_views(self) -> bool:
        """True where a view of the table stands in the way."""
        return bool(self.retyped or self.remade or self.dropped)

    def compare(self) -> None:
        self._table()
        for name, column in self.new.columns.items():
            if name not in self.old.columns:
                self._add_column(name, column)
            elif name in self.remade:
                self.plan.add(Rank.DROP_COMPUTED, f"ALTER TABLE {self.name} DROP COLUMN {name}")
                self._add_column(name, column, "is computed anew")
            else:
                self._alter_column(name)
        for name in self.old.columns:
            if name in self.dropped:
                is_computed = bool(self.old.columns[name].computed)
                rank = Rank.DROP_COMPUTED if is_computed else Rank.DROP_COLUMN
                self.plan.add(rank, f"ALTER TABLE {self.name} DROP COLUMN {name}")
                self.plan.say(f"{self.name} loses {name}, with what is in it.")
        RuleComparison(self.whole, self.name, self.retyped, self.remade, self.dropped).compare()

    def _is_retyped(self, name: str) -> bool:
        old, new = self.old.columns[name].type, self.new.columns[name].type
        return old != new or new.removesuffix("[]") in self.whole.swapped

    def _remade(self) -> set[str]:
        old, new = self.old.columns, self.new.columns
        remade = {each for each in self.shared if _is_remade(old[each], new[each])}
        touched = self.retyped | remade
        return remade | {
            each
            for each in self.shared
            if old[each].computed and (each in self.retyped or old[each].reads & touched)
        }

    def _table(self) -> None:
        old, new, name = self.old, self.new, self.name
        if old.is_unlogged != new.is_unlogged:
            kind = "UNLOGGED" if new.is_unlogged else "LOGGED"
            self.plan.add(Rank.COLUMN, f"ALTER TABLE {name} SET {kind}")
            self.plan.say(f"{name} becomes {kind.lower()}.")
        if old.options != new.options:
            self._options()
        self.whole.comment(f"TABLE {name}", old.comment, new.comment, Rank.COLUMN)

    def _options(self) -> None:
        before, after = _storage(self.old.options), _storage(self.new.options)
        if _without_storage(self.old.options) != _without_storage(self.new.options):
            self.plan.warnings.append(
                f"{self.name} is to be made with {self.new.options or 'no options'}, and is there "
                f"with {self.old.options or 'none'}: no statement changes that; make it anew"
            )
        gone = sorted(before.keys() - after.keys())
        if gone:
            self.plan.add(Rank.COLUMN, f"ALTER TABLE {self.name} RESET ({', '.join(gone)})")
        given = [f"{key}={value}" for key, value in after.items() if before.get(key) != value]
        if given:
            self.plan.add(Rank.COLUMN, f"ALTER TABLE {self.name} SET ({', '.join(given)})")
        self.plan.say(f"{self.name} has other storage options.")

    def _add_column(self, name: str, column: Column, word: str = "gets") -> None:
        fill = self.whole.fills.get((self.name.replace('"', ""), name.strip('"')))
        must_fill = not column.has_null and column.default is None and not column.identity
        default = fill if must_fill else None
        words = column_words(self.name, name, self.whole.new, default=default)
        rank = Rank.COMPUTED if column.computed else Rank.COLUMN
        self.plan.add(rank, f"ALTER TABLE {self.name} ADD COLUMN {words}")
        if default is not None:
            self.plan.add(Rank.COLUMN, f"ALTER TABLE {self.name} ALTER COLUMN {name} DROP DEFAULT")
        if word == "gets":
            given = f", {default} where there are rows" if default is not None else ""
            self.plan.say(f"{self.name} gets {name} ({column.type}{given}).")
        else:
            self.plan.say(f"{self.name}.{name} {word}.")
        if must_fill and fill is None:
            self.plan.warnings.append(
                f"{self.name}.{name} must not be NULL and has no default, so the revision fails "
                f"where {self.name} has rows: give the field a default, or a server_default, or "
                "let it be NULL first"
            )
        self.whole.comment(f"COLUMN {self.name}.{name}", "", column.comment, Rank.OWNER)

    def _alter_column(self, name: str) -> None:
        old, new = self.old.columns[name], self.new.columns[name]
        is_new_default = old.default != new.default or bool(old.computed) != bool(new.computed)
        is_in_way = name in self.retyped and old.default is not None
        self._unbind(name, old, new)
        parts: list[str] = []
        if (is_in_way or (is_new_default and new.default is None)) and _has_default(old, new):
            parts.append("DROP DEFAULT")
        if name in self.retyped:
            parts.append(f"TYPE {new.type}{self._conversion(name)}")
        if new.default is not None and not new.computed and (is_new_default or is_in_way):
            parts.append(f"SET DEFAULT {new.default}")
        if new.has_null and not old.has_null:
            parts.append("DROP NOT NULL")
        self._alter(Rank.COLUMN, name, parts)
        if old.has_null and not new.has_null:
            self._forbid_null(name)
        self._alter(Rank.IDENTITY, name, self._identity(old, new))
        self._count_on(name, old, new)
        self._say_altered(name, old, new)
        self.whole.comment(f"COLUMN {self.name}.{name}", old.comment, new.comment, Rank.COLUMN)

    def _unbind(self, name: str, old: Column, new: Column) -> None:
        """Free a column from what stands in the way of what it becomes."""
        if old.computed and not new.computed:
            self._alter(Rank.DROP_COMPUTED, name, ["DROP EXPRESSION"])
            self.plan.say(f"{self.name}.{name} is no longer computed.")
        if old.identity and not new.identity:
            self._alter(Rank.DROP_COMPUTED, name, ["DROP IDENTITY"])
        if new.identity and not old.identity and old.default is not None:
            self._alter(Rank.DROP_COMPUTED, name, ["DROP DEFAULT"])

    def _alter(self, rank: Rank, name: str, parts: list[str]) -> None:
        if parts:
            words = ", ".join(f"ALTER COLUMN {name} {part}" for part in parts)
            self.plan.add(rank, f"ALTER TABLE {self.name} {words}")

    def _conversion(self, name: str) -> str:
        old, new = self.old.columns[name].type, self.new.columns[name].type
        if new.removesuffix("[]") in self.whole.swapped and old == new:
            array = "[]" if new.endswith("[]") else ""
            return f" USING {name}::text{array}::{new}"
        return conversion(name, old, new)

    def _identity(self, old: Column, new: Column) -> list[str]:
        if not new.identity:
            return []
        if not old.identity:
            options = f" ({new.counter})" if new.counter else ""
            return [f"ADD GENERATED {new.identity} AS IDENTITY{options}"]
        parts = [f"SET GENERATED {new.identity}"] if old.identity != new.identity else []
        if old.counter != new.counter:
            options = every_option(new.counter).removeprefix("AS bigint ")
            parts.append(" ".join(f"SET {part}" for part in _options_apart(options)))
        return parts

    def _count_on(self, name: str, old: Column, new: Column) -> None:
        """Let a new counter go on after the numbers that are there."""
        counter = counter_of(new)
        if new.identity and not old.identity:
            bare = literal(name.strip('"'))
            sequence = f"pg_get_serial_sequence({literal(self.name)}, {bare})"
        elif counter is not None and counter not in self.whole.old.counters:
            sequence = literal(counter)
        else:
            return
        self.plan.add(Rank.OWNER, set_counter(sequence, name, self.name))

    def _say_altered(self, name: str, old: Column, new: Column) -> None:
        where = f"{self.name}.{name}"
        if old.type != new.type:
            self.plan.say(f"{where} becomes {new.type} (it was {old.type}).")
        if old.default != new.default and not old.computed:
            self.plan.say(f"{where} has the default {new.default or 'NULL'}.")
        if old.has_null != new.has_null:
            self.plan.say(f"{where} {'may' if new.has_null else 'must not'} be NULL.")
        if (old.identity, old.counter) != (new.identity, new.counter):
            self.plan.say(f"{where} is {'an' if new.identity else 'no'} identity column.")

    def _forbid_null(self, name: str) -> None:
        """Have a check look at the rows while others write; SET NOT NULL then need not."""
        check = f"{split_name(self.name)[1]}_{name}_has_no_null".replace('"', "")[-63:]
        table = f"ALTER TABLE {self.name}"
        is_key = name in {
            each
            for rule in self.new.rules.values()
            if rule.definition.startswith("PRIMARY KEY")
            for each in rule.columns
        }
        if is_key or self.new.columns[name].identity:
            self.plan.add(Rank.COLUMN, f"{table} ALTER COLUMN {name} SET NOT NULL")
            return
        self.plan.add(
            Rank.RULE, f'{table} ADD CONSTRAINT "{check}" CHECK ({name} IS NOT NULL) NOT VALID'
        )
        self.plan.add(Rank.APART, f'{table} VALIDATE CONSTRAINT "{check}"')
        # two statements: in one, PostgreSQL drops first, and then reads every row
        self.plan.add(Rank.APART, f"{table} ALTER COLUMN {name} SET NOT NULL")
        self.plan.add(Rank.APART, f'{table} DROP CONSTRAINT IF EXISTS "{check}"')


def _has_default(old: Column, new: Column) -> bool:
    """True where a default is there to be dropped, and nothing has dropped it before."""
    is_dropped = old.computed or (new.identity and not old.identity)
    return old.default is not None and not is_dropped


def _is_remade(old: Column, new: Column) -> bool:
    """True where a computed column cannot be altered, and nothing is lost with it."""
    if not new.computed:
        return old.computed == "VIRTUAL"
    return (old.default, old.computed) != (new.default, new.computed)


def _storage(options: str) -> dict[str, str]:
    found = re.search(r"WITH \((.*?)\)", options)
    pairs = found[1].split(", ") if found else []
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


def _without_storage(options: str) -> str:
    return re.sub(r" ?WITH \(.*?\)", "", options).strip()


def _options_apart(options: str) -> list[str]:
    return re.findall(
        r"INCREMENT BY \S+|NO MINVALUE|MINVALUE \S+|NO MAXVALUE|MAXVALUE \S+|START WITH \S+|"
        r"CACHE \S+|NO CYCLE|CYCLE",
        options,
    )
