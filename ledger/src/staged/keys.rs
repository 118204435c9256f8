//! The keys of staged rows in one index: an ordered set of key bytes followed by the version. Short ones
//! stand in the set's own nodes: a million of them are found without following a million pointers.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use crate::VersionId;

/// Bytes of a version's identity.
const VERSION: usize = 16;

/// Bytes that an entry holds itself: a key of one uuid or of a few integers, and the version.
const SHORT: usize = 38;

/// Keys with the versions that have them.
#[derive(Default)]
pub(super) struct Keys(BTreeSet<Entry>);

/// Key bytes and the version, compared as bytes.
enum Entry {
    /// The length and the bytes.
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl Entry {
    fn new(key: &[u8], version: VersionId) -> Self {
        let version = version.to_bytes();
        let length = key.len() + VERSION;
        let mut short = [0; SHORT];
        if let (Some(place), Ok(used)) = (short.get_mut(..length), u8::try_from(length)) {
            let (front, back) = place.split_at_mut(key.len());
            front.copy_from_slice(key);
            back.copy_from_slice(&version);
            return Self::Short(used, short);
        }
        Self::Long([key, &version].concat().into_boxed_slice())
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Self::Long(bytes) => bytes,
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.bytes()
    }
}

impl Keys {
    pub(super) fn insert(&mut self, key: &[u8], version: VersionId) {
        self.0.insert(Entry::new(key, version));
    }

    pub(super) fn remove(&mut self, key: &[u8], version: VersionId) {
        self.0.remove(&Entry::new(key, version));
    }

    /// The versions with exactly this key, in order. No key is another's beginning, so that what begins
    /// with the key has it.
    pub(super) fn find<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = VersionId> + 'a {
        self.0
            .range::<[u8], _>((Bound::Included(key), Bound::Unbounded))
            .map_while(move |entry| entry.bytes().strip_prefix(key))
            .filter_map(|rest| <[u8; VERSION]>::try_from(rest).ok())
            .map(VersionId::from_bytes)
    }
}
