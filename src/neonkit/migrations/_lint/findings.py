"""Lint: each statement of the pending revisions, judged by what it does to tables in use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, NamedTuple

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy import Connection

from neonkit.errors import ConfigurationError, MigrationError
from neonkit.migrations._lint.effects import UNPROVEN, Effect, effects_of
from neonkit.migrations._lint.rules import RULES
from neonkit.migrations._lint.sql import Statement, Token, statements_of
from neonkit.migrations._lint.tables_in_use import TablesInUse

_BEGIN, _COMMIT = (Token("word", "begin"),), (Token("word", "commit"),)
_INDENT = "\n    "


@dataclass(frozen=True)
class Finding:
    """A statement that would hurt those who use its table meanwhile.

    Attributes:
        revision: whose statement it is.
        statement: as it will be sent.
        rule: the name of the danger.
        harm: what would happen.
        recipe: the way that hurts nobody.
        reason: why the revision allows it all the same; `None` where it does not.
    """

    revision: str
    statement: str
    rule: str
    harm: str
    recipe: str
    reason: str | None = None

    def __str__(self) -> str:
        indented = self.recipe.replace("\n", f"{_INDENT}    ")
        lines = [f"{self.revision}: {self.rule}", " ".join(self.statement.split()), self.harm]
        if self.reason is None:
            allow = f'allow = {{"{self.rule}": "why"}}'
            lines += [f"instead: {indented}", f"or, where it is safe, in the revision: {allow}"]
        else:
            lines.append(f"allowed: {self.reason}")
        return _INDENT.join(lines)


class DangerousMigrationError(MigrationError):
    """Revisions would hurt those who use their tables; nothing was changed.

    Attributes:
        findings: what would hurt, and the way that does not.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        told = "\n".join(str(each) for each in findings)
        super().__init__(f"refused while people use the tables; nothing was changed\n{told}")
        self.findings = tuple(findings)


@dataclass
class _Seen:
    """What the statements so far have made or taken.

    Attributes:
        new: tables that the pending revisions make.
        not_null: the column that a constraint keeps from being NULL, by table and name.
        proven: columns of a table of which such a constraint has been validated.
        locked: tables on which the transaction holds a lock that keeps readers out.
    """

    new: set[str] = field(default_factory=set)
    not_null: dict[tuple[str, str], str] = field(default_factory=dict)
    proven: set[tuple[str, str]] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)


class Pending(NamedTuple):
    """A revision that is to be applied, and what it will send.

    Attributes:
        step: the revision.
        statements: COMMIT and BEGIN around those outside of its transaction; `None` where it reads
            from the database as it runs.
    """

    step: RevisionStep
    statements: list[Statement] | None


def read_pending(steps: Iterable[RevisionStep]) -> list[Pending]:
    """Run each `upgrade()` once without a database, as Alembic's `--sql` does."""
    return [Pending(step, _sent_by(step)) for step in steps]


def findings_in(pending: Iterable[Pending], connection: Connection | None) -> list[Finding]:
    """Judge the revisions that are to be applied, in their order.

    A table that they make, or that has no rows, is safe.

    Args:
        pending: to the head.
        connection: to the database that they are meant for, outside of a transaction; without one,
            any table may have many rows.

    Raises:
        ConfigurationError: a revision allows what is no rule, or gives no reason.
    """
    seen, tables = _Seen(), TablesInUse(connection)
    return [found for each in pending for found in _of_revision(each, seen, tables)]


def concurrent_indexes(pending: Iterable[Pending]) -> list[str]:
    """The indexes that the revisions build beside the table's use."""
    return [
        effect.subject
        for each in pending
        for statement in each.statements or ()
        for effect in effects_of(statement)
        if effect.rule == "concurrent-index"
    ]


def _sent_by(step: RevisionStep) -> list[Statement] | None:
    written = StringIO()
    opts: dict[str, Any] = {"as_sql": True, "output_buffer": written, "literal_binds": True}
    context = MigrationContext.configure(dialect_name="postgresql", opts=opts)
    try:
        with Operations.context(context):
            step.migration_fn()
    except Exception:  # noqa: BLE001  # a revision is anybody's code: it may do anything without a database
        return None
    return statements_of(written.getvalue())


def _of_revision(pending: Pending, seen: _Seen, tables: TablesInUse) -> list[Finding]:
    step, statements = pending
    revision = step.revision.revision
    allowed = _allowed(revision, getattr(step.revision.module, "allow", {}))
    if statements is None:
        return [_finding(revision, "upgrade()", Effect("unjudged", ""), allowed)]
    found: list[Finding] = []
    seen.locked.clear()
    is_alone = False
    for statement in statements:
        if statement.tokens in (_BEGIN, _COMMIT):
            is_alone = statement.tokens == _COMMIT
            seen.locked.clear()
            continue
        found += [
            _finding(revision, statement.text, effect, allowed)
            for effect in effects_of(statement)
            if _is_dangerous(effect, seen, tables)
        ]
        if is_alone:
            seen.locked.clear()
    return found


def _allowed(revision: str, allow: object) -> Mapping[str, str]:
    if not isinstance(allow, Mapping):
        raise ConfigurationError(f'{revision}: allow is a dict, such as {{"drop-column": "why"}}')
    for rule, reason in allow.items():
        if rule not in RULES:
            known = ", ".join(sorted(RULES))
            raise ConfigurationError(f"{revision} allows {rule!r}, no rule; there are {known}")
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigurationError(f"{revision} allows {rule!r} without saying why")
    return allow


def _finding(revision: str, statement: str, effect: Effect, allowed: Mapping[str, str]) -> Finding:
    rule = RULES[effect.rule]
    table = effect.table.rpartition(".")[2]
    words = {
        "table": effect.table,
        "subject": effect.subject or "…",
        "detail": effect.detail,
        "name": effect.subject
        if effect.detail not in {"", UNPROVEN}
        else f"ck_{table}_{effect.subject}_not_null",
    }
    return Finding(
        revision,
        statement,
        effect.rule,
        rule.harm.format(**words),
        rule.recipe.format(**words),
        allowed.get(effect.rule),
    )


def _is_dangerous(effect: Effect, seen: _Seen, tables: TablesInUse) -> bool:
    """Tell if an effect hurts; what the next ones have to know of it is noted."""
    table, column = effect.table, effect.subject
    match effect.rule:
        case "new-table":
            seen.new.add(table)
        case "strong-lock":
            seen.locked.add(table)
        case "not-valid":
            seen.not_null[table, column] = effect.detail
        case "validate" if table not in seen.locked:
            seen.proven.add((table, seen.not_null.get((table, column), "")))
        case "set-not-null" if effect.detail != UNPROVEN and (
            (table, column) in seen.proven or tables.is_never_null(table, column)
        ):
            return False
        case "change-type" if tables.takes_as_it_is(table, column, effect.detail):
            return False
        case "rows-at-once":
            return table not in seen.new and tables.has_many_rows(table)
        case rule if rule in RULES:
            return not table or (table not in seen.new and tables.has_rows(table))
        case _:
            pass
    return False
