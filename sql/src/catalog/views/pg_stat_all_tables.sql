SELECT c.oid AS relid, n.nspname AS schemaname, c.relname, c.reltuples::bigint AS n_live_tup
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r'
