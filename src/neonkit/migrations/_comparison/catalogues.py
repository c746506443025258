"""From one catalogue to another: the plan that leads there, whichever of the two is the newer."""

import re

from neonkit.migrations._catalogue.catalogue import Catalogue, Column, Counter, table_of
from neonkit.migrations._comparison.change import Change, split_name
from neonkit.migrations._comparison.fills import Fills
from neonkit.migrations._comparison.plan import Plan, Rank
from neonkit.migrations._comparison.statements import (
    add_constraint,
    bounds_of,
    bring_within,
    create_index,
    create_table,
    every_option,
    in_order,
    literal,
    serial_counters,
)
from neonkit.migrations._comparison.tables import TableComparison


def plan_change(old: Catalogue, new: Catalogue, fills: Fills | None = None) -> Plan:
    """Plan the way from one catalogue to another.

    Args:
        old: what is there.
        new: what is to be there.
        fills: what the rows that exist get in a new column that must not be NULL, as SQL, by
            table and column.
    """
    comparison = _Comparison(old, new, fills or {})
    comparison.compare()
    return comparison.plan


class _Comparison:
    def __init__(self, old: Catalogue, new: Catalogue, fills: Fills) -> None:
        self.old, self.new = old, new
        self.added = [name for name in new.tables if name not in old.tables]
        self.gone = [name for name in old.tables if name not in new.tables]
        self.kept = [name for name in new.tables if name in old.tables]
        self.swapped = self._swapped_types()
        self.change = Change(old, new, fills, self.swapped)
        self.plan = self.change.plan

    def compare(self) -> None:
        self._schemas_and_extensions()
        self._types()
        self._counters()
        self._functions()
        self._new_tables()
        for name in self.kept:
            TableComparison(self.change, name).compare()
        for name in self.gone:
            self._drop_table(name)
        self._views()

    def _schemas_and_extensions(self) -> None:
        plan, old, new = self.plan, self.old, self.new
        for name in sorted(new.schemas - old.schemas):
            plan.add(Rank.SCHEMA, f"CREATE SCHEMA IF NOT EXISTS {name}")
            plan.say(f"The schema {name} is new.")
        for name in sorted(old.schemas - new.schemas):
            plan.add(Rank.DROP_SCHEMA, f"DROP SCHEMA {name}")
            plan.say(f"The schema {name} goes.")
        for name in sorted(new.extensions - old.extensions):
            plan.add(Rank.EXTENSION, f'CREATE EXTENSION IF NOT EXISTS "{name}"')
            plan.say(f"The extension {name} is needed.")
        for name in sorted(old.extensions - new.extensions):
            plan.add(Rank.DROP_EXTENSION, f'DROP EXTENSION "{name}"')
            plan.say(f"The extension {name} goes.")

    def _swapped_types(self) -> frozenset[str]:
        enums = {
            name
            for name, labels in self.new.enums.items()
            if name in self.old.enums and not _is_within(self.old.enums[name], labels)
        }
        domains = {
            name
            for name, domain in self.new.domains.items()
            if name in self.old.domains and self.old.domains[name] != domain
        }
        return frozenset(enums | domains)

    def _types(self) -> None:
        for name, labels in self.new.enums.items():
            known = self.old.enums.get(name)
            made = f"CREATE TYPE {name} AS ENUM ({', '.join(map(literal, labels))})"
            if known is None:
                self.plan.add(Rank.TYPE, made)
                self.plan.say(f"The enum {name} is new: {_and(labels)}.")
            elif name in self.swapped:
                self._swap("TYPE", name, made)
                self._say_labels(name, known, labels)
            elif known != labels:
                self._add_labels(name, known, labels)
                self._say_labels(name, known, labels)
        for name in self.new.domains:
            if name not in self.old.domains:
                self.plan.add(Rank.TYPE, self._domain(name))
                self.plan.say(f"The domain {name} is new.")
            elif name in self.swapped:
                self._swap("DOMAIN", name, self._domain(name))
                self.plan.say(f"The domain {name} changes.")
        for kind, before, after in (
            ("TYPE", self.old.enums, self.new.enums),
            ("DOMAIN", self.old.domains, self.new.domains),
        ):
            for name in sorted(before.keys() - after.keys()):
                self.plan.add(Rank.DROP_TYPE, f"DROP {kind} {name}")
                self.plan.say(f"The type {name} goes.")

    def _swap(self, kind: str, name: str, made: str) -> None:
        schema, bare = split_name(name)
        aside = f'{bare[:-1]}_old"' if bare.endswith('"') else f"{bare}_old"
        self.plan.add(Rank.RENAME_TYPE, f"ALTER {kind} {name} RENAME TO {aside}")
        self.plan.add(Rank.TYPE, made)
        self.plan.add_first(Rank.DROP_TYPE, f"DROP {kind} {schema}{aside}")

    def _add_labels(self, name: str, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        there = list(old)
        for position, label in enumerate(new):
            if label in there:
                continue
            place = f" AFTER {literal(new[position - 1])}" if position else ""
            if not position:
                place = f" BEFORE {literal(there[0])}" if there else ""
            elif there.index(new[position - 1]) == len(there) - 1:
                place = ""
            there.insert(position, label)
            self.plan.add(
                Rank.LABEL, f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {literal(label)}{place}"
            )

    def _say_labels(self, name: str, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        more, fewer = [e for e in new if e not in old], [e for e in old if e not in new]
        if more:
            self.plan.say(f"The enum {name} gets {_and(more)}.")
        if fewer:
            self.plan.say(f"The enum {name} loses {_and(fewer)}.")
            self.plan.warnings.append(
                f"rows that have {_and(fewer)} of the enum {name} must get another value first, or "
                "the revision fails there"
            )
        if not more and not fewer:
            self.plan.say(f"The enum {name} has another order: {_and(new)}.")

    def _domain(self, name: str) -> str:
        domain = self.new.domains[name]
        parts = [f"CREATE DOMAIN {name} AS {domain.type}"]
        if domain.default is not None:
            parts.append(f"DEFAULT {domain.default}")
        if not domain.has_null:
            parts.append("NOT NULL")
        parts += [f"CONSTRAINT {rule} {check}" for rule, check in domain.checks]
        return " ".join(parts)

    def _counters(self) -> None:
        old, new = dict(self.old.counters), dict(self.new.counters)
        with_column = serial_counters(self.new)
        for name, counter in new.items():
            if name not in old:
                if name not in with_column or not self._is_new_column(counter):
                    self._create_counter(name, counter)
                continue
            if old[name].options != counter.options:
                self._alter_counter(name, counter)
            if old[name].owner != counter.owner:
                self._own(name, counter)
        for name in sorted(old.keys() - new.keys()):
            owner = old[name].owner
            if owner is None or self._has_column(owner):
                is_replaced = owner is not None and self._column(self.new, owner).identity
                rank = Rank.OLD_COUNTER if is_replaced else Rank.DROP_COUNTER
                self.plan.add(rank, f"DROP SEQUENCE {name}")
                self.plan.say(f"The sequence {name} goes.")

    def _alter_counter(self, name: str, counter: Counter) -> None:
        options = every_option(counter.options)
        bounds = bounds_of(counter.options)
        if bounds != bounds_of(self.old.counters[name].options):
            self.plan.add(Rank.COUNTER, bring_within(name, bounds))
        self.plan.add(Rank.COUNTER, f"ALTER SEQUENCE {name} {options}")
        self.plan.say(f"The sequence {name} counts otherwise.")

    def _create_counter(self, name: str, counter: Counter) -> None:
        owner = counter.owner
        known = owner and not self._is_new_column(counter) and self._column(self.old, owner)
        rank = Rank.OLD_COUNTER if known and known.identity else Rank.COUNTER
        self.plan.add(rank, f"CREATE SEQUENCE {name} {counter.options}".rstrip())
        self.plan.say(f"The sequence {name} is new.")
        if counter.owner is not None:
            self._own(name, counter)

    def _own(self, name: str, counter: Counter) -> None:
        self.plan.add(Rank.OWNER, f"ALTER SEQUENCE {name} OWNED BY {counter.owner or 'NONE'}")

    def _is_new_column(self, counter: Counter) -> bool:
        if counter.owner is None:
            return False
        table = table_of(counter.owner)
        known = self.old.tables.get(table)
        return known is None or counter.owner.removeprefix(f"{table}.") not in known.columns

    def _has_column(self, owner: str) -> bool:
        table = table_of(owner)
        there = self.new.tables.get(table)
        return there is not None and owner.removeprefix(f"{table}.") in there.columns

    def _column(self, catalogue: Catalogue, owner: str) -> Column:
        table = table_of(owner)
        return catalogue.tables[table].columns[owner.removeprefix(f"{table}.")]

    def _functions(self) -> None:
        used = " ".join(
            filter(
                None,
                (
                    words
                    for table in self.new.tables.values()
                    for words in (
                        *(column.default for column in table.columns.values()),
                        *(r.definition for r in table.rules.values() if r.kind != "trigger"),
                    )
                ),
            )
        )
        for signature, statement in self.new.functions.items():
            if self.old.functions.get(signature) != statement:
                name = signature.partition("(")[0]
                is_early = re.search(rf"\b{re.escape(name)}\(", used)
                self.plan.add(Rank.EARLY_FUNCTION if is_early else Rank.FUNCTION, statement)
                word = "changes" if signature in self.old.functions else "is new"
                self.plan.say(f"The function {signature} {word}.")
        for signature in reversed([*self.old.functions]):
            if signature not in self.new.functions:
                self.plan.add(Rank.DROP_FUNCTION, f"DROP FUNCTION {signature}")
                self.plan.say(f"The function {signature} goes.")

    def _new_tables(self) -> None:
        ordered, late = in_order(self.new.tables, self.added)
        for name in ordered:
            table = self.new.tables[name]
            waiting = [rule for of, rule in late if of == name]
            self.plan.add(Rank.TABLE, create_table(name, self.new, waiting))
            self.plan.say(f"The table {name} is new.")
            for (kind, rule_name), rule in table.rules.items():
                if kind == "index":
                    self.plan.add(Rank.TABLE, create_index(rule_name, rule, is_concurrent=False))
                elif kind == "trigger":
                    self.plan.add(Rank.TRIGGER, rule.definition)
                elif rule_name in waiting:
                    self.plan.add(Rank.FOREIGN_KEY_OF_NEW, add_constraint(name, rule_name, rule))
                self.change.comment_on_rule(name, (kind, rule_name), rule)
            self.change.comment(f"TABLE {name}", "", table.comment)
            for column_name, column in table.columns.items():
                self.change.comment(f"COLUMN {name}.{column_name}", "", column.comment)

    def _drop_table(self, name: str) -> None:
        for (_, rule_name), rule in self.old.tables[name].rules.items():
            if rule.target in self.gone and rule.target != name:
                self.plan.add(Rank.DROP_RULE, f"ALTER TABLE {name} DROP CONSTRAINT {rule_name}")
        self.plan.add(Rank.DROP_TABLE, f"DROP TABLE {name}")
        self.plan.say(f"The table {name} goes, with its rows.")

    def _views(self) -> None:
        remade = self._remade_views()
        for name in reversed([*self.old.views]):
            view = self.old.views[name]
            if name not in self.new.views or name in remade:
                self.plan.add(Rank.DROP_VIEW, f"DROP {view.kind} {name}")
            if name not in self.new.views:
                self.plan.say(f"The view {name} goes.")
        for name, view in self.new.views.items():
            if name not in self.old.views or name in remade:
                body = view.definition.strip()
                self.plan.add(Rank.VIEW, f"CREATE {view.kind} {name} AS\n{body}")
                word = "is new" if name not in self.old.views else "is made again"
                self.plan.say(f"The view {name} {word}.")

    def _remade_views(self) -> set[str]:
        remade = {
            name
            for name, view in self.new.views.items()
            if name in self.old.views and self.old.views[name] != view
        }
        touched = {name for name in self.kept if TableComparison(self.change, name).locked_by_views}
        for name in self.old.views:
            words = self.old.views[name].definition
            if any(re.search(rf"(?<!\w){re.escape(e)}(?!\w)", words) for e in touched | remade):
                remade.add(name)
        return remade


def _is_within(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """True if labels were only added."""
    return list(old) == [label for label in new if label in old]


def _and(labels: tuple[str, ...] | list[str]) -> str:
    return ", ".join(map(literal, labels))
