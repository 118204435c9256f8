SELECT current_database() AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
       current_database() AS constraint_catalog, cn.nspname AS constraint_schema,
       k.conname AS constraint_name
FROM pg_catalog.pg_constraint k
     JOIN pg_catalog.pg_class c ON c.oid = CASE k.contype WHEN 'f' THEN k.confrelid ELSE k.conrelid END
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_namespace cn ON cn.oid = k.connamespace
WHERE k.contype IN ('f', 'p', 'u') AND pg_has_role(c.relowner, 'USAGE')
