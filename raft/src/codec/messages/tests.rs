//! Messages there and back, and what is none.

use ledger::{Proposal, Tip};

use super::*;
use crate::runtime::Tokio;

const LEADER: LeaderId = LeaderId { term: 7, node_id: 2 };

fn block() -> Block {
    let before = Tip {
        chain: ledger::Hash([4; 32]),
        height: Height(8),
        hash: ledger::Hash([5; 32]),
        time_us: 6,
        history: ledger::merkle::History::default(),
    };
    let stamp = super::super::encode_stamp(&LEADER);
    before.next(Proposal { stamp, ..Proposal::default() }).unwrap()
}

fn requests() -> Vec<Request<Tokio>> {
    let (vote, last) = (Vote::from_leader_id(LEADER, true), Some(EntryId::new(LEADER, 8)));
    let asked = || VoteRequest { vote, last_log_id: last, leadership_transfer: true };
    let entries = vec![entry(Arc::new(block())).unwrap()];
    vec![
        Request::Append(AppendEntriesRequest {
            vote,
            prev_log_id: last,
            entries,
            leader_commit: None,
        }),
        Request::Vote(asked()),
        Request::PreVote(asked()),
        Request::Lead(TransferLeaderRequest::new(vote, 3, last)),
        Request::ReadPoint,
        Request::Certify(Ask::Sign(7)),
        Request::Certify(Ask::Keep(vec![1, 2])),
        Request::Certify(Ask::Newest),
        Request::Submit { under: LEADER, transaction: vec![1, 2, 3] },
        Request::Settle { under: LEADER, id: TransactionId([8; 16]) },
    ]
}

fn answers() -> Vec<Answer<Tokio>> {
    let (vote, id) = (Vote::from_leader_id(LEADER, false), EntryId::new(LEADER, 9));
    vec![
        Answer::Append(Ok(Some(id))),
        Answer::Append(Ok(None)),
        Answer::Append(Err(StreamAppendError::Conflict(id))),
        Answer::Append(Err(StreamAppendError::HigherVote(vote))),
        Answer::Vote(VoteResponse::new(vote, Some(id), true)),
        Answer::Lead(Ok(())),
        Answer::Lead(Err(TransferLeaderError::VoteChanged { expected: vote, actual: vote })),
        Answer::Lead(Err(TransferLeaderError::LogNotFlushed { expected: Some(id), actual: None })),
        Answer::ReadPoint(Some(77)),
        Answer::ReadPoint(None),
        Answer::Certify(Told::Nothing),
        Answer::Certify(Told::Has(vec![3])),
        Answer::Told(Err(SubmitError::Unknown)),
    ]
}

#[test]
fn messages_come_back_as_they_were() {
    for request in requests() {
        let bytes = request.encode().unwrap();
        let back = Request::<Tokio>::decode(&bytes).unwrap();
        assert_eq!(format!("{back:?}"), format!("{request:?}"));
        assert_eq!(back.encode().unwrap(), bytes);
    }
    for answer in answers() {
        let bytes = answer.encode().unwrap();
        let back = Answer::<Tokio>::decode(&bytes).unwrap();
        assert_eq!(format!("{back:?}"), format!("{answer:?}"));
    }
}

#[test]
fn a_height_without_a_next_one_is_refused() {
    let (vote, last) = (Vote::from_leader_id(LEADER, true), Some(EntryId::new(LEADER, u64::MAX)));
    let append = |prev_log_id, leader_commit| {
        Request::Append(AppendEntriesRequest { vote, prev_log_id, entries: vec![], leader_commit })
    };
    let asked = VoteRequest { vote, last_log_id: last, leadership_transfer: false };
    let lead = TransferLeaderRequest::new(vote, 3, last);
    for request in
        [append(last, None), append(None, last), Request::Vote(asked), Request::Lead(lead)]
    {
        let request: Request<Tokio> = request;
        let refused = Request::<Tokio>::decode(&request.encode().unwrap()).unwrap_err();
        assert!(refused.to_string().contains("no block can have"), "{refused}");
    }
}

#[test]
fn what_is_no_message_is_refused() {
    assert!(Request::<Tokio>::decode(&[]).is_err());
    for request in requests() {
        let bytes = request.encode().unwrap();
        for length in 0..bytes.len() {
            assert!(
                Request::<Tokio>::decode(&bytes[..length]).is_err(),
                "{length} bytes of {request:?}"
            );
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(Request::<Tokio>::decode(&longer).is_err());
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert!(Request::<Tokio>::decode(&newer).is_err());
        // Whatever the bytes say, nothing panics and nothing is reserved for a length that isn't there.
        for at in 1..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 0xff;
            drop(Request::<Tokio>::decode(&altered));
            drop(Answer::<Tokio>::decode(&altered));
        }
    }
}
