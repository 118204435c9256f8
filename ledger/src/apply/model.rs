//! Random batches of transactions against a model that checks every constraint by looking at all rows: the
//! rules admit what the model admits, and the staged state shows the rows that the model has.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::apply::tests::{
    CHILD, PARENT, at, child, child_row, family, insert, parent, parent_row, transaction,
};
use crate::{Value, decode_row};

/// One change; the place picks a version among those that ever were.
#[derive(Clone, Debug)]
enum Change {
    Insert(bool, i32, i32),
    Update(bool, usize, i32, i32),
    Delete(bool, usize),
}

fn changes() -> impl Strategy<Value = Change> {
    let ids = -1i32..4;
    prop_oneof![
        3 => (any::<bool>(), ids.clone(), ids.clone()).prop_map(|(p, a, b)| Change::Insert(p, a, b)),
        2 => (any::<bool>(), 0usize..40, ids.clone(), ids)
            .prop_map(|(p, at, a, b)| Change::Update(p, at, a, b)),
        2 => (any::<bool>(), 0usize..40).prop_map(|(p, at)| Change::Delete(p, at)),
    ]
}

/// A row: -1 is NULL for what a row refers to, and an empty name.
fn row(of_parent: bool, id: i32, other: i32) -> Row {
    if of_parent {
        let name = if other < 0 { String::new() } else { format!("n{other}") };
        return parent_row(id, Some(&name));
    }
    child_row(i64::from(id), (other >= 0).then(|| i64::from(other)))
}

type Rows = BTreeMap<(Oid, VersionId), Row>;

/// Whether all rows hold to all constraints.
fn is_lawful(rows: &Rows) -> bool {
    let (parent, child) = (parent(), child());
    let mut ids = BTreeSet::new();
    let mut referred = Vec::new();
    for ((table, _), row) in rows {
        let of_parent = *table == PARENT;
        let values = decode_row(if of_parent { &parent } else { &child }, row).unwrap();
        if !ids.insert((of_parent, values[0].as_integer().unwrap())) {
            return false;
        }
        match &values[1] {
            Value::Text(name) if name.is_empty() => return false,
            Value::Int8(id) => referred.push(*id),
            _ => {}
        }
    }
    referred.iter().all(|id| ids.contains(&(true, *id)))
}

/// What the model says: the rows after the operations, if they may be.
fn model(rows: &Rows, height: u64, place: u32, operations: &[Operation]) -> Option<Rows> {
    let mut rows = rows.clone();
    for (n, operation) in (0..).zip(operations) {
        let table = operation.table()?;
        if let Some(previous) = operation.previous() {
            rows.remove(&(table, previous))?;
        }
        if let Some(row) = operation.row() {
            let version = VersionId { height: Height(height), transaction: place, operation: n };
            rows.insert((table, version), row.clone());
        }
    }
    is_lawful(&rows).then_some(rows)
}

/// The versions that ever were, alive or not: what a change may name.
fn operations(changes: &[Change], known: &[VersionId]) -> Vec<Operation> {
    let table = |of_parent| if of_parent { PARENT } else { CHILD };
    let version = |place: usize| known.get(place % known.len().max(1)).copied();
    let operation = |change: &Change| match *change {
        Change::Insert(p, a, b) => insert(table(p), row(p, a, b)),
        Change::Update(p, place, a, b) => Operation::Update {
            table: table(p),
            previous: version(place).unwrap_or_else(|| at(9, 9)),
            row: row(p, a, b),
        },
        Change::Delete(p, place) => Operation::Delete {
            table: table(p),
            previous: version(place).unwrap_or_else(|| at(9, 9)),
        },
    };
    changes.iter().map(operation).collect()
}

/// All rows that a view shows.
fn shown(view: &impl View<Fault = Infallible>) -> Rows {
    let mut rows = Rows::new();
    for table in [PARENT, CHILD] {
        let Ok(()) = view.scan(table, &mut |version, row| {
            rows.insert((table, version), row.clone());
            ControlFlow::Continue(())
        });
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_rules_admit_what_the_model_admits(
        blocks in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(changes(), 1..9), 1..5),
            1..4,
        ),
    ) {
        let mut memory = family();
        let mut known: Vec<VersionId> = Vec::new();
        for (height, batch) in (2..).zip(&blocks) {
            let mut rows = memory.rows.clone();
            let mut staged = Staged::new(&memory);
            let mut place = 0;
            for changes in batch {
                let operations = operations(changes, &known);
                let expected = model(&rows, height, place, &operations);
                let count = u32::try_from(operations.len()).unwrap();
                let made = Arc::new(transaction(operations));
                let admitted = staged.admit(Height(height), place, &made);
                prop_assert_eq!(admitted.is_ok(), expected.is_some(), "{:?} {:?}", admitted, changes);
                if let Some(after) = expected {
                    rows = after;
                    known.extend((0..count).map(|operation| VersionId {
                        height: Height(height),
                        transaction: place,
                        operation,
                    }));
                    place += 1;
                }
                prop_assert_eq!(&shown(&staged), &rows);
            }
            memory.rows = rows;
        }
    }
}
