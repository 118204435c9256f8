//! The lock table: holders and queues by target, and what each owner holds. Plain data under one mutex;
//! it knows no time and no tasks, only whom to tell.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use ledger::Oid;
use tokio::sync::oneshot;

use super::{LockError, LockMode, LockOwner, LockTarget, mode::Modes};

/// The answer to a request.
pub(super) enum Request {
    /// It is held now.
    Granted,
    /// It waits under this ticket, and will be told.
    Waiting(u64, oneshot::Receiver<Result<(), LockError>>),
}

/// All locks and all who wait.
pub(super) struct Table {
    escalation: usize,
    targets: HashMap<Arc<LockTarget>, Entry>,
    containers: HashMap<Container, Contained>,
    owners: HashMap<LockOwner, Owner>,
    /// The session of a transaction, where it is known to hold locks of its own; and back.
    sessions: HashMap<LockOwner, LockOwner>,
    transactions: HashMap<LockOwner, LockOwner>,
    /// By ticket, so in order of arrival.
    waiters: BTreeMap<u64, Waiter>,
    next_ticket: u64,
}

/// What many locks can be replaced by one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Container {
    Rows(Oid),
    Keys(Oid),
}

fn container_of(target: &LockTarget) -> Option<Container> {
    match target {
        LockTarget::Row(table, _) => Some(Container::Rows(*table)),
        LockTarget::Key(index, _) => Some(Container::Keys(*index)),
        LockTarget::Table(_) | LockTarget::Catalog | LockTarget::Advisory(_) => None,
    }
}

#[derive(Default)]
struct Entry {
    holders: Vec<(LockOwner, Modes)>,
    queue: VecDeque<u64>,
}

#[derive(Default)]
struct Contained {
    /// Owners with the container locked as a whole.
    whole: Vec<(LockOwner, Modes)>,
    /// How many targets in it each owner has locked one by one.
    single: HashMap<LockOwner, usize>,
}

#[derive(Default)]
struct Owner {
    held: Vec<Held>,
    whole: Vec<Container>,
    next_mark: u64,
    waiting: Option<u64>,
    /// Don't try to escalate before this many locks.
    patience: usize,
}

/// One step of locking: what the owner had on the target before it.
struct Held {
    mark: u64,
    target: Arc<LockTarget>,
    before: Modes,
}

struct Waiter {
    owner: LockOwner,
    target: Arc<LockTarget>,
    mode: LockMode,
    tell: oneshot::Sender<Result<(), LockError>>,
}

impl Table {
    pub(super) fn new(escalation: usize) -> Self {
        Self {
            escalation: escalation.max(1),
            targets: HashMap::new(),
            containers: HashMap::new(),
            owners: HashMap::new(),
            sessions: HashMap::new(),
            transactions: HashMap::new(),
            waiters: BTreeMap::new(),
            next_ticket: 0,
        }
    }

    pub(super) fn request(
        &mut self,
        owner: LockOwner,
        target: LockTarget,
        mode: LockMode,
        wait: bool,
    ) -> Result<Request, LockError> {
        if self.modes(owner, &target).covers(mode) {
            return Ok(Request::Granted);
        }
        let target = match self.targets.get_key_value(&target) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(target),
        };
        if self.blockers(owner, &target, mode, u64::MAX).is_empty() {
            self.grant(owner, target, mode);
            return Ok(Request::Granted);
        }
        if !wait {
            return Err(LockError::NotAvailable);
        }
        if self.closes_circle(owner, &target, mode) {
            return Err(LockError::Deadlock);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let (tell, told) = oneshot::channel();
        self.targets.entry(Arc::clone(&target)).or_default().queue.push_back(ticket);
        self.waiters.insert(ticket, Waiter { owner, target, mode, tell });
        self.owners.entry(owner).or_default().waiting = Some(ticket);
        Ok(Request::Waiting(ticket, told))
    }

    pub(super) fn is_free(&self, owner: LockOwner, target: &LockTarget, mode: LockMode) -> bool {
        self.modes(owner, target).covers(mode)
            || self.blockers(owner, target, mode, u64::MAX).is_empty()
    }

    pub(super) fn holds_keys(&self, owner: LockOwner, index: Oid, mode: LockMode) -> bool {
        let contained = self.containers.get(&Container::Keys(index));
        let mut whole = contained.into_iter().flat_map(|contained| &contained.whole);
        whole.any(|(holder, modes)| *holder == owner && modes.covers(mode))
    }

    /// Takes a waiter out of its queue; `false` if it doesn't wait any more.
    pub(super) fn withdraw(&mut self, ticket: u64) -> bool {
        let Some(waiter) = self.waiters.remove(&ticket) else { return false };
        if let Some(owner) = self.owners.get_mut(&waiter.owner) {
            owner.waiting = None;
        }
        if let Some(entry) = self.targets.get_mut(&waiter.target) {
            entry.queue.retain(|other| *other != ticket);
        }
        self.wake(&waiter.target);
        self.forget_if_idle(waiter.owner);
        true
    }

    pub(super) fn cancel(&mut self, owner: LockOwner) {
        let Some(ticket) = self.owners.get(&owner).and_then(|owner| owner.waiting) else { return };
        if let Some(waiter) = self.waiters.get_mut(&ticket) {
            let (nobody, _) = oneshot::channel();
            let tell = std::mem::replace(&mut waiter.tell, nobody);
            // A waiter that went away meanwhile needs not be told.
            tell.send(Err(LockError::Cancelled)).ok();
        }
        self.withdraw(ticket);
    }

    pub(super) fn mark(&self, owner: LockOwner) -> u64 {
        self.owners.get(&owner).map_or(0, |owner| owner.next_mark)
    }

    pub(super) fn rollback_to(&mut self, owner: LockOwner, mark: u64) {
        let mut woken = Vec::new();
        while let Some(held) = self
            .owners
            .get_mut(&owner)
            .and_then(|owner| owner.held.pop_if(|held| held.mark >= mark))
        {
            self.set(owner, &held.target, held.before);
            woken.push(held.target);
        }
        for target in woken {
            self.wake(&target);
        }
        self.forget_if_idle(owner);
    }

    pub(super) fn release_all(&mut self, owner: LockOwner) {
        if let Some(ticket) = self.owners.get(&owner).and_then(|owner| owner.waiting) {
            self.withdraw(ticket);
        }
        if let Some(session) = self.sessions.remove(&owner)
            && self.transactions.get(&session) == Some(&owner)
        {
            self.transactions.remove(&session);
        }
        let Some(released) = self.owners.remove(&owner) else { return };
        for held in &released.held {
            self.set(owner, &held.target, Modes::default());
        }
        for container in &released.whole {
            if let Some(contained) = self.containers.get_mut(container) {
                contained.whole.retain(|(holder, _)| *holder != owner);
            }
            self.tidy(*container);
        }
        for held in &released.held {
            self.wake(&held.target);
        }
        if !released.whole.is_empty() {
            self.wake_in(&released.whole);
        }
    }

    pub(super) fn relate(&mut self, transaction: LockOwner, session: LockOwner) {
        self.sessions.insert(transaction, session);
        self.transactions.insert(session, transaction);
    }

    pub(super) fn reduce(&mut self, owner: LockOwner, target: &LockTarget, modes: &[LockMode]) {
        let Some((target, _)) = self.targets.get_key_value(target) else { return };
        let target = Arc::clone(target);
        let modes = modes.iter().fold(Modes::default(), |all, mode| all.with(*mode));
        self.set(owner, &target, modes);
        if let Some(holder) = self.owners.get_mut(&owner) {
            holder.held.retain(|held| held.target != target);
            if !modes.is_empty() {
                let mark = holder.next_mark;
                holder.next_mark += 1;
                let target = Arc::clone(&target);
                holder.held.push(Held { mark, target, before: Modes::default() });
            }
        }
        self.wake(&target);
        self.forget_if_idle(owner);
    }

    pub(super) fn list(&self, most: usize) -> Vec<(LockOwner, LockTarget, LockMode, bool)> {
        let held = self.targets.iter().flat_map(|(target, entry)| {
            entry.holders.iter().filter_map(move |(owner, modes)| {
                Some((*owner, (**target).clone(), modes.strongest()?, true))
            })
        });
        let waited = self
            .waiters
            .values()
            .map(|waiter| (waiter.owner, (*waiter.target).clone(), waiter.mode, false));
        held.chain(waited).take(most).collect()
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let held = self.owners.values().map(|owner| owner.held.len() + owner.whole.len()).sum();
        (held, self.waiters.len())
    }

    /// What the owner holds on a target, itself or by its container.
    fn modes(&self, owner: LockOwner, target: &LockTarget) -> Modes {
        let of = |holders: &[(LockOwner, Modes)]| {
            let found = holders.iter().find(|(holder, _)| *holder == owner);
            found.map_or_else(Modes::default, |(_, modes)| *modes)
        };
        let single = self.targets.get(target).map_or_else(Modes::default, |e| of(&e.holders));
        let contained = container_of(target).and_then(|container| self.containers.get(&container));
        single.union(contained.map_or_else(Modes::default, |contained| of(&contained.whole)))
    }

    /// Whom a request has to wait for: other holders whose modes conflict, and, unless the owner has the
    /// target locked already, those before it in the queue whose modes conflict.
    fn blockers(
        &self,
        owner: LockOwner,
        target: &LockTarget,
        mode: LockMode,
        before: u64,
    ) -> Vec<LockOwner> {
        let mut found = Vec::new();
        let mut add = |holders: &[(LockOwner, Modes)]| {
            let others =
                holders.iter().filter(|(holder, modes)| *holder != owner && modes.conflicts(mode));
            found.extend(others.map(|(holder, _)| *holder));
        };
        if let Some(contained) = container_of(target).and_then(|c| self.containers.get(&c)) {
            add(&contained.whole);
        }
        let Some(entry) = self.targets.get(target) else { return found };
        add(&entry.holders);
        if self.modes(owner, target).is_empty() {
            let ahead = entry.queue.iter().take_while(|ticket| **ticket < before);
            let ahead = ahead.filter_map(|ticket| self.waiters.get(ticket));
            let ahead = ahead.filter(|other| other.owner != owner && other.mode.conflicts(mode));
            found.extend(ahead.map(|other| other.owner));
        }
        found
    }

    /// Whether the owner, waiting for this, would wait for itself. Only a new waiter can close a circle,
    /// so it is enough to look when one is about to wait.
    fn closes_circle(&self, owner: LockOwner, target: &LockTarget, mode: LockMode) -> bool {
        let mut seen = HashSet::new();
        let mut next = self.blockers(owner, target, mode, u64::MAX);
        while let Some(blocker) = next.pop() {
            if self.session_of(blocker) == self.session_of(owner) {
                return true;
            }
            if !seen.insert(blocker) {
                continue;
            }
            for waiting in self.kin(blocker) {
                let ticket = self.owners.get(&waiting).and_then(|owner| owner.waiting);
                if let Some(ticket) = ticket
                    && let Some(waiter) = self.waiters.get(&ticket)
                {
                    next.extend(self.blockers(waiting, &waiter.target, waiter.mode, ticket));
                }
            }
        }
        false
    }

    fn session_of(&self, owner: LockOwner) -> LockOwner {
        self.sessions.get(&owner).copied().unwrap_or(owner)
    }

    /// An owner with the others of its session.
    fn kin(&self, owner: LockOwner) -> impl Iterator<Item = LockOwner> {
        let session = self.session_of(owner);
        let transaction = self.transactions.get(&session).copied();
        let others = [Some(session), transaction].into_iter().flatten();
        std::iter::once(owner).chain(others.filter(move |other| *other != owner))
    }

    fn grant(&mut self, owner: LockOwner, target: Arc<LockTarget>, mode: LockMode) {
        let before = self.targets.get(&target).and_then(|entry| {
            entry.holders.iter().find(|(holder, _)| *holder == owner).map(|(_, modes)| *modes)
        });
        let before = before.unwrap_or_default();
        self.set(owner, &target, before.with(mode));
        let holder = self.owners.entry(owner).or_default();
        let mark = holder.next_mark;
        holder.next_mark += 1;
        holder.held.push(Held { mark, target: Arc::clone(&target), before });
        if let Some(container) = container_of(&target) {
            self.escalate_if_many(owner, container);
        }
    }

    /// Sets what an owner holds on a target, and forgets the target when nothing is left of it.
    fn set(&mut self, owner: LockOwner, target: &Arc<LockTarget>, modes: Modes) {
        let entry = self.targets.entry(Arc::clone(target)).or_default();
        let place = entry.holders.iter().position(|(holder, _)| *holder == owner);
        let change = match place {
            Some(place) if modes.is_empty() => {
                entry.holders.swap_remove(place);
                -1
            }
            Some(place) => {
                if let Some(holder) = entry.holders.get_mut(place) {
                    holder.1 = modes;
                }
                0
            }
            None if modes.is_empty() => 0,
            None => {
                entry.holders.push((owner, modes));
                1
            }
        };
        if entry.holders.is_empty() && entry.queue.is_empty() {
            self.targets.remove(target);
        }
        if let Some(container) = container_of(target)
            && change != 0
        {
            let contained = self.containers.entry(container).or_default();
            let count = contained.single.entry(owner).or_default();
            *count = count.saturating_add_signed(change);
            if *count == 0 {
                contained.single.remove(&owner);
                self.tidy(container);
            }
        }
    }

    fn tidy(&mut self, container: Container) {
        let idle =
            |contained: &Contained| contained.whole.is_empty() && contained.single.is_empty();
        if self.containers.get(&container).is_some_and(idle) {
            self.containers.remove(&container);
        }
    }

    /// Replaces an owner's many locks in a container by one on it, if no lock of another stands against
    /// it; otherwise tries again when it has twice as many.
    fn escalate_if_many(&mut self, owner: LockOwner, container: Container) {
        let count = self.containers.get(&container).and_then(|c| c.single.get(&owner)).copied();
        let Some(holder) = self.owners.get(&owner) else { return };
        if count.unwrap_or(0) < self.escalation.max(holder.patience) {
            return;
        }
        let inside = |target: &LockTarget| container_of(target) == Some(container);
        let modes = holder
            .held
            .iter()
            .filter(|held| inside(&held.target))
            .fold(Modes::default(), |all, held| all.union(self.modes(owner, &held.target)));
        if self.stands_against(owner, container, modes) {
            if let Some(holder) = self.owners.get_mut(&owner) {
                holder.patience = count.unwrap_or(0).saturating_mul(2);
            }
            return;
        }
        let contained = self.containers.entry(container).or_default();
        let known = contained.whole.iter_mut().find(|(holder, _)| *holder == owner);
        let is_new = known.is_none();
        match known {
            Some((_, held)) => *held = held.union(modes),
            None => contained.whole.push((owner, modes)),
        }
        let Some(holder) = self.owners.get_mut(&owner) else { return };
        if is_new {
            holder.whole.push(container);
        }
        let (single, rest) =
            std::mem::take(&mut holder.held).into_iter().partition(|held| inside(&held.target));
        holder.held = rest;
        let single: Vec<Held> = single;
        for held in single {
            self.set(owner, &held.target, Modes::default());
        }
    }

    /// Whether another owner holds anything in a container that conflicts with these modes.
    fn stands_against(&self, owner: LockOwner, container: Container, modes: Modes) -> bool {
        let Some(contained) = self.containers.get(&container) else { return false };
        if contained.whole.iter().any(|(other, held)| *other != owner && held.conflict(modes)) {
            return true;
        }
        let others = contained.single.keys().filter(|other| **other != owner);
        others.filter_map(|other| self.owners.get(other).map(|owned| (*other, owned))).any(
            |(other, owned)| {
                let inside = |held: &&Held| container_of(&held.target) == Some(container);
                owned.held.iter().filter(inside).any(|held| {
                    let entry = self.targets.get(&held.target);
                    entry.is_some_and(|entry| {
                        let mut holders = entry.holders.iter();
                        holders.any(|(holder, held)| *holder == other && held.conflict(modes))
                    })
                })
            },
        )
    }

    /// Gives a target to those in its queue who can have it now.
    fn wake(&mut self, target: &Arc<LockTarget>) {
        let queue: Vec<u64> = match self.targets.get(target) {
            Some(entry) => entry.queue.iter().copied().collect(),
            None => return,
        };
        for ticket in queue {
            self.wake_one(ticket);
        }
        let idle = |entry: &Entry| entry.holders.is_empty() && entry.queue.is_empty();
        if self.targets.get(target).is_some_and(idle) {
            self.targets.remove(target);
        }
    }

    /// As [`Self::wake`] for all targets in these containers.
    fn wake_in(&mut self, containers: &[Container]) {
        let inside = |waiter: &Waiter| {
            container_of(&waiter.target).is_some_and(|container| containers.contains(&container))
        };
        let waiters = self.waiters.iter().filter(|(_, waiter)| inside(waiter));
        let tickets: Vec<u64> = waiters.map(|(ticket, _)| *ticket).collect();
        for ticket in tickets {
            self.wake_one(ticket);
        }
    }

    fn wake_one(&mut self, ticket: u64) {
        let Some(waiter) = self.waiters.get(&ticket) else { return };
        if !self.blockers(waiter.owner, &waiter.target, waiter.mode, ticket).is_empty() {
            return;
        }
        let Some(waiter) = self.waiters.remove(&ticket) else { return };
        if let Some(entry) = self.targets.get_mut(&waiter.target) {
            entry.queue.retain(|other| *other != ticket);
        }
        if let Some(owner) = self.owners.get_mut(&waiter.owner) {
            owner.waiting = None;
        }
        self.grant(waiter.owner, waiter.target, waiter.mode);
        // A waiter that was dropped just now holds the lock until its transaction ends.
        waiter.tell.send(Ok(())).ok();
    }

    /// An owner that holds nothing and waits for nothing needs no place, once its marks are all zero.
    fn forget_if_idle(&mut self, owner: LockOwner) {
        let idle = |owner: &Owner| {
            owner.held.is_empty()
                && owner.whole.is_empty()
                && owner.waiting.is_none()
                && owner.next_mark == 0
        };
        if self.owners.get(&owner).is_some_and(idle) {
            self.owners.remove(&owner);
        }
    }
}
