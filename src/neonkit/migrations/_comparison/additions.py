"""What can be added to a database so that nothing goes and no row stands in the way."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from neonkit.migrations._catalogue.catalogue import (
    Catalogue,
    Column,
    Counter,
    Rule,
    Table,
    table_of,
)
from neonkit.migrations._comparison.change import Change
from neonkit.migrations._comparison.fills import Fills
from neonkit.migrations._comparison.renames import possible_renames
from neonkit.migrations._comparison.statements import add_constraint, create_index

_MEMBERS = re.compile(
    r"CHECK \(\(?(\"(?:[^\"]|\"\")+\"|\w+)\)?(?:::text)? (?:IN \((.*)\)|= ('(?:[^']|'')*')\S*)\)"
)
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_WIDTH = re.compile(r"varchar\((\d+)\)")
_TURNS = ("PRIMARY", "UNIQUE", "EXCLUDE", "CHECK", "CREATE", "FOREIGN")


class Additions:
    """What models say beyond a database, as far as it can be added.

    Args:
        there: what the database has.
        models: what it is to have.
        with_rows: the tables that have rows.
        fills: what the rows that exist get in a new column that must not be NULL.
    """

    def __init__(
        self, there: Catalogue, models: Catalogue, with_rows: Collection[str], fills: Fills
    ) -> None:
        self._there, self._models = there, models
        self._with_rows, self._fills = with_rows, fills
        self._renamed = {
            (each.table, each.new)
            for each in possible_renames(there, models)
            if each.table in with_rows
        }
        self._kept = [name for name in models.tables if name in there.tables]

    @property
    def catalogue(self) -> Catalogue:
        """The database with everything that is added but the rules of tables that it has."""
        there, models = self._there, self._models
        tables = {name: self._with_columns(name) for name in self._kept}
        return replace(
            models.keeping(there, tables=True),
            enums={**models.enums, **there.enums, **self._longer_enums()},
            domains={**models.domains, **there.domains},
            counters={**self._new_counters(tables), **there.counters},
            views={**models.views, **there.views},
            functions={**models.functions, **there.functions},
            tables={**models.tables, **there.tables, **tables},
        )

    def rules(self) -> Iterator[str]:
        """The statements for new constraints, indexes and triggers of tables that it has.

        So is a CHECK that lists what may be there, and lists more now.
        """
        found = [(*each, name) for name in self._kept for each in self._rules_of(name)]
        for _, (_, rule_name), rule, name in sorted(found, key=lambda each: each[0]):
            before = self._there.tables[name].rules.get(("constraint", rule_name))
            if before is not None:
                yield self._longer_list(name, rule_name, before, rule)
            elif rule.kind == "constraint":
                yield add_constraint(name, rule_name, rule)
            elif rule.kind == "index":
                yield create_index(rule_name, rule, is_concurrent=False)
            else:
                yield rule.definition
            comments = Change(self._there, self._models, self._fills)
            comments.comment_on_rule(name, (rule.kind, rule_name), rule)
            yield from comments.plan.statements

    def _with_columns(self, name: str) -> Table:
        there, models = self._there.tables[name], self._models.tables[name]
        columns = {
            each: replace(column, comment=models.columns[each].comment)
            if each in models.columns
            else column
            for each, column in there.columns.items()
        }
        columns |= {
            each: column
            for each, column in models.columns.items()
            if each not in columns and self._can_be_added(name, each, column)
        }
        rules = {
            key: replace(rule, comment=models.rules[key].comment) if key in models.rules else rule
            for key, rule in there.rules.items()
        }
        return replace(there, columns=columns, rules=rules, comment=models.comment)

    def _can_be_added(self, table: str, name: str, column: Column) -> bool:
        if (table, name) in self._renamed:
            return False
        has_value = column.has_null or column.default is not None or bool(column.identity)
        fill = self._fills.get((table.replace('"', ""), name.strip('"')))
        return has_value or fill is not None or table not in self._with_rows

    def _longer_enums(self) -> Mapping[str, tuple[str, ...]]:
        return {
            name: labels
            for name, labels in self._models.enums.items()
            if [each for each in labels if each in self._there.enums.get(name, ())]
            == [*self._there.enums.get(name, ())]
        }

    def _new_counters(self, tables: Mapping[str, Table]) -> Mapping[str, Counter]:
        return {
            name: counter
            for name, counter in self._models.counters.items()
            if counter.owner is None or self._comes(counter.owner, tables)
        }

    def _comes(self, owner: str, tables: Mapping[str, Table]) -> bool:
        """True if a column is one that is added, with its table or by itself."""
        table = table_of(owner)
        known = self._there.tables.get(table)
        name = owner.removeprefix(f"{table}.")
        return known is None or (name not in known.columns and name in tables[table].columns)

    def _rules_of(self, name: str) -> Iterator[tuple[int, tuple[str, str], Rule]]:
        there, models = self._there.tables[name], self._models.tables[name]
        columns = self._with_columns(name).columns.keys()
        for key, rule in models.rules.items():
            before = there.rules.get(key)
            is_new = before is None and not self._is_there_by_another_name(name, rule)
            is_longer = before is not None and _lists_more(before, rule)
            if (is_new or is_longer) and rule.columns <= columns:
                yield _TURNS.index(rule.definition.split()[0]), key, rule

    def _is_there_by_another_name(self, name: str, rule: Rule) -> bool:
        models = self._models.tables[name].rules
        return any(
            key not in models and each.definition == rule.definition
            for key, each in self._there.tables[name].rules.items()
        )

    def _longer_list(self, table: str, name: str, before: Rule, rule: Rule) -> str:
        (column,) = rule.columns
        old = self._there.tables[table].columns[column].type
        new = self._models.tables[table].columns[column].type
        wider = f" ALTER COLUMN {column} TYPE {new}," if _is_wider(old, new) else ""
        swap = f"DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {rule.definition}"
        assert _lists_more(before, rule), "only such a one is swapped"  # noqa: S101
        return f"ALTER TABLE {table}{wider} {swap}"


def _lists_more(old: Rule, new: Rule) -> bool:
    """True for two CHECKs of what may stand in a column, if the newer one allows more."""
    before, after = _MEMBERS.fullmatch(old.definition), _MEMBERS.fullmatch(new.definition)
    if not before or not after or before[1] != after[1] or len(new.columns) != 1:
        return False
    return _members(before) < _members(after)


def _members(found: re.Match[str]) -> set[str]:
    return {*_LITERAL.findall(found[2] or found[3])}


def _is_wider(old: str, new: str) -> bool:
    """True for a column of text that becomes longer: nothing of it is read or written anew."""
    before, after = _WIDTH.fullmatch(old), _WIDTH.fullmatch(new)
    return bool(before and after and int(before[1]) < int(after[1]))
