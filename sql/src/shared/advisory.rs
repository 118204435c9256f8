//! Advisory locks: an application's own numbers, held for the session or for the transaction, on this node.
//! As in PostgreSQL a session may hold one several times, and never stands in its own way.

use std::collections::BTreeMap;

use ledger::Oid;
use storage::{LockError, LockMode, LockOwner, LockTarget, Locks, Wait};

use crate::Error;

/// The most locks that a session may hold.
const MOST: usize = 10_000;

/// What is locked: numbers of one space or of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    One(i64),
    Two(i32, i32),
}

impl Key {
    pub(crate) fn target(self) -> LockTarget {
        match self {
            Self::One(number) => LockTarget::Advisory(number),
            // No index has this number.
            Self::Two(a, b) => LockTarget::Key(Oid(0), [a.to_be_bytes(), b.to_be_bytes()].concat()),
        }
    }

    /// The key that a lock's target stands for.
    pub(crate) fn of(target: &LockTarget) -> Option<Self> {
        match target {
            LockTarget::Advisory(number) => Some(Self::One(*number)),
            LockTarget::Key(Oid(0), bytes) => {
                let (a, b) = bytes.split_at_checked(4)?;
                Some(Self::Two(
                    i32::from_be_bytes(a.try_into().ok()?),
                    i32::from_be_bytes(b.try_into().ok()?),
                ))
            }
            _ => None,
        }
    }
}

/// How a lock is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct How {
    pub(crate) shared: bool,
    /// Given back at the transaction's end, and not before.
    pub(crate) transaction: bool,
}

impl How {
    fn mode(self) -> LockMode {
        if self.shared { LockMode::Share } else { LockMode::Update }
    }
}

/// How often a session holds one lock.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    session: Times,
    transaction: Times,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    shared: u32,
    exclusive: u32,
}

impl Times {
    fn of(&mut self, shared: bool) -> &mut u32 {
        if shared { &mut self.shared } else { &mut self.exclusive }
    }
}

impl Held {
    fn of(&mut self, how: How) -> &mut u32 {
        let times = if how.transaction { &mut self.transaction } else { &mut self.session };
        times.of(how.shared)
    }

    /// The modes that are needed for what is held.
    fn modes(&self) -> Vec<LockMode> {
        let mut modes = Vec::with_capacity(2);
        if self.session.shared > 0 || self.transaction.shared > 0 {
            modes.push(LockMode::Share);
        }
        if self.session.exclusive > 0 || self.transaction.exclusive > 0 {
            modes.push(LockMode::Update);
        }
        modes
    }
}

/// What a session's transaction holds; to come back to.
pub(crate) type Mark = BTreeMap<Key, (u32, u32)>;

/// A session's advisory locks.
#[derive(Debug)]
pub(crate) struct Advisory {
    owner: LockOwner,
    held: BTreeMap<Key, Held>,
}

impl Advisory {
    pub(crate) fn new(owner: LockOwner) -> Self {
        Self { owner, held: BTreeMap::new() }
    }

    pub(crate) fn owner(&self) -> LockOwner {
        self.owner
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether there is room for one more.
    ///
    /// # Errors
    /// 53200
    pub(crate) fn need_room(&self, key: Key) -> Result<(), Error> {
        if self.held.len() < MOST || self.held.contains_key(&key) {
            return Ok(());
        }
        Err(Error::new("53200", "out of shared memory")
            .with_hint(format!("A session holds at most {MOST} advisory locks.")))
    }

    /// Notes a lock that was given.
    pub(crate) fn note(&mut self, key: Key, how: How) {
        *self.held.entry(key).or_default().of(how) += 1;
    }

    /// Gives one back; `false` when the session doesn't hold it so.
    pub(crate) fn unlock(&mut self, locks: &Locks, key: Key, shared: bool) -> bool {
        let Some(held) = self.held.get_mut(&key) else { return false };
        let times = held.session.of(shared);
        if *times == 0 {
            return false;
        }
        *times -= 1;
        self.settle(locks, key);
        true
    }

    /// Gives all back that the session holds, but for its transaction's.
    pub(crate) fn unlock_all(&mut self, locks: &Locks) {
        self.each(locks, |held, _| held.session = Times::default());
    }

    /// The transaction is over.
    pub(crate) fn end_transaction(&mut self, locks: &Locks) {
        if !self.held.is_empty() {
            self.each(locks, |held, _| held.transaction = Times::default());
        }
    }

    /// What the transaction holds now.
    pub(crate) fn mark(&self) -> Mark {
        let times = |held: &Held| (held.transaction.shared, held.transaction.exclusive);
        self.held.iter().map(|(key, held)| (*key, times(held))).collect()
    }

    /// Gives back what the transaction took since.
    pub(crate) fn rollback_to(&mut self, locks: &Locks, mark: &Mark) {
        self.each(locks, |held, key| {
            let (shared, exclusive) = mark.get(key).copied().unwrap_or_default();
            held.transaction = Times { shared, exclusive };
        });
    }

    fn each(&mut self, locks: &Locks, change: impl Fn(&mut Held, &Key)) {
        for (key, held) in &mut self.held {
            change(held, key);
        }
        let keys: Vec<Key> = self.held.keys().copied().collect();
        for key in keys {
            self.settle(locks, key);
        }
    }

    /// Holds no more than is needed.
    fn settle(&mut self, locks: &Locks, key: Key) {
        let modes = self.held.get(&key).map(Held::modes).unwrap_or_default();
        locks.reduce(self.owner, &key.target(), &modes);
        if modes.is_empty() {
            self.held.remove(&key);
        }
    }
}

/// Takes a lock for a session; `false` when it isn't free and the caller doesn't wait.
///
/// # Errors
/// 40P01, 55P03.
pub(crate) async fn acquire(
    locks: &Locks,
    owner: LockOwner,
    key: Key,
    how: How,
    wait: Wait,
) -> Result<bool, Error> {
    match locks.acquire(owner, key.target(), how.mode(), wait).await {
        Ok(_) => Ok(true),
        Err(LockError::NotAvailable) if wait == Wait::NoWait => Ok(false),
        Err(error) => Err(error.into()),
    }
}
