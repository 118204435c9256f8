//! The keys of staged rows in one index: an ordered set of key bytes followed by the version.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::VersionId;

/// Bytes of a version's identity.
const VERSION: usize = 16;

/// Keys with the versions that have them.
#[derive(Default)]
pub(super) struct Keys(BTreeSet<Box<[u8]>>);

fn entry(key: &[u8], version: VersionId) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(key.len() + VERSION);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&version.to_bytes());
    bytes.into_boxed_slice()
}

impl Keys {
    pub(super) fn insert(&mut self, key: &[u8], version: VersionId) {
        self.0.insert(entry(key, version));
    }

    pub(super) fn remove(&mut self, key: &[u8], version: VersionId) {
        self.0.remove(entry(key, version).as_ref());
    }

    /// The versions with exactly this key, in order. No key is another's beginning, so that what begins
    /// with the key has it.
    pub(super) fn find<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = VersionId> + 'a {
        self.0
            .range::<[u8], _>((Bound::Included(key), Bound::Unbounded))
            .map_while(move |bytes| bytes.strip_prefix(key))
            .filter_map(|rest| <[u8; VERSION]>::try_from(rest).ok())
            .map(VersionId::from_bytes)
    }
}
