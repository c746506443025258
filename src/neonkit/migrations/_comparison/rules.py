"""From the rules of a table to others: its constraints, indexes and triggers."""

import re

from neonkit.migrations._catalogue.catalogue import Rule
from neonkit.migrations._comparison.change import Change, split_name
from neonkit.migrations._comparison.plan import Rank
from neonkit.migrations._comparison.statements import create_index, unique_index

_KEYS = ("PRIMARY KEY", "UNIQUE")
_REFERRED = re.compile(r" REFERENCES .*?\(([^)]*)\)")
_KEPT_BY_SERVER = ("PRIMARY KEY", "UNIQUE", "FOREIGN KEY")


class RuleComparison:
    """What the rules of a table that both have become.

    Args:
        whole: the change that this is a part of.
        name: of the table.
        retyped: the columns that get another type.
        remade: the columns that are dropped and made anew.
        dropped: the columns that go.
    """

    def __init__(
        self, whole: Change, name: str, retyped: set[str], remade: set[str], dropped: set[str]
    ) -> None:
        self.whole, self.plan, self.name = whole, whole.plan, name
        self.retyped, self.remade, self.dropped = retyped, remade, dropped
        self.old, self.new = whole.old.tables[name], whole.new.tables[name]

    def compare(self) -> None:
        """Add to the plan what the constraints, indexes and triggers need."""
        old, new = dict(self.old.rules), dict(self.new.rules)
        self._rename_rules(old, new)
        for key, rule in new.items():
            before = old.get(key)
            if before is not None and before == rule and not self._is_in_way(before):
                continue
            if before is not None and before.definition == f"{rule.definition} NOT VALID":
                self.plan.add(Rank.APART, f"ALTER TABLE {self.name} VALIDATE CONSTRAINT {key[1]}")
                self.plan.say(f"{self.name}: {key[1]} holds for every row.")
            elif before is None or before.definition != rule.definition or self._is_in_way(before):
                self._make_rule(key[1], rule, before)
                self._say_rule(key, rule, before)
                self.whole.comment_on_rule(self.name, key, rule)
                continue
            self.whole.comment_on_rule(self.name, key, rule, before.comment)
        for key, rule in old.items():
            if key not in new:
                if not rule.columns & (self.dropped | self.remade):
                    self._drop_rule(key[1], rule)
                self.plan.say(f"{self.name} loses {_word(rule)} {key[1]}.")

    def _rename_rules(
        self, old: dict[tuple[str, str], Rule], new: dict[tuple[str, str], Rule]
    ) -> None:
        """Take a rule that says the same under another name as the same rule."""
        for key in [key for key in old if key not in new]:
            rule = old[key]
            same = next((each for each in new if each not in old and self._says(each, key)), None)
            if same is None or self._is_in_way(rule):
                continue
            words = {
                "constraint": f"ALTER TABLE {self.name} RENAME CONSTRAINT {key[1]} TO {same[1]}",
                "index": f"ALTER INDEX {split_name(self.name)[0]}{key[1]} RENAME TO {same[1]}",
                "trigger": f"ALTER TRIGGER {key[1]} ON {self.name} RENAME TO {same[1]}",
            }
            self.plan.add(Rank.DROP_RULE, words[key[0]])
            self.plan.say(f"{self.name}: {key[1]} is now called {same[1]}.")
            del old[key]
            old[same] = Rule(rule.kind, new[same].definition, rule.comment, rule.columns)

    def _says(self, new: tuple[str, str], old: tuple[str, str]) -> bool:
        """True where two rules of one kind differ in nothing but their names."""
        return new[0] == old[0] and _nameless(new[1], self.new.rules[new]) == _nameless(
            old[1], self.old.rules[old]
        )

    def _is_in_way(self, rule: Rule) -> bool:
        """True where a rule must be made anew, because a column of it is."""
        if rule.columns & self.remade or self._loses_its_key(rule):
            return True
        is_kept = rule.kind == "constraint" and rule.definition.startswith(_KEPT_BY_SERVER)
        is_plain = rule.kind == "index" and not re.search(r"\(.*\(| WHERE ", rule.definition)
        return bool(rule.columns & self.retyped) and not is_kept and not is_plain

    def _loses_its_key(self, rule: Rule) -> bool:
        """True for a foreign key to columns whose key is to be another one."""
        target = rule.target or ""
        referred = _REFERRED.search(rule.definition)
        if (
            target not in self.whole.old.tables
            or target not in self.whole.new.tables
            or not referred
        ):
            return False
        columns = set(referred[1].split(", "))
        old, new = (
            {each.definition for each in catalogue.tables[target].rules.values()
             if each.columns == columns and each.definition.startswith(_KEYS)}
            for catalogue in (self.whole.old, self.whole.new)
        )  # fmt: skip
        return not old <= new

    def _make_rule(self, name: str, rule: Rule, before: Rule | None) -> None:
        if rule.kind == "trigger":
            if before is not None:
                self._drop_rule(name, before)
            self.plan.add(Rank.TRIGGER, rule.definition)
        elif rule.kind == "index":
            if before is not None:
                self._drop_rule(name, before)
            self.plan.add(Rank.APART, create_index(name, rule, is_concurrent=True))
        else:
            self._make_constraint(name, rule, before)

    def _make_constraint(self, name: str, rule: Rule, before: Rule | None) -> None:
        words = rule.definition
        drop = f" DROP CONSTRAINT {name}," if before is not None else ""
        if before is not None and self._is_in_way(before):
            self._drop_rule(name, before)
            drop = ""
        rank = Rank.FOREIGN_KEY if words.startswith("FOREIGN") else Rank.RULE
        if words.startswith(("CHECK", "FOREIGN")) and not words.endswith("NOT VALID"):
            made = f"ADD CONSTRAINT {name} {words} NOT VALID"
            self.plan.add(rank, f"ALTER TABLE {self.name}{drop} {made}")
            self.plan.add(Rank.APART_AFTER, f"ALTER TABLE {self.name} VALIDATE CONSTRAINT {name}")
        elif words.startswith("UNIQUE") and not drop and not self._is_referred_to():
            for statement in unique_index(self.name, name, rule):
                self.plan.add(Rank.APART, statement)
        else:
            self.plan.add(rank, f"ALTER TABLE {self.name}{drop} ADD CONSTRAINT {name} {words}")

    def _is_referred_to(self) -> bool:
        """True where a foreign key may need a UNIQUE constraint before the revision ends."""
        return any(
            rule.target == self.name
            for table in self.whole.new.tables.values()
            for rule in table.rules.values()
        )

    def _drop_rule(self, name: str, rule: Rule) -> None:
        if rule.kind == "trigger":
            self.plan.add(Rank.DROP_TRIGGER, f"DROP TRIGGER {name} ON {self.name}")
        elif rule.kind == "index":
            self.plan.add(Rank.DROP_RULE, f"DROP INDEX {split_name(self.name)[0]}{name}")
        else:
            statement = f"ALTER TABLE {self.name} DROP CONSTRAINT {name}"
            is_foreign = rule.definition.startswith("FOREIGN")
            add = self.plan.add_first if is_foreign else self.plan.add
            add(Rank.DROP_RULE, statement)

    def _say_rule(self, key: tuple[str, str], rule: Rule, before: Rule | None) -> None:
        words = rule.definition if rule.kind == "constraint" else rule.definition.split(" ON ")[-1]
        if before is None:
            self.plan.say(f"{self.name} gets {_word(rule)} {key[1]}: {words}.")
        elif before.definition != rule.definition:
            self.plan.say(f"{self.name}: {key[1]} now says {words}.")


def _nameless(name: str, rule: Rule) -> str:
    if rule.kind == "constraint":
        return rule.definition
    return re.sub(rf"(?<![\w\"]){re.escape(name)}(?![\w\"])", "?", rule.definition, count=1)


def _word(rule: Rule) -> str:
    if rule.kind != "constraint":
        return f"the {rule.kind}"
    words = {"PRIMARY": "the primary key", "UNIQUE": "the unique", "FOREIGN": "the foreign key"}
    first = rule.definition.split()[0]
    return words.get(first, f"the {first.lower()}")
