SELECT DISTINCT current_database() AS view_catalog, vn.nspname AS view_schema, v.relname AS view_name,
       current_database() AS table_catalog, tn.nspname AS table_schema, t.relname AS table_name
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class v ON v.oid = d.objid
     JOIN pg_catalog.pg_namespace vn ON vn.oid = v.relnamespace
     JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
     JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE d.classid = 2618 AND d.deptype = 'n' AND pg_has_role(t.relowner, 'USAGE')
