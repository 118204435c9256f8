//! A network of its own for the nodes of a run: each has a namespace, with a cable to a bridge that the test is on, too.
//! Needs to be root; elsewhere the nodes run side by side, and nothing can be cut.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::server::Place;

static RUNS: AtomicU32 = AtomicU32::new(0);

/// The network of a run.
pub(super) struct Net {
    /// What its names begin with.
    name: String,
    /// The first three numbers of its addresses.
    prefix: String,
    nodes: usize,
}

fn ip(arguments: &str) -> bool {
    let done = Command::new("ip").args(arguments.split(' ')).output();
    done.is_ok_and(|output| output.status.success())
}

impl Net {
    /// Lays the cables; nothing where that isn't allowed.
    pub(super) fn lay(nodes: usize) -> Option<Self> {
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let id = (std::process::id() + run * 97) % 10_000;
        let name = format!("ns{id}");
        let prefix = format!("10.{}.{}", 200 + id / 250, id % 250);
        let net = Self { name, prefix, nodes };
        net.connect().then_some(net)
    }

    fn connect(&self) -> bool {
        let Self { name, prefix, .. } = self;
        let bridge = format!("{name}b");
        ip(&format!("link add {bridge} type bridge"))
            && ip(&format!("addr add {prefix}.254/24 dev {bridge}"))
            && ip(&format!("link set {bridge} up"))
            && (1..=self.nodes).all(|node| {
                let (space, cable) = (format!("{name}n{node}"), format!("{name}v{node}"));
                ip(&format!("netns add {space}"))
                    && ip(&format!("link add {cable} type veth peer name eth0 netns {space}"))
                    && ip(&format!("link set {cable} master {bridge} up"))
                    && ip(&format!("-n {space} addr add {prefix}.{node}/24 dev eth0"))
                    && ip(&format!("-n {space} link set eth0 up"))
                    && ip(&format!("-n {space} link set lo up"))
            })
    }

    /// Where a node runs; they are counted from 0.
    pub(super) fn place(&self, node: usize) -> Place {
        Place {
            host: format!("{}.{}", self.prefix, node + 1),
            namespace: Some(format!("{}n{}", self.name, node + 1)),
        }
    }

    /// From now on nothing goes from one node to the other.
    pub(super) fn cut(&self, from: usize, to: usize) {
        let space = format!("{}n{}", self.name, from + 1);
        ip(&format!("-n {space} route add blackhole {}.{}", self.prefix, to + 1));
    }

    /// Nothing is cut any more.
    pub(super) fn heal(&self) {
        for from in 0..self.nodes {
            let space = format!("{}n{}", self.name, from + 1);
            ip(&format!("-n {space} route flush type blackhole"));
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for node in 1..=self.nodes {
            ip(&format!("netns del {}n{node}", self.name));
        }
        ip(&format!("link del {}b", self.name));
    }
}
