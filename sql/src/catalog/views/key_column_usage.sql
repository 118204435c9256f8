SELECT current_database() AS constraint_catalog, cn.nspname AS constraint_schema,
       k.conname AS constraint_name, current_database() AS table_catalog, n.nspname AS table_schema,
       c.relname AS table_name, a.attname AS column_name, k.place AS ordinal_position,
       CASE WHEN k.contype = 'f'
            THEN array_position((SELECT p.conkey FROM pg_catalog.pg_constraint p
                                 WHERE p.conindid = k.conindid AND p.contype IN ('p', 'u')),
                                k.confkey[k.place]) END AS position_in_unique_constraint
FROM (SELECT p.*, generate_subscripts(p.conkey, 1) AS place FROM pg_catalog.pg_constraint p
      WHERE p.contype IN ('p', 'u', 'f')) k
     JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_namespace cn ON cn.oid = k.connamespace
     JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[k.place]
WHERE pg_has_role(c.relowner, 'USAGE')
   OR has_column_privilege(c.oid, a.attnum, 'SELECT, INSERT, UPDATE, REFERENCES')
