//! What was applied lately, block by block: what a node is asked to sign may be a little behind what it has applied.

use std::collections::VecDeque;

use ledger::Height;

use crate::Head;

/// Blocks that are remembered: more than are applied between two certificates.
const MOST: usize = 4096;

/// The newest blocks that were applied, in order; beside each, the newest one up to it that has an entry of consensus'
/// own.
#[derive(Default)]
pub(crate) struct Recent(VecDeque<(Head, Option<Height>)>);

impl Recent {
    pub(crate) fn push(&mut self, head: Head, membership: Option<Height>) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((head, membership));
    }

    pub(crate) fn get(&self, height: Height) -> Option<(Head, Option<Height>)> {
        let (first, _) = self.0.front()?;
        let at = usize::try_from(height.0.checked_sub(first.height.0)?).ok()?;
        self.0.get(at).copied()
    }
}
