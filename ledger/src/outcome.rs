//! What applying a block did to a state, in one hash that goes on from the block before: the state's digest. Two
//! nodes that applied the same blocks and have the same digest put every version into the same row of its table,
//! ended the same rows, have as many rows alive, and the same definitions. It knows no state: what was done is told
//! to it by who did it.

#[cfg(test)]
mod tests;

use crate::codec::encode;
use crate::hash::{Domain, Stream};
use crate::{Hash, Object, Oid};

/// The version of the preimage.
const VERSION: u8 = 1;

/// What is being applied.
pub struct Outcome(Stream);

impl Outcome {
    /// Of a block on a state with the digest `previous` (zeros before genesis).
    pub fn of(block: Hash, previous: Hash) -> Self {
        let mut stream = Stream::new(Domain::State);
        stream.update(&encode(&(VERSION, previous, block)));
        Self(stream)
    }

    fn tagged(&mut self, tag: u8, numbers: &[u64]) {
        self.0.update(&[tag]);
        for number in numbers {
            self.0.update(&number.to_le_bytes());
        }
    }

    /// A version began, as this row of its table.
    pub fn began(&mut self, row: u64) {
        self.tagged(0, &[row]);
    }

    /// A version ended that was this row of its table.
    pub fn ended(&mut self, row: u64) {
        self.tagged(1, &[row]);
    }

    /// A definition changed: how it stands now, or nothing.
    pub fn defined(&mut self, oid: Oid, object: Option<&Object>) {
        self.tagged(2, &[oid.0.into()]);
        self.0.update(&encode(&object));
    }

    /// A table was written: the rows that it has had by now, and those alive. Told in order of tables, at the end.
    pub fn table(&mut self, oid: Oid, rows: u64, alive: u64) {
        self.tagged(3, &[oid.0.into(), rows, alive]);
    }

    /// The state's digest after the block.
    pub fn digest(&self) -> Hash {
        self.0.finish()
    }
}
