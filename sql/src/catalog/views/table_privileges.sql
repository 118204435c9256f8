SELECT pg_get_userbyid(x.grantor) AS grantor,
       CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END AS grantee,
       current_database() AS table_catalog, x.nspname AS table_schema, x.relname AS table_name,
       x.privilege_type,
       CASE WHEN x.is_grantable OR x.grantee = x.relowner THEN 'YES' ELSE 'NO' END AS is_grantable,
       CASE WHEN x.privilege_type = 'SELECT' THEN 'YES' ELSE 'NO' END AS with_hierarchy
FROM (SELECT n.nspname, c.relname, c.relowner, i.grantor, i.grantee, i.privilege_type, i.is_grantable
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
           CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) i
      WHERE c.relkind IN ('r', 'v')) x
WHERE pg_has_role(x.grantor, 'USAGE') OR x.grantee = 0 OR pg_has_role(x.grantee, 'USAGE')
