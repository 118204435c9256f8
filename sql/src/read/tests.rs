//! Queries against answers recorded from PostgreSQL 15 (`cases.txt`): a query, a line `----`, and the rows as
//! psql shows them unaligned; `ERROR sqlstate message` stands for a refusal.

pub(crate) mod house;

use std::fmt::Write;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use self::house::House;
use ledger::Value;

use super::{PlanOptions, Planned, collect, plan_query};
use crate::Error;
use crate::functions::{Datum, cast, datum_at};
use crate::memory::{Spill, query_memory};
use crate::outcome::Parameter;
use crate::types::PgType;

/// One query with its answer.
struct Case<'f> {
    query: &'f str,
    answer: &'f str,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    text.split("\n\n")
        .map(|block| block.trim_matches('\n'))
        .filter(|block| !block.is_empty() && !block.starts_with("# "))
        .filter_map(|block| block.split_once("\n----"))
        .map(|(query, answer)| Case { query, answer: answer.trim_start_matches('\n') })
        .collect()
}

/// The rows as psql shows them unaligned and without a header.
fn shown(house: &House, planned: &Planned, batches: &[RecordBatch]) -> Result<String, Error> {
    let mut lines = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let mut cells = Vec::new();
            for (column, kind) in batch.columns().iter().zip(&planned.types) {
                let datum = datum_at(column.as_ref(), row)?;
                let mut cell = String::new();
                let text = match (&datum, kind) {
                    (Datum::Null, _) => "NULL".to_owned(),
                    (Datum::Bool(b), _) => if *b { "t" } else { "f" }.to_owned(),
                    (Datum::Text(text), PgType::Bpchar(Some(n))) => {
                        format!("{text:<width$}", width = usize::try_from(*n).unwrap_or(0))
                    }
                    (Datum::Text(text), _) => text.clone(),
                    (datum, kind) => cast::text_of(&house.context, datum, kind),
                };
                write!(cell, "{text}").map_err(|error| Error::internal(error.to_string()))?;
                cells.push(cell);
            }
            lines.push(cells.join("|"));
        }
    }
    Ok(lines.join("\n"))
}

async fn answer(house: &House, query: &str) -> Result<String, Error> {
    let (context, query) = house.parsed(query)?;
    let planned = plan_query(&context, &query, PlanOptions::default())?;
    let batches = collect(&context, &planned, &[]).await?;
    shown(house, &planned, &batches)
}

async fn check(file: &str) {
    let path = format!("{}/src/read/{file}", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let text = std::fs::read_to_string(path).unwrap();
    let house = House::new().await;
    let mut wrong = Vec::new();
    let all = cases(&text);
    for case in &all {
        let got = match answer(&house, case.query).await {
            Ok(rows) => rows,
            Err(error) => {
                let report = error.report();
                format!("ERROR {} {}", report.sqlstate, report.message)
            }
        };
        // A message is told in PostgreSQL's words where that is possible; the SQLSTATE must be equal.
        let same = match (got.strip_prefix("ERROR "), case.answer.strip_prefix("ERROR ")) {
            (Some(got), Some(wanted)) => got.get(..5) == wanted.get(..5),
            _ => got == case.answer,
        };
        if !same {
            wrong.push(format!("{}\n  wanted: {}\n  got:    {got}", case.query, case.answer));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n\n{}", wrong.len(), all.len(), wrong.join("\n\n"));
}

#[tokio::test]
async fn queries_answer_as_postgresql_does() {
    check("cases.txt").await;
}

fn parameter(value: Option<Value>, oid: u32) -> Parameter {
    Parameter { oid, value }
}

async fn with(
    house: &House,
    query: &str,
    oids: &[u32],
    values: &[Parameter],
) -> (Vec<u32>, String) {
    let (context, query) = house.parsed(query).unwrap();
    let options = PlanOptions { parameter_oids: oids, targets: None };
    let planned = plan_query(&context, &query, options).unwrap();
    let batches = collect(&context, &planned, values).await.unwrap();
    let types = planned.parameters.iter().map(PgType::oid).collect();
    (types, shown(house, &planned, &batches).unwrap())
}

#[tokio::test]
async fn parameters_take_the_types_that_their_places_give() {
    let house = House::new().await;
    let text = |text: &str| parameter(Some(Value::Text(text.into())), 0);
    let query = "select name from emp where id = $1";
    let found = with(&house, query, &[], &[text("3")]).await;
    assert_eq!(found, (vec![20], "Cyd".to_owned()));
    let given = parameter(Some(Value::Int4(3)), 23);
    assert_eq!(with(&house, query, &[23], &[given]).await, (vec![23], "Cyd".to_owned()));
    let query = "select name from emp where hired > $1 and salary < $2 order by 1 limit $3";
    let values = [text("2000-01-01"), text("100.5"), text("1")];
    assert_eq!(with(&house, query, &[], &values).await, (vec![1082, 1700, 20], "Bob".to_owned()));
    let query = "select $1::int + 1, coalesce($2, 'x'), $3";
    let values = [text("41"), parameter(None, 0), text("free")];
    let found = with(&house, query, &[], &values).await;
    assert_eq!(found, (vec![23, 25, 25], "42|x|free".to_owned()));
    let query = "select id from emp where id = any($1) order by 1";
    assert_eq!(with(&house, query, &[], &[text("{1,4,9}")]).await, (vec![1016], "1\n4".to_owned()));
}

#[tokio::test]
async fn too_few_parameters_and_bad_texts_are_refused() {
    let house = House::new().await;
    let (context, query) = house.parsed("select 1 where 1 = $1").unwrap();
    let planned = plan_query(&context, &query, PlanOptions::default()).unwrap();
    let error = collect(&context, &planned, &[]).await.unwrap_err();
    assert_eq!(error.sqlstate(), "08P01");
    let bad = parameter(Some(Value::Text("one".into())), 0);
    let error = collect(&context, &planned, &[bad]).await.unwrap_err();
    assert_eq!(error.sqlstate(), "22P02");
}

#[tokio::test]
async fn errors_say_where() {
    let house = House::new().await;
    for (query, position) in [
        ("select nope from emp", 8),
        ("select *\nfrom nope", 15),
        ("select 1 +\n  abs('x'::text)", 14),
    ] {
        let error = answer(&house, query).await.unwrap_err();
        assert_eq!(error.report().position, Some(position), "{query}");
    }
}

#[tokio::test]
async fn columns_are_told_as_rowdescription_needs_them() {
    let house = House::new().await;
    let query = "select id, budget as b, code, budget * 2, count(*) over () from dept";
    let (context, query) = house.parsed(query).unwrap();
    let planned = plan_query(&context, &query, PlanOptions::default()).unwrap();
    let told: Vec<_> = planned
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.type_oid, c.type_len, c.typmod, c.table_oid, c.attnum))
        .collect();
    assert_eq!(
        told,
        [
            ("id", 23, 4, -1, 20_000, 1),
            ("b", 1700, -1, 786_438, 20_000, 3),
            ("code", 1042, -1, 8, 20_000, 4),
            ("?column?", 1700, -1, -1, 0, 0),
            ("count", 20, 8, -1, 0, 0),
        ]
    );
}

#[tokio::test]
async fn a_query_has_no_more_memory_than_its_bound() {
    let mut house = House::new().await;
    house.context.memory = query_memory(1 << 20, None).unwrap();
    let query = "select a, count(*) from generate_series(1, 300000) a group by a order by 2, 1";
    let error = answer(&house, query).await.unwrap_err();
    assert_eq!(error.sqlstate(), "53200");
}

#[tokio::test]
async fn what_does_not_fit_goes_by_disk_and_leaves_nothing_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut house = House::new().await;
    let query = "select a, repeat('x', 100) || a from generate_series(1, 500000) a order by 2";
    let (_, parsed) = house.parsed(query).unwrap();
    let planned = plan_query(&house.context, &parsed, PlanOptions::default()).unwrap();
    let rows = async |house: &House| {
        let batches = collect(&house.context, &planned, &[]).await?;
        Ok::<usize, Error>(batches.iter().map(RecordBatch::num_rows).sum())
    };
    house.context.memory = query_memory(48 << 20, None).unwrap();
    assert_eq!(rows(&house).await.unwrap_err().sqlstate(), "53200");
    let spill = |bytes| Spill { directory: directory.path().to_owned(), bytes };
    house.context.memory = query_memory(48 << 20, Some(&spill(1 << 30))).unwrap();
    assert_eq!(rows(&house).await.unwrap(), 500_000);
    let disk = Arc::clone(&house.context.memory.disk_manager);
    assert!(disk.spilling_progress().active_files_count == 0, "its files are gone");
    house.context.memory = query_memory(48 << 20, Some(&spill(1 << 20))).unwrap();
    assert_eq!(rows(&house).await.unwrap_err().sqlstate(), "53200");
}
