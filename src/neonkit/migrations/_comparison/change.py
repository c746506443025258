"""The change from one catalogue to another, as each part of the comparison adds to its plan."""

import re
from dataclasses import dataclass, field

from neonkit.migrations._catalogue.catalogue import Catalogue, Rule
from neonkit.migrations._comparison.fills import Fills
from neonkit.migrations._comparison.plan import Plan, Rank
from neonkit.migrations._comparison.statements import literal


@dataclass
class Change:
    """What is there, what is to be there, and the plan that leads from one to the other.

    Attributes:
        old: what is there.
        new: what is to be there.
        fills: what the rows that exist get in a new column that must not be NULL.
        swapped: types that are made anew under their name, with every column of theirs.
        plan: what was found to be done so far.
    """

    old: Catalogue
    new: Catalogue
    fills: Fills
    swapped: frozenset[str] = frozenset()
    plan: Plan = field(default_factory=Plan)

    def comment(self, what: str, old: str, new: str, rank: Rank = Rank.COMMENT) -> None:
        """Change the comment on a table or a column."""
        if old != new:
            self.plan.add(rank, f"COMMENT ON {what} IS {literal(new)}")
            if rank is Rank.COLUMN:
                self.plan.say(f"The comment on {what.lower()} changes.")

    def comment_on_rule(self, table: str, key: tuple[str, str], rule: Rule, old: str = "") -> None:
        """Change the comment on a constraint or an index."""
        kind, name = key
        schema, _ = split_name(table)
        what = f"CONSTRAINT {name} ON {table}" if kind == "constraint" else f"INDEX {schema}{name}"
        self.comment(what, old, rule.comment, Rank.COMMENT_ON_RULE)


def split_name(name: str) -> tuple[str, str]:
    """A schema with its point, and the name in it."""
    found = re.fullmatch(r'((?:"(?:[^"]|"")*"|[^."]+)\.)?("(?:[^"]|"")*"|[^."]+)', name)
    return (found[1] or "", found[2]) if found else ("", name)
