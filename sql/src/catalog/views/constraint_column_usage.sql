SELECT current_database() AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
       a.attname AS column_name, current_database() AS constraint_catalog,
       cn.nspname AS constraint_schema, k.conname AS constraint_name
FROM (SELECT p.conname, p.connamespace, p.conrelid AS relation, unnest(p.conkey) AS number
      FROM pg_catalog.pg_constraint p WHERE p.contype IN ('c', 'p', 'u')
      UNION ALL
      SELECT p.conname, p.connamespace, p.confrelid, unnest(p.confkey)
      FROM pg_catalog.pg_constraint p WHERE p.contype = 'f') k
     JOIN pg_catalog.pg_class c ON c.oid = k.relation
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_namespace cn ON cn.oid = k.connamespace
     JOIN pg_catalog.pg_attribute a ON a.attrelid = k.relation AND a.attnum = k.number
WHERE pg_has_role(c.relowner, 'USAGE')
