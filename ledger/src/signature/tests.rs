//! A signature holds for its message and key only.

use super::*;

#[test]
fn altered_messages_and_signatures_do_not_verify() {
    let key = NodeKey::from_bytes(&[7; 32]);
    let message = hash(Domain::Header, &[b"a block"]);
    let signature = key.sign(message);
    assert!(key.public().verify(message, &signature));
    assert!(!key.public().verify(hash(Domain::Header, &[b"another"]), &signature));
    assert!(!NodeKey::from_bytes(&[8; 32]).public().verify(message, &signature));
    for bit in 0..512 {
        let mut wrong = signature;
        wrong.0[bit / 8] ^= 1 << (bit % 8);
        assert!(!key.public().verify(message, &wrong), "bit {bit}");
    }
}

#[test]
fn a_key_returns_from_its_bytes_and_is_not_shown() {
    let key = NodeKey::from_bytes(&[9; 32]);
    assert_eq!(NodeKey::from_bytes(&key.to_bytes()).public(), key.public());
    assert_eq!(format!("{key:?}"), format!("NodeKey({})", key.member()));
}
