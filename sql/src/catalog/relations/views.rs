//! Relations that are queries over other relations of the catalogs, in our own words: PostgreSQL's own views, and
//! information_schema.

use super::Relation;

/// The query of a relation, if it is one. Its columns come in the relation's order.
pub(super) fn query(relation: &Relation) -> Option<&'static str> {
    let views = if relation.schema == "pg_catalog" { PG_CATALOG } else { INFORMATION_SCHEMA };
    views.iter().find(|(name, _)| *name == relation.name).map(|(_, query)| *query)
}

const PG_CATALOG: &[(&str, &str)] = &[
    ("pg_tables", include_str!("../views/pg_tables.sql")),
    ("pg_views", include_str!("../views/pg_views.sql")),
    ("pg_indexes", include_str!("../views/pg_indexes.sql")),
    ("pg_sequences", include_str!("../views/pg_sequences.sql")),
    ("pg_user", include_str!("../views/pg_user.sql")),
    ("pg_shadow", include_str!("../views/pg_shadow.sql")),
    ("pg_group", include_str!("../views/pg_group.sql")),
    ("pg_stat_all_tables", include_str!("../views/pg_stat_all_tables.sql")),
    ("pg_stat_user_tables", include_str!("../views/pg_stat_user_tables.sql")),
    ("pg_stat_sys_tables", include_str!("../views/pg_stat_sys_tables.sql")),
    ("pg_stat_all_indexes", include_str!("../views/pg_stat_all_indexes.sql")),
    ("pg_stat_user_indexes", include_str!("../views/pg_stat_user_indexes.sql")),
];

const INFORMATION_SCHEMA: &[(&str, &str)] = &[
    ("information_schema_catalog_name", "SELECT current_database()"),
    ("schemata", include_str!("../views/schemata.sql")),
    ("tables", include_str!("../views/tables.sql")),
    ("columns", include_str!("../views/columns.sql")),
    ("views", include_str!("../views/views.sql")),
    ("table_constraints", include_str!("../views/table_constraints.sql")),
    ("key_column_usage", include_str!("../views/key_column_usage.sql")),
    ("referential_constraints", include_str!("../views/referential_constraints.sql")),
    ("constraint_column_usage", include_str!("../views/constraint_column_usage.sql")),
    ("constraint_table_usage", include_str!("../views/constraint_table_usage.sql")),
    ("check_constraints", include_str!("../views/check_constraints.sql")),
    ("sequences", include_str!("../views/sequences.sql")),
    ("routines", include_str!("../views/routines.sql")),
    ("parameters", include_str!("../views/parameters.sql")),
    ("character_sets", include_str!("../views/character_sets.sql")),
    ("collations", include_str!("../views/collations.sql")),
    ("table_privileges", include_str!("../views/table_privileges.sql")),
    ("role_table_grants", include_str!("../views/table_privileges.sql")),
    ("column_privileges", include_str!("../views/column_privileges.sql")),
    ("role_column_grants", include_str!("../views/column_privileges.sql")),
    ("enabled_roles", include_str!("../views/enabled_roles.sql")),
    ("applicable_roles", include_str!("../views/applicable_roles.sql")),
    (
        "administrable_role_authorizations",
        "SELECT a.grantee, a.role_name, a.is_grantable
      FROM information_schema.applicable_roles a WHERE a.is_grantable = 'YES'",
    ),
    ("view_table_usage", include_str!("../views/view_table_usage.sql")),
];
