"""What `pg_catalog` says, word for word, without neonkit's own reading of it."""

import asyncpg

from neonkit.dsn import Dsn

_QUESTIONS = {
    "columns": """
        SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull,
          pg_get_expr(adbin, adrelid), attgenerated, attidentity, attcollation::regcollation::text,
          attstorage, attcompression, col_description(attrelid, attnum)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
          JOIN pg_class AS c ON c.oid = attrelid
        WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm')
          AND relnamespace IN {own}""",
    "constraints": """
        SELECT conrelid::regclass::text, contypid::regtype::text, conname, contype,
          pg_get_constraintdef(c.oid), condeferrable, condeferred, convalidated,
          obj_description(c.oid, 'pg_constraint')
        FROM pg_constraint AS c WHERE connamespace IN {own}""",
    "indexes": """
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid, indisunique,
          obj_description(indexrelid, 'pg_class')
        FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid WHERE relnamespace IN {own}""",
    "relations": """
        SELECT c.oid::regclass::text, relkind, relpersistence, reloptions,
          pg_get_partkeydef(c.oid), obj_description(c.oid, 'pg_class')
        FROM pg_class AS c WHERE relnamespace IN {own}""",
    "sequences": """
        SELECT seqrelid::regclass::text, seqtypid::regtype::text, seqstart, seqincrement, seqmin,
          seqmax, seqcache, seqcycle, refobjid::regclass::text, attname, deptype
        FROM pg_sequence JOIN pg_class AS c ON c.oid = seqrelid
          LEFT JOIN pg_depend AS d ON classid = 'pg_class'::regclass AND objid = seqrelid
            AND refclassid = 'pg_class'::regclass AND refobjsubid > 0 AND deptype IN ('a', 'i')
          LEFT JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
        WHERE relnamespace IN {own}""",
    "types": """
        SELECT t.oid::regtype::text, typtype, format_type(typbasetype, typtypmod), typdefault,
          typnotnull, (SELECT array_agg(enumlabel::text ORDER BY enumsortorder)
                       FROM pg_enum WHERE enumtypid = t.oid)
        FROM pg_type AS t WHERE typtype IN ('e', 'd') AND typnamespace IN {own}""",
    "functions": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid) FROM pg_proc AS p
        WHERE pronamespace IN {own} AND prokind = 'f' AND NOT EXISTS (
          SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid
            AND deptype = 'e')""",
    "triggers": """
        SELECT pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = tgrelid
        WHERE NOT tgisinternal AND relnamespace IN {own}""",
    "views": """
        SELECT c.oid::regclass::text, pg_get_viewdef(c.oid) FROM pg_class AS c
        WHERE relkind IN ('v', 'm') AND relnamespace IN {own}""",
    "schemas": "SELECT nspname FROM pg_namespace WHERE oid IN {own}",
    "extensions": "SELECT extname FROM pg_extension",
}
_OWN = """(SELECT oid FROM pg_namespace
           WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'neonkit'))"""


async def raw_catalogue(dsn: Dsn) -> dict[str, list[str]]:
    """Every row of every question, without Alembic's own table."""
    connection = await asyncpg.connect(dsn.for_libpq())
    try:
        found = {
            kind: [repr(tuple(row)) for row in await connection.fetch(text.format(own=_OWN))]
            for kind, text in _QUESTIONS.items()
        }
    finally:
        await connection.close()
    return {
        kind: sorted(row for row in rows if "alembic_version" not in row)
        for kind, rows in found.items()
    }


def compared(seen: dict[str, list[str]], right: dict[str, list[str]]) -> list[str]:
    """What differs, a line for each row that only one of two has.

    Schemas and extensions that only the first one has are no difference: they may be anybody's.
    """
    lines = []
    for kind, rows in right.items():
        more = {} if kind in {"schemas", "extensions"} else {*seen[kind]} - {*rows}
        lines += [f"only there: {kind} {row}" for row in sorted(more)]
        lines += [f"lacking: {kind} {row}" for row in sorted({*rows} - {*seen[kind]})]
    return lines
