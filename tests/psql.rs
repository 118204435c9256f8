//! psql, unmodified: what it prints for Stele is what it prints for PostgreSQL, the `\d` family included.

use std::fs;

use crate::client::Address;
use crate::postgres::{Postgres, psql};
use crate::server::Server;

const SCHEMA: &str = r"
CREATE TABLE customer (id serial PRIMARY KEY, name varchar(40) NOT NULL, email text UNIQUE, country char(2) DEFAULT 'DE',
  credit numeric(12,2) DEFAULT 0 NOT NULL CHECK (credit >= 0), joined timestamp with time zone, tags text[], extra jsonb);
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id integer NOT NULL REFERENCES customer(id) ON DELETE CASCADE,
  placed date DEFAULT '2024-01-01' NOT NULL, total numeric, note text);
CREATE INDEX orders_by_customer ON orders (customer_id, placed);
CREATE UNIQUE INDEX one_note ON orders (note);
CREATE TABLE plain (a int, b real, c double precision, d bytea, e uuid, f time, g boolean, h smallint);
CREATE VIEW rich AS SELECT customer.id, customer.name FROM customer WHERE customer.credit > 100;
CREATE SEQUENCE tickets INCREMENT 5 START 10;
CREATE SCHEMA side;
CREATE TABLE side.thing (k text PRIMARY KEY, v int);
";

/// Commands whose whole output is compared.
const COMMANDS: &[&str] = &[
    r"\d",
    r"\dt",
    r"\di",
    r"\ds",
    r"\dv",
    r"\dn",
    r"\d customer",
    r"\d orders",
    r"\d plain",
    r"\d rich",
    r"\d tickets",
    r"\d orders_by_customer",
    r"\d customer_pkey",
    r"\d side.thing",
    r"\dt side.*",
    r"\d nothing_like_it",
    r"\dt cust*",
    r"\di+ nothing",
    r"\dT nothing",
    r"\dp plain",
    r"\z plain",
    r"\d customer_id_seq",
    r"\df nothing",
    r"\sv rich",
    r"\d+ rich",
    r"\x \\ SELECT id, name FROM customer ORDER BY id",
    r"\echo :AUTOCOMMIT",
    r"\encoding",
    r"SELECT id, name, credit, tags, extra FROM customer ORDER BY id",
    r"SELECT 1 AS one, 'x' AS two, NULL AS three",
    r"SELECT count(*), sum(credit), max(joined) FROM customer",
    r"SELECT 1/0",
    r"SELECT nothing FROM customer",
    r"SELEC 1",
    r"INSERT INTO customer (name) VALUES (NULL)",
    r"INSERT INTO customer (id, name) VALUES (1, 'again')",
    r"INSERT INTO customer (name, credit) VALUES ('x', -1)",
    r"INSERT INTO orders (customer_id) VALUES (999)",
    r"DELETE FROM customer WHERE id = 99",
    r"UPDATE customer SET credit = credit + 1 WHERE id = 1 RETURNING credit",
    r"CREATE TABLE customer (id int)",
    r"DROP TABLE nowhere",
    r"SELECT 'a'::int",
    r"SELECT upper(5, 6)",
    r"INSERT INTO customer (name, country) VALUES ('y', 'GER')",
    r"SELECT 2147483647 + 1",
    r"copy (SELECT id, name FROM customer ORDER BY id) TO STDOUT",
    r"SELECT 1 \; SELECT 2 AS b",
    r"copy (SELECT id, name, tags, NULL FROM customer ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)",
    r"TABLE customer ORDER BY id LIMIT 1 \gx",
    r"SELECT id, name FROM customer ORDER BY id \g (format=unaligned)",
    r"SELECT 'customer'::regclass, current_schema() \gdesc",
    r"DROP TABLE customer",
    r"SHOW search_path",
    r"SELECT 5 AS v \gset
\echo :v",
    r"\if true
SELECT 'yes' AS branch;
\else
SELECT 'no' AS branch;
\endif",
    r"BEGIN; SELECT 1/0; SELECT 2; ROLLBACK;",
    r"\conninfo_is_not_a_command",
    r"\du nobody_here",
    r"\ddp",
    r"\dx nothing",
    r"\dconfig search_path",
    r"\dC nothing",
    r"\do nothing",
    r"\dF nothing",
    r"\l nothing",
    r"\prompt_is_not_run",
    r"\crosstabview_is_not_run",
    r"EXECUTE nothing",
    r"\bind_is_not_in_15",
];

/// Commands whose output is known to differ, and why. One that prints the same must leave this list.
const DIFFER: &[(&str, &str)] = &[
    (r"\dn", "schema ledger is listed, and public belongs to its founder"),
    (r"\d customer", "defaults and checks show their casts"),
    (r"\sv rich", "a view's text is kept as it was written"),
    (r"\d+ rich", "a view's text is kept as it was written"),
    (r"DROP TABLE customer", "views that read the table are not named among what depends on it"),
];

fn run(address: &Address, script: &str) -> String {
    let output = psql(address)
        .args(["-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=default", "-P", "pager=off", "-f", "-"])
        .stdin(scripted(script))
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    text.replace(&format!("\"{}\"", address.port), "PORT")
}

fn scripted(text: &str) -> fs::File {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = tempfile::tempfile().unwrap();
    writeln!(file, "{text}").unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file
}

fn with_end(command: &str) -> String {
    let is_whole = command.starts_with('\\') || command.ends_with(';') || command.contains(" \\");
    if is_whole { command.to_owned() } else { format!("{command};") }
}

#[test]
fn psql_prints_the_same() {
    let server = Server::start();
    let cluster = Postgres::start();
    let (stele, postgres) = (server.address(), cluster.address());
    let fill = r#"
INSERT INTO customer (name, email, credit, joined, tags, extra) VALUES
  ('Ada', 'ada@example.org', 150.5, '2024-01-01 10:00+00', '{a,"b c"}', '{"k": [1, 2]}'), ('Grace', NULL, 0, NULL, NULL, NULL);
INSERT INTO orders (customer_id, note) VALUES (1, 'first'), (2, NULL);
"#;
    for script in [SCHEMA, fill] {
        assert_eq!(run(&stele, script), run(&postgres, script));
    }
    let mut complaints = Vec::new();
    for command in COMMANDS {
        let (got, expected) = (run(&stele, &with_end(command)), run(&postgres, &with_end(command)));
        let known = DIFFER.iter().find(|(differs, _)| differs == command);
        if got == expected {
            if let Some((_, why)) = known {
                complaints.push(format!("{command} prints the same now, no more: {why}"));
            }
        } else if known.is_none() {
            complaints.push(format!("{command}\n--- PostgreSQL\n{expected}--- Stele\n{got}"));
        }
    }
    let failed = complaints.len();
    assert!(complaints.is_empty(), "{failed} of {}:\n{}", COMMANDS.len(), complaints.join("\n\n"));
}

#[test]
fn copy_goes_round() {
    let server = Server::start();
    let address = server.address();
    let folder = server.scratch().to_owned();
    assert_eq!(
        run(
            &address,
            "CREATE TABLE odd (id int PRIMARY KEY, t text, n numeric(10,3), b bytea, a text[]);"
        ),
        "CREATE TABLE\n"
    );
    let rows = r#"INSERT INTO odd VALUES (1, E'tab\there', 1.5, '\x00ff', '{a,"b,c",NULL}'), (2, E'line\nbreak', -0.001, '', '{}'),
      (3, NULL, NULL, NULL, NULL), (4, '\N', 0, '\x5c6e', '{"\"q\""}'), (5, 'quote "x" and ''y''', 99, NULL, '{""}'), (6, '', 7, NULL, NULL), (7, '\.', 1, NULL, NULL);"#;
    assert_eq!(run(&address, rows), "INSERT 0 7\n");
    let whole = run(&address, "SELECT * FROM odd ORDER BY id;");
    for options in [
        "",
        "with (format csv)",
        "with (format csv, header, delimiter ';', quote '''', null 'none')",
        "with (format binary)",
    ] {
        let file = folder.join("odd.copy");
        let out = run(&address, &format!("\\copy odd to '{}' {options}", file.display()));
        assert_eq!(out, "COPY 7\n", "{options}");
        assert_eq!(run(&address, "DELETE FROM odd;"), "DELETE 7\n");
        let back = run(&address, &format!("\\copy odd from '{}' {options}", file.display()));
        assert_eq!(back, "COPY 7\n", "{options}");
        assert_eq!(run(&address, "SELECT * FROM odd ORDER BY id;"), whole, "{options}");
    }
}
