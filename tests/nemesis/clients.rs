//! What the clients of a run do, each on whichever node answers: registers, lists, transfers, unique rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::client::{Address, Client, Failure};
use crate::random::Random;

use super::history::{Operation, Outcome, What};

/// Keys of the registers.
pub(super) const REGISTERS: usize = 3;
/// Values after which a list is let be, and the next one is begun.
const LIST: u64 = 150;
/// Accounts, and what they have together.
const ACCOUNTS: usize = 8;
pub(super) const MONEY: i64 = 8_000;

/// What all clients share.
pub(super) struct Shared {
    pub(super) addresses: Vec<Address>,
    pub(super) stop: AtomicBool,
    /// Values that were written, so that each is written once.
    pub(super) values: AtomicU64,
}

/// What a client knows at its end.
#[derive(Default)]
pub(super) struct Known {
    pub(super) registers: Vec<Operation>,
    pub(super) lists: Vec<Operation>,
    pub(super) unique: Vec<(u64, Outcome)>,
    /// When something was acknowledged.
    pub(super) acknowledged: Vec<Instant>,
    /// What was seen that must not be.
    pub(super) complaints: Vec<String>,
}

/// What the run begins with.
pub(super) fn set_up(client: &mut Client) {
    for sql in [
        "CREATE TABLE register (k int PRIMARY KEY, v bigint NOT NULL)".to_owned(),
        format!("INSERT INTO register SELECT k, 0 FROM generate_series(0, {}) k", REGISTERS - 1),
        "CREATE TABLE list (k int PRIMARY KEY, v text NOT NULL)".to_owned(),
        "INSERT INTO list SELECT k, '' FROM generate_series(0, 999) k".to_owned(),
        "CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0))"
            .to_owned(),
        format!("INSERT INTO account SELECT g, 1000 FROM generate_series(0, {}) g", ACCOUNTS - 1),
        "CREATE TABLE entry (n bigint PRIMARY KEY)".to_owned(),
    ] {
        client.run(&sql).unwrap();
    }
}

/// What a failed write's SQLSTATE says of it.
fn outcome(failure: &Failure) -> Outcome {
    match failure.sqlstate.as_str() {
        // Refused: by conflict, for want of something, while starting or stopping, or by a rule.
        "40001" | "40P01" | "57P03" | "25006" | "23514" | "53100" | "53200" | "53300" | "42P01"
        | "55000" => Outcome::Not,
        _ => Outcome::Unknown,
    }
}

/// One client.
pub(super) struct Worker {
    shared: Arc<Shared>,
    random: Random,
    at: usize,
    client: Option<Client>,
    known: Known,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, seed: u64) -> Self {
        let random = Random::new(seed);
        let at = usize::try_from(seed % 1000).unwrap();
        Self { shared, random, at, client: None, known: Known::default() }
    }

    /// Works until all are told to stop.
    pub(super) fn work(mut self, what: fn(&mut Self)) -> Known {
        while !self.shared.stop.load(Ordering::Relaxed) {
            what(&mut self);
        }
        self.known
    }

    /// Runs a statement on the node at hand; after a failure the next node is at hand.
    fn run(&mut self, sql: &str) -> Result<crate::client::Answer, Failure> {
        if self.client.is_none() {
            let address = &self.shared.addresses[self.at % self.shared.addresses.len()];
            match Client::connect(address) {
                Ok(client) => self.client = Some(client),
                // Nothing was sent.
                Err(_) => {
                    self.go_on();
                    let sqlstate = "57P03".to_owned();
                    return Err(Failure { sqlstate, ..Failure::default() });
                }
            }
        }
        let Some(client) = &mut self.client else { return Err(Failure::default()) };
        let done = client.run(sql);
        if done.is_err() {
            self.go_on();
        }
        done
    }

    fn go_on(&mut self) {
        (self.at, self.client) = (self.at + 1, None);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }

    fn value(&self) -> u64 {
        self.shared.values.fetch_add(1, Ordering::Relaxed)
    }

    /// What became of a write that was to change one row.
    fn write(&mut self, sql: &str) -> Outcome {
        match self.run(sql) {
            Ok(answer) if answer.tag.ends_with(" 1") => {
                self.known.acknowledged.push(Instant::now());
                Outcome::Done
            }
            Ok(_) => Outcome::Not,
            Err(failure) => outcome(&failure),
        }
    }

    pub(super) fn register(&mut self) {
        let key = self.random.below(REGISTERS);
        let began = Instant::now();
        let sql = format!("SELECT v FROM register WHERE k = {key}");
        let Ok(answer) = self.run(&sql) else { return };
        let Some(seen) = answer.value().and_then(|value| value.parse::<u64>().ok()) else {
            return self.known.complaints.push(format!("register {key} was {answer:?}"));
        };
        let what = What::Saw((seen > 0).then_some(seen));
        self.known.registers.push(Operation { key, began, ended: Instant::now(), what });
        let (value, began) = (self.value(), Instant::now());
        let (behind, sql) = match self.random.below(2) {
            0 => (None, format!("UPDATE register SET v = {value} WHERE k = {key}")),
            _ => {
                let sql = format!("UPDATE register SET v = {value} WHERE k = {key} AND v = {seen}");
                ((seen > 0).then_some(seen), sql)
            }
        };
        let outcome = self.write(&sql);
        let what = What::Wrote { value, behind, outcome };
        self.known.registers.push(Operation { key, began, ended: Instant::now(), what });
    }

    pub(super) fn list(&mut self) {
        let value = self.value();
        let key = usize::try_from(value / LIST % 1000).unwrap();
        let began = Instant::now();
        let outcome = self.write(&format!("UPDATE list SET v = v || '{value},' WHERE k = {key}"));
        let what = What::Wrote { value, behind: None, outcome };
        self.known.lists.push(Operation { key, began, ended: Instant::now(), what });
        let began = Instant::now();
        let Ok(answer) = self.run(&format!("SELECT v FROM list WHERE k = {key}")) else { return };
        let Some(seen) = answer.value() else {
            return self.known.complaints.push(format!("list {key} was {answer:?}"));
        };
        let what = What::Saw(list(seen).last().copied());
        self.known.lists.push(Operation { key, began, ended: Instant::now(), what });
    }

    pub(super) fn transfer(&mut self) {
        let (from, to) = (self.random.below(ACCOUNTS), self.random.below(ACCOUNTS));
        let amount = self.random.below(100);
        let parts = [
            "BEGIN".to_owned(),
            format!("UPDATE account SET balance = balance - {amount} WHERE id = {from}"),
            format!("UPDATE account SET balance = balance + {amount} WHERE id = {to}"),
            "COMMIT".to_owned(),
        ];
        for sql in parts {
            if self.run(&sql).is_err() {
                // What had begun ends with its connection.
                self.client = None;
                return;
            }
        }
        self.known.acknowledged.push(Instant::now());
    }

    pub(super) fn audit(&mut self) {
        let Ok(answer) = self.run("SELECT sum(balance) FROM account") else { return };
        if answer.value() != Some(&MONEY.to_string()) {
            let what = format!("all accounts have {:?} together", answer.value());
            self.known.complaints.push(what);
        }
    }

    pub(super) fn unique(&mut self) {
        let value = self.value();
        let outcome = self.write(&format!("INSERT INTO entry VALUES ({value})"));
        self.known.unique.push((value, outcome));
    }
}

/// The values of a list.
pub(super) fn list(text: &str) -> Vec<u64> {
    text.split_terminator(',').map(|value| value.parse().unwrap()).collect()
}
