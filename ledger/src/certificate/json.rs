//! A certificate as JSON, for a file.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{Certificate, Statement, Voters};
use crate::codec::DecodeError;
use crate::proof::json::{FILE, bytes, expect, hashes, hex, number, one_hash, shown, wrong};
use crate::{Hash, Height, Signature};

impl Certificate {
    /// The certificate as JSON.
    pub fn to_json(&self) -> Json {
        let Statement { chain, height, block, state, governance, voters: _ } = &self.statement;
        let set = |set: &BTreeSet<Hash>| shown(&set.iter().copied().collect::<Vec<_>>());
        let signature = |(member, signature): &(Hash, Signature)| json!({"member": member.to_string(), "signature": hex(&signature.0)});
        json!({
            "proof": "certificate",
            "file_version": FILE,
            "chain": chain.to_string(),
            "height": height.0,
            "block": block.to_string(),
            "state": state.to_string(),
            "governance": governance.to_string(),
            "voters": self.voters.sets().iter().map(set).collect::<Vec<_>>(),
            "signatures": self.signatures.iter().map(signature).collect::<Vec<_>>(),
        })
    }

    /// The certificate of a JSON. Nothing of it is checked.
    ///
    /// # Errors
    /// When a field is missing or wrong.
    pub fn from_json(json: &Json) -> Result<Self, DecodeError> {
        expect(json, "certificate")?;
        let sets = json.get("voters").and_then(Json::as_array).ok_or_else(|| wrong("voters"))?;
        let mut voters = Vec::new();
        for set in sets {
            let listed = hashes(&json!({ "voters": set }), "voters")?;
            voters.push(listed.into_iter().collect());
        }
        let voters = Voters::new(voters);
        let listed = json.get("signatures").and_then(Json::as_array);
        let mut signatures = Vec::new();
        for one in listed.ok_or_else(|| wrong("signatures"))? {
            let signature = bytes(one, "signature")?.try_into().map_err(|_| wrong("signature"))?;
            signatures.push((one_hash(one, "member")?, Signature(signature)));
        }
        let statement = Statement {
            chain: one_hash(json, "chain")?,
            height: Height(number(json, "height")?),
            block: one_hash(json, "block")?,
            state: one_hash(json, "state")?,
            governance: one_hash(json, "governance")?,
            voters: voters.hash(),
        };
        Ok(Self { statement, voters, signatures })
    }
}
