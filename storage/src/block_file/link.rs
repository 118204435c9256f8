//! How blocks hang together: the end of the chain, against which each next header is checked. Knows headers
//! only; bodies are checked by who applies or verifies them.

use ledger::{Block, Hash, Header, Height, Proposal, Tip, block::LinkError};

/// The end of the blocks read or accepted so far.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    tip: Tip,
    /// Whether all headers from genesis on are known. Otherwise (a file that begins later, blocks behind a
    /// damaged one) the history root can't be checked; all else is.
    whole: bool,
}

impl Link {
    /// Begins at a header.
    ///
    /// # Errors
    /// At height 0, when it isn't a genesis block's.
    pub(crate) fn begin(header: &Header) -> Result<Self, LinkError> {
        if header.height.0 == 0 {
            return Ok(Self { tip: Tip::genesis(header)?, whole: true });
        }
        Ok(Self::behind_gap(header))
    }

    /// Goes on from an end that was kept, with all headers before it.
    pub(crate) fn kept(tip: Tip) -> Self {
        Self { tip, whole: true }
    }

    /// The end, if all headers from genesis on are known.
    pub(crate) fn whole(&self) -> Option<&Tip> {
        self.whole.then_some(&self.tip)
    }

    /// Begins at a header about whose past nothing is known.
    pub(crate) fn behind_gap(header: &Header) -> Self {
        let tip = Tip {
            chain: header.chain_id(),
            height: header.height,
            hash: header.hash(),
            time_us: header.time_us,
            history: ledger::merkle::History::default(),
        };
        Self { tip, whole: false }
    }

    /// Checks that a header follows, and moves to it.
    pub(crate) fn advance(&mut self, header: &Header) -> Result<Hash, LinkError> {
        if self.whole {
            return self.tip.advance(header);
        }
        let (height, due) = (header.height.0, self.tip.height.0.saturating_add(1));
        if height != due {
            return Err(LinkError::Height { due, found: height });
        }
        if header.chain != self.tip.chain {
            return Err(LinkError::Chain(height));
        }
        if header.parent != self.tip.hash {
            return Err(LinkError::Parent { height, due: self.tip.hash, found: header.parent });
        }
        if header.time_us <= self.tip.time_us {
            return Err(LinkError::Time(height));
        }
        *self = Self::behind_gap(header);
        Ok(self.tip.hash)
    }

    pub(crate) fn tip(&self) -> &Tip {
        &self.tip
    }
}

/// Makes the block at `height` behind `link`; the first of a file when there is none.
pub(crate) fn make(
    link: Option<&Link>,
    height: Height,
    proposal: Proposal,
) -> Result<Block, ledger::codec::DecodeError> {
    match (link, height.0) {
        (Some(link), _) => link.tip.next(proposal),
        (None, 0) => Block::first(proposal),
        (None, _) => {
            let before = Tip {
                chain: Hash::default(),
                height: Height(height.0 - 1),
                hash: Hash::default(),
                time_us: 0,
                history: ledger::merkle::History::default(),
            };
            before.next(proposal)
        }
    }
}
