//! Random statements, the same to Stele and to PostgreSQL: equal rows and types, or both an error. What Stele says it
//! can't do (0A000) is counted, not failed. A silent difference is the one thing a ledger must never have.

use std::fmt::Write as _;

use crate::client::{Answer, Client, Failure};
use crate::postgres::Postgres;
use crate::random::Random;
use crate::server::{Server, number};

/// The kinds of expression that are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Int,
    Big,
    Numeric,
    Text,
    Bool,
    Date,
}

const KINDS: [Kind; 6] = [Kind::Int, Kind::Big, Kind::Numeric, Kind::Text, Kind::Bool, Kind::Date];

/// Columns of the two tables, by kind; both have the same.
const COLUMNS: &[(&str, Kind)] = &[
    ("id", Kind::Int),
    ("i", Kind::Int),
    ("j", Kind::Int),
    ("b", Kind::Big),
    ("n", Kind::Numeric),
    ("t", Kind::Text),
    ("f", Kind::Bool),
    ("d", Kind::Date),
];

const TABLE: &str =
    "(id int PRIMARY KEY, i int, j int, b bigint, n numeric(12,3), t text, f boolean, d date)";

/// Makes statements. `from` holds the names that columns can be taken from.
struct Maker<'a> {
    random: &'a mut Random,
    from: Vec<&'static str>,
}

impl Maker<'_> {
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.below(of.len())]
    }

    fn kind(&mut self) -> Kind {
        self.pick(&KINDS)
    }

    fn column(&mut self, kind: Kind) -> String {
        let fitting: Vec<_> = COLUMNS.iter().filter(|(_, k)| *k == kind).collect();
        let name = fitting[self.random.below(fitting.len())].0;
        let from = self.from[self.random.below(self.from.len())];
        format!("{from}.{name}")
    }

    fn literal(&mut self, kind: Kind) -> String {
        if self.random.below(12) == 0 {
            let name = match kind {
                Kind::Int => "int",
                Kind::Big => "bigint",
                Kind::Numeric => "numeric(12,3)",
                Kind::Text => "text",
                Kind::Bool => "boolean",
                Kind::Date => "date",
            };
            return format!("NULL::{name}");
        }
        match kind {
            Kind::Int => self
                .pick(&["0", "1", "-1", "2", "7", "100", "2147483647", "(-2147483647)"])
                .to_owned(),
            Kind::Big => self
                .pick(&[
                    "5::bigint",
                    "9223372036854775807",
                    "3000000000",
                    "0::bigint",
                    "(-3)::bigint",
                ])
                .to_owned(),
            Kind::Numeric => {
                self.pick(&["0.5", "1.10", "-2.345", "100.001", "0.0", "99999.9"]).to_owned()
            }
            Kind::Text => self.pick(&["'a'", "'B'", "''", "'abc'", "'Zz'", "'10'"]).to_owned(),
            Kind::Bool => self.pick(&["true", "false"]).to_owned(),
            Kind::Date => self
                .pick(&["date '2024-02-29'", "date '1999-12-31'", "date '2030-01-01'"])
                .to_owned(),
        }
    }

    fn expression(&mut self, kind: Kind, depth: usize) -> String {
        if depth == 0 || self.random.below(4) == 0 {
            return if self.random.below(3) == 0 { self.literal(kind) } else { self.column(kind) };
        }
        let d = depth - 1;
        match (kind, self.random.below(9)) {
            (_, 0) => {
                let (when, then, other) =
                    (self.condition(d), self.expression(kind, d), self.expression(kind, d));
                format!("CASE WHEN {when} THEN {then} ELSE {other} END")
            }
            (_, 1) => {
                format!("coalesce({}, {})", self.expression(kind, d), self.expression(kind, d))
            }
            (_, 2) => format!("nullif({}, {})", self.expression(kind, d), self.expression(kind, d)),
            (Kind::Int | Kind::Big | Kind::Numeric, 3..=5) => {
                let operator = self.pick(&["+", "-", "*"]);
                let (left, right) = (self.expression(kind, d), self.expression(kind, d));
                format!("({left} {operator} {right})")
            }
            (Kind::Int, 6) => {
                let operator = self.pick(&["/", "%"]);
                format!(
                    "({} {operator} {})",
                    self.expression(Kind::Int, d),
                    self.expression(Kind::Int, d)
                )
            }
            (Kind::Int, 7) => format!("length({})", self.expression(Kind::Text, d)),
            (Kind::Int, _) => format!("extract(day FROM {})::int", self.expression(Kind::Date, d)),
            (Kind::Big, 6) => format!("abs({})", self.expression(Kind::Big, d)),
            (Kind::Big, _) => format!("{}::bigint", self.expression(Kind::Int, d)),
            (Kind::Numeric, 6) => {
                format!("round({}, {})", self.expression(Kind::Numeric, d), self.random.below(4))
            }
            (Kind::Numeric, _) => {
                format!("greatest({}, {})", self.expression(kind, d), self.column(kind))
            }
            (Kind::Text, 3..=5) => {
                format!("({} || {})", self.expression(kind, d), self.expression(kind, d))
            }
            (Kind::Text, 6) => {
                format!("substr({}, {})", self.expression(kind, d), 1 + self.random.below(3))
            }
            (Kind::Text, 7) => format!("{}::text", self.expression(Kind::Int, d)),
            (Kind::Text, _) => format!("upper({})", self.expression(kind, d)),
            (Kind::Bool, _) => format!("({})", self.condition(d)),
            (Kind::Date, _) => {
                format!("({} + {})", self.expression(Kind::Date, d), self.random.below(500))
            }
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        let d = depth.saturating_sub(1);
        let kind = self.kind();
        match self.random.below(if depth == 0 { 3 } else { 9 }) {
            0..=2 => {
                let operator = self.pick(&["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"]);
                format!("{} {operator} {}", self.expression(kind, d), self.expression(kind, d))
            }
            3 => format!("{} IS {}NULL", self.expression(kind, d), self.pick(&["", "NOT "])),
            4 => format!("({} AND {})", self.condition(d), self.condition(d)),
            5 => format!("({} OR {})", self.condition(d), self.condition(d)),
            6 => format!("NOT ({})", self.condition(d)),
            7 => {
                let not = self.pick(&["", "NOT "]);
                format!(
                    "{} {not}IN ({}, {})",
                    self.column(kind),
                    self.literal(kind),
                    self.literal(kind)
                )
            }
            _ => {
                let (name, inner) = (self.pick(&["a", "b"]), self.column(kind));
                let not = self.pick(&["", "NOT "]);
                let own = COLUMNS.iter().find(|(_, k)| *k == kind).unwrap().0;
                format!("{not}EXISTS (SELECT 1 FROM {name} q WHERE q.{own} = {inner})")
            }
        }
    }

    fn query(&mut self) -> String {
        let join = self.random.below(4);
        let from = match join {
            0 => "a".to_owned(),
            1 => "b".to_owned(),
            _ => String::new(),
        };
        self.from = match join {
            0 => vec!["a"],
            1 => vec!["b"],
            _ => vec!["a", "b"],
        };
        let from = if from.is_empty() {
            let how = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
            let on = self.pick(&["a.id = b.id", "a.i = b.j", "a.t = b.t", "a.id = b.i"]);
            format!("a {how} b ON {on}")
        } else {
            from
        };
        let filter = if self.random.below(3) == 0 {
            String::new()
        } else {
            format!(" WHERE {}", self.condition(2))
        };
        if self.random.below(3) == 0 {
            return self.grouped(&from, &filter);
        }
        let mut columns = String::new();
        let count = 1 + self.random.below(4);
        for at in 0..count {
            let kind = self.kind();
            let between = if at == 0 { "" } else { ", " };
            write!(columns, "{between}{} AS c{at}", self.expression(kind, 3)).unwrap();
        }
        let distinct = self.pick(&["", "", "", "DISTINCT "]);
        format!("SELECT {distinct}{columns} FROM {from}{filter}")
    }

    fn grouped(&mut self, from: &str, filter: &str) -> String {
        let (kind, measure) = (self.kind(), self.pick(&[Kind::Int, Kind::Big, Kind::Numeric]));
        let group = self.expression(kind, 1);
        let value = self.expression(measure, 1);
        let text = self.column(Kind::Text);
        let mut sql = format!(
            "SELECT {group} AS g, count(*), count({value}), sum({value}), min({value}), max({text}), count(DISTINCT {text}) \
             FROM {from}{filter} GROUP BY 1"
        );
        if self.random.below(2) == 0 {
            write!(sql, " HAVING count(*) > {}", self.random.below(3)).unwrap();
        }
        sql
    }

    fn change(&mut self) -> String {
        self.from = vec!["a"];
        let (kind, filter) = (
            self.pick(&[Kind::Int, Kind::Big, Kind::Numeric, Kind::Text, Kind::Date]),
            self.condition(2),
        );
        let column =
            COLUMNS.iter().filter(|(name, k)| *k == kind && *name != "id").map(|(name, _)| *name);
        let columns: Vec<_> = column.collect();
        let column = self.pick(&columns);
        match self.random.below(4) {
            0 => format!("DELETE FROM a WHERE {filter} AND a.id % 7 = {}", self.random.below(7)),
            1 => format!(
                "INSERT INTO a SELECT b.id + {}, b.i, b.j, b.b, b.n, b.t, b.f, b.d FROM b WHERE b.id < 6",
                self.random.below(2_000)
            ),
            _ => format!("UPDATE a SET {column} = {} WHERE {filter}", self.expression(kind, 2)),
        }
    }
}

fn fill(random: &mut Random, table: &str) -> String {
    let mut sql = format!("INSERT INTO {table} VALUES ");
    for id in 1..=40 {
        let mut maker = Maker { random, from: vec![] };
        let values: Vec<_> = COLUMNS[1..].iter().map(|(_, kind)| maker.literal(*kind)).collect();
        let between = if id == 1 { "" } else { ", " };
        write!(sql, "{between}({id}, {})", values.join(", ")).unwrap();
    }
    sql
}

/// The type whose digits after the point may be shown differently, see docs/sql.md.
const NUMERIC: u32 = 1700;

/// Rows in an order of their own, so that only their number and content count; numbers without trailing zeros.
fn sorted(answer: &Answer) -> Vec<Vec<Option<String>>> {
    let types: Vec<_> = answer.columns.iter().flatten().map(|c| c.type_oid).collect();
    let plain = |(value, type_oid): (&Option<String>, &u32)| match value {
        Some(text) if *type_oid == NUMERIC && text.contains('.') => {
            Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
        }
        other => other.clone(),
    };
    let mut rows: Vec<Vec<_>> =
        answer.rows.iter().map(|row| row.iter().zip(&types).map(plain).collect()).collect();
    rows.sort();
    rows
}

/// PostgreSQL doesn't compute what a NULL beside it makes needless; Stele may, and then says what overflows in it.
/// That is an error more, never a wrong row; it must stay rare.
fn is_stricter(failure: &Failure) -> bool {
    matches!(failure.sqlstate.as_str(), "22003" | "22012")
}

/// Compares two outcomes; why they differ, if they do.
fn difference(
    stele: &Result<Answer, Failure>,
    postgres: &Result<Answer, Failure>,
) -> Option<String> {
    match (stele, postgres) {
        (Ok(got), Ok(expected)) => {
            let types = |a: &Answer| {
                a.columns.as_ref().map(|c| c.iter().map(|c| c.type_oid).collect::<Vec<_>>())
            };
            if types(got) != types(expected) {
                return Some(format!("types {:?}, expected {:?}", types(got), types(expected)));
            }
            if got.tag != expected.tag {
                return Some(format!("{}, expected {}", got.tag, expected.tag));
            }
            let (got, expected) = (sorted(got), sorted(expected));
            let at = got.iter().zip(&expected).position(|(g, e)| g != e)?;
            Some(format!("row {:?}, expected {:?}", got[at], expected[at]))
        }
        (Err(failure), _) if failure.sqlstate == "0A000" => None,
        (Err(failure), Ok(_)) if is_stricter(failure) => None,
        // Which of several faulty values is met first is nobody's promise; that it is an error is.
        (Err(got), Err(expected)) if got.sqlstate[..2] == expected.sqlstate[..2] => None,
        (Err(got), Err(expected)) => Some(format!("{got}, expected {expected}")),
        (Err(got), Ok(_)) => Some(format!("{got}, expected rows")),
        // A row that another condition takes away need not be computed.
        (Ok(got), Err(expected)) if got.rows.is_empty() && expected.sqlstate.starts_with("22") => {
            None
        }
        (Ok(got), Err(expected)) => Some(format!("{} rows, expected {expected}", got.rows.len())),
    }
}

#[test]
#[ignore = "a search for differences, not a check: run it with `cargo test -p server --test it differential -- --ignored`"]
fn random_statements_mean_the_same() {
    let statements = number("STELE_TEST_STATEMENTS", 400);
    let mut random = Random::from_environment("STELE_TEST_SEED");
    let mut server = Server::start();
    let cluster = Postgres::start();
    let mut stele = server.client();
    let mut postgres = Client::connect(&cluster.address()).unwrap();
    for sql in [
        format!("CREATE TABLE a {TABLE}"),
        format!("CREATE TABLE b {TABLE}"),
        "CREATE INDEX a_i ON a (i)".to_owned(),
        "CREATE INDEX b_t ON b (t)".to_owned(),
        fill(&mut random, "a"),
        fill(&mut random, "b"),
    ] {
        postgres.run(&sql).unwrap();
        stele.run(&sql).unwrap();
    }
    let (mut refused, mut errors, mut stricter, mut complaints) = (0, 0, 0, Vec::new());
    for _ in 0..statements {
        let mut maker = Maker { random: &mut random, from: vec![] };
        let sql = if maker.random.below(5) == 0 { maker.change() } else { maker.query() };
        let (got, expected) = (stele.run(&sql), postgres.run(&sql));
        refused += usize::from(matches!(&got, Err(f) if f.sqlstate == "0A000"));
        errors += usize::from(expected.is_err());
        stricter += u64::from(matches!((&got, &expected), (Err(f), Ok(_)) if is_stricter(f)));
        if let Some(why) = difference(&got, &expected) {
            complaints.push(format!("{sql};\n    {why}"));
        }
        if matches!(&got, Err(f) if f.sqlstate == "lost") {
            assert!(server.is_alive(), "{sql}: {}", server.log_text());
            stele = server.client();
        }
        // What one refused would make all later statements differ.
        if got.is_err() && expected.is_ok() && !sql.starts_with("SELECT") {
            for sql in ["DELETE FROM a", "INSERT INTO a SELECT * FROM b"] {
                postgres.run(sql).unwrap();
                stele.run(sql).unwrap();
            }
        }
    }
    println!(
        "{statements} statements: {errors} errors in both, {refused} refused, {} differ",
        complaints.len()
    );
    assert!(stricter * 50 <= statements, "{stricter} of {statements} fail in Stele alone");
    assert!(complaints.is_empty(), "{} differ:\n{}", complaints.len(), complaints.join("\n"));
}
