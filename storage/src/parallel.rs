//! Work on many operations, shared out among the cores. It knows what is hashed by the ledger's functions, and
//! nothing of who asks.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, ScopedJoinHandle},
};

use ledger::{DecodeError, Operation, Refusal, apply::Check, merkle::History};
use tokio::runtime::{Handle, RuntimeFlavor};

#[cfg(test)]
mod tests;

/// Operations that one core takes at a time: a power of two, as joining their trees demands.
const PART: usize = if cfg!(test) { 4 } else { 8192 };

/// Operations from which on work takes so long that the runtime is told.
const LONG: usize = 128;

/// Runs `work` on parts of a list, on as many threads as there are cores (this one among them), and gives the
/// results in order. A list of one part, or a machine of one core, starts no thread.
pub(crate) fn in_parts<T: Sync, R: Send>(list: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let parts: Vec<&[T]> = list.chunks(PART).collect();
    if parts.len() < 2 {
        return parts.into_iter().map(work).collect();
    }
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.min(parts.len());
    if threads < 2 {
        return parts.into_iter().map(work).collect();
    }
    let every_nth = |first: usize| -> Vec<R> {
        parts.iter().skip(first).step_by(threads).map(|part| work(part)).collect()
    };
    let shares: Vec<Vec<R>> = thread::scope(|scope| {
        let every_nth = &every_nth;
        let begin = |first| {
            let begun = thread::Builder::new().spawn_scoped(scope, move || every_nth(first));
            (first, begun)
        };
        let others: Vec<_> = (1..threads).map(begin).collect();
        let own = every_nth(0);
        let others =
            others.into_iter().map(|(first, other)| match other.map(ScopedJoinHandle::join) {
                Ok(Ok(share)) => share,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                // The system gives no thread: this one does it.
                Err(_) => every_nth(first),
            });
        std::iter::once(own).chain(others).collect()
    });
    let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
    (0..parts.len()).filter_map(|at| shares.get_mut(at % threads)?.next()).collect()
}

/// Works on the async runtime's own thread; the runtime is told if that takes its time and there is one.
pub fn unhurried<T>(operations: usize, work: impl FnOnce() -> T) -> T {
    let flavor = || Handle::try_current().map(|handle| handle.runtime_flavor());
    let threads = || flavor().is_ok_and(|flavor| flavor == RuntimeFlavor::MultiThread);
    if operations >= LONG && threads() { tokio::task::block_in_place(work) } else { work() }
}

/// Runs `work` on each of these, on as many threads as there are cores (this one among them), and gives the results in
/// order. Whoever is done takes the next: they may take very different times.
pub(crate) fn each<T: Sync, R: Send>(list: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let share = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = list.get(place) else { return done };
            done.push((place, work(item)));
        }
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let begin = |_| thread::Builder::new().spawn_scoped(scope, share);
        // Where the system gives no thread, the others do it.
        let others: Vec<_> = (1..cores.min(list.len())).filter_map(|it| begin(it).ok()).collect();
        let mut done = share();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Runs both, on two threads if the system gives another.
pub(crate) fn both<A, B: Send>(one: impl FnOnce() -> A, other: impl Fn() -> B + Sync) -> (A, B) {
    thread::scope(|scope| {
        let begun = thread::Builder::new().spawn_scoped(scope, &other);
        let one = one();
        let other = match begun.map(ScopedJoinHandle::join) {
            Ok(Ok(other)) => other,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(_) => other(),
        };
        (one, other)
    })
}

/// The tree over the operations' hashes: as [`Operation::tree`].
///
/// # Errors
/// When a row's bytes are damaged.
pub fn tree(operations: &[Operation]) -> Result<History, DecodeError> {
    if operations.len() <= PART {
        return Operation::tree(operations);
    }
    let mut tree = History::default();
    for part in in_parts(operations, Operation::tree) {
        if !tree.join(&part?) {
            // Never so, of parts of this size; the slow way is right in any case.
            return Operation::tree(operations);
        }
    }
    Ok(tree)
}

/// Runs a check on all of these; gives what the first part says that says no. See [`ledger::apply::Share`].
///
/// # Errors
/// As of `check`.
pub fn check(operations: &[Operation], check: Check<'_>) -> Result<(), Refusal> {
    in_parts(operations, check).into_iter().collect()
}
