//! A small catalog with one of everything, and what clients ask of it.

mod fixture;

use super::facts::Facts;
use super::functions::as_text;
use super::{evaluator, relations};
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use fixture::with_facts;

/// Rows of a query, each cell as text, NULL as `~`.
fn ask(facts: &Facts<'_>, query: &str) -> Result<Vec<Vec<String>>, crate::Error> {
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, query).unwrap();
    let [Statement::Query(query)] = parsed.as_slice() else { panic!("no query") };
    let plan = evaluator::plan(facts, query, &[])?;
    let parameters = vec![crate::functions::Datum::Null; plan.parameters.len()];
    let rows = plan.run(facts, &parameters)?;
    Ok(rows
        .iter()
        .map(|row| {
            row.iter()
                .zip(&plan.columns)
                .map(
                    |(value, (_, kind))| {
                        if value.is_null() { "~".to_owned() } else { as_text(facts, value, kind) }
                    },
                )
                .collect()
        })
        .collect())
}

/// The rows as lines of cells.
fn lines(query: &str) -> String {
    with_facts(|facts| {
        let rows = ask(facts, query).unwrap_or_else(|error| panic!("{query}: {error}"));
        rows.iter().map(|row| row.join("|")).collect::<Vec<_>>().join("\n")
    })
}

fn sqlstate(query: &str) -> String {
    with_facts(|facts| ask(facts, query).map(|_| String::new()).unwrap_or_else(|e| e.sqlstate()))
}

#[test]
fn every_relation_gives_rows_of_its_shape() {
    with_facts(|facts| {
        for relation in relations::all() {
            let rows = super::rows(relation, facts)
                .unwrap_or_else(|error| panic!("{}: {error}", relation.name));
            for row in rows {
                assert_eq!(row.len(), relation.columns.len(), "{}", relation.name);
            }
        }
    });
}

#[test]
fn columns_are_described_by_correlated_subqueries() {
    let described = lines(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), (SELECT pg_get_expr(d.adbin, d.adrelid)
            FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
            a.attnotnull, a.attidentity, col_description(a.attrelid, a.attnum)
         FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'app.parent'::regclass AND a.attnum > 0
           AND NOT a.attisdropped ORDER BY a.attnum LIMIT 3",
    );
    assert_eq!(
        described,
        "id|integer|nextval('parent_id_seq'::regclass)|true||~\n\
         code|character varying(5)|~|true||its code\n\
         amount|numeric(12,2)|0|false||~"
    );
    let child = "SELECT attname, attidentity, attisdropped FROM pg_attribute
        WHERE attrelid = 'child'::regclass AND attnum > 0 ORDER BY attnum";
    assert_eq!(
        lines(child),
        "id|a|false\nparent_id||false\nd||false\n........pg.dropped.4........||true"
    );
}

#[test]
fn keys_are_found_by_sets_in_the_select_list() {
    let keys = "SELECT k.n, a.attname FROM (SELECT i.indrelid,
          (information_schema._pg_expandarray(i.indkey)).n,
          (information_schema._pg_expandarray(i.indkey)).x
          FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname = 'child_uq') k
        JOIN pg_attribute a ON a.attrelid = k.indrelid AND a.attnum = k.x ORDER BY 1";
    assert_eq!(lines(keys), "1|parent_id\n2|d");
    // int2vector counts from 0; sets of different lengths go side by side.
    let vector = "SELECT unnest(i.indkey), generate_subscripts(i.indkey, 1), generate_series(1, 3)
        FROM pg_index i WHERE i.indexrelid = 'child_uq'::regclass";
    assert_eq!(lines(vector), "2|0|1\n3|1|2\n~|~|3");
    let item = "SELECT indkey[0], indkey[1], indkey[2] FROM pg_index WHERE indexrelid = 'child_uq'::regclass";
    assert_eq!(lines(item), "2|3|~");
}

#[test]
fn constraints_read_as_they_were_written() {
    let all = "SELECT conname, contype, pg_get_constraintdef(oid, true) FROM pg_constraint
        WHERE connamespace = 'app'::regnamespace ORDER BY conname";
    assert_eq!(
        lines(all),
        "child_parent_id_fkey|f|FOREIGN KEY (parent_id) REFERENCES parent(id) ON DELETE CASCADE\n\
         child_pkey|p|PRIMARY KEY (id)\n\
         child_uq|u|UNIQUE (parent_id, d)\n\
         parent_amount_check|c|CHECK (amount >= 0)\n\
         parent_code_key|u|UNIQUE (code)\n\
         parent_pkey|p|PRIMARY KEY (id)"
    );
    let index = "SELECT pg_get_indexdef('child_uq'::regclass), pg_get_indexdef('child_uq'::regclass, 2, true)";
    assert_eq!(
        lines(index),
        "CREATE UNIQUE INDEX child_uq ON app.child USING btree (parent_id, d)|d"
    );
}

#[test]
fn clients_find_foreign_keys_of_either_side() {
    let both = "SELECT relname, relhastriggers FROM pg_class
        WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r', 'v') ORDER BY 1";
    assert_eq!(lines(both), "child|true\nparent|true\nv|false");
    let clause = "SELECT check_clause FROM information_schema.check_constraints
        WHERE constraint_name = 'parent_amount_check'";
    assert_eq!(lines(clause), "((amount >= 0))");
}

#[test]
fn hidden_indexes_of_foreign_keys_are_not_shown() {
    assert_eq!(lines("SELECT count(*) FROM pg_index WHERE indrelid = 'child'::regclass"), "3");
    assert_eq!(sqlstate("SELECT 'child_parent_id_fkey_index'::regclass"), "42P01");
}

#[test]
fn aliases_of_numbers_go_both_ways() {
    assert_eq!(
        lines(
            "SELECT 'parent'::regclass, 'app.v'::regclass::oid, 16400::regclass, 1::regclass::text"
        ),
        "parent|16440|parent|1"
    );
    assert_eq!(
        lines(
            "SELECT 'int4'::regtype, 'numeric(3,1)'::regtype::oid, 'text[]'::regtype, 'parent'::regtype"
        ),
        "integer|1700|text[]|parent"
    );
    assert_eq!(
        lines("SELECT to_regclass('nothing'), to_regtype('nothing'), to_regclass('pg_class')::oid"),
        "~|~|1259"
    );
    let is_array = "SELECT typname FROM pg_type
        WHERE typinput = 'pg_catalog.array_in'::regproc AND typname IN ('_int4', 'int4')";
    assert_eq!(lines(is_array), "_int4");
    assert_eq!(sqlstate("SELECT 'nothing'::regclass"), "42P01");
    assert_eq!(sqlstate("SELECT 'nothing'::regnamespace"), "3F000");
}

#[test]
fn joins_give_what_sql_says() {
    let outer = "SELECT n.nspname, c.relname FROM pg_namespace n
        LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind = 'r'
        WHERE n.nspname IN ('app', 'public') ORDER BY 1, 2";
    assert_eq!(lines(outer), "app|child\napp|parent\npublic|~");
    let full =
        "SELECT a.x, b.y FROM (VALUES (1), (2)) a(x) FULL JOIN (VALUES (2), (3)) b(y) ON a.x = b.y
        WHERE EXISTS (SELECT FROM pg_class) ORDER BY 1, 2";
    assert_eq!(lines(full), "1|~\n2|2\n~|3");
    let lateral = "SELECT c.relname, l.attname FROM pg_class c
        CROSS JOIN LATERAL (SELECT a.attname FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum LIMIT 1) l
        WHERE c.relname IN ('parent', 'child') ORDER BY 1";
    assert_eq!(lines(lateral), "child|id\nparent|id");
    let using = "SELECT s.nspname, s.r FROM pg_namespace n
        JOIN (SELECT p.r, (current_schemas(false))[p.r] AS nspname
              FROM generate_series(1, array_upper(current_schemas(false), 1)) AS p(r)) s USING (nspname)
        ORDER BY s.r";
    assert_eq!(lines(using), "app|1\npublic|2");
}

#[test]
fn groups_and_windows() {
    let groups = "SELECT conrelid::regclass, array_agg(conname ORDER BY conname DESC), count(*) FILTER (WHERE contype = 'u')
        FROM pg_constraint GROUP BY conrelid ORDER BY 1";
    assert_eq!(
        lines(groups),
        "parent|{parent_pkey,parent_code_key,parent_amount_check}|1\n\
         child|{child_uq,child_pkey,child_parent_id_fkey}|1"
    );
    let numbered = "SELECT attname, row_number() OVER (PARTITION BY attrelid ORDER BY attnum DESC)
        FROM pg_attribute WHERE attrelid = 'v'::regclass ORDER BY attnum";
    assert_eq!(lines(numbered), "id|2\ncode|1");
    assert_eq!(sqlstate("SELECT relname, count(*) FROM pg_class GROUP BY relkind"), "42803");
    // The number of a relation decides its other columns.
    assert_eq!(sqlstate("SELECT oid, relname, count(*) FROM pg_class GROUP BY oid"), "");
}

#[test]
fn three_valued_logic() {
    let null = "SELECT relname = ANY (ARRAY['v', NULL]), relname <> ALL (ARRAY['x', NULL]),
        relname IN ('x', NULL), NULL IS DISTINCT FROM relname, relacl IS NULL
        FROM pg_class WHERE oid = 'v'::regclass";
    assert_eq!(lines(null), "true|~|~|true|true");
}

#[test]
fn set_operations_and_recursion() {
    let all =
        "SELECT NULL, 1 UNION SELECT relname, 2 FROM pg_class WHERE relname = 'v' ORDER BY 2 DESC";
    assert_eq!(lines(all), "v|2\n~|1");
    let recursive = "WITH RECURSIVE down(n) AS (SELECT count(*) FROM pg_sequence
          UNION ALL SELECT n - 1 FROM down WHERE n > 0) SELECT array_agg(n) FROM down";
    assert_eq!(lines(recursive), "{3,2,1,0}");
    let outside = "SELECT c.relname, (WITH RECURSIVE up(k) AS (SELECT c.relnatts::int
          UNION ALL SELECT k - 1 FROM up WHERE k > 1) SELECT count(*) FROM up)
        FROM pg_class c WHERE c.relname IN ('v', 'parent') ORDER BY 1";
    assert_eq!(lines(outside), "parent|8\nv|2");
}

#[test]
fn information_schema_tells_the_same() {
    let columns = "SELECT column_name, data_type, character_maximum_length, numeric_precision, is_nullable, udt_name
        FROM information_schema.columns WHERE table_schema = 'app' AND table_name = 'parent'
        ORDER BY ordinal_position LIMIT 3";
    assert_eq!(
        lines(columns),
        "id|integer|~|32|NO|int4\ncode|character varying|5|~|NO|varchar\namount|numeric|~|12|YES|numeric"
    );
    let keys =
        "SELECT constraint_name, column_name, ordinal_position, position_in_unique_constraint
        FROM information_schema.key_column_usage WHERE table_name = 'child' ORDER BY 1, 3";
    assert_eq!(
        lines(keys),
        "child_parent_id_fkey|parent_id|1|1\nchild_pkey|id|1|~\nchild_uq|parent_id|1|~\nchild_uq|d|2|~"
    );
    let rules = "SELECT unique_constraint_name, update_rule, delete_rule
        FROM information_schema.referential_constraints";
    assert_eq!(lines(rules), "parent_pkey|NO ACTION|CASCADE");
    let identity = "SELECT is_identity, identity_generation, identity_increment
        FROM information_schema.columns WHERE table_name = 'child' AND column_name = 'id'";
    assert_eq!(lines(identity), "YES|ALWAYS|1");
}

#[test]
fn privileges_are_those_of_the_asking_role() {
    let ask_as = |user: &str, query: &str| {
        fixture::with_user(user, |facts| ask(facts, query).map(|rows| format!("{rows:?}")))
    };
    let may =
        "SELECT has_table_privilege('parent', 'SELECT'), has_table_privilege('parent', 'INSERT'),
        has_table_privilege('child', 'SELECT')";
    assert_eq!(ask_as("alice", may).unwrap(), r#"[["true", "false", "false"]]"#);
    assert_eq!(ask_as("stele", may).unwrap(), r#"[["true", "true", "true"]]"#);
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'app'";
    assert_eq!(ask_as("alice", tables).unwrap(), r#"[["parent"]]"#);
    assert_eq!(ask_as("alice", "SELECT rolname FROM pg_authid").unwrap_err().sqlstate(), "42501");
    assert_eq!(
        lines(
            "SELECT relacl FROM pg_class WHERE relname = 'parent' AND relnamespace = 'app'::regnamespace"
        ),
        "{stele=arwdDxt/stele,alice=r/stele}"
    );
    let exploded =
        "SELECT (aclexplode(relacl)).grantee::regrole, (aclexplode(relacl)).privilege_type
        FROM pg_class WHERE oid = 'parent'::regclass ORDER BY 1 DESC, 2 LIMIT 2";
    assert_eq!(lines(exploded), "alice|SELECT\nstele|DELETE");
}

#[test]
fn texts_as_postgresql_writes_them() {
    assert_eq!(
        lines(
            "SELECT format_type(1043, 9), format_type(1042, -1), format_type(1700, 786438), format_type(0, NULL)"
        ),
        "character varying(5)|bpchar|numeric(12,2)|-"
    );
    assert_eq!(
        lines("SELECT pg_size_pretty(10239::bigint), pg_size_pretty(10240::bigint), pg_size_pretty(10485760::bigint),
            pg_size_pretty(-20000000000), quote_ident('a b'), quote_ident('select'), quote_ident('abs')"),
        "10239 bytes|10 kB|10 MB|-19 GB|\"a b\"|\"select\"|abs"
    );
    assert_eq!(
        lines(
            "SELECT pg_get_serial_sequence('parent', 'id'), pg_get_serial_sequence('child', 'id'),
            pg_get_viewdef('v'::regclass)"
        ),
        "app.parent_id_seq|app.child_id_seq| SELECT id, code FROM app.parent;"
    );
    assert_eq!(lines("SELECT version() LIKE 'PostgreSQL 15.8 (Stele %'"), "true");
}

#[test]
fn what_is_not_there_is_an_error() {
    assert_eq!(sqlstate("SELECT nothing FROM pg_class"), "42703");
    assert_eq!(sqlstate("SELECT * FROM pg_nothing"), "42P01");
    assert_eq!(sqlstate("SELECT pg_nothing(oid) FROM pg_class"), "42883");
    assert_eq!(sqlstate("SELECT relname = 1 FROM pg_class"), "42883");
    assert_eq!(sqlstate("SELECT oid FROM pg_class a, pg_class b"), "42702");
    assert_eq!(sqlstate("SELECT (SELECT oid FROM pg_class)"), "21000");
    assert_eq!(sqlstate("SELECT 2147483647 + 1 FROM pg_class"), "22003");
    assert_eq!(sqlstate("SELECT 1 / 0 FROM pg_class"), "22012");
}

#[test]
fn a_query_that_reads_a_table_is_not_for_the_catalogs() {
    let is = |query: &str| {
        with_facts(|facts| {
            let parsed = Parser::parse_sql(&PostgreSqlDialect {}, query).unwrap();
            let [Statement::Query(query)] = parsed.as_slice() else { panic!("no query") };
            evaluator::is_for_catalogs(facts, query)
        })
    };
    assert!(is("SELECT * FROM pg_class"));
    assert!(is("SELECT version()"));
    assert!(is("WITH parent AS (SELECT 1) SELECT * FROM parent, pg_class"));
    assert!(!is("SELECT * FROM pg_class, parent"));
    assert!(!is("SELECT relname FROM pg_class WHERE oid IN (SELECT id FROM parent)"));
    assert!(!is("SELECT upper('a')"));
    assert!(!is("SELECT 1"));
}

#[test]
fn a_parameter_gets_its_type_from_its_place() {
    with_facts(|facts| {
        let query = "SELECT relname FROM pg_class WHERE oid = $1 AND relname LIKE $2";
        let parsed = Parser::parse_sql(&PostgreSqlDialect {}, query).unwrap();
        let [Statement::Query(query)] = parsed.as_slice() else { panic!("no query") };
        let plan = evaluator::plan(facts, query, &[]).unwrap();
        assert_eq!(plan.parameters, [crate::types::PgType::Oid, crate::types::PgType::Text]);
        let values =
            [crate::functions::Datum::Int(16_400), crate::functions::Datum::Text("par%".into())];
        assert_eq!(plan.run(facts, &values).unwrap().len(), 1);
    });
}

#[test]
fn every_function_that_pg_proc_lists_for_the_catalogs_is_there() {
    let known: std::collections::BTreeSet<&str> =
        super::functions::all().map(|builtin| builtin.name).collect();
    let listed = include_str!("static/functions.txt");
    for name in
        listed.lines().filter(|name| name.starts_with("pg_get") || name.ends_with("_is_visible"))
    {
        assert!(known.contains(name), "{name}");
    }
}
