SELECT r.rolname AS role_name FROM pg_catalog.pg_roles r WHERE pg_has_role(r.oid, 'USAGE')
