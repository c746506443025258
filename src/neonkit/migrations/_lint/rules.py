"""Rules: which effects of a migration hurt while people use its tables, and the safe way.

`{table}`, `{subject}` and `{detail}` are the effect's, `{name}` is for what the recipe makes.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A danger.

    Attributes:
        harm: what would happen to those who use the table meanwhile.
        recipe: the way that hurts nobody.
    """

    harm: str
    recipe: str


_CONCURRENTLY = """\
in a revision of its own:
    with op.get_context().autocommit_block():
        op.create_index({subject!r}, {table!r}, […], postgresql_concurrently=True)"""
_VALIDATE = """\
in one revision, for rows that are written from now on:
    ALTER TABLE {table} ADD CONSTRAINT {subject} … NOT VALID;
in the next one, for those that are there, which blocks nobody:
    ALTER TABLE {table} VALIDATE CONSTRAINT {subject};"""
_EXPAND = """\
in three releases: add the new one beside it and write both; fill the old rows with
`neonkit.migrations.backfill`, and read the new one; drop the old one"""

RULES = {
    "index": Rule(
        "nobody can write {table} while the index is built",
        _CONCURRENTLY,
    ),
    "unique-constraint": Rule(
        "nobody can read or write {table} while the constraint's index is built",
        """\
in a revision of its own:
    with op.get_context().autocommit_block():
        CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} (…);
in the next one:
    ALTER TABLE {table} ADD CONSTRAINT {name} {detail} USING INDEX {name};""",
    ),
    "exclude-constraint": Rule(
        "nobody can read or write {table} while the constraint's index is built, and PostgreSQL "
        "has no way to build it beside them",
        "a new table with the constraint, filled in batches; or an hour in which nobody writes, "
        "and a reason in the revision's `allow`",
    ),
    "foreign-key": Rule(
        "nobody can write {table} or the table that it refers to while every row is checked",
        _VALIDATE,
    ),
    "check-constraint": Rule(
        "nobody can read or write {table} while every row is checked",
        _VALIDATE,
    ),
    "validate": Rule(
        "the transaction holds a lock on {table} that it took before, and nobody can read or write "
        "the table while every row is checked",
        "put VALIDATE CONSTRAINT {subject} into the next revision",
    ),
    "set-not-null": Rule(
        "nobody can read or write {table} while every row is checked",
        """\
in one revision:
    ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({subject} IS NOT NULL) NOT VALID;
in the next one, which blocks nobody:
    ALTER TABLE {table} VALIDATE CONSTRAINT {name};
in the last one, which then checks nothing:
    ALTER TABLE {table} ALTER COLUMN {subject} SET NOT NULL;
    ALTER TABLE {table} DROP CONSTRAINT {name};""",
    ),
    "column-without-default": Rule(
        "it fails where {table} has rows, and the release that is running cannot insert any more",
        """\
give it the model's default on the server too; or in three revisions: add it without NOT NULL,
fill it with `neonkit.migrations.backfill`, and then SET NOT NULL by way of a CHECK""",
    ),
    "column-fills-rows": Rule(
        "every row of {table} is written anew, and nobody can read or write the table meanwhile",
        """\
in one revision:
    ALTER TABLE {table} ADD COLUMN {subject} …;
    ALTER TABLE {table} ALTER COLUMN {subject} SET DEFAULT …;
in the next one, in batches:
    backfill({table!r}, {{{subject!r}: "…"}}, where="{subject} IS NULL")""",
    ),
    "change-type": Rule(
        "every row of {table} is written anew as {detail}, and nobody can read or write the table "
        "meanwhile",
        _EXPAND,
    ),
    "rewrite-table": Rule(
        "every row of {table} is written anew, and nobody can read or write the table meanwhile",
        "an hour in which nobody uses it, and a reason in the revision's `allow`",
    ),
    "rows-at-once": Rule(
        "the rows of {table} that it changes stay locked until all are done, and what is left of "
        "the old ones is only then cleaned up",
        'in batches: `backfill({table!r}, {{"column": "expression"}}, where="…")` of '
        "neonkit.migrations, in a revision of its own",
    ),
    "drop-column": Rule(
        "the release that is running still reads and writes {subject}",
        "first a release whose models do not have it; then this one, with the reason in `allow`",
    ),
    "drop-table": Rule(
        "the release that is running still uses {table}",
        "first a release whose models do not have it; then this one, with the reason in `allow`",
    ),
    "rename-column": Rule(
        "the release that is running still reads and writes it by its old name, {subject}",
        _EXPAND,
    ),
    "rename-table": Rule(
        "the release that is running still uses it by its old name",
        "rename it, and make a view of the old name in the same revision: "
        "CREATE VIEW {table} AS SELECT * FROM {subject}; drop the view in the next release",
    ),
    "rename-type": Rule(
        "the release that is running still sends values of the type {subject}",
        _EXPAND,
    ),
    "rename-enum-value": Rule(
        "the release that is running still writes and expects the old member of {subject}",
        "add the new member, write it in the next release, change the old rows with "
        "`neonkit.migrations.backfill`",
    ),
    "attach-partition": Rule(
        "every row of {subject} is checked, and nobody can write it meanwhile",
        "first a CHECK on {subject} of the partition's bounds, NOT VALID and then validated",
    ),
    "refresh-view": Rule(
        "nobody can read {table} while it is made anew",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY {table}, which needs a unique index on it",
    ),
    "lock-table": Rule(
        "nobody gets past the lock on {table} before the revision ends",
        "let the statements of the revision take the locks that they need",
    ),
    "truncate": Rule(
        "the rows of {table} are gone, and nobody can read or write it before the revision ends",
        "leave the rows to the release that no longer needs them, and a reason in `allow`",
    ),
    "unjudged": Rule(
        "it reads from the database as it runs, so that nobody can say beforehand what it does",
        "write it as statements, or say in the revision's `allow` why it hurts nobody",
    ),
}
"""By name; a revision may allow each with `allow = {"name": "reason"}`."""
