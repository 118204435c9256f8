//! `ledger.certificates`, what `ledger.blocks` says of them, and `ledger.certificate()`: one as a file of evidence. They
//! are what this node knows now, whatever point of the chain is read.

use std::sync::Arc;

use ledger::proof::{BlockProof, Evidence};
use ledger::{Certificate, Height};
use storage::{Certificates, Snapshot};

use super::chain::{by_blocks, chosen, named, number, text};
use super::digest::Headers;
use super::{snapshot_at, state, state_at};
use crate::Error;
use crate::functions::{Call, Datum, Function};
use crate::lazy;
use crate::read::{QueryContext, VirtualTable};
use crate::table::fault;
use crate::types::PgType;

/// The certificates that cover blocks one after the other: of many blocks the same one.
pub(super) struct Covering {
    kept: Option<Arc<Certificates>>,
    last: Option<(Height, usize)>,
}

impl Covering {
    pub(super) fn new(kept: Option<&Arc<Certificates>>) -> Self {
        Self { kept: kept.cloned(), last: None }
    }

    /// The lowest certified block from a height on, and how many signed.
    pub(super) fn of(&mut self, height: Height) -> Result<Option<(Height, usize)>, Error> {
        let Some(kept) = &self.kept else { return Ok(None) };
        let Some(found) = kept.covering(height) else { return Ok(None) };
        if let Some(last) = self.last.filter(|(last, _)| *last == found) {
            return Ok(Some(last));
        }
        let signed = kept.get(found).map_err(fault)?.map(|it| (found, it.signatures.len()));
        self.last = signed;
        Ok(signed)
    }
}

/// One row for each certificate.
pub(super) fn relation() -> VirtualTable {
    let texts = PgType::Array(Box::new(PgType::Text));
    let columns = named(&[
        ("height", PgType::Int8),
        ("hash", PgType::Text),
        ("state", PgType::Text),
        ("time", PgType::Timestamptz),
        ("certified_by", PgType::Int4),
        ("voters", PgType::Int4),
        ("members", texts),
    ]);
    let kinds = columns.clone();
    lazy::table(0, columns, move |context, places| {
        let places = places.to_vec();
        let kinds = chosen(&kinds, &places);
        let kept = state(context)?.certificates().cloned();
        Ok(by_blocks(context.snapshot.clone(), kinds, move |snapshot, range| {
            let mut rows = Vec::new();
            let heights = kept.iter().flat_map(|kept| kept.heights(range.clone()));
            for height in heights {
                let Some(kept) = &kept else { break };
                let Some(certificate) = kept.get(height).map_err(fault)? else { continue };
                let time_us = time_of(snapshot, height)?;
                let cell = |place: &usize| cell(&certificate, time_us, *place);
                rows.push(places.iter().map(cell).collect());
            }
            Ok(rows)
        }))
    })
}

fn time_of(snapshot: &Snapshot, height: Height) -> Result<Option<i64>, Error> {
    let records = snapshot.blocks(height..Height(height.0.saturating_add(1))).map_err(fault)?;
    Ok(records.first().map(|record| record.header.time_us))
}

fn cell(certificate: &Certificate, time_us: Option<i64>, place: usize) -> Datum {
    let statement = &certificate.statement;
    match place {
        0 => number(statement.height.0),
        1 => text(statement.block),
        2 => text(statement.state),
        3 => time_us.map_or(Datum::Null, Datum::Timestamptz),
        4 => number(certificate.signatures.len() as u64),
        5 => number(certificate.voters.all().len() as u64),
        _ => Datum::Array(certificate.signatures.iter().map(|(member, _)| text(member)).collect()),
    }
}

/// `ledger.certificate([point])`
pub(super) fn functions() -> Vec<Function> {
    let signatures = ["certificate([text]) jsonb", "certificate(bigint) jsonb"];
    let function = |signature| {
        let made = Function::row(signature, |call: &Call<'_>, arguments: &[Datum]| {
            let evidence = evidence(call.context, arguments.first())?;
            Ok(Datum::Text(evidence.to_json().to_string()))
        });
        made.volatile().in_schema("ledger")
    };
    signatures.map(function).into()
}

/// The certificate that covers a block, and the block's way to it; without a block, the newest.
fn evidence(context: &QueryContext, point: Option<&Datum>) -> Result<Evidence, Error> {
    let none = |what: &str| {
        Error::new("55000", format!("no certificate covers {what} yet"))
            .with_hint("Members sign shortly after a block is applied: TABLE ledger.certificates.")
    };
    let kept = state(context)?.certificates().ok_or_else(|| none("this chain"))?;
    let asked = match point {
        Some(point) => snapshot_at(context, point)?.height(),
        None => kept.newest().ok_or_else(|| none("this chain"))?.statement.height,
    };
    let mut next = asked;
    // One that is damaged is covered by a later one.
    let certificate = loop {
        let found = kept.covering(next).ok_or_else(|| none(&format!("block {}", asked.0)))?;
        match kept.get(found)? {
            Some(certificate) => break certificate,
            None => next = Height(found.0.saturating_add(1)),
        }
    };
    let height = certificate.statement.height;
    let snapshot = state_at(state(context)?, height.0)?;
    let header = snapshot.block(height)?.header.clone();
    let earlier = if asked == height {
        None
    } else {
        let mut headers = Headers::up_to(&snapshot)?;
        headers.hashes.pop();
        let block = snapshot.block(asked)?;
        let proof = BlockProof::of(&block.header, &headers.hashes);
        Some(proof.ok_or_else(|| Error::internal("a certificate without its block"))?)
    };
    let certificate = Box::new(Certificate::clone(&certificate));
    Ok(Evidence::Certificate { certificate, header: Box::new(header), earlier })
}
