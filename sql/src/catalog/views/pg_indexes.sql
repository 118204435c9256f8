SELECT n.nspname AS schemaname, t.relname AS tablename, i.relname AS indexname,
       pg_get_indexdef(i.oid) AS indexdef
FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
     JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
