//! Real nodes under a nemesis: processes are killed and frozen and the network is cut while clients work, and
//! afterwards what they were told is held against what is there.
//!
//! `STELE_TEST_NEMESIS_RUNS` and `STELE_TEST_NEMESIS_SECONDS` make more of it, `STELE_TEST_NEMESIS_NODES` is 3 or 5.

mod clients;
mod history;
mod net;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::cluster::Cluster;
use crate::random::Random;
use crate::server::{Place, Server, number};

use clients::{Known, MONEY, Shared, Worker, list, set_up};
use history::{Operation, Outcome, check};
use net::Net;

/// How long things may take to be in order again.
const LIMIT: Duration = Duration::from_secs(60);

/// Breaks things for some seconds, and mends them at the end; when leaders were killed.
fn torment(
    cluster: &mut Cluster,
    net: Option<&Net>,
    random: &mut Random,
    time: Duration,
) -> Vec<Instant> {
    let (began, count) = (Instant::now(), cluster.servers.len());
    let mut killed = Vec::new();
    while began.elapsed() < time {
        std::thread::sleep(Duration::from_millis(500 + random.next() % 1500));
        let victim = if random.below(2) == 0 { cluster.leader() } else { random.below(count) };
        let pause = Duration::from_millis(300 + random.next() % 3000);
        match (random.below(if net.is_some() { 6 } else { 3 }), net) {
            (0 | 1, _) => {
                killed.push(Instant::now());
                cluster.servers[victim].kill();
                std::thread::sleep(pause);
                cluster.servers[victim].start_again();
            }
            (2, _) | (_, None) => {
                cluster.servers[victim].freeze(true);
                std::thread::sleep(pause);
                cluster.servers[victim].freeze(false);
            }
            (what, Some(net)) => {
                for other in (0..count).filter(|other| *other != victim) {
                    // Both ways, or one of them.
                    if what != 4 {
                        net.cut(victim, other);
                    }
                    if what != 5 {
                        net.cut(other, victim);
                    }
                }
                std::thread::sleep(pause);
                net.heal();
            }
        }
    }
    killed
}

fn clients(shared: &Arc<Shared>, seed: u64, work: impl FnOnce()) -> Vec<Known> {
    std::thread::scope(|scope| {
        let kinds: [fn(&mut Worker); 8] = [
            Worker::register,
            Worker::register,
            Worker::list,
            Worker::list,
            Worker::transfer,
            Worker::transfer,
            Worker::audit,
            Worker::unique,
        ];
        let workers: Vec<_> = (seed..)
            .zip(kinds)
            .map(|(seed, kind)| {
                scope.spawn(move || Worker::new(Arc::clone(shared), seed).work(kind))
            })
            .collect();
        work();
        shared.stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    })
}

/// What is there at the end.
struct Truth {
    registers: BTreeMap<usize, Vec<u64>>,
    lists: BTreeMap<usize, Vec<u64>>,
    unique: BTreeMap<u64, usize>,
    money: String,
}

fn truth(client: &mut Client) -> Truth {
    let mut registers: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    let sql = "SELECT k, v FROM ledger.history('register') WHERE v > 0 AND ledger_op <> 'DELETE' ORDER BY ledger_valid_from";
    for row in client.run(sql).unwrap().rows {
        let key = row[0].as_ref().unwrap().parse().unwrap();
        registers.entry(key).or_default().push(row[1].as_ref().unwrap().parse().unwrap());
    }
    let rows = client.run("SELECT k, v FROM list").unwrap().rows;
    let lists = rows
        .iter()
        .map(|row| (row[0].as_ref().unwrap().parse().unwrap(), list(row[1].as_ref().unwrap())));
    let mut unique = BTreeMap::new();
    for row in client.run("SELECT n FROM entry").unwrap().rows {
        *unique.entry(row[0].as_ref().unwrap().parse().unwrap()).or_default() += 1;
    }
    let money = client.run("SELECT sum(balance) FROM account").unwrap();
    Truth { registers, lists: lists.collect(), unique, money: money.value().unwrap().to_owned() }
}

/// All that is wrong.
fn judge(truth: &Truth, known: &[Known]) -> Vec<String> {
    let all = |part: fn(&Known) -> &Vec<Operation>| -> Vec<Operation> {
        known.iter().flat_map(|known| part(known).iter().cloned()).collect()
    };
    let mut complaints = check(&truth.registers, &all(|known| &known.registers));
    complaints.extend(check(&truth.lists, &all(|known| &known.lists)));
    complaints.extend(known.iter().flat_map(|known| known.complaints.iter().cloned()));
    for (value, outcome) in known.iter().flat_map(|known| &known.unique) {
        let there = truth.unique.get(value).copied().unwrap_or(0);
        let fits = match outcome {
            Outcome::Done => there == 1,
            Outcome::Not => there == 0,
            Outcome::Unknown => there < 2,
        };
        if !fits {
            complaints.push(format!(
                "entry {value} was told to be {outcome:?}, and is there {there} times"
            ));
        }
    }
    if truth.money != MONEY.to_string() {
        complaints.push(format!("all accounts have {} together at the end", truth.money));
    }
    complaints
}

/// How long nothing was acknowledged after each kill, in ms.
fn gaps(killed: &[Instant], known: &[Known]) -> Vec<u128> {
    let mut all: Vec<Instant> =
        known.iter().flat_map(|known| known.acknowledged.iter().copied()).collect();
    all.sort();
    let gap = |killed: &Instant| {
        // What was under way may still be acknowledged; the longest silence of the next seconds counts.
        let after =
            all.iter().filter(|it| **it > *killed && **it < *killed + Duration::from_secs(15));
        let times: Vec<Instant> = std::iter::once(*killed).chain(after.copied()).collect();
        times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).max().unwrap_or(15_000)
    };
    killed.iter().map(gap).collect()
}

fn run(seed: u64, nodes: usize, time: Duration) -> Vec<u128> {
    let net = Net::lay(nodes);
    if net.is_none() {
        println!("no namespaces here: nothing is cut");
    }
    let place = |node| net.as_ref().map_or_else(Place::default, |net| net.place(node));
    let mut cluster = Cluster::found_at(place(0));
    for node in 1..nodes {
        cluster.grow_at(place(node));
    }
    let leader = cluster.leader();
    set_up(&mut cluster.servers[leader].client());
    let shared = Arc::new(Shared {
        addresses: cluster.servers.iter().map(Server::address).collect(),
        stop: AtomicBool::new(false),
        values: AtomicU64::new(1),
    });
    let mut random = Random::new(seed);
    let mut killed = Vec::new();
    let known = clients(&shared, seed, || {
        killed = torment(&mut cluster, net.as_ref(), &mut random, time);
        // All works again: something is taken by every node.
        let (until, after) = (Instant::now() + LIMIT, shared.values.load(Ordering::Relaxed) + 200);
        while shared.values.load(Ordering::Relaxed) < after {
            assert!(Instant::now() < until, "nothing goes on after all was mended");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    cluster.agreed(
        "SELECT string_agg(hash, '' ORDER BY height) FROM ledger.blocks WHERE height < 100",
    );
    cluster.agreed("SELECT count(*) FROM entry");
    let leader = cluster.leader();
    let complaints = judge(&truth(&mut cluster.servers[leader].client()), &known);
    assert_eq!(complaints, Vec::<String>::new(), "seed {seed}");
    for server in &cluster.servers {
        let found =
            server.client().run("SELECT count(*) FROM ledger.verify() WHERE status <> 'ok'");
        assert_eq!(found.unwrap().value(), Some("0"));
    }
    let acknowledged: usize = known.iter().map(|known| known.acknowledged.len()).sum();
    let gaps = gaps(&killed, &known);
    println!("seed {seed}: {acknowledged} acknowledged, silences after kills {gaps:?} ms");
    gaps
}

#[test]
fn what_was_told_is_true_whatever_breaks() {
    let (runs, seconds) =
        (number("STELE_TEST_NEMESIS_RUNS", 1), number("STELE_TEST_NEMESIS_SECONDS", 10));
    let nodes = usize::try_from(number("STELE_TEST_NEMESIS_NODES", 3)).unwrap();
    let mut random = Random::from_environment("STELE_TEST_SEED");
    let mut gaps = Vec::new();
    for _ in 0..runs {
        gaps.extend(run(random.next(), nodes, Duration::from_secs(seconds)));
    }
    gaps.sort_unstable();
    println!("{} kills, median silence {:?} ms", gaps.len(), gaps.get(gaps.len() / 2));
}
