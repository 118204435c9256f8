//! The short path beside the ordinary one: the same random statements on the same random rows through
//! both, with equal results, errors and tables afterwards. And what a kept plan depends on.

use std::fmt::Write as _;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use ledger::Value;

use super::{engine, run, session, state, tag};
use crate::{Outcome, Parameter, Session};

/// A small generator (SplitMix64): a failure names its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of.get(self.below(of.len())).copied().unwrap_or_default()
    }
}

const TABLES: &str = "
    create table parent (id int primary key, name text);
    create table t (
        a int primary key, b bigint, c text unique, d numeric(8,2), e boolean, f float8, g date,
        h varchar(5), i smallint, j timestamp, k real, l numeric,
        p int references parent, check (b < 1000)
    );
    create index on t (b);
    create index on t (i, e);
    create table u (x text, y int, z int, primary key (x, y));
    create table loose (m int, n text);
    create index on loose (m);
    insert into parent values (1, 'one'), (2, 'two'), (3, 'three');
    insert into u select 'k' || g, g, g from generate_series(1, 5) g;
    insert into loose select g % 3, 'n' || g from generate_series(1, 9) g;
";

const COLUMNS: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "p"];

fn number(random: &mut Random) -> &'static str {
    random.pick(&[
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "7",
        "-1",
        "40000",
        "999",
        "1000",
        "3000000000",
        "NULL",
        "2147483647",
        "-2147483648",
        "1.5",
        "2.00",
        "'3'",
    ])
}

/// An expression that is a number or NULL, over the columns of `t`.
fn numeric(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return match random.below(2) {
            0 => random.pick(&["a", "b", "d", "f", "i", "k", "l", "p"]).to_string(),
            _ => number(random).to_string(),
        };
    }
    let (x, y) = (numeric(random, depth - 1), numeric(random, depth - 1));
    match random.below(8) {
        0 => format!("({x} + {y})"),
        1 => format!("({x} - {y})"),
        2 => format!("({x} * {y})"),
        3 => format!("({x} / {y})"),
        4 => format!("coalesce({x}, {y})"),
        5 => format!("case when {} then {x} else {y} end", truth(random, depth - 1)),
        6 => format!("abs({x})"),
        _ => format!("(- {x})"),
    }
}

fn text(random: &mut Random) -> String {
    match random.below(7) {
        0 => "c".to_string(),
        1 => "h".to_string(),
        2 => "upper(c)".to_string(),
        3 => "c || 'x'".to_string(),
        4 => "substr(c, 2)".to_string(),
        5 => "'abcdefgh'".to_string(),
        _ => "NULL".to_string(),
    }
}

fn truth(random: &mut Random, depth: usize) -> String {
    let x = numeric(random, depth.saturating_sub(1));
    let y = numeric(random, 0);
    match random.below(9) {
        0 => format!("{x} < {y}"),
        1 => format!("{x} <> {y}"),
        2 => format!("{x} >= {y}"),
        3 => format!("{x} is null"),
        4 => format!("{x} is distinct from {y}"),
        5 => format!("{x} in ({y}, 2, NULL)"),
        6 => "e".to_string(),
        7 => format!("not ({x} = {y})"),
        _ => format!("(c = {} or e is not true)", text(random)),
    }
}

/// A condition that a key, or nearly one, fixes.
fn condition(random: &mut Random) -> String {
    let by = match random.below(10) {
        0..=3 => format!("a = {}", number(random)),
        4 => format!("{} = a", number(random)),
        5 => format!("b = {}", number(random)),
        6 => format!("c = 'c{}'", random.below(9)),
        7 => format!("i = {} and e = {}", number(random), random.pick(&["true", "false", "NULL"])),
        8 => format!("a = {} and a = {}", number(random), number(random)),
        _ => format!("a = {}", numeric(random, 1)),
    };
    match random.below(3) {
        0 => format!("{by} and {}", truth(random, 1)),
        _ => by,
    }
}

fn row(random: &mut Random) -> String {
    let mut row = String::new();
    let a = random.below(12);
    let mut value = |options: &[&str]| random.pick(options).to_string();
    let b = value(&["1", "2", "500", "1000", "NULL", "5"]);
    let d = value(&["1.5", "2.005", "NULL", "999999.99", "1234567", "7"]);
    let e = value(&["true", "false", "NULL"]);
    let f = value(&["0", "-0.0", "1e10", "NULL", "'NaN'", "2.5"]);
    let g = value(&["'2024-02-29'", "NULL", "'2024-13-01'", "date '2020-01-01'"]);
    let h = value(&["'abc'", "'abcdef'", "NULL", "'abc     '", "7"]);
    let i = value(&["1", "2", "40000", "NULL"]);
    let j = value(&["'2024-01-01 10:00'", "NULL", "date '2024-01-01'"]);
    let k = value(&["0.1", "1e30", "NULL", "3"]);
    let l = value(&["0.1", "100", "NULL", "1.10"]);
    let p = value(&["1", "2", "NULL", "9", "3"]);
    write!(row, "({a}, {b}, 'c{a}', {d}, {e}, {f}, {g}, {h}, {i}, {j}, {k}, {l}, {p})").ok();
    row
}

/// One statement.
fn statement(random: &mut Random) -> String {
    let where_ = condition(random);
    match random.below(16) {
        0..=2 => {
            let rows: Vec<String> = (0..1 + random.below(3)).map(|_| row(random)).collect();
            let end = random.pick(&["", "", "returning a, d + 1", "on conflict (a) do nothing"]);
            format!("insert into t values {} {end}", rows.join(", "))
        }
        3 => format!(
            "insert into t (a, b, d, j) values ({} + 1, abs(-3), 10 / 4.0, current_date)",
            random.below(12)
        ),
        4 | 5 => {
            let sets = ["a", "b", "d", "f", "i", "k", "l"];
            let column = random.pick(&sets);
            format!("update t set {column} = {} where {where_}", numeric(random, 2))
        }
        6 => format!(
            "update t set h = {}, e = {} where {where_} returning *",
            text(random),
            truth(random, 1)
        ),
        7 => format!("update t set b = default, c = c || '!' where {where_}"),
        8 => format!("delete from t where {where_}"),
        9 => format!("delete from t where {where_} returning a, c"),
        10 => format!("select * from t where {where_}"),
        11 => format!(
            "select {}, {}, {} from t x where {}",
            numeric(random, 2),
            text(random),
            truth(random, 1),
            where_
        ),
        12 => format!("select {} from t where {where_} for update", random.pick(COLUMNS)),
        13 => format!(
            "select x, z from u where y = {} and x = 'k{}'",
            number(random),
            random.below(7)
        ),
        14 => format!("select m, n || '?' from loose where m = {}", number(random)),
        _ => format!(
            "update u set z = z + y where x = 'k{}' and y = {}",
            random.below(7),
            number(random)
        ),
    }
}

/// Statements that must not need the planner when they run.
const POINTS: &[&str] = &[
    "select * from t where a = 1",
    "select b + 1, abs(i) from t where a = $1 and e",
    "select a from t where $1 = a",
    "select a from t where c = 'x'",
    "select a from t where i = 1 and e = true",
    "select a from t where b = $1::int",
    "select z from u where x = $1 and y = 1",
    "select n from loose where m = 1",
    "select 1, now()",
    "update t set b = b + $1 where a = $2",
    "update t set b = b + 1, c = 'x' where a = 1 and p is null returning *",
    "delete from t where a = 1",
    "insert into t (a, j, b) values ($1, current_timestamp, 1 + 1)",
];

#[tokio::test]
async fn point_statements_need_no_planner() {
    let engine = engine();
    let mut session = session(&engine);
    run(&mut session, TABLES).await.expect("tables");
    for text in POINTS {
        let statement = session.parse(text).expect("a statement").pop().expect("one");
        let prepared = session.prepare(statement, &[]).await.expect(text);
        assert_eq!(prepared.statement.slot.is_point(), Some(true), "{text}");
    }
    for text in ["select a from t where a < 1", "select ledger_block from t where a = 1"] {
        let statement = session.parse(text).expect("a statement").pop().expect("one");
        let prepared = session.prepare(statement, &[]).await.expect(text);
        assert_eq!(prepared.statement.slot.is_point(), Some(false), "{text}");
    }
}

#[tokio::test]
async fn texts_are_recalled_with_other_literals() {
    let engine = engine();
    let mut session = session(&engine);
    run(&mut session, TABLES).await.expect("tables");
    let recalled = [
        "select b, c from t where a = 7;",
        "select abs(d) from t where a = 7",
        "update t set b = b + -5 where a = 7",
        "insert into u (x, y, z) values ('x', 7, -7), ('y', 7, 8)",
        "insert into t (a, j) values (7, CURRENT_TIMESTAMP)",
        "begin",
        "end;",
    ];
    for text in recalled {
        assert!(session.recall(text).await.is_none(), "{text}");
        assert!(session.recall(text).await.is_some(), "{text}");
        let other = text.replace('7', "9");
        let (_, parameters) = session.recall(&other).await.expect(text);
        assert_eq!(parameters.is_empty(), !text.contains('7'), "{text}");
    }
    let other = [
        "select count(*) from t",
        "select a from t order by 1",
        // The places are part of the result's type.
        "select round(d, 1) from t where a = 1",
        "select d + '1.5' from t where a = 1",
        "select a from t where a = 1 and d = '1.5'",
        "create table v (a int)",
        "set search_path = 'one'",
        "nonsense 1",
    ];
    for text in other {
        for _ in 0..3 {
            assert!(session.recall(text).await.is_none(), "{text}");
        }
    }
    run(&mut session, "set ledger.short_path = off").await.expect("a setting");
    assert!(session.recall("select b, c from t where a = 7").await.is_none());
}

/// What a statement gave, in words.
async fn answer(session: &mut Session, text: &str, parameters: &[Parameter]) -> String {
    match try_answer(session, text, parameters).await {
        Ok(said) => said,
        Err(error) => {
            session.fail();
            let report = error.report();
            format!("{} {} {:?}", report.sqlstate, report.message, report.detail)
        }
    }
}

async fn try_answer(
    session: &mut Session,
    text: &str,
    parameters: &[Parameter],
) -> Result<String, crate::Error> {
    let mut said = String::new();
    let mut all = Vec::new();
    let recalled = if parameters.is_empty() { session.recall(text).await } else { None };
    match recalled {
        Some((prepared, parameters)) => all.push(((*prepared).clone(), parameters)),
        None => {
            let oids: Vec<u32> = parameters.iter().map(|parameter| parameter.oid).collect();
            for statement in session.parse(text)? {
                let prepared = session.prepare(statement, &oids).await?;
                all.push((prepared, parameters.to_vec()));
            }
        }
    }
    for (prepared, parameters) in all {
        match session.execute(&prepared, parameters).await? {
            Outcome::Done { tag } => said.push_str(&tag),
            Outcome::Rows { columns, mut stream, tag } => {
                for column in &columns {
                    write!(said, "{} {} {}|", column.name, column.type_oid, column.typmod).ok();
                }
                let mut rows = Vec::new();
                while let Some(batch) = stream.next().await {
                    let batch = batch?;
                    let options = FormatOptions::default().with_null("NULL");
                    let formats: Vec<ArrayFormatter<'_>> = batch
                        .columns()
                        .iter()
                        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
                        .collect::<Result<_, _>>()
                        .map_err(|error| crate::Error::internal(error.to_string()))?;
                    for at in 0..batch.num_rows() {
                        let cells: Vec<String> =
                            formats.iter().map(|format| format.value(at).to_string()).collect();
                        rows.push(cells.join(","));
                    }
                }
                rows.sort();
                write!(said, "{} {rows:?}", tag.text(rows.len() as u64)).ok();
            }
            other => write!(said, "{other:?}").unwrap_or(()),
        }
    }
    session.finish_implicit().await?;
    Ok(said)
}

#[tokio::test]
async fn both_paths_say_the_same() {
    for seed in 0..12 {
        let mut random = Random(seed);
        let (one, other) = (engine(), engine());
        let (mut short, mut long) = (session(&one), session(&other));
        for session in [&mut short, &mut long] {
            run(session, TABLES).await.expect("tables");
        }
        run(&mut long, "set ledger.short_path = off").await.expect("a setting");
        let mut done = Vec::new();
        for _ in 0..60 {
            let text = match random.below(20) {
                0 => "begin".to_string(),
                1 => "commit".to_string(),
                2 => "rollback".to_string(),
                _ => statement(&mut random),
            };
            let (a, b) =
                (answer(&mut short, &text, &[]).await, answer(&mut long, &text, &[]).await);
            done.push(text);
            assert_eq!(a, b, "seed {seed}: {}", done.join(";\n"));
        }
        run(&mut short, "rollback").await.expect("an end");
        run(&mut long, "rollback").await.expect("an end");
        let all = "select * from t; select * from u";
        let (a, b) = (answer(&mut short, all, &[]).await, answer(&mut long, all, &[]).await);
        assert_eq!(a, b, "seed {seed}: {}", done.join(";\n"));
    }
}

fn bound(values: &[Option<Value>], oids: &[u32]) -> Vec<Parameter> {
    let pairs = values.iter().zip(oids);
    pairs.map(|(value, oid)| Parameter { oid: *oid, value: value.clone() }).collect()
}

#[tokio::test]
async fn parameters_are_the_same_in_both() {
    let (one, other) = (engine(), engine());
    let (mut short, mut long) = (session(&one), session(&other));
    for session in [&mut short, &mut long] {
        run(session, TABLES).await.expect("tables");
    }
    run(&mut long, "set ledger.short_path = off").await.expect("a setting");
    let (int, big, text, open) = (23, 20, 25, 705);
    let word = |word: &str| Some(Value::Text(word.to_string()));
    let cases: &[(&str, Vec<Parameter>)] = &[
        (
            "insert into t (a, b, c) values ($1, $2, $3)",
            bound(&[Some(Value::Int4(1)), Some(Value::Int8(5)), word("x")], &[int, big, text]),
        ),
        (
            "insert into t (a, b, c) values ($1, $2, $3)",
            bound(&[word("2"), word(" 7 "), None], &[open, open, open]),
        ),
        (
            "insert into t (a, d) values ($1 + 1, $2)",
            bound(&[Some(Value::Int4(2)), word("1.005")], &[int, open]),
        ),
        ("select a, b, c from t where a = $1", bound(&[Some(Value::Int4(1))], &[int])),
        ("select a, b, c from t where a = $1", bound(&[Some(Value::Int8(1))], &[big])),
        ("select a, b, c from t where a = $1", bound(&[Some(Value::Int8(1 << 40))], &[big])),
        ("select a, b, c from t where a = $1", bound(&[word("2")], &[open])),
        ("select a, b, c from t where a = $1", bound(&[word("zwei")], &[open])),
        ("select a, b, c from t where a = $1", bound(&[None], &[int])),
        (
            "select a, b + $2 from t where c = $1",
            bound(&[word("x"), Some(Value::Int4(3))], &[text, int]),
        ),
        (
            "update t set b = b + $1 where a = $2",
            bound(&[Some(Value::Int4(-4)), Some(Value::Int4(1))], &[int, int]),
        ),
        (
            "update t set b = $1 where a = $2 returning b",
            bound(&[Some(Value::Int4(5000)), Some(Value::Int4(1))], &[int, int]),
        ),
        (
            "update t set h = $1 where a = $2 returning h",
            bound(&[word("toolong"), Some(Value::Int4(1))], &[text, int]),
        ),
        ("select $1::int + 1, now() = now(), $2", bound(&[word("4"), word("z")], &[open, open])),
        (
            "delete from t where a = $1 and b = $2",
            bound(&[Some(Value::Int4(1)), Some(Value::Int8(1))], &[int, big]),
        ),
        ("select count(*), sum(b) from t", Vec::new()),
    ];
    for (text, parameters) in cases {
        let a = answer(&mut short, text, parameters).await;
        let b = answer(&mut long, text, parameters).await;
        assert_eq!(a, b, "{text}");
    }
}

/// The first column of a query, in order.
async fn shown(session: &mut Session, prepared: &crate::Prepared) -> String {
    match session.execute(prepared, Vec::new()).await {
        Ok(Outcome::Rows { mut stream, .. }) => {
            let mut said = Vec::new();
            while let Some(batch) = stream.next().await {
                let batch = batch.expect("a batch");
                let column = batch.column(0);
                for at in 0..batch.num_rows() {
                    let value = arrow::util::display::array_value_to_string(column, at);
                    said.push(value.expect("a value"));
                }
            }
            said.sort();
            said.join(" ")
        }
        Ok(other) => format!("{other:?}"),
        Err(error) => error.sqlstate(),
    }
}

#[tokio::test]
async fn a_plan_is_kept_only_for_its_search_path() {
    let engine = engine();
    let mut session = session(&engine);
    run(
        &mut session,
        "create schema one; create table one.t (a int primary key, b text); insert into one.t values (1, 'one');
         create schema two; create table two.t (a int primary key, b text); insert into two.t values (1, 'two');
         set search_path = one",
    )
    .await
    .expect("tables");
    for text in ["select b from t where a = 1", "select b from t order by b"] {
        run(&mut session, "set search_path = one").await.expect("a setting");
        let statement = session.parse(text).expect("a statement").pop().expect("one");
        let prepared = session.prepare(statement, &[]).await.expect("prepared");
        assert_eq!(shown(&mut session, &prepared).await, "one", "{text}");
        run(&mut session, "set search_path = two").await.expect("a setting");
        assert_eq!(shown(&mut session, &prepared).await, "two", "{text}");
        run(&mut session, "begin; set local search_path = one").await.expect("a setting");
        assert_eq!(shown(&mut session, &prepared).await, "one", "{text}");
        run(&mut session, "rollback").await.expect("an end");
        assert_eq!(shown(&mut session, &prepared).await, "two", "{text}");
    }
}

#[tokio::test]
async fn a_plan_follows_the_catalog() {
    let engine = engine();
    let mut session = session(&engine);
    run(&mut session, "create table t (a int primary key, b int); insert into t values (1, 10)")
        .await
        .expect("a table");
    let statement = session.parse("select b from t where a = 1").expect("a statement").pop();
    let prepared = session.prepare(statement.expect("one"), &[]).await.expect("prepared");
    assert_eq!(shown(&mut session, &prepared).await, "10");
    run(&mut session, "alter table t rename b to c; alter table t add b int default 7")
        .await
        .expect("another table");
    assert_eq!(shown(&mut session, &prepared).await, "7");
    run(&mut session, "begin; alter table t drop constraint t_pkey").await.expect("no key");
    assert_eq!(shown(&mut session, &prepared).await, "7");
    run(&mut session, "insert into t values (1, 2, 3), (2, 2, 4)").await.expect("rows");
    assert_eq!(shown(&mut session, &prepared).await, "3 7");
    run(&mut session, "rollback; drop table t").await.expect("no table");
    assert_eq!(shown(&mut session, &prepared).await, "42P01");
}

#[tokio::test]
async fn keys_are_found_in_the_past_and_in_the_own_transaction() {
    let engine = engine();
    let mut one = session(&engine);
    run(&mut one, "create table t (a int primary key, b int); insert into t values (1, 1)")
        .await
        .expect("a table");
    let before = engine.state().head().height.0;
    assert_eq!(tag(&mut one, "update t set b = 2 where a = 1").await, "UPDATE 1");
    run(&mut one, "begin; insert into t values (2, 5); update t set a = 3 where a = 1")
        .await
        .expect("changes");
    for (text, wanted) in [
        ("select b from t where a = 1", "SELECT 0"),
        ("select b from t where a = 3", "SELECT 1"),
        ("update t set b = b + 1 where a = 2", "UPDATE 1"),
        ("delete from t where a = 3", "DELETE 1"),
        ("delete from t where a = 3", "DELETE 0"),
        ("select b from t where a = 2 and b = 6", "SELECT 1"),
    ] {
        assert_eq!(tag(&mut one, text).await, wanted, "{text}");
    }
    run(&mut one, "rollback").await.expect("an end");
    run(&mut one, &format!("set ledger.as_of = 'block:{before}'")).await.expect("a height");
    assert_eq!(tag(&mut one, "select b from t where a = 1 and b = 1").await, "SELECT 1");
    assert_eq!(state(&mut one, "update t set b = 3 where a = 1").await, "25006");
}

#[tokio::test]
async fn a_named_block_is_looked_into_by_key_and_its_plan_is_kept() {
    let engine = engine();
    let mut session = session(&engine);
    run(&mut session, "create table t (a int primary key, b int); insert into t values (1, 0)")
        .await
        .expect("a table");
    let mut heights = Vec::new();
    for text in [
        "update t set b = 1 where a = 1",
        "update t set a = 2 where a = 1",
        "insert into t values (1, 7)",
        "delete from t where a = 1",
        "alter table t rename b to c; insert into t values (1, 8)",
    ] {
        run(&mut session, text).await.expect("a change");
        heights.push(engine.state().head().height.0);
    }
    // Own rows are not in the past.
    run(&mut session, "begin; update t set c = 9 where a = 1").await.expect("a change");
    let expected = ["1", "", "7", "", "8"];
    for short in ["on", "off"] {
        run(&mut session, &format!("set local ledger.short_path = {short}")).await.expect("a path");
        for (height, wanted) in heights.iter().zip(expected) {
            let column = if wanted == "8" { "c" } else { "b" };
            for from in [
                format!("ledger.as_of('t', 'block:{height}')"),
                format!("t for system_time as of 'block:{height}'"),
            ] {
                let text = format!("select {column} from {from} where a = 1");
                let statement = session.parse(&text).expect("a statement").pop().expect("one");
                let prepared = session.prepare(statement, &[]).await.expect("prepared");
                for _ in 0..2 {
                    assert_eq!(shown(&mut session, &prepared).await, wanted, "{text}");
                }
                assert_eq!(prepared.statement.slot.is_point(), Some(true), "{text}");
            }
        }
    }
    run(&mut session, "rollback").await.expect("an end");
    // What a time means is asked each time.
    let statement = session.parse("select c from t for system_time as of now() where a = 1");
    let statement = statement.expect("a statement").pop().expect("one");
    let prepared = session.prepare(statement, &[]).await.expect("prepared");
    assert_eq!(shown(&mut session, &prepared).await, "8");
    assert_eq!(prepared.statement.slot.is_point(), None);
}
