//! Queries against answers recorded from PostgreSQL 15 (`cases.txt`), and against the documented
//! differences (`differences.txt`). The files hold a query, a line `----`, and the rows as psql shows them
//! unaligned; `ERROR sqlstate` stands for a refusal.

mod house;

use std::fmt::Write;

use arrow::record_batch::RecordBatch;

use self::house::House;
use super::{PlanOptions, Planned, collect, plan_query};
use crate::Error;
use crate::functions::{cast, datum_at};

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
                    (crate::functions::Datum::Null, _) => "NULL".to_owned(),
                    (crate::functions::Datum::Bool(b), _) => if *b { "t" } else { "f" }.to_owned(),
                    (
                        crate::functions::Datum::Text(text),
                        crate::types::PgType::Bpchar(Some(n)),
                    ) => {
                        format!("{text:<width$}", width = usize::try_from(*n).unwrap_or(0))
                    }
                    (crate::functions::Datum::Text(text), _) => text.clone(),
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
    let path = format!("{}/src/read/{file}", env!("CARGO_MANIFEST_DIR"));
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
