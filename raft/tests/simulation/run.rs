//! One run of a seed, and the tests over many.

use std::{
    collections::BTreeMap,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, available_parallelism},
    time::Duration,
};

use ledger::Height;
use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;

use crate::{
    chance,
    check::check,
    clients::{self, Shared},
    cluster::Cluster,
    faults,
    machine::{now, sleep},
    members,
};

/// Seeds that are run unless the environment says otherwise.
const SEEDS: u64 = 24;
/// How long things go wrong, in simulated seconds.
const TROUBLE: u64 = 12;

/// What a run showed.
struct Outcome {
    wrong: Vec<String>,
    trace: Vec<String>,
    faults: BTreeMap<&'static str, u64>,
    blocks: u64,
    done: usize,
    unknown: usize,
    reads: usize,
    messages: u64,
    time: Duration,
}

fn run(seed: u64, record: bool) -> (Outcome, Vec<String>) {
    chance::seed(seed);
    let mut runtime = SimRuntime::with_seed(seed);
    runtime.record_trace(record);
    let outcome = runtime.block_on(story());
    (outcome, runtime.take_trace())
}

async fn story() -> Outcome {
    let count = if chance::percent(25) { 5 } else { 3 };
    let cluster = Arc::new(Cluster::found(count, chance::percent(40)).await);
    let history = Shared::default();
    clients::prepare(&cluster, &history).await;
    let until = now() + Duration::from_secs(TROUBLE);
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(SimRuntime::spawn(clients::client(
            Arc::clone(&cluster),
            Arc::clone(&history),
            until,
        )));
    }
    tasks.push(SimRuntime::spawn(clients::watch(
        Arc::clone(&cluster),
        Arc::clone(&history),
        until,
    )));
    tasks.push(SimRuntime::spawn(faults::break_things(
        Arc::clone(&cluster),
        Arc::clone(&history),
        until,
    )));
    if cluster.changes() {
        tasks.push(SimRuntime::spawn(members::change_members(
            Arc::clone(&cluster),
            Arc::clone(&history),
            until,
        )));
    }
    let mut wrong = Vec::new();
    for task in tasks {
        if let Err(error) = task.await {
            wrong.push(format!("a task of the run: {error}"));
        }
    }
    history.lock().note("heal");
    cluster.heal().await;
    if clients::probe(&cluster, &history).await.is_none() {
        wrong.push("no transaction is taken after all was healed".to_owned());
    }
    if !converged(&cluster).await {
        wrong.push("the nodes don't come together after all was healed".to_owned());
    }
    cluster.look_at_all().await;
    let messages = cluster.net.messages();
    let mut history = history.lock();
    wrong.append(&mut cluster.complaints.lock());
    wrong.extend(check(&cluster, &history));
    let told = |is: fn(&clients::Told) -> bool| {
        history.writes.iter().filter(|write| is(&write.outcome)).count()
    };
    let blocks = cluster.parts().first().and_then(|&at| cluster.node(at));
    let blocks = blocks.map_or(0, |(node, _)| node.state().head().height.0);
    Outcome {
        wrong,
        blocks,
        done: told(|it| matches!(it, clients::Told::Done(_))),
        unknown: told(|it| matches!(it, clients::Told::Unknown)),
        reads: history.reads.len(),
        trace: std::mem::take(&mut history.trace),
        faults: std::mem::take(&mut history.faults),
        messages,
        time: now(),
    }
}

/// Waits until all nodes have applied the same, which is all there is, and have a certificate of it.
pub(crate) async fn converged(cluster: &Cluster) -> bool {
    let begun = now();
    while now() < begun + Duration::from_secs(30) {
        let ends: Vec<Option<(Height, Height, Height)>> = cluster
            .parts()
            .into_iter()
            .map(|at| {
                let (node, _) = cluster.node(at)?;
                let certified = node.state().certificates()?.newest()?.statement.height;
                Some((node.blocks().tip()?.height, node.state().head().height, certified))
            })
            .collect();
        let first = ends.first().copied().flatten();
        let first = first.filter(|(tip, head, certified)| tip == head && head == certified);
        if first.is_some() && ends.iter().all(|end| *end == first) {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Runs seeds on all cores, each on a thread of its own; stops at the first that shows something wrong.
fn run_all(seeds: &[u64]) -> Vec<(u64, Outcome)> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (outcome, _) = run(seed, false);
            if !outcome.wrong.is_empty() {
                next.store(seeds.len(), Ordering::Relaxed);
            }
            outcomes.lock().push((seed, outcome));
        }
    };
    let threads = available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    outcomes.into_inner()
}

#[test]
fn nothing_is_lost_whatever_happens() {
    let seeds: Vec<u64> = match number("STELE_TEST_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("STELE_TEST_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let mut total = BTreeMap::<&str, u64>::new();
    for (seed, outcome) in run_all(&seeds) {
        if std::env::var_os("STELE_TEST_TRACE").is_some() {
            println!("{}", outcome.trace.join("\n"));
        }
        let again = format!(
            "STELE_TEST_SEED={seed} STELE_TEST_TRACE=1 \
             cargo test -p raft --test simulation nothing -- --nocapture"
        );
        let wrong = outcome.wrong.join("\n");
        assert!(wrong.is_empty(), "seed {seed}: {wrong}\n{:?}\nagain: {again}", outcome.faults);
        for (what, count) in outcome.faults {
            *total.entry(what).or_default() += count;
        }
        for (what, count) in [
            ("blocks", outcome.blocks),
            ("done", outcome.done as u64),
            ("unknown", outcome.unknown as u64),
            ("reads", outcome.reads as u64),
            ("messages", outcome.messages),
            ("seconds", outcome.time.as_secs()),
        ] {
            *total.entry(what).or_default() += count;
        }
    }
    println!("{} seeds: {total:?}", seeds.len());
}

#[test]
fn the_same_seed_runs_the_same_way() {
    let (first, first_steps) = run(7, true);
    let (second, second_steps) = run(7, true);
    let differ = first_steps.iter().zip(&second_steps).position(|(one, other)| one != other);
    assert_eq!(differ.map(|at| (&first_steps[at], &second_steps[at])), None);
    assert_eq!(first_steps.len(), second_steps.len());
    assert_eq!(first.trace, second.trace);
    let (other, _) = run(8, false);
    assert_ne!(first.trace, other.trace);
}
