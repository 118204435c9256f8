SELECT current_database() AS specific_catalog, n.nspname AS specific_schema,
       p.proname || '_' || p.oid::text AS specific_name, p.place + 1 AS ordinal_position,
       'IN' AS parameter_mode, 'NO' AS is_result, 'NO' AS as_locator,
       nullif(p.proargnames[p.place + 1], '') AS parameter_name,
       CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN 'ARRAY'
            ELSE format_type(t.oid, NULL) END AS data_type,
       current_database() AS udt_catalog, tn.nspname AS udt_schema, t.typname AS udt_name,
       (p.place + 1)::text AS dtd_identifier
FROM (SELECT f.*, generate_subscripts(f.proargtypes, 1) AS place FROM pg_catalog.pg_proc f) p
     JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[p.place]
     JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
