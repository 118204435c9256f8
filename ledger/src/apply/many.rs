//! The keys of many rows, looked for together: sorted, so that an index is read from one end to the other instead of
//! searched for each row. It says only whether all is well; what breaks which constraint is found row by row.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Plan, Plans};
use super::rows::{Met, key_of, unchanged};
use super::{MANY, Touched};
use crate::staged::Checked;
use crate::{ColumnNumber, DecodeError, Oid, Row, Table, View};

/// How many rows may have a key once all is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// A unique key.
    AtMostOne,
    /// A parent's key that a child refers to.
    AtLeastOne,
    /// A child's key whose parent goes.
    None,
}

/// Keys in one place of memory.
#[derive(Default)]
struct Keys {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

/// What is looked for in each index.
#[derive(Default)]
struct Sought(BTreeMap<(Oid, Need), Keys>);

/// Whether these rows, if they are many, hold to all unique and foreign keys. `false` says nothing.
pub(super) fn all_hold<'a, V: View>(
    after: &V,
    touched: impl Iterator<Item = Touched<'a>> + Clone,
    plans: &mut Plans,
) -> Result<bool, Checked<V::Fault>> {
    if touched.clone().nth(MANY).is_none() {
        return Ok(false);
    }
    let mut sought = Sought::default();
    let mut met = Met::default();
    for row in touched {
        let plan = met.plan(after, plans, row.table)?;
        sought.add(&plan, met.distinct(), row)?;
    }
    for ((index, need), keys) in &sought.0 {
        let counts = after.holders(*index, &keys.sorted()).map_err(Checked::Fault)?;
        let holds = |count: &u8| match need {
            Need::AtMostOne => *count <= 1,
            Need::AtLeastOne => *count >= 1,
            Need::None => *count == 0,
        };
        if !counts.iter().all(holds) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Sought {
    /// Adds the keys of a row. `distinct` are indexes in which no key is there twice.
    fn add(
        &mut self,
        plan: &Plan,
        distinct: &BTreeSet<Oid>,
        row: Touched<'_>,
    ) -> Result<(), DecodeError> {
        let Touched { old, new, .. } = row;
        let table = plan.table();
        if let Some(new) = new {
            for (oid, index) in
                plan.indexes().filter(|(oid, it)| it.unique && !distinct.contains(oid))
            {
                self.add_key((oid, Need::AtMostOne), table, &index.columns, new, old)?;
            }
            for to in &plan.parents {
                if let Some(foreign) = table.foreign_keys.get(to.at) {
                    let place = (foreign.parent_index, Need::AtLeastOne);
                    self.add_key(place, table, &to.columns, new, old)?;
                }
            }
        }
        let Some(old) = old else { return Ok(()) };
        for from in &plan.children {
            if let Some((_, foreign)) = from.key() {
                self.add_key((foreign.index, Need::None), table, &from.columns, old, new)?;
            }
        }
        Ok(())
    }

    /// Adds a row's key, unless the other form of the row has the same or a column is NULL.
    fn add_key(
        &mut self,
        place: (Oid, Need),
        table: &Table,
        columns: &[ColumnNumber],
        row: &Row,
        other: Option<&Row>,
    ) -> Result<(), DecodeError> {
        if let Some(key) = key_of(table, columns, row)?
            && !unchanged(table, columns, other, &key)?
        {
            self.0.entry(place).or_default().push(&key);
        }
        Ok(())
    }
}

impl Keys {
    /// Adds a key, unless it was the last one too: rows of one parent mostly come together.
    fn push(&mut self, key: &[u8]) {
        if self.iter().next_back() != Some(key) {
            self.bytes.extend_from_slice(key);
            self.ends.push(self.bytes.len());
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| {
            let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
            let end = self.ends.get(at).copied().unwrap_or_default();
            self.bytes.get(start.unwrap_or_default()..end).unwrap_or_default()
        })
    }

    /// The keys in order, each once.
    fn sorted(&self) -> Vec<&[u8]> {
        let mut keys: Vec<&[u8]> = self.iter().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}
