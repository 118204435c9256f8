//! A session's life over the order of one: define, write, read back, at the present and the past.

use ledger::{Height, Operation, Refusal, Value, VersionId, key::encode_key};

use super::Solo;
use crate::{Order, ScanColumn, StateConfig, SubmitError, Versions, testing::*};

async fn commit(order: &dyn Order, number: u64, operations: Vec<Operation>) -> ledger::Receipt {
    let mut transaction = transaction(number, operations);
    order.sign(&mut transaction).unwrap();
    order.submit(transaction).await.unwrap()
}

fn insert(id: i32, note: &str) -> Operation {
    Operation::Insert { table: TABLE, row: row(id, note) }
}

#[tokio::test]
async fn rows_are_seen_at_each_height_as_they_were() {
    let (state, order) = Solo::new();
    commit(&*order, 1, definitions()).await;
    let first = commit(&*order, 2, vec![insert(1, "a"), insert(2, "b")]).await;
    let key = encode_key(&[Value::Int4(1)]);
    let version = state.snapshot().lookup(BY_ID, &key).unwrap();
    assert_eq!(version, [VersionId { height: first.height, transaction: 0, operation: 0 }]);
    let update = Operation::Update { table: TABLE, previous: version[0], row: row(1, "c") };
    let second = commit(&*order, 3, vec![update]).await;
    let gone = state.snapshot().lookup(BY_ID, &encode_key(&[Value::Int4(2)])).unwrap()[0];
    commit(&*order, 4, vec![Operation::Delete { table: TABLE, previous: gone }]).await;

    let at = |height| alive(&state.snapshot_at(height).unwrap());
    assert_eq!(at(first.height), [(1, "a".into()), (2, "b".into())]);
    assert_eq!(at(second.height), [(2, "b".into()), (1, "c".into())]);
    assert_eq!(alive(&state.snapshot()), [(1, "c".into())]);
    assert_eq!(state.snapshot().row_count(TABLE), 1);
    assert!(state.snapshot_at(Height(99)).is_err());
    let old = state.snapshot_at(first.height).unwrap();
    assert_eq!(old.lookup(BY_ID, &key).unwrap(), version);
    assert_eq!(
        old.row(TABLE, version[0]).unwrap(),
        Some(vec![Value::Int4(1), Value::Text("a".into())])
    );
}

#[tokio::test]
async fn history_has_every_version_and_every_delete() {
    let (state, order) = Solo::new();
    commit(&*order, 1, definitions()).await;
    let receipt = commit(&*order, 2, vec![insert(1, "a")]).await;
    let version = VersionId { height: receipt.height, transaction: 0, operation: 0 };
    let update = Operation::Update { table: TABLE, previous: version, row: row(1, "b") };
    let second = commit(&*order, 3, vec![update]).await;
    let version = VersionId { height: second.height, transaction: 0, operation: 0 };
    commit(&*order, 4, vec![Operation::Delete { table: TABLE, previous: version }]).await;
    let columns = [
        ScanColumn::User(NOTE),
        ScanColumn::Op,
        ScanColumn::ValidFrom,
        ScanColumn::ValidTo,
        ScanColumn::User_,
    ];
    let mut seen = Vec::new();
    for batch in state.snapshot().scan(TABLE, &columns, Versions::All).unwrap() {
        let batch = batch.unwrap();
        let columns: Vec<_> = batch.columns().iter().map(texts).collect();
        for row in 0..batch.num_rows() {
            let cells =
                columns.iter().map(|column| column[row].clone().unwrap_or_else(|| "-".into()));
            seen.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    let part =
        |number| state.snapshot().scan(TABLE, &columns, Versions::All).unwrap().part(number, 4);
    let rows = (0..4).flat_map(part).map(|batch| batch.unwrap().num_rows());
    assert_eq!(rows.sum::<usize>(), 3);
    assert_eq!(state.snapshot().last_change(TABLE), Some(Height(4)));
    assert_eq!(seen, ["a INSERT 2 3 stele", "b UPDATE 3 4 stele", "b DELETE 4 4 stele"]);
}

#[tokio::test]
async fn a_version_is_superseded_once() {
    let (_state, order) = Solo::new();
    commit(&*order, 1, definitions()).await;
    let receipt = commit(&*order, 2, vec![insert(1, "a")]).await;
    let previous = VersionId { height: receipt.height, transaction: 0, operation: 0 };
    commit(&*order, 3, vec![Operation::Delete { table: TABLE, previous }]).await;
    let again = transaction(4, vec![Operation::Delete { table: TABLE, previous }]);
    let refused = order.submit(again).await.unwrap_err();
    assert!(matches!(refused, SubmitError::Refused(Refusal::Superseded { .. })));
}

#[tokio::test]
async fn an_idempotency_key_gives_the_first_receipt() {
    let (state, order) = Solo::new();
    commit(&*order, 1, definitions()).await;
    let with_key = |number| {
        let mut transaction = transaction(number, vec![insert(1, "a")]);
        transaction.idempotency_key = Some("once".into());
        transaction
    };
    let first = order.submit(with_key(2)).await.unwrap();
    let second = order.submit(with_key(3)).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(state.receipt_of_key("once").unwrap(), Some(first));
    assert_eq!(alive(&state.snapshot()).len(), 1);
}

#[tokio::test]
async fn writes_past_the_memory_bound_are_refused() {
    let config = StateConfig { memory_bytes: 4_000, ..StateConfig::default() };
    let (state, order) = Solo::with(config, std::sync::Arc::new(crate::RealClock)).unwrap();
    commit(&*order, 1, definitions()).await;
    let mut number = 2;
    let refused = loop {
        number += 1;
        match order.submit(transaction(number, vec![insert(number as i32, "x")])).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SubmitError::Busy(shortage) if shortage.sqlstate() == "53200"));
    assert_eq!(alive(&state.snapshot()).len() as u64, number - 3);
}
