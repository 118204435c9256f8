SELECT p.grantor, p.grantee, p.table_catalog, p.table_schema, p.table_name, a.attname AS column_name,
       p.privilege_type, p.is_grantable
FROM information_schema.table_privileges p
     JOIN pg_catalog.pg_namespace n ON n.nspname = p.table_schema
     JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.table_name
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE p.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
  AND a.attnum > 0 AND NOT a.attisdropped
