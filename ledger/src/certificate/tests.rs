//! A certificate holds with a majority of the voters' signatures and no other way; its bytes stay for ever.

use std::path::PathBuf;

use super::*;
use crate::samples::{block, key};

/// The voters with these secrets, and what is said of the sample block.
fn of(sets: &[&[u8]]) -> (Statement, Voters) {
    let member = |secret: &u8| key(*secret).member();
    let voters = Voters::new(sets.iter().map(|set| set.iter().map(member).collect()));
    let header = block().header;
    let statement = Statement {
        chain: header.chain_id(),
        height: header.height,
        block: header.hash(),
        state: Hash([5; 32]),
        governance: header.governance,
        voters: voters.hash(),
    };
    (statement, voters)
}

/// The certificate that these sign, enough or not.
fn signed(sets: &[&[u8]], signers: &[u8]) -> Certificate {
    let (statement, voters) = of(sets);
    let sign = |secret: &u8| (key(*secret).member(), statement.sign(&key(*secret)));
    let mut signatures: Vec<_> = signers.iter().map(sign).collect();
    signatures.sort_by_key(|(member, _)| *member);
    Certificate { statement, voters, signatures }
}

fn key_of(member: Hash) -> Option<PublicKey> {
    (1..=5).map(|secret| key(secret).public()).find(|key| key.member() == member)
}

fn verify(certificate: &Certificate) -> Result<(), CertificateError> {
    certificate.verify(block().header.chain_id(), key_of)
}

#[test]
fn a_majority_is_more_than_half_of_each_set() {
    for (sets, signers, enough) in [
        (&[&[1][..]][..], &[1][..], true),
        (&[&[1, 2]], &[1], false),
        (&[&[1, 2]], &[1, 2], true),
        (&[&[1, 2, 3]], &[3], false),
        (&[&[1, 2, 3]], &[1, 3], true),
        (&[&[1, 2, 3, 4]], &[1, 3], false),
        (&[&[1, 2, 3], &[3, 4, 5]], &[1, 3], false),
        (&[&[1, 2, 3], &[3, 4, 5]], &[1, 3, 5], true),
        (&[&[1], &[1, 2, 3]], &[2, 3], false),
        (&[], &[], false),
        (&[&[]], &[], false),
    ] {
        let whole = signed(sets, signers);
        assert_eq!(verify(&whole).is_ok(), enough, "{sets:?} by {signers:?}");
        let signatures = whole.signatures.iter().copied().collect();
        let gathered = Certificate::gather(whole.statement, &whole.voters, &signatures);
        assert_eq!(gathered, enough.then_some(whole));
    }
}

#[test]
fn voters_are_read_from_a_membership_entry() {
    let nodes: BTreeMap<u64, (String, PublicKey)> = [(0, 1), (4, 2), (9, 3)]
        .map(|(id, it)| (id, (format!("n{id}:1"), key(it).public())))
        .into();
    let entry = |sets: Vec<Vec<u64>>| [vec![1], encode(&(sets, &nodes))].concat();
    let (_, expected) = of(&[&[1, 2], &[1, 2, 3]]);
    let good = entry(vec![vec![0, 4], vec![0, 4, 9]]);
    assert_eq!(Voters::of_membership(&good), Ok(expected));
    assert!(Voters::of_membership(&entry(vec![vec![0, 5]])).is_err());
    for at in 0..good.len() {
        assert!(Voters::of_membership(&good[..at]).is_err());
    }
    assert!(Voters::of_membership(&[&good[..], &[0]].concat()).is_err());
    assert!(Voters::of_membership(&[&[2], &good[1..]].concat()).is_err());
}

#[test]
fn what_does_not_hold_is_named() {
    let sets: &[&[u8]] = &[&[1, 2, 3]];
    let good = signed(sets, &[1, 2]);
    verify(&good).unwrap();
    assert_eq!(good.verify(Hash([9; 32]), key_of), Err(CertificateError::Chain));
    let id = |secret| key(secret).member();

    let stranger = signed(sets, &[1, 2, 4]);
    assert_eq!(verify(&stranger), Err(CertificateError::Stranger(id(4))));
    // Who gathers leaves a stranger out.
    let signatures = stranger.signatures.iter().copied().collect();
    let gathered = Certificate::gather(good.statement, &good.voters, &signatures);
    assert_eq!(gathered.as_ref(), Some(&good));

    let few = signed(sets, &[2]);
    assert_eq!(verify(&few), Err(CertificateError::TooFew { signed: 1, voters: 3 }));
    let mut twice = few;
    twice.signatures.push(twice.signatures[0]);
    assert_eq!(verify(&twice), Err(CertificateError::Order(id(2))));
    let mut turned = good.clone();
    turned.signatures.reverse();
    assert_eq!(verify(&turned), Err(CertificateError::Order(turned.signatures[1].0)));

    let mut other = good.clone();
    other.signatures[1].1 = good.signatures[0].1;
    assert_eq!(verify(&other), Err(CertificateError::Signature(good.signatures[1].0)));
    let mut fewer = good.clone();
    fewer.voters = Voters::new([BTreeSet::from([id(1)])]);
    assert_eq!(verify(&fewer), Err(CertificateError::Voters));
    let known = |member| key_of(member).filter(|_| member != id(2));
    let chain = good.statement.chain;
    assert_eq!(good.verify(chain, known), Err(CertificateError::NoMember(id(2))));
}

#[test]
fn everything_said_is_signed() {
    let good = signed(&[&[1, 2, 3]], &[1, 2]);
    let changes: [fn(&mut Statement); 4] = [
        |it| it.height.0 += 1,
        |it| it.block.0[0] ^= 1,
        |it| it.state.0[31] ^= 1,
        |it| it.governance.0[0] ^= 1,
    ];
    for change in changes {
        let mut changed = good.clone();
        change(&mut changed.statement);
        assert!(matches!(verify(&changed), Err(CertificateError::Signature(_))));
    }
    let header = block().header;
    assert!(good.statement.is_about(&header));
    let (mut later, mut governed) = (header.clone(), header);
    later.time_us += 1;
    governed.governance.0[0] ^= 1;
    assert!(!good.statement.is_about(&later) && !good.statement.is_about(&governed));
}

fn fixtures() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("fixtures")
}

fn version_1() -> Certificate {
    signed(&[&[1, 2, 3], &[2, 3, 4]], &[1, 2, 3])
}

#[test]
fn old_certificates_hold_for_ever() {
    let bytes = std::fs::read(fixtures().join("v1.certificate")).unwrap();
    let certificate = Certificate::decode(&bytes).unwrap();
    verify(&certificate).unwrap();
    assert_eq!(certificate, version_1());
    assert_eq!(certificate.encode(), bytes);
    let message = certificate.statement.message().to_string();
    assert_eq!(message, std::fs::read_to_string(fixtures().join("v1.message")).unwrap().trim());
    for at in 0..bytes.len() {
        assert!(Certificate::decode(&bytes[..at]).is_err());
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let holds = Certificate::decode(&flipped).is_ok_and(|it| verify(&it).is_ok());
        assert!(!holds, "byte {at}");
    }
}

/// Writes the fixture of a version that has none yet; existing files are never touched.
#[test]
#[ignore = "makes the fixture of a new version: cargo test -p ledger -- --ignored make_certificate"]
fn make_certificate() {
    let path = fixtures().join("v1.certificate");
    assert!(!path.exists(), "{} is kept for ever", path.display());
    std::fs::write(path, version_1().encode()).unwrap();
    let message = format!("{}\n", version_1().statement.message());
    std::fs::write(fixtures().join("v1.message"), message).unwrap();
}
