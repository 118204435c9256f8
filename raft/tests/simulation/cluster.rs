//! The nodes of a run: founding, growing, killing and starting again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ledger::{
    Hash, Height, NodeKey, Object, Oid, Operation, Transaction, TransactionId, catalog::Member,
    transaction::Signature,
};
use parking_lot::Mutex;
use raft::{Bounds, NodeId, NodeOn, Options, Start};
use storage::{
    BoxFuture, Clock, Disk, Fault, MemoryIndex, NodeChange, Order, Refused, StateConfig,
    block_file,
    simulated::{Crash, SimulatedDisk},
};

use crate::{
    chance,
    machine::{NodeClock, Simulated, now, sleep, spawn},
    net::{Alive, Net, Plug},
    testing,
};

pub(crate) type Node = Arc<NodeOn<Simulated>>;

/// One node's machine.
pub(crate) struct Machine {
    pub(crate) address: String,
    key: [u8; 32],
    pub(crate) clock: Arc<NodeClock>,
    inner: Mutex<Inner>,
}

struct Inner {
    id: NodeId,
    disk: SimulatedDisk,
    /// Whether a sync fails, or will.
    failing: bool,
    /// Bytes that fit on the disk, if they have a bound.
    capacity: Option<u64>,
    /// Whether bits of its blocks were flipped.
    flipped: bool,
    /// Whether it was admitted, and is not known to be removed.
    admitted: bool,
    /// How often it was removed.
    removals: u32,
    process: Option<(Node, Alive)>,
}

/// All of them.
pub(crate) struct Cluster {
    pub(crate) net: Arc<Net>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) chain: Hash,
    /// Whether machines come and go. Bits flip only where they don't: the last one could be the only one that has a block.
    changes: bool,
    /// Whose numbers were given: which machine's, after how many removals.
    numbers: Mutex<BTreeMap<NodeId, (usize, u32)>>,
    /// What went wrong and must not.
    pub(crate) complaints: Mutex<Vec<String>>,
}

/// Machines that aren't part of it at first.
const SPARE: u8 = 2;

fn member() -> NodeKey {
    NodeKey::from_bytes(&[1; 32])
}

/// Makes a machine's key a member's.
fn new_member(name: &str, at: usize) -> Transaction {
    let number = u8::try_from(at).unwrap();
    let public_key = NodeKey::from_bytes(&[number + 1; 32]).public();
    let member = Object::Member(Member { name: name.to_owned(), public_key });
    let oid = Oid(17_000 + u32::from(number));
    Transaction {
        id: TransactionId([number; 16]),
        user: "stele".to_owned(),
        member: Hash::default(),
        statement: String::new(),
        idempotency_key: None,
        snapshot: Height(0),
        operations: vec![Operation::Define { oid, object: Box::new(member) }],
        signature: Signature::NONE,
        endorsements: Vec::new(),
    }
}

impl Cluster {
    /// Founds a chain, and grows it to so many voters, which may change later.
    pub(crate) async fn found(count: u8, changes: bool) -> Self {
        let machine = |number: u8| Machine {
            address: format!("n{number}"),
            key: [number; 32],
            clock: Arc::new(NodeClock::new()),
            inner: Mutex::new(Inner {
                id: 0,
                disk: SimulatedDisk::new(),
                failing: false,
                capacity: None,
                flipped: false,
                admitted: number == 1,
                removals: 0,
                process: None,
            }),
        };
        let machines = (1..=count + SPARE).map(machine).collect();
        let mut cluster = Self {
            net: Net::new(),
            machines,
            chain: Hash::default(),
            changes,
            numbers: Mutex::new(BTreeMap::from([(0, (0, 0))])),
            complaints: Mutex::default(),
        };
        let founder =
            cluster.start(0, Start::Found(Box::new(testing::genesis(&member())))).await.unwrap();
        cluster.chain = founder.chain();
        let mut voters = BTreeSet::from([0]);
        let stranger = NodeChange::Admit { address: String::new(), public_key: [9; 32] };
        assert_eq!(founder.change(stranger).await, Err(Refused::NoMember));
        for at in 1..cluster.machines.len() {
            let machine = &cluster.machines[at];
            let public_key = NodeKey::from_bytes(&machine.key).public().0;
            founder.submit(new_member(&machine.address, at)).await.unwrap();
            if at >= usize::from(count) {
                continue;
            }
            let node = NodeChange::Admit { address: machine.address.clone(), public_key };
            let id = founder.change(node).await.unwrap();
            assert!(voters.insert(id), "a number was given twice");
            cluster.numbers.lock().insert(id, (at, 0));
            {
                let mut inner = machine.inner.lock();
                (inner.id, inner.admitted) = (id, true);
            }
            let start = Start::Join { chain: cluster.chain, node: id };
            cluster.start(at, start).await.unwrap();
        }
        founder.set_voters(voters).await.unwrap();
        cluster
    }

    async fn start(&self, at: usize, start: Start) -> Result<Node, Fault> {
        let machine = &self.machines[at];
        let (id, disk) = {
            let inner = machine.inner.lock();
            (inner.id, inner.disk.clone())
        };
        let alive: Alive = Arc::new(AtomicBool::new(true));
        let plug = Plug {
            net: Arc::clone(&self.net),
            address: machine.address.clone(),
            node: id,
            alive: Arc::clone(&alive),
        };
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let options = Options {
            key: NodeKey::from_bytes(&machine.key),
            network: Arc::new(plug),
            address: machine.address.clone(),
            clock: Arc::clone(&machine.clock) as Arc<dyn Clock>,
            index: Arc::new(MemoryIndex::default()),
            state: StateConfig::default(),
            segments: None,
            // Small, so that segments end and blocks are forgotten.
            files: block_file::Options {
                segment: 64 << 10,
                preallocate: 4 << 10,
                slack: 4 << 10,
                recent: 8,
                ..block_file::Options::default()
            },
            bounds: Bounds { eager: 4, ..Bounds::default() },
        };
        let node = NodeOn::<Simulated>::open(disk, start, options).await?;
        match node.status().read_only {
            None | Some(Fault::DiskFull { .. }) => {}
            Some(fault) => {
                node.shutdown().await;
                return Err(fault);
            }
        }
        self.net.plug(&machine.address, &node, &alive);
        machine.inner.lock().process = Some((Arc::clone(&node), alive));
        Ok(node)
    }

    /// A node that runs.
    pub(crate) fn node(&self, at: usize) -> Option<(Node, Alive)> {
        self.machines[at].inner.lock().process.clone()
    }

    /// The nodes that run.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.machines.len()).filter(|&at| self.node(at).is_some()).collect()
    }

    pub(crate) fn id(&self, at: usize) -> NodeId {
        self.machines[at].inner.lock().id
    }

    pub(crate) fn changes(&self) -> bool {
        self.changes
    }

    /// The machines whose nodes keep the chain, as the leader knows them.
    pub(crate) fn parts(&self) -> Vec<usize> {
        let leader = self.leader().and_then(|leader| self.node(leader));
        let members = leader.map(|(node, _)| node.members()).unwrap_or_default();
        let is_part = |at: &usize| {
            let inner = self.machines[*at].inner.lock();
            inner.admitted && (members.is_empty() || members.contains_key(&inner.id))
        };
        (0..self.machines.len()).filter(is_part).collect()
    }

    pub(crate) fn is_admitted(&self, at: usize) -> bool {
        self.machines[at].inner.lock().admitted
    }

    /// How others know a machine's node.
    pub(crate) fn admission(&self, at: usize) -> NodeChange {
        let machine = &self.machines[at];
        let public_key = NodeKey::from_bytes(&machine.key).public().0;
        NodeChange::Admit { address: machine.address.clone(), public_key }
    }

    /// A machine was given a number: it starts with nothing.
    pub(crate) async fn join(self: &Arc<Self>, at: usize, id: NodeId) {
        {
            let mut inner = self.machines[at].inner.lock();
            let own = (at, inner.removals);
            if *self.numbers.lock().entry(id).or_insert(own) != own {
                self.complaints.lock().push(format!("number {id} was given twice"));
            }
            (inner.id, inner.admitted, inner.disk) = (id, true, SimulatedDisk::new());
        }
        self.revive(at).await;
    }

    /// A machine was removed: what it has is thrown away.
    pub(crate) async fn leave(self: &Arc<Self>, at: usize) {
        self.kill(at).await;
        let mut inner = self.machines[at].inner.lock();
        (inner.admitted, inner.removals) = (false, inner.removals + 1);
        (inner.disk, inner.capacity) = (SimulatedDisk::new(), None);
    }

    /// The node that leads, if one knows that it does.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.running()
            .into_iter()
            .find(|&at| self.node(at).is_some_and(|(node, _)| node.status().leads))
    }

    /// Cuts a machine's power, which may tear what is being written.
    pub(crate) fn kill(self: &Arc<Self>, at: usize) -> BoxFuture<'static, ()> {
        let cluster = Arc::clone(self);
        Box::pin(async move { cluster.cut_power(at).await })
    }

    async fn cut_power(&self, at: usize) {
        let machine = &self.machines[at];
        let (disk, runs) = {
            let inner = machine.inner.lock();
            (inner.disk.clone(), inner.process.is_some())
        };
        if !runs {
            return;
        }
        // The power goes between any two operations of the disk.
        disk.cut_power_after(disk.operations() + chance::below(8));
        sleep(chance::micros(0, 3_000)).await;
        let crash = match chance::below(4) {
            0 => Crash::LoseAll,
            1 => Crash::KeepAll,
            _ => Crash::Torn { seed: chance::bits() },
        };
        let mut inner = machine.inner.lock();
        let Some((node, alive)) = inner.process.take() else { return };
        alive.store(false, Ordering::Relaxed);
        self.net.unplug(&machine.address);
        (inner.disk, inner.failing) = (disk.after_crash(crash), false);
        inner.disk.set_capacity(inner.capacity);
        drop(inner);
        // What is left of the process frees its memory.
        spawn(async move { node.shutdown().await });
    }

    /// Lets a sync of a machine fail: 0 is the next.
    pub(crate) fn fail_sync(&self, at: usize, nth: u64) {
        let mut inner = self.machines[at].inner.lock();
        if inner.process.is_some() {
            inner.failing = true;
            inner.disk.fail_sync(nth);
        }
    }

    /// Flips a bit of an old block, on one machine of the run; gives whether it did.
    pub(crate) fn flip(&self, at: usize) -> bool {
        if self.changes {
            return false;
        }
        let elsewhere = |other: &Machine| other.inner.lock().flipped;
        let mut others = self.machines.iter().enumerate().filter(|(other, _)| *other != at);
        let Some((node, _)) = self.node(at).filter(|_| !others.any(|(_, it)| elsewhere(it))) else {
            return false;
        };
        // Later records say that it was safe: it can't be taken for a torn tail.
        let old = node.blocks().durable() / 2;
        if old < 20 {
            return false;
        }
        let height = Height(chance::below(old));
        let ((file, offset), (next, end)) =
            (node.blocks().place(height), node.blocks().place(Height(height.0 + 1)));
        if file != next || offset >= end {
            return false;
        }
        let mut inner = self.machines[at].inner.lock();
        inner.flipped = true;
        inner.disk.flip(&file, offset + chance::below(end - offset), 1 << chance::below(8));
        true
    }

    /// Finds what is damaged, and waits until it is put right.
    pub(crate) async fn look_at_all(&self) {
        for at in 0..self.machines.len() {
            let Some((node, _)) = self.node(at) else { continue };
            drop(node.state().verify(false, &mut |_| ()));
            let begun = now();
            while !node.status().damage.is_empty() && now() < begun + Duration::from_secs(30) {
                sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Leaves so many bytes on a machine's disk.
    pub(crate) fn fill(&self, at: usize, left: u64) {
        let mut inner = self.machines[at].inner.lock();
        inner.capacity = Some(inner.disk.used() + left);
        inner.disk.set_capacity(inner.capacity);
    }

    /// Makes room on a machine's disk.
    pub(crate) fn free(&self, at: usize) {
        let mut inner = self.machines[at].inner.lock();
        inner.capacity = None;
        inner.disk.set_capacity(None);
    }

    /// Starts a machine that doesn't run.
    pub(crate) fn revive(self: &Arc<Self>, at: usize) -> BoxFuture<'static, ()> {
        let cluster = Arc::clone(self);
        Box::pin(async move { cluster.start_again(at).await })
    }

    async fn start_again(&self, at: usize) {
        if self.node(at).is_some() || !self.machines[at].inner.lock().admitted {
            return;
        }
        let start = Start::Join { chain: self.chain, node: self.id(at) };
        if let Err(fault) = self.start(at, start).await {
            if fault.damaged_height().is_some() && self.machines[at].inner.lock().flipped {
                // Nobody could help: there is a next time.
                return;
            }
            let told = format!("machine {at} doesn't start after a power cut: {fault}");
            self.complaints.lock().push(told);
        }
    }

    /// Everything works again, machines that stopped for a failed sync too.
    pub(crate) async fn heal(self: &Arc<Self>) {
        self.net.heal();
        self.net.set_weather(crate::net::Weather::FAIR);
        for at in 0..self.machines.len() {
            self.free(at);
            if self.machines[at].inner.lock().failing {
                self.kill(at).await;
            }
            self.revive(at).await;
        }
        for at in 0..self.machines.len() {
            self.revive(at).await;
        }
        sleep(Duration::from_millis(1)).await;
    }
}
