//! Members: keys that may speak for transactions. They are admitted at once, whatever becomes of the transaction that
//! asks.

use ledger::{Object, Operation, Refusal};

use crate::Error;
use crate::engine::Engine;
use crate::sequence::{Asker, submit};

/// How often it is tried when others define something at the same time.
const TRIES: usize = 100;

/// Makes a key a member's, at once, unless it is one's already.
///
/// # Errors
/// What keeps it out of the chain.
pub(crate) async fn add(
    engine: &Engine,
    asker: Asker<'_>,
    name: &str,
    public_key: ledger::PublicKey,
) -> Result<(), Error> {
    for _ in 0..TRIES {
        let catalog = engine.state.catalog();
        if catalog.member_of_hash(public_key.member()).is_some() {
            return Ok(());
        }
        let member = ledger::catalog::Member { name: name.to_owned(), public_key };
        let object = Box::new(Object::Member(member));
        let operation = Operation::Define { oid: catalog.next_oid(), object };
        match submit(engine, asker, vec![operation], "add_node").await {
            Ok(_) => return Ok(()),
            Err(Error::Refused(Refusal::SchemaChanged { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Busy)
}
