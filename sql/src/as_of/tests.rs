//! Points of a chain, those that it has and those that it doesn't have.

use std::sync::Arc;

use ledger::Object;
use ledger::catalog::Schema;
use storage::{Clock, Damage, Fault, Order, Solo};

use super::*;

/// A transaction that no chain has.
const UNKNOWN: &str = "tx:ffffffff-ffff-ffff-ffff-ffffffffffff";

/// A chain of three blocks, 0 to 2; gives each one's transaction.
async fn chain() -> (Arc<State>, Vec<TransactionId>) {
    let (state, order): (Arc<State>, Arc<dyn Order>) = Solo::new();
    let mut ids = Vec::new();
    for number in 0..2_u8 {
        let name = format!("schema{number}");
        let object = Object::Schema(Schema { name, owner: ledger::Oid::FIRST_ROLE, comment: None });
        let oid = state.catalog().next_oid();
        let id = crate::random::transaction_id();
        let transaction = ledger::Transaction {
            id,
            user: "stele".to_owned(),
            member: order.member(),
            statement: String::new(),
            idempotency_key: None,
            snapshot: state.head().height,
            operations: vec![ledger::Operation::Define { oid, object: Box::new(object) }],
            signature: ledger::Signature::NONE,
            endorsements: Vec::new(),
        };
        order.submit(transaction).await.unwrap();
        ids.push(id);
    }
    assert_eq!(state.head().height, Height(2));
    (state, ids)
}

fn now() -> i64 {
    storage::RealClock.now_us()
}

fn at(state: &State, text: &str) -> Result<u64, String> {
    let zone = crate::Settings::new("stele", true, "15").time_zone();
    snapshot(state, text, zone, now()).map(|it| it.height().0).map_err(|error| error.sqlstate())
}

#[tokio::test]
async fn points_are_blocks_transactions_and_times() {
    let (state, ids) = chain().await;
    assert_eq!(at(&state, "block:0"), Ok(0));
    assert_eq!(at(&state, "  block: 1 "), Ok(1));
    assert_eq!(at(&state, &format!("tx:{}", ids[1])), Ok(2));
    assert_eq!(height_at(&state, state.head().time_us, 0).map_err(|e| e.sqlstate()), Ok(Height(2)));
    assert_eq!(height_at(&state, i64::MAX, i64::MAX).map_err(|e| e.sqlstate()), Ok(Height(2)));
    let refused = || Err("22023".to_owned());
    let none =
        ["block:3", "block:x", "block:-1", "tx:1", "", "yesterday's", "1999-01-01", "9999-01-01"];
    for text in none {
        assert_eq!(at(&state, text), refused(), "{text}");
    }
    assert_eq!(at(&state, UNKNOWN), refused());
}

#[tokio::test]
async fn what_may_lie_behind_damage_is_not_denied() {
    let (state, ids) = chain().await;
    let file = "00000000.blocks".to_owned();
    let damage = Damage { height: Some(Height(3)), file, offset: 9, detail: "torn".to_owned() };
    state.mark_damaged(Height(3), Fault::Damaged(damage));
    assert_eq!(at(&state, "block:2"), Ok(2));
    assert_eq!(at(&state, &format!("tx:{}", ids[0])), Ok(1));
    let past = now() - 86_400_000_000;
    assert!(height_at(&state, past, now()).is_err_and(|error| error.sqlstate() == "22023"));
    let newest = height_at(&state, i64::MAX, i64::MAX);
    assert!(newest.is_err_and(|error| error.sqlstate() == "XX001"));
    for text in ["block:3", "block:9", UNKNOWN] {
        assert_eq!(at(&state, text), Err("XX001".to_owned()), "{text}");
    }
}
