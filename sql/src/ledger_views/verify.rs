//! `ledger.verify()`: every block read again from where it lies, and what was found.

use storage::verify::FileReport;

use crate::functions::Datum;
use crate::lazy;
use crate::read::VirtualTable;
use crate::table::fault;
use crate::types::PgType;

/// One row for each file that blocks lie in. It walks them when it is read.
pub(super) fn relation() -> VirtualTable {
    let columns: Vec<(String, PgType)> = [
        ("object", PgType::Text),
        ("from_block", PgType::Int8),
        ("to_block", PgType::Int8),
        ("bytes", PgType::Int8),
        ("status", PgType::Text),
        ("first_bad", PgType::Int8),
        ("detail", PgType::Text),
    ]
    .map(|(name, kind)| (name.to_owned(), kind))
    .to_vec();
    lazy::small(columns, |context| {
        let report = super::state(context)?.verify(true, &mut |_| {}).map_err(fault)?;
        Ok(report.files.iter().flat_map(rows_of).collect())
    })
}

fn number(value: u64) -> Datum {
    Datum::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// A file's row, or one for each thing that is wrong with it.
fn rows_of(file: &FileReport) -> Vec<Vec<Datum>> {
    let row = |status: &str, bad: Option<u64>, detail: Datum| {
        vec![
            Datum::Text(file.file.clone()),
            file.from.map_or(Datum::Null, |height| number(height.0)),
            file.to.map_or(Datum::Null, |height| number(height.0)),
            number(file.bytes),
            Datum::Text(status.to_owned()),
            bad.map_or(Datum::Null, number),
            detail,
        ]
    };
    if file.damage.is_empty() {
        return vec![row("ok", None, Datum::Null)];
    }
    file.damage
        .iter()
        .map(|damage| {
            let detail = format!("at byte {}: {}", damage.offset, damage.detail);
            row("damaged", damage.height.map(|height| height.0), Datum::Text(detail))
        })
        .collect()
}
