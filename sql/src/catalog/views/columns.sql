SELECT current_database() AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
       a.attname AS column_name, a.attnum::int4 AS ordinal_position,
       pg_get_expr(d.adbin, d.adrelid) AS column_default,
       CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable,
       CASE WHEN t.typelem <> 0 AND t.typlen = -1 AND t.typcategory = 'A' THEN 'ARRAY'
            ELSE format_type(a.atttypid, NULL) END AS data_type,
       information_schema._pg_char_max_length(a.atttypid, a.atttypmod) AS character_maximum_length,
       information_schema._pg_char_octet_length(a.atttypid, a.atttypmod) AS character_octet_length,
       information_schema._pg_numeric_precision(a.atttypid, a.atttypmod) AS numeric_precision,
       information_schema._pg_numeric_precision_radix(a.atttypid, a.atttypmod) AS numeric_precision_radix,
       information_schema._pg_numeric_scale(a.atttypid, a.atttypmod) AS numeric_scale,
       information_schema._pg_datetime_precision(a.atttypid, a.atttypmod) AS datetime_precision,
       CASE WHEN o.collname <> 'default' THEN current_database() END AS collation_catalog,
       CASE WHEN o.collname <> 'default' THEN 'pg_catalog' END AS collation_schema,
       CASE WHEN o.collname <> 'default' THEN o.collname END AS collation_name,
       current_database() AS udt_catalog, tn.nspname AS udt_schema, t.typname AS udt_name,
       a.attnum::text AS dtd_identifier, 'NO' AS is_self_referencing,
       CASE WHEN a.attidentity IN ('a', 'd') THEN 'YES' ELSE 'NO' END AS is_identity,
       CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END AS identity_generation,
       s.seqstart::text AS identity_start, s.seqincrement::text AS identity_increment,
       s.seqmax::text AS identity_maximum, s.seqmin::text AS identity_minimum,
       CASE WHEN s.seqcycle THEN 'YES' ELSE 'NO' END AS identity_cycle,
       'NEVER' AS is_generated,
       CASE c.relkind WHEN 'v' THEN 'NO' ELSE 'YES' END AS is_updatable
FROM pg_catalog.pg_attribute a
     JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
     JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
     LEFT JOIN pg_catalog.pg_depend p ON p.refobjid = a.attrelid AND p.refobjsubid = a.attnum
          AND p.deptype = 'i' AND p.classid = 1259 AND p.refclassid = 1259
     LEFT JOIN pg_catalog.pg_sequence s ON s.seqrelid = p.objid
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v')
  AND (pg_has_role(c.relowner, 'USAGE')
    OR has_column_privilege(c.oid, a.attnum, 'SELECT, INSERT, UPDATE, REFERENCES'))
