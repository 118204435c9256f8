//! Who may go on, who waits, who must give way; and random work against a model of the rules.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ledger::{Height, Oid, VersionId};
use proptest::prelude::*;
use tokio::{task::JoinHandle, time::Instant};

use super::{LockError, LockMode, LockOwner, LockTarget, Locks, Wait};

const FOREVER: Wait = Wait::Until(None);

fn row(number: u32) -> LockTarget {
    LockTarget::Row(Oid(1), VersionId { height: Height(1), transaction: 0, operation: number })
}

fn spawn(
    locks: &Arc<Locks>,
    owner: LockOwner,
    target: LockTarget,
    mode: LockMode,
) -> JoinHandle<Result<bool, LockError>> {
    let locks = Arc::clone(locks);
    tokio::spawn(async move { locks.acquire(owner, target, mode, FOREVER).await })
}

/// Lets every other task run as far as it can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn conflicts_are_postgresqls() {
    use LockMode::{KeyShare, NoKeyUpdate, Share, Update};
    let conflicts = [
        (KeyShare, vec![Update]),
        (Share, vec![NoKeyUpdate, Update]),
        (NoKeyUpdate, vec![Share, NoKeyUpdate, Update]),
        (Update, vec![KeyShare, Share, NoKeyUpdate, Update]),
    ];
    for (mode, with) in conflicts {
        for other in LockMode::ALL {
            assert_eq!(mode.conflicts(other), with.contains(&other), "{mode:?} {other:?}");
            assert_eq!(mode.conflicts(other), other.conflicts(mode));
        }
    }
}

#[tokio::test]
async fn waiters_are_served_in_order() {
    let locks = Arc::new(Locks::new());
    let [a, b, c] = [(); 3].map(|()| locks.owner());
    assert_eq!(locks.acquire(a, row(1), LockMode::Update, FOREVER).await, Ok(false));
    let second = spawn(&locks, b, row(1), LockMode::Update);
    settle().await;
    let third = spawn(&locks, c, row(1), LockMode::KeyShare);
    settle().await;
    locks.release_all(a);
    assert_eq!(second.await.unwrap(), Ok(true));
    settle().await;
    assert!(!third.is_finished(), "it came after one that it conflicts with");
    locks.release_all(b);
    assert_eq!(third.await.unwrap(), Ok(true));
    locks.release_all(c);
    assert_eq!(locks.counts(), (0, 0));
}

#[tokio::test]
async fn a_sharer_does_not_overtake_a_waiting_writer() {
    let locks = Arc::new(Locks::new());
    let [a, b, c] = [(); 3].map(|()| locks.owner());
    locks.acquire(a, row(1), LockMode::Share, FOREVER).await.unwrap();
    let writer = spawn(&locks, b, row(1), LockMode::Update);
    settle().await;
    let refused = locks.acquire(c, row(1), LockMode::Share, Wait::NoWait).await;
    assert_eq!(refused, Err(LockError::NotAvailable));
    // But who shares already may share more.
    assert_eq!(locks.acquire(a, row(1), LockMode::KeyShare, Wait::NoWait).await, Ok(false));
    assert_eq!(locks.acquire(a, row(1), LockMode::Update, Wait::NoWait).await, Ok(false));
    locks.release_all(a);
    assert_eq!(writer.await.unwrap(), Ok(true));
}

#[tokio::test]
async fn the_one_that_closes_a_circle_gives_way() {
    let locks = Arc::new(Locks::new());
    let [a, b, c] = [(); 3].map(|()| locks.owner());
    for (owner, number) in [(a, 1), (b, 2), (c, 3)] {
        locks.acquire(owner, row(number), LockMode::NoKeyUpdate, FOREVER).await.unwrap();
    }
    let first = spawn(&locks, a, row(2), LockMode::NoKeyUpdate);
    let second = spawn(&locks, b, row(3), LockMode::NoKeyUpdate);
    settle().await;
    let closing = locks.acquire(c, row(1), LockMode::NoKeyUpdate, FOREVER).await;
    assert_eq!(closing, Err(LockError::Deadlock));
    locks.release_all(c);
    assert_eq!(second.await.unwrap(), Ok(true));
    locks.release_all(b);
    assert_eq!(first.await.unwrap(), Ok(true));
}

#[tokio::test]
async fn two_sharers_that_both_want_to_write_are_a_circle() {
    let locks = Arc::new(Locks::new());
    let [a, b] = [(); 2].map(|()| locks.owner());
    for owner in [a, b] {
        locks.acquire(owner, row(1), LockMode::Share, FOREVER).await.unwrap();
    }
    let first = spawn(&locks, a, row(1), LockMode::Update);
    settle().await;
    let closing = locks.acquire(b, row(1), LockMode::Update, FOREVER).await;
    assert_eq!(closing, Err(LockError::Deadlock));
    locks.release_all(b);
    assert_eq!(first.await.unwrap(), Ok(true));
}

#[tokio::test]
async fn waiting_ends_at_the_deadline() {
    let locks = Arc::new(Locks::new());
    let [a, b] = [(); 2].map(|()| locks.owner());
    locks.acquire(a, row(1), LockMode::Update, FOREVER).await.unwrap();
    let until = Wait::Until(Some(Instant::now() + Duration::from_millis(50)));
    assert_eq!(locks.acquire(b, row(1), LockMode::Share, until).await, Err(LockError::Timeout));
    assert_eq!(locks.counts(), (1, 0));
}

#[tokio::test]
async fn a_cancelled_or_dropped_waiter_is_gone() {
    let locks = Arc::new(Locks::new());
    let [a, b, c] = [(); 3].map(|()| locks.owner());
    locks.acquire(a, row(1), LockMode::Update, FOREVER).await.unwrap();
    let cancelled = spawn(&locks, b, row(1), LockMode::Update);
    settle().await;
    locks.cancel(b);
    assert_eq!(cancelled.await.unwrap(), Err(LockError::Cancelled));
    let dropped = spawn(&locks, b, row(1), LockMode::Update);
    settle().await;
    let last = spawn(&locks, c, row(1), LockMode::Update);
    settle().await;
    dropped.abort();
    settle().await;
    locks.release_all(a);
    assert_eq!(last.await.unwrap(), Ok(true));
    assert_eq!(locks.counts(), (1, 0));
}

#[tokio::test]
async fn rolling_back_to_a_mark_gives_back_what_came_after() {
    let locks = Arc::new(Locks::new());
    let [a, b] = [(); 2].map(|()| locks.owner());
    locks.acquire(a, row(1), LockMode::Share, FOREVER).await.unwrap();
    let mark = locks.mark(a);
    locks.acquire(a, row(1), LockMode::Update, FOREVER).await.unwrap();
    locks.acquire(a, row(2), LockMode::Update, FOREVER).await.unwrap();
    let waiting = spawn(&locks, b, row(2), LockMode::Update);
    settle().await;
    locks.rollback_to(a, mark);
    assert_eq!(waiting.await.unwrap(), Ok(true));
    assert!(locks.is_free(b, &row(1), LockMode::Share));
    assert!(!locks.is_free(b, &row(1), LockMode::NoKeyUpdate), "it is shared as before the mark");
}

#[tokio::test]
async fn many_locks_become_one_unless_another_stands_against_it() {
    let locks = Arc::new(Locks::with_escalation(100));
    let [a, b, c] = [(); 3].map(|()| locks.owner());
    locks.acquire(b, row(500), LockMode::Update, FOREVER).await.unwrap();
    for number in 0..150 {
        locks.acquire(a, row(number), LockMode::Update, FOREVER).await.unwrap();
    }
    assert_eq!(locks.counts(), (151, 0), "one row is another's");
    locks.release_all(b);
    for number in 150..300 {
        locks.acquire(a, row(number), LockMode::Update, FOREVER).await.unwrap();
    }
    assert_eq!(locks.counts(), (1, 0));
    let refused = locks.acquire(c, row(700), LockMode::KeyShare, Wait::NoWait).await;
    assert_eq!(refused, Err(LockError::NotAvailable));
    let other = LockTarget::Key(Oid(1), vec![1]);
    assert_eq!(locks.acquire(c, other, LockMode::Update, Wait::NoWait).await, Ok(false));
    let waiting = spawn(&locks, c, row(3), LockMode::Update);
    settle().await;
    let circle = locks.acquire(a, LockTarget::Key(Oid(1), vec![1]), LockMode::Share, FOREVER).await;
    assert_eq!(circle, Err(LockError::Deadlock));
    locks.release_all(a);
    assert_eq!(waiting.await.unwrap(), Ok(true));
    locks.release_all(c);
    assert_eq!(locks.counts(), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Try { owner: usize, row: u32, mode: usize },
    Mark { owner: usize },
    Back { owner: usize },
    Release { owner: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..4_usize, 0..6_u32, 0..4_usize)
            .prop_map(|(owner, row, mode)| Step::Try { owner, row, mode }),
        1 => (0..4_usize).prop_map(|owner| Step::Mark { owner }),
        1 => (0..4_usize).prop_map(|owner| Step::Back { owner }),
        1 => (0..4_usize).prop_map(|owner| Step::Release { owner }),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// Without waiting: a lock is given exactly when no other owner holds a mode against it.
    #[test]
    fn locks_are_given_when_nothing_stands_against_them(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let locks = Locks::new();
            let owners = [(); 4].map(|()| locks.owner());
            // Of each owner: the steps taken, and the last mark with how many steps it stands for.
            let mut taken: BTreeMap<usize, Vec<(u32, LockMode)>> = BTreeMap::new();
            let mut marks: BTreeMap<usize, (super::Mark, usize)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Try { owner, row: number, mode } => {
                        let mode = LockMode::ALL[mode];
                        let held = taken.iter().filter(|(other, _)| **other != owner);
                        let free = held
                            .flat_map(|(_, taken)| taken)
                            .all(|(other, held)| *other != number || !held.conflicts(mode));
                        let own = taken.entry(owner).or_default();
                        let covered = own.iter().any(|(n, held)| *n == number && held.covers(mode));
                        let given = locks.acquire(owners[owner], row(number), mode, Wait::NoWait).await;
                        assert_eq!(given.is_ok(), covered || free);
                        if given.is_ok() && !covered {
                            own.push((number, mode));
                        }
                    }
                    Step::Mark { owner } => {
                        let count = taken.get(&owner).map_or(0, Vec::len);
                        marks.insert(owner, (locks.mark(owners[owner]), count));
                    }
                    Step::Back { owner } => {
                        if let Some((mark, count)) = marks.get(&owner) {
                            locks.rollback_to(owners[owner], *mark);
                            taken.entry(owner).or_default().truncate(*count);
                        }
                    }
                    Step::Release { owner } => {
                        locks.release_all(owners[owner]);
                        taken.remove(&owner);
                        marks.remove(&owner);
                    }
                }
                let held: usize = taken.values().map(Vec::len).sum();
                assert_eq!(locks.counts(), (held, 0));
            }
        });
    }

    /// With waiting: whoever waits gets its lock or a deadlock, when all others end; nobody hangs.
    #[test]
    fn everyone_ends(steps in steps(), escalation in 1..5_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let locks = Arc::new(Locks::with_escalation(escalation));
            let mut works = vec![vec![]; 4];
            for step in steps {
                if let Step::Try { owner, row, mode } = step {
                    works[owner].push((row, LockMode::ALL[mode]));
                }
            }
            let tasks: Vec<_> = works.into_iter().map(|work| {
                let locks = Arc::clone(&locks);
                tokio::spawn(async move {
                    for transaction in work.chunks(3) {
                        let owner = locks.owner();
                        for (number, mode) in transaction {
                            let given = locks.acquire(owner, row(*number), *mode, FOREVER).await;
                            tokio::task::yield_now().await;
                            if given.is_err() {
                                assert_eq!(given, Err(LockError::Deadlock));
                                break;
                            }
                        }
                        locks.release_all(owner);
                    }
                })
            }).collect();
            for task in tasks {
                let ended = tokio::time::timeout(Duration::from_secs(20), task).await;
                ended.expect("somebody waits for ever").unwrap();
            }
            assert_eq!(locks.counts(), (0, 0));
        });
    }
}

#[tokio::test]
async fn a_lock_is_held_no_stronger_than_needed() {
    let locks = Arc::new(Locks::new());
    let [a, b, c] = [(); 3].map(|()| locks.owner());
    locks.acquire(a, row(1), LockMode::Share, FOREVER).await.unwrap();
    locks.acquire(a, row(1), LockMode::Update, FOREVER).await.unwrap();
    let sharer = spawn(&locks, b, row(1), LockMode::Share);
    settle().await;
    assert_eq!(locks.list(10).len(), 2);
    locks.reduce(a, &row(1), &[LockMode::Share]);
    assert_eq!(sharer.await.unwrap(), Ok(true));
    let refused = locks.acquire(c, row(1), LockMode::Update, Wait::NoWait).await;
    assert_eq!(refused, Err(LockError::NotAvailable));
    locks.reduce(a, &row(1), &[]);
    locks.release_all(b);
    assert_eq!(locks.counts(), (0, 0));
    assert_eq!(locks.acquire(c, row(1), LockMode::Update, Wait::NoWait).await, Ok(false));
}

#[tokio::test]
async fn a_session_and_its_transaction_close_one_circle() {
    let locks = Arc::new(Locks::new());
    let [a, b, session] = [(); 3].map(|()| locks.owner());
    locks.relate(a, session);
    locks.acquire(session, LockTarget::Advisory(1), LockMode::Update, FOREVER).await.unwrap();
    locks.acquire(b, row(1), LockMode::Update, FOREVER).await.unwrap();
    let waiting = spawn(&locks, a, row(1), LockMode::Update);
    settle().await;
    let closing = locks.acquire(b, LockTarget::Advisory(1), LockMode::Update, FOREVER).await;
    assert_eq!(closing, Err(LockError::Deadlock));
    locks.release_all(b);
    assert_eq!(waiting.await.unwrap(), Ok(true));
    locks.release_all(a);
    locks.release_all(session);
    assert_eq!(locks.counts(), (0, 0));
}
