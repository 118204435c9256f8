//! Every way a transaction can end, there and back.

use ledger::{Hash, Height, TransactionId};

use super::*;

fn refusals() -> Vec<Refusal> {
    let text = str::to_owned;
    let (schema, table, constraint) = (text("public"), text("t"), text("t_pkey"));
    vec![
        Refusal::Duplicate {
            schema: schema.clone(),
            table: table.clone(),
            constraint: constraint.clone(),
            detail: text("Key (id)=(1) already exists."),
        },
        Refusal::NotNull {
            schema: schema.clone(),
            table: table.clone(),
            column: text("id"),
            detail: text("Failing row contains (null)."),
        },
        Refusal::Check {
            schema: schema.clone(),
            table: table.clone(),
            constraint: text("positive"),
            detail: text("Failing row contains (-1)."),
        },
        Refusal::NoParent {
            schema: schema.clone(),
            table: table.clone(),
            constraint: text("t_fkey"),
            detail: text("Key (a)=(1) is not present in table \"p\"."),
        },
        Refusal::HasChildren {
            schema,
            parent: text("p"),
            table: table.clone(),
            constraint,
            detail: text("Key (id)=(1) is still referenced from table \"t\"."),
        },
        Refusal::AppendOnly { table },
        Refusal::Superseded {
            table: Oid(7),
            version: VersionId { height: Height(3), transaction: 2, operation: 1 },
        },
        Refusal::SchemaChanged { detail: text("table \"t\" is gone") },
        Refusal::data("22003", "numeric field overflow"),
        Refusal::Privilege { kind: "table", name: text("t") },
        Refusal::definition("42P07", "relation \"t\" already exists"),
        Refusal::malformed("a row that doesn't decode"),
    ]
}

fn back(told: &Result<Receipt, SubmitError>) -> Result<Receipt, SubmitError> {
    let mut bytes = Vec::new();
    Outcome::from(told).serialize(&mut bytes).unwrap();
    borsh::from_slice::<Outcome>(&bytes).unwrap().into()
}

#[test]
fn refusals_are_told_exactly_as_the_leader_would() {
    for refusal in refusals() {
        let told = back(&Err(SubmitError::Refused(refusal.clone())));
        let Err(SubmitError::Refused(other)) = told else { panic!("{told:?}") };
        assert_eq!(other.sqlstate(), refusal.sqlstate());
        assert_eq!(other.to_string(), refusal.to_string());
        assert_eq!(format!("{other:?}"), format!("{refusal:?}"));
    }
}

#[test]
fn other_ends_keep_what_they_say() {
    let receipt = Receipt {
        id: TransactionId([4; 16]),
        height: Height(9),
        transaction: 3,
        block: Hash([7; 32]),
        time_us: 5,
    };
    let same = |told: Result<Receipt, SubmitError>| {
        assert_eq!(format!("{:?}", back(&told)), format!("{told:?}"));
    };
    same(Ok(receipt));
    same(Err(SubmitError::Unknown));
    same(Err(Shortage::Memory { bound: 77 }.into()));
    same(Err(Shortage::Queue { waiting: 8 }.into()));
    same(Err(Shortage::Disk.into()));
    same(Err(SubmitError::NotLeading { leader: Some("b:1".to_owned()) }));
    let ends = back(&Err(SubmitError::ShuttingDown));
    assert!(matches!(ends, Err(SubmitError::NotLeading { leader: None })), "{ends:?}");
    let fault = back(&Err(Fault::Stopped { reason: "a sync failed".to_owned() }.into()));
    assert!(fault.unwrap_err().to_string().contains("a sync failed"));
}

#[test]
fn made_up_words_are_not_kept() {
    let made_up = Rule::Data { sqlstate: "22003; DROP".to_owned(), message: String::new() };
    assert_eq!(Refusal::from(made_up).sqlstate(), "XX000");
    let kind = Rule::Privilege { kind: "x".repeat(1000), name: "t".to_owned() };
    assert_eq!(Refusal::from(kind).to_string(), "permission denied for object t");
}
