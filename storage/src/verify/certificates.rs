//! Holds the certificates beside a chain against its blocks: each is of a block that the chain has, a majority of those
//! who had a vote then has signed it, and they are members.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use ledger::{Block, Certificate, Hash, Height, PublicKey, Voters, certificate::CertificateError};

use super::FileReport;
use crate::{
    Damage, Disk, Fault, File,
    certificates::{self, NAME, Place},
    parallel,
};

/// Certificates whose signatures are checked side by side.
const TOGETHER: usize = 256;

/// The certificates, as a walk over the blocks passes theirs.
pub(super) struct Certified {
    file: Option<Arc<dyn File>>,
    places: std::iter::Peekable<std::vec::IntoIter<Place>>,
    /// Who has a vote, as the newest block says that names them.
    voters: Option<Voters>,
    waiting: Vec<Waiting>,
    report: FileReport,
}

/// A certificate that is of its block, and whose signatures were not looked at.
struct Waiting {
    place: Place,
    certificate: Certificate,
    /// The signers' keys, of those that are members.
    keys: BTreeMap<Hash, PublicKey>,
}

impl Certified {
    /// `growing` if a node writes to the file: what doesn't read at its end is being written.
    pub(super) fn open(disk: &dyn Disk, growing: bool) -> Result<Self, Fault> {
        let mut report = FileReport { file: NAME.to_owned(), ..FileReport::default() };
        let (mut file, mut places) = (None, Vec::new());
        if let Some(mut found) = certificates::peek(disk)? {
            found.damage.retain(|damage| !growing || damage.offset < found.end);
            report.from = found.places.first().map(|place| place.height);
            report.to = found.places.last().map(|place| place.height);
            (report.bytes, report.damage) = (found.length, found.damage);
            (file, places) = (Some(found.file), found.places);
        }
        let places = places.into_iter().peekable();
        Ok(Self { file, places, voters: None, waiting: Vec::new(), report })
    }

    /// The next block, with the members in force; `None` if they can't be known, because a block before is damaged.
    pub(super) fn block(&mut self, block: &Block, members: Option<&BTreeMap<Hash, PublicKey>>) {
        if !block.membership.is_empty() {
            self.voters = Voters::of_membership(&block.membership).ok();
        }
        let height = block.header.height;
        while self.places.next_if(|place| place.height < height).is_some() {}
        let Some(place) = self.places.next_if(|place| place.height == height) else { return };
        let Some(certificate) = self.read(place) else { return };
        if !certificate.statement.is_about(&block.header) {
            return self.find(place, &CertificateError::Block);
        }
        let Some(members) = members else { return };
        if self.voters.as_ref() != Some(&certificate.voters) {
            return self.find(place, &CertificateError::Voters);
        }
        let signers = certificate.signatures.iter();
        let keys = signers.filter_map(|(member, _)| Some((*member, *members.get(member)?)));
        let keys = keys.collect();
        self.waiting.push(Waiting { place, certificate, keys });
        if self.waiting.len() >= TOGETHER {
            self.judge();
        }
    }

    fn read(&mut self, place: Place) -> Option<Certificate> {
        let file = self.file.as_ref()?;
        let read = certificates::read(&**file, place);
        let why = match read {
            Ok(Some(certificate)) => return Some(certificate),
            Ok(None) => "it is no certificate of that block".to_owned(),
            Err(error) => error.to_string(),
        };
        self.find(place, &why);
        None
    }

    fn find(&mut self, place: Place, why: &dyn std::fmt::Display) {
        let detail = format!("the certificate of block {}: {why}", place.height.0);
        let file = NAME.to_owned();
        self.report.damage.push(Damage { height: None, file, offset: place.offset, detail });
    }

    fn judge(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let verified = parallel::each(&waiting, |it| {
            let key_of = |member| it.keys.get(&member).copied();
            it.certificate.verify(it.certificate.statement.chain, key_of)
        });
        for (it, verified) in waiting.iter().zip(verified) {
            if let Err(error) = verified {
                self.find(it.place, &error);
            }
        }
    }

    /// What was found, if there is such a file. `next` is the height at which the chain ends; nothing where the walk
    /// ended earlier.
    pub(super) fn finish(mut self, next: Option<Height>) -> Option<FileReport> {
        self.judge();
        if let (Some(place), Some(next)) = (self.places.next(), next)
            && place.height >= next
        {
            self.find(place, &format!("the chain has {} blocks", next.0));
        }
        self.report.damage.sort_by_key(|damage| damage.offset);
        self.file.is_some().then_some(self.report)
    }
}
