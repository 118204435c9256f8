SELECT current_database() AS collation_catalog, n.nspname AS collation_schema,
       o.collname AS collation_name, 'NO PAD' AS pad_attribute
FROM pg_catalog.pg_collation o JOIN pg_catalog.pg_namespace n ON n.oid = o.collnamespace
