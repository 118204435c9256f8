SELECT current_database() AS specific_catalog, n.nspname AS specific_schema,
       p.proname || '_' || p.oid::text AS specific_name, current_database() AS routine_catalog,
       n.nspname AS routine_schema, p.proname AS routine_name, 'FUNCTION' AS routine_type,
       CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN 'ARRAY'
            ELSE format_type(t.oid, NULL) END AS data_type,
       current_database() AS type_udt_catalog, tn.nspname AS type_udt_schema, t.typname AS type_udt_name,
       '0' AS dtd_identifier, 'EXTERNAL' AS routine_body, p.proname AS external_name,
       'INTERNAL' AS external_language, 'GENERAL' AS parameter_style,
       CASE p.provolatile WHEN 'i' THEN 'YES' ELSE 'NO' END AS is_deterministic,
       'MODIFIES' AS sql_data_access, CASE WHEN p.proisstrict THEN 'YES' ELSE 'NO' END AS is_null_call,
       'YES' AS schema_level_routine, 0 AS max_dynamic_result_sets, 'INVOKER' AS security_type,
       'NO' AS as_locator, 'NO' AS is_udt_dependent
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     JOIN pg_catalog.pg_type t ON t.oid = p.prorettype
     JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
