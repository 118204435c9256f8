//! Random work on the test table, and what must be seen at each height after it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use ledger::{Height, Object, Oid, Operation, Value, VersionId, View, key::encode_key};
use proptest::prelude::*;

use super::digest::digests;
use crate::{ScanColumn, Snapshot, State, Versions, testing::*};

/// One operation, as a wish: it becomes what the rows alive allow.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write { id: i32, note: u8 },
    Delete { id: i32 },
    EndTransaction,
    EndBlock,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..12, 0..4_u8).prop_map(|(id, note)| Step::Write { id, note }),
        2 => (0..12).prop_map(|id| Step::Delete { id }),
        1 => Just(Step::EndTransaction),
        3 => Just(Step::EndBlock),
    ];
    proptest::collection::vec(step, 0..120)
}

/// Block 2 inserts 1 and 2; the index on `note` comes in a block between.
pub(super) fn fixed() -> Vec<Step> {
    let write = |id, note| Step::Write { id, note };
    vec![
        write(1, 1),
        write(2, 1),
        Step::EndBlock,
        write(1, 2),
        Step::EndTransaction,
        write(1, 3),
        Step::EndBlock,
        Step::Delete { id: 2 },
        Step::EndBlock,
        write(2, 3),
        Step::EndBlock,
    ]
}

pub(super) fn insert(id: i32, note: &str) -> Operation {
    Operation::Insert { table: TABLE, row: row(id, note) }
}

pub(super) fn define(oid: Oid, object: Object) -> Operation {
    Operation::Define { oid, object: Box::new(object) }
}

/// Rows by id: note and version.
type Rows = BTreeMap<i32, (String, VersionId)>;

/// A chain, and the rows at each of its heights.
pub(super) struct Model {
    pub(super) chain: Chain,
    at: Vec<Rows>,
    /// Versions and deletes written up to each height.
    history: Vec<usize>,
}

impl Model {
    pub(super) fn new(steps: &[Step]) -> Self {
        let mut chain = Chain::new(1);
        let mut definitions = definitions();
        // The index on `note` comes in the middle, over rows that are there.
        let late = definitions.pop();
        chain.block(vec![definitions]);
        let mut model = Self { chain, at: vec![Rows::new(); 2], history: vec![0; 2] };
        let (first, second) = steps.split_at(steps.len() / 2);
        model.run(first);
        model.end_block(vec![late.into_iter().collect()], None);
        model.run(second);
        model
    }

    fn run(&mut self, steps: &[Step]) {
        let mut rows = self.at.last().cloned().unwrap_or_default();
        let mut transactions = vec![vec![]];
        // Versions that the open transaction wrote can't be named before it ends.
        let mut busy = BTreeSet::new();
        for step in steps {
            let version = VersionId {
                height: Height(self.at.len() as u64),
                transaction: transactions.len() as u32 - 1,
                operation: transactions.last().map_or(0, Vec::len) as u32,
            };
            let open = transactions.last_mut().expect("one is always open");
            match step {
                Step::Write { id, note } if busy.insert(*id) => {
                    let note = format!("n{note}");
                    let row = row(*id, &note);
                    open.push(match rows.insert(*id, (note, version)) {
                        Some((_, previous)) => Operation::Update { table: TABLE, previous, row },
                        None => Operation::Insert { table: TABLE, row },
                    });
                }
                Step::Delete { id } if !busy.contains(id) => {
                    if let Some((_, previous)) = rows.remove(id) {
                        busy.insert(*id);
                        open.push(Operation::Delete { table: TABLE, previous });
                    }
                }
                Step::Write { .. } | Step::Delete { .. } => {}
                Step::EndTransaction => {
                    busy.clear();
                    transactions.push(vec![]);
                }
                Step::EndBlock => {
                    busy.clear();
                    let done = std::mem::replace(&mut transactions, vec![vec![]]);
                    self.end_block(done, Some(rows.clone()));
                }
            }
        }
        self.end_block(transactions, Some(rows));
    }

    fn end_block(&mut self, transactions: Vec<Vec<Operation>>, rows: Option<Rows>) {
        let written = transactions.iter().flatten().filter(|op| op.table().is_some()).count();
        self.chain.block(transactions);
        let rows = rows.or_else(|| self.at.last().cloned()).unwrap_or_default();
        self.at.push(rows);
        self.history.push(self.history.last().copied().unwrap_or(0) + written);
    }

    /// Compares every height that the state has.
    pub(super) fn check(&self, state: &Arc<State>) {
        for height in 0..=state.head().height.0 {
            let snapshot = state.snapshot_at(Height(height)).unwrap();
            let rows = &self.at[height as usize];
            if snapshot.catalog().table(TABLE).is_none() {
                continue;
            }
            self.check_scans(&snapshot, rows);
            self.check_changes(&snapshot, rows);
            check_keys(&snapshot, rows);
            check_ranges(&snapshot, rows);
            let ids = (-1..13).map(Value::Int4).collect();
            check_holders(&snapshot, BY_ID, ids, |id| {
                rows.keys().filter(|own| Value::Int4(**own) == *id).count()
            });
            if snapshot.catalog().index(BY_NOTE).is_some() {
                check_notes(&snapshot, rows);
                let notes = (0..5).map(|note| Value::Text(format!("n{note}"))).collect();
                check_holders(&snapshot, BY_NOTE, notes, |note| {
                    rows.values().filter(|own| Value::Text(own.0.clone()) == *note).count()
                });
            }
        }
        let newest = self.at[state.head().height.0 as usize].len();
        assert_eq!(state.snapshot().row_count(TABLE), newest as u64);
        let applied = &self.chain.blocks[..=state.head().height.0 as usize];
        assert_eq!(Some(&state.head().state), digests(applied).last());
    }

    /// What came and went between some older height and this one.
    fn check_changes(&self, snapshot: &Snapshot, rows: &Rows) {
        let since = snapshot.height().0 / 2;
        let before = &self.at[since as usize];
        let versions = Versions::Changed { since: Height(since) };
        let columns = [ScanColumn::ValidFrom, ScanColumn::ValidTo];
        let (mut came, mut went) = (0, 0);
        for batch in snapshot.scan(TABLE, &columns, versions).unwrap() {
            let batch = batch.unwrap();
            let (from, to) = (texts(batch.column(0)), texts(batch.column(1)));
            for (from, to) in from.iter().flatten().zip(to) {
                let old = from.parse::<u64>().unwrap() <= since;
                came += usize::from(!old && to.is_none());
                went += usize::from(old);
                assert!(!old || to.is_some(), "it neither came nor went");
            }
        }
        let kept = rows.values().filter(|row| before.values().any(|other| other == *row)).count();
        assert_eq!((came, went), (rows.len() - kept, before.len() - kept));
    }

    fn check_scans(&self, snapshot: &Snapshot, rows: &Rows) {
        let mut found = alive(snapshot);
        found.sort();
        let expected = rows.iter().map(|(id, (note, _))| (*id, note.clone()));
        assert_eq!(found, expected.collect::<Vec<_>>());
        let all = snapshot.scan(TABLE, &[], Versions::All).unwrap();
        let count: usize = all.map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(count, self.history[snapshot.height().0 as usize]);
        let versions: Vec<VersionId> = rows.values().map(|(_, version)| *version).collect();
        let columns = [ScanColumn::User(ID), ScanColumn::Version];
        let batch = snapshot.fetch(TABLE, &versions, &columns).unwrap();
        let ids: Vec<_> = texts(batch.column(0)).into_iter().flatten().collect();
        assert_eq!(ids, rows.keys().map(i32::to_string).collect::<Vec<_>>());
    }
}

fn check_keys(snapshot: &Snapshot, rows: &Rows) {
    for id in -1..13 {
        let found = snapshot.lookup(BY_ID, &encode_key(&[Value::Int4(id)])).unwrap();
        let expected: Vec<_> = rows.get(&id).map(|(_, version)| *version).into_iter().collect();
        assert_eq!(found, expected, "id {id} at {:?}", snapshot.height());
    }
}

fn check_notes(snapshot: &Snapshot, rows: &Rows) {
    for note in 0..5 {
        let note = format!("n{note}");
        let found = snapshot.lookup(BY_NOTE, &encode_key(&[Value::Text(note.clone())])).unwrap();
        let with = rows.values().filter(|(text, _)| *text == note).map(|(_, version)| *version);
        let mut expected: Vec<_> = with.collect();
        expected.sort();
        assert_eq!(found, expected, "note {note} at {:?}", snapshot.height());
    }
}

/// Counts the rows with each of these keys, all at once and some at once.
fn check_holders(
    snapshot: &Snapshot,
    index: Oid,
    values: Vec<Value>,
    expected: impl Fn(&Value) -> usize,
) {
    for step in [1, 3, 7] {
        let some: Vec<&Value> = values.iter().step_by(step).collect();
        let keys: Vec<_> = some.iter().map(|value| encode_key(&[(*value).clone()])).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let expected: Vec<u8> = some.iter().map(|value| expected(value).min(2) as u8).collect();
        assert_eq!(snapshot.holders(index, &keys).unwrap(), expected, "{some:?}");
    }
}

fn check_ranges(snapshot: &Snapshot, rows: &Rows) {
    let key = |id: i32| encode_key(&[Value::Int4(id)]);
    for (from, to) in [
        (Bound::Unbounded, Bound::Unbounded),
        (Bound::Included(3), Bound::Excluded(8)),
        (Bound::Excluded(3), Bound::Included(8)),
        (Bound::Included(5), Bound::Included(5)),
        (Bound::Excluded(5), Bound::Excluded(5)),
        (Bound::Included(9), Bound::Included(2)),
    ] {
        let after = |id: &i32| match from {
            Bound::Included(from) => *id >= from,
            Bound::Excluded(from) => *id > from,
            Bound::Unbounded => true,
        };
        let before = |id: &i32| match to {
            Bound::Included(to) => *id <= to,
            Bound::Excluded(to) => *id < to,
            Bound::Unbounded => true,
        };
        let inside = rows.iter().filter(|(id, _)| after(id) && before(id));
        let mut expected: Vec<_> = inside.map(|(_, (_, version))| *version).collect();
        for reverse in [false, true] {
            let found = snapshot.range(BY_ID, from.map(key), to.map(key), reverse);
            let found: Vec<_> = found.map(Result::unwrap).collect();
            assert_eq!(found, expected, "{from:?} {to:?} at {:?}", snapshot.height());
            expected.reverse();
        }
    }
}
