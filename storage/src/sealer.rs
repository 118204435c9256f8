//! The one thread that moves rows from memory into sealed files and writes checkpoints: everything up to a
//! block is then in files and in the derived store, and a start goes on from there. Whoever applies blocks
//! waits for it only when memory is full.

mod write;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{Fault, apply::Applier};
pub(crate) use write::Work;

/// How long an applier waits at most before it looks again whether there is room.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long after a failure it is tried again, and how often damaged files are looked for.
const TRY_AGAIN: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 5000 });

/// What the thread is told, and tells.
#[derive(Default)]
struct Told {
    /// Somebody wants a checkpoint.
    asked: u64,
    /// As many wishes were met.
    done: u64,
    stop: bool,
    /// Why nothing could be sealed when it was tried last.
    broken: Option<Fault>,
}

/// The thread's handle.
pub(crate) struct Sealer {
    told: Arc<(Mutex<Told>, Condvar)>,
    stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Sealer {
    /// Starts the thread.
    pub(crate) fn start(work: Work, applier: Arc<Mutex<Applier>>) -> Result<Self, Fault> {
        let told = Arc::<(Mutex<Told>, Condvar)>::default();
        let shared = Arc::clone(&told);
        let stopping = Arc::clone(&work.stopping);
        let thread = std::thread::Builder::new()
            .name("sealer".to_owned())
            .spawn(move || run(work, &applier, &shared))
            .map_err(|error| Fault::io("start the sealer", error))?;
        Ok(Self { told, stopping, thread: Mutex::new(Some(thread)) })
    }

    /// Asks for a checkpoint, without waiting for it.
    pub(crate) fn ask(&self) {
        let (told, changed) = &*self.told;
        let mut told = told.lock();
        if told.asked == told.done && told.broken.is_none() {
            told.asked += 1;
            changed.notify_all();
        }
    }

    /// Waits for a checkpoint of all that is applied now, about so long at most.
    ///
    /// # Errors
    /// Why nothing can be sealed.
    pub(crate) fn checkpoint(&self, limit: Option<Duration>) -> Result<(), Fault> {
        let (told, changed) = &*self.told;
        let mut told = told.lock();
        if let Some(fault) = &told.broken {
            return Err(fault.clone());
        }
        // One that is under way may have begun too early.
        told.asked += 1;
        let wanted = told.asked;
        changed.notify_all();
        while told.done < wanted && told.broken.is_none() && !told.stop {
            match limit {
                Some(limit) if changed.wait_for(&mut told, limit).timed_out() => break,
                Some(_) => {}
                None => changed.wait(&mut told),
            }
        }
        told.broken.clone().map_or(Ok(()), Err)
    }

    /// Waits while `is_full`, but no longer than a checkpoint takes that begins now: what it doesn't free
    /// can't be freed.
    pub(crate) fn wait_while(&self, is_full: impl Fn() -> bool) {
        let (told, changed) = &*self.told;
        let mut told = told.lock();
        if told.broken.is_some() {
            return;
        }
        told.asked += 1;
        let wanted = told.asked;
        changed.notify_all();
        while told.done < wanted && is_full() && told.broken.is_none() && !told.stop {
            changed.wait_for(&mut told, LOOK_AGAIN);
        }
    }

    /// Why nothing can be sealed, if that is so.
    pub(crate) fn broken(&self) -> Option<Fault> {
        self.told.0.lock().broken.clone()
    }

    /// Ends the thread, whatever it was about to do.
    pub(crate) fn stop(&self) {
        let (told, changed) = &*self.told;
        told.lock().stop = true;
        self.stopping.store(true, Ordering::Release);
        changed.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the sealer panicked");
        }
    }
}

fn run(mut work: Work, applier: &Mutex<Applier>, shared: &(Mutex<Told>, Condvar)) {
    let (told, changed) = shared;
    loop {
        let wish = {
            let mut told = told.lock();
            while !told.stop {
                if told.broken.is_some() {
                    // Whoever asks meanwhile is told of it, and wakes nobody.
                    if changed.wait_for(&mut told, TRY_AGAIN).timed_out() {
                        break;
                    }
                } else if told.asked != told.done || work.core.blocks.is_damaged() {
                    break;
                } else {
                    changed.wait_for(&mut told, TRY_AGAIN);
                }
            }
            if told.stop {
                return;
            }
            told.asked
        };
        let result = work.checkpoint(applier);
        let mut told = told.lock();
        if told.stop {
            return;
        }
        match result {
            Ok(()) => {
                if told.broken.take().is_some() {
                    tracing::warn!("rows are sealed again");
                }
            }
            Err(fault) => {
                if told.broken.is_none() {
                    tracing::error!(%fault, "rows can't be sealed and stay in memory; it is tried again");
                }
                told.broken = Some(fault);
            }
        }
        told.done = wish;
        changed.notify_all();
    }
}
