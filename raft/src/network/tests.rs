//! How long an answer is waited for, on simulated time.

use std::io;

use ledger::{Block, NodeKey};
use openraft::vote::RaftVote as _;
use openraft_rt_sim::SimRuntime;
use storage::{BlockFile, Disk, Fault, block_file};

use super::*;
use crate::{codec, codec::messages::entry, testing, types::LeaderId};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Simulated;

impl Runtime for Simulated {
    type Tasks = SimRuntime;

    async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(work())
    }

    fn open_blocks(disk: Arc<dyn Disk>, options: block_file::Options) -> Result<BlockFile, Fault> {
        BlockFile::open(disk, options)
    }
}

/// A wire that carries so many bytes in a second, one message after the other, to a node that takes all blocks.
#[derive(Debug)]
struct Wire {
    speed: u64,
    /// When the last message is through, in µs.
    free: AtomicU64,
}

impl Network for Wire {
    fn ask(
        &self,
        _chain: Hash,
        _to: NodeId,
        _peer: &Peer,
        _lane: Lane,
        message: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, Unreached>> {
        let time = message.len() as u64 * 1_000_000 / self.speed;
        let through = self.free.fetch_add(time, Ordering::Relaxed) + time;
        Box::pin(async move {
            SimRuntime::sleep(Duration::from_micros(through)).await;
            let (_, question) = codec::messages::addressed(&message).unwrap();
            let Ok(Request::<Simulated>::Append(request)) = Request::decode(question) else {
                return Err(Unreached("another question".to_owned()));
            };
            let last = request.entries.last().map(openraft::entry::RaftEntry::log_id);
            let answer = Answer::<Simulated>::Append(Ok(last)).encode();
            answer.map_err(|error| Unreached(error.to_string()))
        })
    }
}

/// A request with one block of about as many bytes.
fn request(bytes: usize) -> AppendEntriesRequest<Types<Simulated>> {
    let leader = LeaderId { term: 1, node_id: 0 };
    let mut block: Block = testing::genesis(&NodeKey::from_bytes(&[3; 32]));
    block.stamp = codec::encode_stamp(&leader);
    block.transactions[0].statement = "x".repeat(bytes);
    AppendEntriesRequest {
        vote: Vote::from_leader_id(leader, true),
        prev_log_id: None,
        entries: vec![entry(Arc::new(block)).unwrap()],
        leader_commit: None,
    }
}

/// How many of some batches of 3 MB are acknowledged, sent at once over a wire of this speed.
fn acknowledged(batches: usize, speed: u64) -> usize {
    SimRuntime::with_seed(1).block_on(async move {
        let network = Arc::new(Wire { speed, free: AtomicU64::new(0) });
        let ways = Ways { network, chain: Hash::default() };
        let mut way = ways.to(1, &Peer::default());
        let input = futures::stream::iter((0..batches).map(|_| request(3_000_000)));
        let option = RPCOption::new(Duration::from_millis(250));
        let answers = RaftNetworkV2::<Types<Simulated>>::stream_append(&mut way, input, option);
        let answers: Vec<_> = answers.await.unwrap().collect().await;
        answers.iter().filter(|answer| matches!(answer, Ok(Ok(_)))).count()
    })
}

#[test]
fn what_is_long_has_the_time_that_it_needs() {
    assert_eq!(acknowledged(1, 1_200_000), 1);
    // Those that follow wait for those before them.
    assert_eq!(acknowledged(PIPELINE, 1_200_000), PIPELINE);
    // One that is slower than that is broken.
    assert_eq!(acknowledged(1, 400_000), 0);
}
