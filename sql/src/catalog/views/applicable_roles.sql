SELECT pg_get_userbyid(m.member) AS grantee, pg_get_userbyid(m.roleid) AS role_name,
       CASE WHEN m.admin_option THEN 'YES' ELSE 'NO' END AS is_grantable
FROM pg_catalog.pg_auth_members m
WHERE pg_has_role(m.member, 'USAGE')
