"""Questions to PostgreSQL's catalogue, one for each kind of object."""

# Each question begins with this one: the schemas that count, and how names in them are written.
# What belongs to an extension is the extension's, so it is left out everywhere.
SCHEMAS = """
WITH space AS (
  SELECT oid, nspname, nspname = current_schema() AS is_own,
    CASE WHEN nspname = current_schema() THEN '' ELSE quote_ident(nspname) || '.' END AS prefix
  FROM pg_namespace
  WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'neonkit')
    AND (CAST(:schemas AS text[]) IS NULL OR nspname = current_schema()
         OR nspname = ANY (CAST(:schemas AS text[])))
), foreign_object AS (
  SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), own_table AS (
  SELECT prefix || quote_ident(relname) AS name, c.*
  FROM pg_class AS c JOIN space ON space.oid = relnamespace
  WHERE relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'alembic_version'
    AND NOT EXISTS (SELECT FROM foreign_object
                    WHERE classid = 'pg_class'::regclass AND objid = c.oid)
)
"""
SCHEMA_NAMES = "SELECT quote_ident(nspname) FROM space WHERE NOT is_own AND nspname <> 'public'"
EXTENSIONS = "SELECT extname::text FROM pg_extension WHERE extname <> 'plpgsql'"
ENUMS = """
SELECT prefix || quote_ident(typname),
  array_agg(enumlabel::text ORDER BY enumsortorder)
FROM pg_type AS t JOIN space ON space.oid = typnamespace JOIN pg_enum ON enumtypid = t.oid
WHERE NOT EXISTS (SELECT FROM foreign_object
                  WHERE classid = 'pg_type'::regclass AND objid = t.oid)
GROUP BY 1 ORDER BY 1
"""
DOMAINS = """
SELECT prefix || quote_ident(typname), format_type(typbasetype, typtypmod)
  || CASE WHEN t.typcollation <> base.own AND t.typcollation <> 0
     THEN ' COLLATE ' || t.typcollation::regcollation::text ELSE '' END,
  typdefault, NOT typnotnull,
  (SELECT array_agg(quote_ident(conname) || ' ' || pg_get_constraintdef(con.oid) ORDER BY conname)
   FROM pg_constraint AS con WHERE contypid = t.oid AND contype = 'c')
FROM pg_type AS t JOIN space ON space.oid = typnamespace
  JOIN (SELECT oid AS base_oid, typcollation AS own FROM pg_type) AS base ON base_oid = typbasetype
WHERE typtype = 'd' AND NOT EXISTS (SELECT FROM foreign_object
                                    WHERE classid = 'pg_type'::regclass AND objid = t.oid)
ORDER BY 1
"""
_SEQUENCE_OPTIONS = """
seqtypid::regtype::text, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle
"""
COUNTERS = f"""
SELECT prefix || quote_ident(c.relname), {_SEQUENCE_OPTIONS},
  own_table.name || '.' || quote_ident(attname), c.relpersistence = 'u'
FROM pg_class AS c JOIN space ON space.oid = relnamespace JOIN pg_sequence ON seqrelid = c.oid
  LEFT JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
  LEFT JOIN own_table ON own_table.oid = d.refobjid
  LEFT JOIN pg_attribute ON attrelid = d.refobjid AND attnum = d.refobjsubid
WHERE d.deptype IS DISTINCT FROM 'i'
  AND NOT EXISTS (SELECT FROM foreign_object
                  WHERE classid = 'pg_class'::regclass AND objid = c.oid)
ORDER BY 1
"""  # nosec B608 # what is put together there is constant
TABLES = """
SELECT name, relpersistence = 'u', coalesce(array_to_string(reloptions, ', '), ''),
  coalesce(pg_get_partkeydef(own_table.oid), ''),
  coalesce((SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno)
            FROM pg_inherits WHERE inhrelid = own_table.oid), ''),
  CASE WHEN amname <> 'heap' THEN quote_ident(amname) ELSE '' END,
  coalesce((SELECT quote_ident(spcname) FROM pg_tablespace AS t WHERE t.oid = reltablespace), ''),
  coalesce(obj_description(own_table.oid, 'pg_class'), '')
FROM own_table LEFT JOIN pg_am ON pg_am.oid = relam
ORDER BY 1
"""
COLUMNS = f"""
SELECT name, quote_ident(attname), format_type(atttypid, atttypmod)
  || CASE WHEN attcollation <> typcollation THEN ' COLLATE ' || attcollation::regcollation::text
     ELSE '' END,
  NOT attnotnull, pg_get_expr(adbin, adrelid), attgenerated::text, attidentity::text,
  coalesce(col_description(own_table.oid, attnum), ''),
  ARRAY(SELECT quote_ident(made_of.attname) FROM pg_depend AS d
        JOIN pg_attribute AS made_of
          ON made_of.attrelid = refobjid AND made_of.attnum = refobjsubid
        WHERE attgenerated <> '' AND d.refobjid = own_table.oid AND made_of.attnum <> a.attnum
          AND (d.classid = 'pg_attrdef'::regclass AND d.objid = def.oid
               OR d.classid = 'pg_class'::regclass AND d.objid = own_table.oid
                  AND d.objsubid = a.attnum)),
  {_SEQUENCE_OPTIONS}
FROM own_table JOIN pg_attribute AS a ON attrelid = own_table.oid
  JOIN pg_type AS t ON t.oid = atttypid
  LEFT JOIN pg_attrdef AS def ON adrelid = attrelid AND adnum = attnum
  LEFT JOIN pg_depend AS inside ON attidentity <> '' AND inside.refclassid = 'pg_class'::regclass
    AND inside.refobjid = attrelid AND inside.refobjsubid = attnum AND inside.deptype = 'i'
    AND inside.classid = 'pg_class'::regclass
  LEFT JOIN pg_sequence ON seqrelid = inside.objid
WHERE attnum > 0 AND NOT attisdropped AND attislocal
ORDER BY name, attnum
"""  # nosec B608 # what is put together there is constant
_DEPENDED = """
ARRAY(SELECT DISTINCT quote_ident(attname) FROM pg_depend AS d
      JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
      WHERE d.classid = {kind}::regclass AND d.objid = {object}
        AND refclassid = 'pg_class'::regclass AND refobjid = own_table.oid)
"""
CONSTRAINTS = f"""
SELECT name, quote_ident(conname), pg_get_constraintdef(con.oid),
  coalesce(obj_description(con.oid, 'pg_constraint'), ''),
  {_DEPENDED.format(kind="'pg_constraint'", object="con.oid")},
  CASE WHEN contype = 'f' THEN (SELECT target.name FROM own_table AS target
                                WHERE target.oid = confrelid) END
FROM own_table JOIN pg_constraint AS con ON conrelid = own_table.oid
WHERE contype IN ('c', 'f', 'p', 'u', 'x') AND conparentid = 0 AND conislocal
ORDER BY 1, 2
"""  # nosec B608 # what is put together there is constant
INDEXES = f"""
SELECT name, quote_ident(c.relname), replace(pg_get_indexdef(indexrelid), own, ' ON ')
  || CASE WHEN c.reltablespace <> 0 THEN ' TABLESPACE ' || quote_ident(spcname) ELSE '' END
  || CASE WHEN indisvalid THEN '' ELSE ' INVALID' END,
  coalesce(obj_description(indexrelid, 'pg_class'), ''),
  {_DEPENDED.format(kind="'pg_class'", object="indexrelid")}, CAST(NULL AS text)
FROM own_table CROSS JOIN (SELECT ' ON ' || quote_ident(current_schema()) || '.') AS place_of(own)
  JOIN pg_index ON indrelid = own_table.oid JOIN pg_class AS c ON c.oid = indexrelid
  LEFT JOIN pg_tablespace AS place ON place.oid = c.reltablespace
WHERE NOT EXISTS (SELECT FROM pg_constraint
                  WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
ORDER BY 1, 2
"""  # nosec B608 # what is put together there is constant
TRIGGERS = f"""
SELECT name, quote_ident(tgname), pg_get_triggerdef(t.oid, true), '',
  {_DEPENDED.format(kind="'pg_trigger'", object="t.oid")}, CAST(NULL AS text)
FROM own_table JOIN pg_trigger AS t ON tgrelid = own_table.oid
WHERE NOT tgisinternal
ORDER BY 1, 2
"""  # nosec B608 # what is put together there is constant
VIEWS = """
SELECT prefix || quote_ident(relname), relkind = 'm', pg_get_viewdef(c.oid)
FROM pg_class AS c JOIN space ON space.oid = relnamespace
WHERE relkind IN ('v', 'm') AND NOT EXISTS (SELECT FROM foreign_object
                                WHERE classid = 'pg_class'::regclass AND objid = c.oid)
ORDER BY c.oid
"""
FUNCTIONS = """
SELECT p.oid::regprocedure::text, replace(pg_get_functiondef(p.oid),
  ' ' || quote_ident(current_schema()) || '.' || quote_ident(proname) || '(',
  ' ' || quote_ident(proname) || '(')
FROM pg_proc AS p JOIN space ON space.oid = pronamespace
WHERE prokind IN ('f', 'p') AND NOT EXISTS (SELECT FROM foreign_object
                                WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
ORDER BY p.oid
"""
