//! System columns have the shapes that their documentation promises.

use arrow::datatypes::DataType;

use super::ScanColumn;
use crate::testing::{ID, TABLE, table};

#[test]
fn every_column_has_its_field() {
    let table = table();
    let field = |column: ScanColumn| column.field(TABLE, &table).unwrap();
    assert_eq!(field(ScanColumn::User(ID)).name(), "id");
    assert_eq!(field(ScanColumn::Version).data_type(), &DataType::FixedSizeBinary(16));
    assert_eq!(field(ScanColumn::Block).data_type(), &DataType::Int64);
    assert!(field(ScanColumn::ValidTo).is_nullable());
    let missing = ScanColumn::User(ledger::ColumnNumber(9));
    assert!(missing.field(TABLE, &table).is_none());
}
