//! Bytes and back, and bytes that are none.

use super::*;

fn members() -> Members {
    let nodes = (0..4).map(|id| {
        let public_key = [u8::try_from(id).unwrap(); 32];
        (id, Peer { address: format!("node{id}:7000"), public_key })
    });
    let nodes: BTreeMap<u64, Peer> = nodes.collect();
    Members::new(vec![BTreeSet::from([0, 1]), BTreeSet::from([1, 2])], nodes).unwrap()
}

#[test]
fn stamps_votes_and_members_come_back() {
    let leader = LeaderId { term: 7, node_id: u64::MAX };
    assert_eq!(decode_stamp(&encode_stamp(&leader)).unwrap(), leader);
    for committed in [false, true] {
        let vote = Vote::from_leader_id(leader, committed);
        assert_eq!(decode_vote(&encode_vote(&vote)).unwrap(), vote);
    }
    let bytes = encode_members(&members()).unwrap();
    assert_eq!(decode_members(&bytes).unwrap(), members());
}

#[test]
fn the_bytes_stay_as_they_are() {
    let leader = LeaderId { term: 0x0102, node_id: 3 };
    assert_eq!(encode_stamp(&leader), [1, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    let one = Members::new(
        vec![BTreeSet::from([0])],
        BTreeMap::from([(0, Peer { address: "a".to_owned(), public_key: [9; 32] })]),
    );
    let mut expected = vec![1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'a']);
    expected.extend([9; 32]);
    assert_eq!(encode_members(&one.unwrap()).unwrap(), expected);
}

#[test]
fn other_bytes_are_refused() {
    let bytes = encode_members(&members()).unwrap();
    for length in 0..bytes.len() {
        assert!(decode_members(&bytes[..length]).is_err(), "{length} bytes");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(decode_members(&longer).is_err());
    let mut newer = bytes;
    newer[0] = 2;
    assert!(decode_members(&newer).is_err());
    assert!(decode_stamp(&[1; 16]).is_err());
    assert!(decode_vote(&[1; 17]).is_err());
    assert!(decode_vote(&[]).is_err());
}
