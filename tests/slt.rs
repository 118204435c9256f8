//! The SQL scripts of tests/sql, run against Stele and against a real PostgreSQL: one expectation for both.
//!
//! What a script expects is recorded from PostgreSQL, never from Stele:
//! `STELE_TEST_RECORD=1 cargo test -p server --test it slt::postgresql` writes each script of tests/sql anew.
//! Scripts in tests/sql/ledger say what PostgreSQL doesn't have; they are written by hand and run on Stele alone.
//! `STELE_TEST_SCRIPT=joins` runs only scripts with that in their name.
//!
//! What Stele is known not to do yet stands in tests/sql/KNOWN.md, each with its reason; the list may only shrink: a
//! statement on it that passes fails the test, and so does one that fails and isn't on it. `STELE_TEST_SHRINK=1` takes
//! off what passes.
//!
//! A column's letter in `query` is its type as RowDescription tells it, see [`Shape`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqllogictest::{
    ColumnType, DB, DBOutput, ExpectedError, QueryExpect, Record, RecordOutput, Runner,
    StatementExpect, TestError, TestErrorKind, parse_file,
};

use crate::client::{Address, Answer, Client, Failure, Way};
use crate::postgres::Postgres;
use crate::server::Server;

/// Between the values of a row.
const BETWEEN: &str = "|";

/// The type of a column, one letter for each type that scripts meet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape(char);

const SHAPES: &[(u32, char)] = &[
    (16, 'B'),   // bool
    (17, 'X'),   // bytea
    (18, 'H'),   // "char"
    (19, 'G'),   // name
    (20, 'L'),   // int8
    (21, 'S'),   // int2
    (23, 'I'),   // int4
    (25, 'T'),   // text
    (26, 'O'),   // oid
    (114, 'J'),  // json
    (700, 'F'),  // float4
    (701, 'R'),  // float8
    (1042, 'C'), // char(n)
    (1043, 'V'), // varchar(n)
    (1082, 'D'), // date
    (1083, 'M'), // time
    (1114, 'P'), // timestamp
    (1184, 'Z'), // timestamptz
    (1186, 'Y'), // interval
    (1700, 'N'), // numeric
    (2278, 'W'), // void
    (2950, 'U'), // uuid
    (3802, 'K'), // jsonb
];

/// Arrays of the types above, whatever their element.
const ARRAYS: &[u32] = &[
    1000, 1001, 1002, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1028, 1115, 1182, 1183,
    1185, 1187, 1231, 199, 2951, 3807,
];

impl Shape {
    fn of(type_oid: u32) -> Self {
        let known = SHAPES.iter().find(|(oid, _)| *oid == type_oid);
        Self(known.map_or_else(
            || if ARRAYS.contains(&type_oid) { 'A' } else { '?' },
            |(_, letter)| *letter,
        ))
    }
}

impl ColumnType for Shape {
    fn from_char(letter: char) -> Option<Self> {
        Some(Self(letter))
    }

    fn to_char(&self) -> char {
        self.0
    }
}

/// A connection as sqllogictest wants it.
struct Connection {
    address: Address,
    way: Way,
    client: Option<Client>,
}

impl DB for Connection {
    type Error = Failure;
    type ColumnType = Shape;

    fn run(&mut self, sql: &str) -> Result<DBOutput<Shape>, Failure> {
        let client = match &mut self.client {
            Some(client) => client,
            None => {
                let mut client = Client::connect(&self.address)?;
                client.take_way(self.way);
                self.client.insert(client)
            }
        };
        let answer = client.run(sql);
        if matches!(&answer, Err(failure) if failure.sqlstate == "lost") {
            self.client = None;
        }
        Ok(output(answer?))
    }

    fn shutdown(&mut self) {
        self.client = None;
    }

    fn error_sql_state(failure: &Failure) -> Option<String> {
        Some(failure.sqlstate.clone())
    }
}

fn output(answer: Answer) -> DBOutput<Shape> {
    let Some(columns) = answer.columns else {
        let count = answer.tag.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        return DBOutput::StatementComplete(count);
    };
    let shown = |value: Option<String>| match value {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() => "(empty)".to_owned(),
        Some(text) => text.replace('\n', "\\n"),
    };
    DBOutput::Rows {
        types: columns.iter().map(|c| Shape::of(c.type_oid)).collect(),
        rows: answer.rows.into_iter().map(|row| row.into_iter().map(shown).collect()).collect(),
    }
}

fn is_equal(_: fn(&String) -> String, actual: &[Vec<String>], expected: &[String]) -> bool {
    actual.len() == expected.len()
        && actual
            .iter()
            .zip(expected)
            .all(|(row, line)| row.join(BETWEEN).trim_end() == line.trim_end())
}

/// How a script went.
#[derive(Default)]
struct Score {
    records: usize,
    complaints: Vec<String>,
    /// Lines of the list, for each statement that failed.
    failed: Vec<String>,
}

/// Statements of a script that Stele is known to fail, as [`name_of`] names them.
fn known(script: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("sql/KNOWN.md")).unwrap();
    let start = format!("| `{script}` | `");
    text.lines()
        .filter_map(|line| line.strip_prefix(&start)?.split("` | ").next())
        .map(str::to_owned)
        .collect()
}

/// Takes off the list what doesn't fail any more in the scripts that ran. It never adds.
fn shrink(scripts: &[PathBuf], failed: &[String]) {
    let ran = |line: &str| {
        let script = line.trim_start_matches("| `").split('`').next().unwrap_or_default();
        scripts.iter().any(|path| path.file_stem().is_some_and(|stem| stem == script))
    };
    let path = root().join("sql/KNOWN.md");
    let start = |line: &str| line.split("` | ").take(2).collect::<Vec<_>>().join("` | ");
    let failed: BTreeSet<String> = failed.iter().map(|line| start(line)).collect();
    let text = std::fs::read_to_string(&path).unwrap();
    let kept = text
        .lines()
        .filter(|line| !line.starts_with("| `") || !ran(line) || failed.contains(&start(line)));
    let kept: Vec<_> = kept.collect();
    std::fs::write(&path, format!("{}\n", kept.join("\n"))).unwrap();
}

/// What the list calls a statement: one line, not too long, numbered when it stands in its script again.
fn name_of(sql: &str, seen: &mut BTreeMap<String, usize>) -> String {
    let line: Vec<_> = sql.split_whitespace().collect();
    let name: String =
        line.join(" ").replace('|', "¦").replace('`', "'").chars().take(140).collect();
    let times = seen.entry(name.clone()).or_insert(0);
    *times += 1;
    if *times == 1 { name } else { format!("{name} #{times}") }
}

/// Why a statement fails, in a cell of a table: an error's text, or that the rows differ.
fn reason(e: &TestError) -> String {
    let text = match e.kind() {
        TestErrorKind::Fail { err, .. } => format!("{err}"),
        TestErrorKind::ErrorMismatch { err, expected_err, .. } => {
            format!("{err}; PostgreSQL: {}", expected_err.trim_start_matches("(sqlstate) "))
        }
        TestErrorKind::Ok { .. } => "no error".to_owned(),
        TestErrorKind::QueryResultColumnsMismatch { .. } => "another type".to_owned(),
        TestErrorKind::StatementResultMismatch { .. } => "another number of rows".to_owned(),
        _ => "other rows, or shown otherwise".to_owned(),
    };
    text.replace('\n', " ").replace('|', "¦").chars().take(120).collect()
}

impl Score {
    /// Of the same script, run again another way.
    fn and(mut self, other: Self) -> Self {
        self.complaints.extend(other.complaints);
        self
    }
}

/// Runs one script, whole, whatever fails on the way.
fn run_script(path: &Path, engine: &str, address: &Address, way: Way) -> Score {
    let mut score = Score::default();
    let records = match parse_file::<Shape>(path) {
        Ok(records) => records,
        Err(e) => {
            score.complaints.push(format!("{e}"));
            return score;
        }
    };
    let mut runner =
        Runner::new(|| async { Ok(Connection { address: address.clone(), way, client: None }) });
    runner.add_label(engine);
    runner.with_column_validator(|actual, expected| actual == expected);
    runner.with_validator(is_equal);
    let script = path.file_stem().unwrap().to_string_lossy().into_owned();
    let known = if engine == "stele" { known(&script) } else { BTreeSet::new() };
    let mut seen = BTreeMap::new();
    for record in records {
        let (Record::Statement { sql, .. } | Record::Query { sql, .. }) = &record else {
            if let Err(e) = runner.run(record) {
                score.complaints.push(format!("{e}"));
            }
            continue;
        };
        let name = name_of(sql, &mut seen);
        score.records += 1;
        match (runner.run(record), known.contains(&name)) {
            (Ok(_), false) => {}
            (Ok(_), true) => score
                .complaints
                .push(format!("{script}: passes now, take it off tests/sql/KNOWN.md: {name}")),
            (Err(e), is_known) => {
                score.failed.push(format!("| `{script}` | `{name}` | {} |", reason(&e)));
                if !is_known {
                    score.complaints.push(format!("{e}"));
                }
            }
        }
    }
    runner.shutdown();
    score
}

/// Runs the scripts, two at a time, each against a database of its own, and reports all that failed at once.
fn run_all(engine: &str, scripts: &[PathBuf], run: impl Fn(&Path) -> Score + Sync) {
    let next = AtomicUsize::new(0);
    let scores = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(path) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let score = run(path);
                    println!(
                        "{engine}: {}: {} statements, {} failed, {} of them not known",
                        path.file_name().unwrap().display(),
                        score.records,
                        score.failed.len(),
                        score.complaints.len(),
                    );
                    scores.lock().unwrap().push(score);
                }
            });
        }
    });
    let scores = scores.into_inner().unwrap();
    let records: usize = scores.iter().map(|s| s.records).sum();
    let complaints: Vec<_> = scores.iter().flat_map(|s| &s.complaints).collect();
    let mut failed: Vec<_> = scores.iter().flat_map(|s| &s.failed).cloned().collect();
    failed.sort();
    println!("{engine}: {records} statements in {} scripts, {} failed", scores.len(), failed.len());
    if engine == "stele" && std::env::var_os("STELE_TEST_SHRINK").is_some() {
        shrink(scripts, &failed);
    }
    let mut report = String::new();
    for complaint in &complaints {
        writeln!(report, "{complaint}").unwrap();
    }
    if let Some(folder) = std::env::var_os("STELE_TEST_REPORT") {
        let folder = PathBuf::from(folder);
        std::fs::write(folder.join("report.txt"), &report).unwrap();
        std::fs::write(folder.join("failed.md"), failed.join("\n")).unwrap();
    }
    assert!(
        complaints.is_empty(),
        "{} of {records} statements failed:\n{report}",
        complaints.len()
    );
}

fn root() -> PathBuf {
    crate::server::manifest_folder().join("../tests")
}

fn scripts(folder: &str) -> Vec<PathBuf> {
    let root = root().join(folder);
    let wanted = std::env::var("STELE_TEST_SCRIPT").unwrap_or_default();
    let mut paths: Vec<_> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "slt"))
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().contains(&wanted)))
        .collect();
    paths.sort();
    paths
}

#[test]
fn postgresql_answers_as_recorded() {
    let recording = std::env::var_os("STELE_TEST_RECORD").is_some();
    let clusters = [Mutex::new(Postgres::start()), Mutex::new(Postgres::start())];
    run_all("postgresql", &scripts("sql"), |path| {
        let cluster = clusters
            .iter()
            .find_map(|c| c.try_lock().ok())
            .expect("as many clusters as scripts run");
        cluster.fresh_database();
        if recording {
            record(path, &cluster.address());
            cluster.fresh_database();
        }
        let score = run_script(path, "postgresql", &cluster.address(), Way::Simple);
        cluster.fresh_database();
        score.and(run_script(path, "postgresql", &cluster.address(), Way::Extended))
    });
}

#[test]
fn stele_answers_as_postgresql() {
    run_all("stele", &scripts("sql"), |path| on_stele(path, Way::Simple));
}

#[test]
fn stele_answers_alike_in_the_extended_protocol() {
    run_all("stele, extended", &scripts("sql"), |path| on_stele(path, Way::Extended));
}

#[test]
fn ledger_scripts() {
    run_all("stele", &scripts("sql/ledger"), |path| {
        on_stele(path, Way::Simple).and(on_stele(path, Way::Extended))
    });
}

fn on_stele(path: &Path, way: Way) -> Score {
    let mut server = Server::start();
    let mut score = run_script(path, "stele", &server.address(), way);
    if !server.is_alive() {
        score.complaints.push(format!(
            "{}: the server died:\n{}",
            path.display(),
            server.log_text()
        ));
    }
    score
}

/// Writes the script anew with what PostgreSQL answers. Sort modes, comments and conditions stay.
fn record(path: &Path, address: &Address) {
    let mut runner = Runner::new(|| async {
        Ok(Connection { address: address.clone(), way: Way::Simple, client: None })
    });
    runner.add_label("postgresql");
    let mut text = String::new();
    for record in parse_file::<Shape>(path).unwrap() {
        let output = futures::executor::block_on(runner.apply_record(record.clone()));
        let record = recorded(record, &output);
        writeln!(text, "{record}").unwrap();
    }
    runner.shutdown();
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    std::fs::write(path, format!("{}\n", text.trim_end())).unwrap();
}

fn recorded(record: Record<Shape>, output: &RecordOutput<Shape>) -> Record<Shape> {
    let (loc, conditions, connection, sql, sort_mode) = match record {
        Record::Statement { loc, conditions, connection, sql, .. } => {
            (loc, conditions, connection, sql, None)
        }
        Record::Query { loc, conditions, connection, sql, expected, .. } => {
            let sort_mode = match expected {
                QueryExpect::Results { sort_mode, .. } => sort_mode,
                QueryExpect::Error(_) => None,
            };
            (loc, conditions, connection, sql, sort_mode)
        }
        other => return other,
    };
    let statement = |expected| Record::Statement {
        loc: loc.clone(),
        conditions: conditions.clone(),
        connection: connection.clone(),
        sql: sql.clone(),
        expected,
        retry: None,
    };
    match output {
        RecordOutput::Query { types, rows, error: None } => Record::Query {
            loc: loc.clone(),
            conditions: conditions.clone(),
            connection: connection.clone(),
            sql: sql.clone(),
            expected: QueryExpect::Results {
                types: types.clone(),
                sort_mode,
                result_mode: None,
                label: None,
                results: rows.iter().map(|row| row.join(BETWEEN).trim_end().to_owned()).collect(),
            },
            retry: None,
        },
        RecordOutput::Statement { error: None, count } if is_counted(&sql) => {
            statement(StatementExpect::Count(*count))
        }
        RecordOutput::Statement { error: None, .. } => statement(StatementExpect::Ok),
        RecordOutput::Statement { error: Some(e), .. }
        | RecordOutput::Query { error: Some(e), .. } => {
            let failure = e.downcast_ref::<Failure>().expect("an error of our own client");
            let state = ExpectedError::SqlState(failure.sqlstate.clone());
            statement(StatementExpect::Error(state))
        }
        other => panic!("{sql} gave {other:?}"),
    }
}

fn is_counted(sql: &str) -> bool {
    let word = sql.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    matches!(word.as_str(), "insert" | "update" | "delete" | "merge" | "with")
}
