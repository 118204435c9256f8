//! Lock modes, and which exclude each other. Knows nothing else.

/// PostgreSQL's four row lock modes, from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    /// `FOR KEY SHARE`: the key stays as it is. A foreign key's check takes it on the parent.
    KeyShare,
    /// `FOR SHARE`: the row stays as it is.
    Share,
    /// `FOR NO KEY UPDATE`: the row changes, but no key of it.
    NoKeyUpdate,
    /// `FOR UPDATE`: the row goes, or a key of it changes.
    Update,
}

impl LockMode {
    /// All, from weak to strong.
    pub const ALL: [Self; 4] = [Self::KeyShare, Self::Share, Self::NoKeyUpdate, Self::Update];

    /// Whether two owners can't hold these at once. Symmetric.
    pub fn conflicts(self, other: Self) -> bool {
        use LockMode::{KeyShare, NoKeyUpdate, Share, Update};
        match (self, other) {
            (Update, _) | (_, Update) => true,
            (NoKeyUpdate, NoKeyUpdate | Share) | (Share, NoKeyUpdate) => true,
            (KeyShare, KeyShare | Share | NoKeyUpdate)
            | (Share, KeyShare | Share)
            | (NoKeyUpdate, KeyShare) => false,
        }
    }

    /// Whether holding this is holding `other`, too.
    pub fn covers(self, other: Self) -> bool {
        self >= other
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Modes(u8);

impl Modes {
    /// The set with one more.
    pub(super) fn with(self, mode: LockMode) -> Self {
        Self(self.0 | mode.bit())
    }

    /// Both sets.
    pub(super) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn iter(self) -> impl Iterator<Item = LockMode> {
        LockMode::ALL.into_iter().filter(move |mode| self.0 & mode.bit() != 0)
    }

    /// The strongest of them.
    pub(super) fn strongest(self) -> Option<LockMode> {
        self.iter().last()
    }

    /// Whether holding these is holding `mode`, too.
    pub(super) fn covers(self, mode: LockMode) -> bool {
        self.iter().any(|held| held.covers(mode))
    }

    /// Whether another owner can't have `mode` while these are held.
    pub(super) fn conflicts(self, mode: LockMode) -> bool {
        self.iter().any(|held| held.conflicts(mode))
    }

    /// Whether two owners can't hold these sets at once.
    pub(super) fn conflict(self, other: Self) -> bool {
        other.iter().any(|mode| self.conflicts(mode))
    }
}
