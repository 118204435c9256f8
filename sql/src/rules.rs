//! Defaults evaluated on the serving node: the values that only it can give.

use std::cell::RefCell;

use ledger::rule::{Environment, Volatile};
use ledger::{ColumnNumber, Oid, Refusal, Rule, Value};

use crate::Error;
use crate::settings::Zone;
use crate::shared::SessionShared;

/// What a default may ask of its session.
pub(crate) struct Place<'a> {
    pub(crate) shared: &'a SessionShared,
    pub(crate) user: &'a str,
    pub(crate) started_us: i64,
    pub(crate) now_us: i64,
    pub(crate) zone: Zone,
    /// An error that a rule's refusal can't carry.
    pub(crate) failed: RefCell<Option<Error>>,
}

impl Place<'_> {
    /// The rule's value.
    ///
    /// # Errors
    /// What the rule, or what it asks for, says.
    pub(crate) fn evaluate(&self, rule: &Rule) -> Result<Value, Error> {
        rule.evaluate(self)
            .map_err(|refusal| self.failed.borrow_mut().take().unwrap_or(Error::Refused(refusal)))
    }

    fn local_us(&self) -> i64 {
        let offset = i64::from(self.zone.offset_at(self.started_us));
        self.started_us.saturating_add(offset * 1_000_000)
    }
}

impl Environment for Place<'_> {
    fn column(&self, number: ColumnNumber) -> Result<Value, Refusal> {
        Err(Refusal::malformed(format!("a default that reads column {}", number.0)))
    }

    fn volatile(&self, what: Volatile) -> Result<Value, Refusal> {
        Ok(match what {
            Volatile::Now => Value::Timestamptz(self.started_us),
            Volatile::ClockTimestamp => Value::Timestamptz(self.now_us),
            Volatile::LocalTimestamp => Value::Timestamp(self.local_us()),
            Volatile::CurrentDate => {
                let days = self.local_us().div_euclid(86_400_000_000);
                Value::Date(
                    i32::try_from(days).map_err(|_| Refusal::data("22008", "date out of range"))?,
                )
            }
            Volatile::RandomUuid => Value::Uuid(*uuid::Uuid::new_v4().as_bytes()),
            Volatile::CurrentUser => Value::Text(self.user.to_string()),
            Volatile::NextValue(sequence) => {
                Value::Int8(self.shared.next_value(sequence).map_err(|error| {
                    *self.failed.borrow_mut() = Some(error);
                    Refusal::malformed("no value of a sequence")
                })?)
            }
        })
    }
}

/// The sequence, when a rule is nothing but its next value (perhaps of another integer type).
pub(crate) fn sequence_of(rule: &Rule) -> Option<Oid> {
    match rule {
        Rule::Volatile(Volatile::NextValue(sequence)) => Some(*sequence),
        Rule::Cast(inner, _) => sequence_of(inner),
        _ => None,
    }
}
