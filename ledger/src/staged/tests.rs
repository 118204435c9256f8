//! Writes on top are seen, hide what they end, and come off again without a trace.

use super::*;
use crate::apply::tests::{
    CHILD, PARENT, at, child_row, define, family, insert, parent, parent_row, transaction,
};
use crate::catalog::Object;
use crate::{ColumnNumber, Table, Value};

/// Everything that a view shows of the two tables, by every way.
fn seen(view: &impl View<Fault = std::convert::Infallible>) -> Vec<(Oid, VersionId, Vec<u8>)> {
    let mut all = Vec::new();
    for table in [PARENT, CHILD] {
        let Ok(()) = view.scan(table, &mut |version, row| {
            all.push((table, version, row.bytes.clone()));
            ControlFlow::Continue(())
        });
    }
    for (table, version, bytes) in &all {
        let Ok(alive) = view.alive(*table, *version);
        assert_eq!(alive.map(|row| row.bytes).as_ref(), Some(bytes));
        let definition = view.catalog().table(*table).unwrap();
        let values = crate::decode_row(definition, &Row { bytes: bytes.clone() }).unwrap();
        for (oid, index) in view.catalog().indexes_of(*table) {
            let Ok(found) = view.find(oid, &key::key_of(&values, &index.columns), usize::MAX);
            assert!(found.contains(version), "{oid:?}");
        }
    }
    all
}

#[test]
fn writes_come_off_again() {
    // Filled when it is made, or searched by a scan.
    writes_and_undoes(IndexOrigin::ForeignKey);
    writes_and_undoes(IndexOrigin::Plain);
}

fn writes_and_undoes(origin: IndexOrigin) {
    let mut memory = family();
    memory.apply(
        2,
        &transaction(vec![
            insert(PARENT, parent_row(1, Some("a"))),
            insert(PARENT, parent_row(2, None)),
            insert(CHILD, child_row(10, Some(1))),
        ]),
    );
    let mut staged = Staged::new(&memory);
    let before = seen(&staged);
    assert_eq!(before.len(), 3);
    let start = staged.mark();
    staged.insert(PARENT, at(3, 0), parent_row(3, None)).unwrap();
    staged.end(PARENT, at(2, 1)).unwrap();
    let middle = seen(&staged);
    assert_eq!(middle.len(), 3);
    let savepoint = staged.mark();
    // A staged row is ended, an index is made over all rows, the table changes, a row goes in.
    staged.end(PARENT, at(3, 0)).unwrap();
    let index = Index {
        schema: Oid::PUBLIC_SCHEMA,
        name: "by_name".to_owned(),
        table: PARENT,
        columns: vec![ColumnNumber(2)],
        unique: false,
        origin,
        comment: None,
    };
    staged.define(&define(Oid(16600), Object::Index(index))).unwrap();
    let renamed = Table { name: "renamed".to_owned(), ..parent() };
    staged.define(&define(PARENT, Object::Table(renamed))).unwrap();
    staged.insert(PARENT, at(3, 1), parent_row(4, Some("a"))).unwrap();
    let by_name = key::encode_key(&[Value::Text("a".to_owned())]);
    let Ok(found) = staged.find(Oid(16600), &by_name, 9);
    assert_eq!(found, [at(2, 0), at(3, 1)]);
    assert_eq!(seen(&staged).len(), 3);
    staged.undo_to(savepoint);
    assert_eq!(seen(&staged), middle);
    assert!(staged.catalog().index(Oid(16600)).is_none());
    staged.undo_to(start);
    assert_eq!(seen(&staged), before);
    assert!(staged.is_empty());
}

#[test]
fn a_limit_counts_what_is_alive() {
    let mut memory = family();
    let children = (0..50).map(|id| insert(CHILD, child_row(id, Some(1)))).collect();
    memory.apply(2, &transaction(children));
    let mut staged = Staged::new(&memory);
    for n in 0..45 {
        staged.end(CHILD, at(2, n)).unwrap();
    }
    let key = key::encode_key(&[Value::Int8(1)]);
    let index = Oid(16404);
    assert_eq!(staged.find(index, &key, 2), Ok(vec![at(2, 45), at(2, 46)]));
    assert_eq!(staged.find(index, &key, 99).map(|found| found.len()), Ok(5));
    staged.insert(CHILD, at(3, 0), child_row(99, Some(1))).unwrap();
    assert_eq!(staged.find(index, &key, 99).map(|found| found.len()), Ok(6));
    assert_eq!(staged.find(index, &key, 1), Ok(vec![at(2, 45)]));
}
