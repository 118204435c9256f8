//! Holds blocks, one after the other, against the chain before them: link, body, membership of whoever made
//! them, signatures. What takes long of that, hashes and signatures, is looked at beforehand, for many blocks at
//! once. Pure: it reads no file, and believes no block.

use std::collections::BTreeMap;

use ledger::{Block, Catalog, Hash, Object, Operation, PublicKey, Transaction, block::LinkError};

use crate::{block_file::link::Link, parallel};

/// The chain so far.
pub(super) struct ChainCheck {
    /// Whether signatures are checked too, which takes most of the time.
    signatures: bool,
    link: Option<Link>,
    /// Whether the block before had a wrong checksum: what doesn't follow it speaks against it.
    doubted: bool,
    catalog: Catalog,
    governance: Hash,
    members: BTreeMap<Hash, PublicKey>,
    /// Whether all definitions so far are in `catalog`; behind a damaged block they may not be.
    complete: bool,
    /// How often the two before changed.
    era: u64,
}

/// What a block shows by itself.
pub(super) struct Look {
    /// The transactions' hashes, up to the first that is damaged.
    hashes: Vec<Hash>,
    body: Result<(), LinkError>,
    /// The first transaction that its member did not sign, by the members of that era.
    unsigned: Option<usize>,
    era: u64,
}

/// What is wrong with a block.
pub(super) struct Wrong {
    /// Whether it is the block before whose bytes are wrong.
    pub(super) before: bool,
    pub(super) detail: String,
}

impl ChainCheck {
    pub(super) fn new(signatures: bool) -> Self {
        Self {
            signatures,
            link: None,
            doubted: false,
            catalog: Catalog::default(),
            governance: Hash::default(),
            members: BTreeMap::new(),
            complete: true,
            era: 0,
        }
    }

    /// A block could not be read: what follows is checked as far as that goes.
    pub(super) fn gap(&mut self) {
        self.link = None;
        self.lack();
    }

    fn lack(&mut self) {
        self.era += u64::from(self.complete);
        self.complete = false;
    }

    /// The members in force; `None` if they can't be known, because a block before is damaged.
    pub(super) fn members(&self) -> Option<&BTreeMap<Hash, PublicKey>> {
        self.complete.then_some(&self.members)
    }

    /// Looks at a block that will come.
    pub(super) fn look(&self, block: &Block) -> Look {
        // What is hashed once is held against the header, and against the signatures.
        let hashes: Vec<Hash> = block.transactions.iter().map_while(hash_of).collect();
        let body = block.verify_body_of(&hashes);
        let unsigned = self.first_unsigned(block, &hashes, body.is_ok());
        Look { hashes, body, unsigned, era: self.era }
    }

    /// The next block. Afterwards the chain goes on behind it, whatever was wrong; behind one whose checksum
    /// is wrong (not `whole`) only if it links to the chain.
    pub(super) fn block(&mut self, block: &Block, look: &Look, whole: bool) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        self.link(block, &mut wrong);
        if !whole && !wrong.is_empty() {
            self.link = None;
        }
        self.doubted = !whole;
        let own = |detail| Wrong { before: false, detail };
        if let Err(error) = &look.body {
            let mut detail = error.to_string();
            if let Some(place) = self.unsigned(block, look) {
                detail = format!("{detail}; transaction {place} was altered");
            }
            wrong.push(own(detail));
            self.lack();
            return wrong;
        }
        let unsigned = |chain: &Self| {
            let place = chain.unsigned(block, look)?;
            Some(own(format!("transaction {place} is not what its member signed")))
        };
        let genesis = block.header.height.0 == 0;
        if !genesis {
            wrong.extend(self.governed(block).map(own));
            wrong.extend(unsigned(self));
        }
        self.define(block);
        if genesis {
            wrong.extend(self.governed(block).map(own));
            wrong.extend(unsigned(self));
        }
        wrong
    }

    fn link(&mut self, block: &Block, wrong: &mut Vec<Wrong>) {
        let header = &block.header;
        let result = match &mut self.link {
            Some(link) => link.advance(header).map(drop),
            None if header.height.0 == 0 => Link::begin(header).map(|link| self.link = Some(link)),
            None => {
                self.link = Some(Link::behind_gap(header));
                Ok(())
            }
        };
        let Err(error) = result else { return };
        self.link = Some(Link::behind_gap(header));
        if self.doubted && !matches!(error, LinkError::Parent { .. }) {
            let detail = format!("its successor doesn't follow it: {error}");
            return wrong.push(Wrong { before: true, detail });
        }
        wrong.push(match error {
            LinkError::Parent { due, found, .. } => Wrong {
                before: true,
                detail: format!(
                    "its header hashes to {due}, but its successor names {found} as its parent"
                ),
            },
            other => Wrong { before: false, detail: other.to_string() },
        });
    }

    /// Whether the header names the policies that were in force, and a member as its maker.
    fn governed(&self, block: &Block) -> Option<String> {
        if !self.complete {
            return None;
        }
        if block.header.governance != self.governance {
            return Some("its header names other members and policies than were in force".into());
        }
        (!self.members.contains_key(&block.header.proposer))
            .then(|| format!("its proposer {} is no member", block.header.proposer))
    }

    /// The first transaction that its member did not sign: as it was seen, if the members are still those.
    fn unsigned(&self, block: &Block, look: &Look) -> Option<usize> {
        if look.era == self.era {
            return look.unsigned;
        }
        self.first_unsigned(block, &look.hashes, look.body.is_ok())
    }

    /// Of a block with a wrong body (not `sound`) it tells what was altered, whether or not signatures are asked for.
    fn first_unsigned(&self, block: &Block, hashes: &[Hash], sound: bool) -> Option<usize> {
        if sound && !self.signatures {
            return None;
        }
        let signed =
            |(place, transaction)| self.is_signed(block, transaction, hashes.get(place).copied());
        block.transactions.iter().enumerate().position(|it| signed(it) == Some(false))
    }

    /// `None` when the member can't be known. One without a hash is damaged.
    fn is_signed(
        &self,
        block: &Block,
        transaction: &Transaction,
        hash: Option<Hash>,
    ) -> Option<bool> {
        let genesis = block.header.height.0 == 0;
        let chain = if genesis { Hash::default() } else { block.header.chain };
        let mut signers =
            transaction.endorsements.iter().map(|it| &it.member).chain([&transaction.member]);
        if !self.complete && !signers.all(|member| self.members.contains_key(member)) {
            return None;
        }
        let key_of = |member| self.members.get(&member).copied();
        Some(hash.is_some_and(|hash| transaction.check_signatures_of(hash, chain, key_of).is_ok()))
    }

    fn define(&mut self, block: &Block) {
        let mut changed = false;
        for operation in block.transactions.iter().flat_map(|it| &it.operations) {
            match operation {
                Operation::Define { object, .. } => {
                    changed |= matches!(**object, Object::Member(_));
                }
                Operation::Drop { .. } => changed = true,
                _ => continue,
            }
            if self.catalog.apply(operation).is_err() {
                self.lack();
            }
        }
        if changed {
            self.era += 1;
            self.governance = self.catalog.governance();
            self.members = self
                .catalog
                .members()
                .map(|(_, member)| (member.public_key.member(), member.public_key))
                .collect();
        }
    }
}

/// A transaction's hash; nothing when a row's bytes are damaged.
fn hash_of(transaction: &Transaction) -> Option<Hash> {
    let tree = parallel::tree(&transaction.operations).ok()?;
    Some(transaction.hash_over(&tree))
}
