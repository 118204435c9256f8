//! openraft's own conformance suite, on a real and on a simulated disk.

use std::sync::atomic::AtomicI64;

use ledger::Receipt;
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use storage::{Disk, RealDisk, block_file::Options, simulated::SimulatedDisk};

use super::*;
use crate::{
    runtime::Tokio,
    state_machine::{StateMachine, Target},
    types::Payload,
    types::StoredMembers,
};

/// Takes anything: the suite applies entries that no log holds.
struct Anything;

impl Target for Anything {
    fn apply(&self, _block: &Block) -> Result<Vec<Receipt>, Fault> {
        Ok(Vec::new())
    }

    fn holds(&self, _height: Height) -> bool {
        true
    }
}

/// Time that passes whenever it is asked for.
#[derive(Debug, Default)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now_us(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

struct Simulated;
struct Real;

fn store(disk: Arc<dyn Disk>) -> Result<(LogStore, StateMachine), Fault> {
    let options = Options { segment: 8192, preallocate: 4096, recent: 3, ..Options::default() };
    let blocks = Arc::new(BlockFile::open(disk, options)?);
    let governance: Governance = Arc::new(|_| Ok(Hash::default()));
    let members = StoredMembers::default();
    let solitude = Arc::new(Solitude::new(0, members.membership()));
    let clock = Arc::new(Ticks::default());
    let log = LogStore::new(blocks, clock, Hash::default(), governance, Arc::clone(&solitude));
    let machine = StateMachine::new(Arc::new(Anything), None, members, solitude);
    Ok((log, machine))
}

impl StoreBuilder<Types<Tokio>, LogStore, StateMachine, ()> for Simulated {
    async fn build(&self) -> Result<((), LogStore, StateMachine), StorageError<Types<Tokio>>> {
        let (log, machine) = store(Arc::new(SimulatedDisk::new())).unwrap();
        Ok(((), log, machine))
    }
}

impl StoreBuilder<Types<Tokio>, LogStore, StateMachine, tempfile::TempDir> for Real {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError<Types<Tokio>>> {
        let directory = tempfile::tempdir().unwrap();
        let (log, machine) = store(Arc::new(RealDisk::new(directory.path()).unwrap())).unwrap();
        Ok((directory, log, machine))
    }
}

#[tokio::test]
async fn the_log_conforms_on_a_simulated_disk() {
    Suite::test_all(Simulated).await.unwrap();
}

#[tokio::test]
async fn the_log_conforms_on_a_real_disk() {
    Suite::test_all(Real).await.unwrap();
}

fn entry(index: u64, body: Body) -> Entry {
    let id = EntryId::new(crate::types::LeaderId { term: 1, node_id: 0 }, index);
    Entry::new(id, Payload { body, members: None })
}

#[tokio::test]
async fn a_draft_that_lost_its_place_is_made_anew() {
    let (mut log, _) = store(Arc::new(SimulatedDisk::new())).unwrap();
    log.append([entry(0, Body::Blank)], IOFlushed::<Types<Tokio>>::noop()).await.unwrap();
    let draft = || {
        let proposal = Proposal { clock_us: 77, ..Proposal::default() };
        Body::Draft(Draft(Box::new(log.blocks.make_next(proposal).unwrap())))
    };
    // Both are made for place 1.
    let entries = [entry(1, draft()), entry(2, draft())];
    log.append(entries, IOFlushed::<Types<Tokio>>::noop()).await.unwrap();
    let first = log.blocks.read(Height(1)).unwrap().unwrap();
    let second = log.blocks.read(Height(2)).unwrap().unwrap();
    assert_eq!(first.header.time_us, 77);
    assert_eq!(second.header.parent, first.header.hash());
    assert_eq!(codec::entry_id(&second).unwrap().index, 2);
    assert_eq!(codec::entry_id(&first).unwrap().leader_id.term, 1);
}

#[tokio::test]
async fn a_draft_that_rests_on_what_is_not_in_the_chain_is_left_empty() {
    let (mut log, _) = store(Arc::new(SimulatedDisk::new())).unwrap();
    log.append([entry(0, Body::Blank)], IOFlushed::<Types<Tokio>>::noop()).await.unwrap();
    let transaction = Transaction {
        id: ledger::TransactionId([1; 16]),
        user: String::new(),
        member: Hash::default(),
        statement: String::new(),
        idempotency_key: None,
        snapshot: Height(0),
        operations: Vec::new(),
        signature: ledger::transaction::Signature::NONE,
        endorsements: Vec::new(),
    };
    let proposal = || Proposal { transactions: vec![transaction.clone()], ..Proposal::default() };
    let draft = |block: &Block| Body::Draft(Draft(Box::new(block.clone())));
    let mut tip = log.blocks.tip().unwrap();
    let first = tip.next(proposal()).unwrap();
    tip.advance(&first.header).unwrap();
    let second = tip.next(proposal()).unwrap();
    // The second one comes without the first, then the first with a block of consensus' own before it, then one
    // that doesn't know the first.
    let entries = [entry(1, draft(&second)), entry(2, draft(&first)), entry(3, draft(&first))];
    log.append(entries, IOFlushed::<Types<Tokio>>::noop()).await.unwrap();
    let count = |height| log.blocks.read(Height(height)).unwrap().unwrap().transactions.len();
    assert_eq!([count(1), count(2), count(3)], [0, 1, 0]);
}
