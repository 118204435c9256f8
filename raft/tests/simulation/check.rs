//! The judge: it knows blocks, receipts and what clients were told, and nothing of consensus.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ledger::{Block, Hash, Height, NodeKey, Operation, PublicKey, TransactionId, Voters};
use storage::{Certificates, MemoryIndex, State, StateConfig};

use crate::{
    clients::{History, Told, counter},
    cluster::Cluster,
    testing::TABLE,
};

/// What is in the chain, by transaction: its block and place.
type Places = BTreeMap<TransactionId, (Height, u32)>;

/// Everything that is wrong.
pub(crate) fn check(cluster: &Cluster, history: &History) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut chains = Vec::new();
    for at in cluster.parts() {
        let Some((node, _)) = cluster.node(at) else {
            wrong.push(format!("machine {at} does not run"));
            continue;
        };
        let head = node.state().head();
        let read = |height| node.blocks().read(Height(height)).ok().flatten();
        let chain: Vec<_> = (0..=head.height.0).map_while(read).collect();
        if chain.len() as u64 != head.height.0 + 1 {
            wrong.push(format!("machine {at} lacks blocks: {} of {}", chain.len(), head.height.0));
        }
        if chain.last().is_none_or(|last| last.header.hash() != head.block) {
            wrong.push(format!("machine {at} has applied what is not in its file"));
        }
        match node.state().verify(true, &mut |_| ()) {
            Ok(report) if report.is_sound() => {}
            Ok(report) => wrong.push(format!("machine {at}: {:?}", report.damage().next())),
            Err(fault) => wrong.push(format!("machine {at} does not verify: {fault}")),
        }
        chains.push((
            at,
            chain,
            counter(&node).map(|(_, value)| value),
            node.state().snapshot().row_count(TABLE),
        ));
    }
    let Some((_, chain, ..)) = chains.iter().max_by_key(|(_, chain, ..)| chain.len()) else {
        return wrong;
    };
    for (at, other, value, rows) in &chains {
        let hashes = |chain: &[Arc<Block>]| -> Vec<Hash> {
            chain.iter().map(|block| block.header.hash()).collect()
        };
        if hashes(other) != hashes(chain) {
            wrong.push(format!(
                "machine {at} has another chain, or a shorter one: {} of {}",
                other.len(),
                chain.len()
            ));
        }
        let (counted, inserted) = effects(chain);
        if *value != Some(counted) || *rows != inserted {
            wrong.push(format!(
                "machine {at} holds {value:?} and {rows} rows, not {counted} and {inserted}"
            ));
        }
    }
    links(chain, &mut wrong);
    let states = states(chain, &mut wrong);
    for at in cluster.parts() {
        let node = cluster.node(at).map(|(node, _)| node);
        match node.as_ref().and_then(|node| node.state().certificates()) {
            Some(kept) => certificates(at, kept, chain, &states, &mut wrong),
            None => wrong.push(format!("machine {at} keeps no certificates")),
        }
    }
    let places = places(chain, &mut wrong);
    writes(history, chain, &places, &mut wrong);
    order(history, &places, &mut wrong);
    for seen in &history.seen {
        let block = usize::try_from(seen.height.0).ok().and_then(|at| chain.get(at));
        if block.is_none_or(|block| block.header.hash() != seen.block) {
            wrong.push(format!("a block that was applied is gone: {seen:?}"));
        }
    }
    wrong
}

/// How often the counter was raised, and how many rows were inserted.
fn effects(chain: &[Arc<Block>]) -> (i64, u64) {
    let operations = chain.iter().flat_map(|it| &it.transactions).flat_map(|it| &it.operations);
    operations.fold((0, 0), |(raised, inserted), operation| match operation {
        Operation::Update { .. } => (raised + 1, inserted),
        Operation::Insert { .. } => (raised, inserted + 1),
        _ => (raised, inserted),
    })
}

/// The state's digest after each block, by one who has only the blocks.
fn states(chain: &[Arc<Block>], wrong: &mut Vec<String>) -> Vec<Hash> {
    let state = State::new(StateConfig::default(), Arc::new(MemoryIndex::default()));
    let mut digests = Vec::new();
    for block in chain {
        if let Err(fault) = state.apply(block) {
            wrong.push(format!("the chain can't be applied: {fault}"));
            break;
        }
        digests.push(state.head().state);
    }
    digests
}

/// Every certificate names the one chain and its state, and more than half of those who had a vote signed it; the
/// newest is of the last block.
fn certificates(
    at: usize,
    kept: &Certificates,
    chain: &[Arc<Block>],
    states: &[Hash],
    wrong: &mut Vec<String>,
) {
    let keys: BTreeMap<Hash, PublicKey> = (1..=64)
        .map(|secret| NodeKey::from_bytes(&[secret; 32]).public())
        .map(|key| (key.member(), key))
        .collect();
    let heights = kept.heights(Height(0)..Height(u64::MAX));
    if heights.last().map(|last| last.0 + 1) != Some(chain.len() as u64) {
        wrong.push(format!("machine {at} has no certificate of the last block: {heights:?}"));
    }
    let mut voters = Voters::default();
    let mut due = heights.into_iter().peekable();
    for (block, state) in chain.iter().zip(states) {
        if !block.membership.is_empty() {
            voters = Voters::of_membership(&block.membership).unwrap();
        }
        let height = block.header.height;
        if due.next_if_eq(&height).is_none() {
            continue;
        }
        let Ok(Some(certificate)) = kept.get(height) else {
            wrong.push(format!("machine {at} lost the certificate of block {}", height.0));
            continue;
        };
        let signed = |member: &&Hash| certificate.signatures.iter().any(|(by, _)| by == *member);
        let most = |set: &BTreeSet<Hash>| set.iter().filter(signed).count() > set.len() / 2;
        let statement = certificate.statement;
        let verified = certificate.verify(chain[0].header.hash(), |by| keys.get(&by).copied());
        if !statement.is_about(&block.header)
            || statement.state != *state
            || certificate.voters != voters
            || !voters.sets().iter().all(most)
            || verified.is_err()
        {
            wrong.push(format!(
                "machine {at} has a certificate that is none: {verified:?} {certificate:?}"
            ));
        }
    }
    if let Some(height) = due.next() {
        wrong.push(format!("machine {at} has a certificate of block {}", height.0));
    }
}

fn links(chain: &[Arc<Block>], wrong: &mut Vec<String>) {
    for (height, block) in (0..).zip(chain) {
        if block.header.height != Height(height) || block.verify_body().is_err() {
            wrong.push(format!("block {height} is not what it says"));
        }
    }
    for pair in chain.windows(2) {
        if pair[1].header.parent != pair[0].header.hash()
            || pair[1].header.time_us <= pair[0].header.time_us
        {
            wrong.push(format!("block {} does not follow", pair[1].header.height.0));
        }
    }
}

/// Where each transaction is; it may be in one place only, and so may each key of those that can come again.
fn places(chain: &[Arc<Block>], wrong: &mut Vec<String>) -> Places {
    let mut places = Places::new();
    let mut keys = BTreeSet::new();
    for block in chain {
        for (at, transaction) in (0..).zip(&block.transactions) {
            if places.insert(transaction.id, (block.header.height, at)).is_some() {
                wrong.push(format!("{:?} is in the chain twice", transaction.id));
            }
            if let Some(key) = &transaction.idempotency_key
                && !keys.insert(key.clone())
            {
                wrong.push(format!("key {key} is in the chain twice"));
            }
        }
    }
    places
}

/// What clients were told is so.
fn writes(history: &History, chain: &[Arc<Block>], places: &Places, wrong: &mut Vec<String>) {
    for write in &history.writes {
        let place = places.get(&write.id);
        match &write.outcome {
            Told::Done(receipt) => {
                let there = places.get(&receipt.id) == Some(&(receipt.height, receipt.transaction));
                let block = usize::try_from(receipt.height.0).ok().and_then(|at| chain.get(at));
                let same = block.is_some_and(|block| block.header.hash() == receipt.block);
                let keyed = block.and_then(|block| {
                    let at = usize::try_from(receipt.transaction).ok()?;
                    block.transactions.get(at)?.idempotency_key.clone()
                });
                if !there || !same || keyed.as_ref() != Some(&write.idempotency_key) {
                    wrong.push(format!("acknowledged, and not in the chain: {write:?}"));
                }
            }
            Told::Nothing if place.is_some() => {
                wrong.push(format!("told to be in no block, and in {place:?}: {write:?}"));
            }
            Told::Nothing | Told::Unknown => {}
        }
    }
}

/// What was told before something was asked comes before it, and reads see it.
fn order(history: &History, places: &Places, wrong: &mut Vec<String>) {
    let mut told: Vec<(u64, Height)> = Vec::new();
    for write in &history.writes {
        if let Told::Done(receipt) = &write.outcome {
            told.push((write.told, receipt.height));
        }
    }
    for read in &history.reads {
        told.push((read.told, read.height));
    }
    told.sort_unstable();
    // The highest of all that were told up to a moment.
    let mut highest = Height(0);
    for (_, height) in &mut told {
        highest = highest.max(*height);
        *height = highest;
    }
    let before = |moment: u64| {
        let end = told.partition_point(|(told, _)| *told < moment);
        end.checked_sub(1).and_then(|at| told.get(at)).map_or(Height(0), |(_, height)| *height)
    };
    for write in &history.writes {
        if let Some((height, _)) = places.get(&write.id)
            && *height <= before(write.asked)
        {
            wrong.push(format!(
                "in block {}, asked after {:?} was told: {write:?}",
                height.0,
                before(write.asked)
            ));
        }
    }
    for read in &history.reads {
        if read.height < before(read.asked) {
            wrong.push(format!("a stale read, after {:?} was told: {read:?}", before(read.asked)));
        }
    }
}
