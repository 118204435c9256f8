//! Where a reader has to be: up to which height the state here must be applied, so that it holds all that was
//! acknowledged anywhere before it was asked. The leader asks a quorum, any other node asks the leader; who asks while
//! that is under way waits for the next time together.

use std::{sync::Arc, time::Duration};

use ledger::Height;
use openraft::{AsyncRuntime, Instant as _, type_config::alias::InstantOf};
use parking_lot::Mutex;
use storage::{BoxFuture, Reading, Unready};
use tokio::sync::oneshot;

use crate::{
    codec::messages::{Answer, Request},
    desk::Desk,
    door,
    network::Lane,
    runtime::Runtime,
    types::Types,
};

/// How long a quorum may take to say that the leader is still the leader.
const POINT: Duration = Duration::from_secs(1);
/// How long it is tried to be as new as a reader wants it.
const CAUGHT_UP: Duration = Duration::from_secs(5);
/// How long to wait before it is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// A height that holds all that was acknowledged before a moment.
type Point<R> = (InstantOf<Types<R>>, Height);
type Asked<R> = oneshot::Sender<Option<Point<R>>>;

/// Asks for read points, one time for all who wait.
pub(crate) struct Reads<R: Runtime> {
    desk: Arc<Desk<R>>,
    asking: Mutex<Asking<R>>,
    /// The newest moment of which the state here is known to hold everything.
    complete: Mutex<Option<InstantOf<Types<R>>>>,
}

struct Asking<R: Runtime> {
    /// Those for the next time.
    waiting: Vec<Asked<R>>,
    runs: bool,
}

impl<R: Runtime> Reads<R> {
    pub(crate) fn new(desk: Arc<Desk<R>>) -> Arc<Self> {
        let asking = Mutex::new(Asking { waiting: Vec::new(), runs: false });
        Arc::new(Self { desk, asking, complete: Mutex::new(None) })
    }

    /// What a reader has to wait for; nothing if the state here is as new as it wants it.
    pub(crate) fn catch_up(
        self: &Arc<Self>,
        reading: Reading,
    ) -> Option<BoxFuture<'static, Result<(), Unready>>> {
        if self.desk.solitude.is_alone() {
            return None;
        }
        if let Reading::Bounded(most) = reading
            && let Some(complete) = *self.complete.lock()
            && InstantOf::<Types<R>>::now().saturating_duration_since(complete) <= most
        {
            return None;
        }
        let reads = Arc::clone(self);
        Some(Box::pin(async move { reads.caught_up().await }))
    }

    async fn caught_up(self: &Arc<Self>) -> Result<(), Unready> {
        let until = InstantOf::<Types<R>>::now() + CAUGHT_UP;
        let left = || until.saturating_duration_since(InstantOf::<Types<R>>::now());
        let mut tries = self.tried().await;
        while tries.is_none() {
            if left().is_zero() {
                return Err(Unready::NoQuorum);
            }
            R::Tasks::sleep(AGAIN.min(left())).await;
            tries = self.tried().await;
        }
        let Some((_, height)) = tries else { return Err(Unready::NoQuorum) };
        let applied = Box::pin(self.desk.state.wait_applied(height));
        let arrived = R::Tasks::timeout(left(), applied).await;
        arrived.map_err(|_| Unready::Behind { height })?;
        if let Some((asked, _)) = tries {
            let mut complete = self.complete.lock();
            *complete = (*complete).max(Some(asked));
        }
        Ok(())
    }

    /// Asks once, together with all who ask now.
    async fn tried(self: &Arc<Self>) -> Option<Point<R>> {
        let (sender, told) = oneshot::channel();
        let begins = {
            let mut asking = self.asking.lock();
            asking.waiting.push(sender);
            !std::mem::replace(&mut asking.runs, true)
        };
        if begins {
            let reads = Arc::clone(self);
            drop(R::Tasks::spawn(async move { reads.ask_for_all().await }));
        }
        told.await.ok().flatten()
    }

    /// Asks again and again while someone waits. Who comes while it asks is not served by that time: what was
    /// acknowledged since it began may be missing there.
    async fn ask_for_all(&self) {
        loop {
            let waiting = {
                let mut asking = self.asking.lock();
                asking.runs = !asking.waiting.is_empty();
                std::mem::take(&mut asking.waiting)
            };
            if waiting.is_empty() {
                return;
            }
            let asked = InstantOf::<Types<R>>::now();
            let point = self.ask().await.map(|height| (asked, height));
            for waits in waiting {
                if waits.send(point).is_err() {
                    tracing::trace!("a reader went away");
                }
            }
        }
    }

    async fn ask(&self) -> Option<Height> {
        let lead = self.desk.lead()?;
        let height = match self.desk.way(lead) {
            None => {
                let asked = Box::pin(door::read_point(&self.desk.raft));
                R::Tasks::timeout(POINT, asked).await.ok()?.ok()?
            }
            Some(way) => match way.ask::<R>(Lane::Prompt, &Request::ReadPoint, POINT).await {
                Ok(Answer::ReadPoint(height)) => height?,
                _ => return None,
            },
        };
        Some(Height(height))
    }

    /// The height at which a reader has to be, for one who doesn't wait for it here.
    pub(crate) async fn point(self: &Arc<Self>) -> Option<Height> {
        self.tried().await.map(|(_, height)| height)
    }

    /// As [`Self::point`], for another node: nothing if this one doesn't lead.
    pub(crate) async fn point_of_leader(self: &Arc<Self>) -> Option<u64> {
        let lead = self.desk.lead()?;
        match self.desk.way(lead) {
            None => self.point().await.map(|height| height.0),
            Some(_) => None,
        }
    }
}
