//! This node's own faults and lock failures, as clients are told of them.

use storage::{Fault, LockError};

use super::{CancelReason, Error};

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let message = fault.to_string();
        match fault {
            Fault::Damaged(_) | Fault::Astray { .. } => Self::Fault { message, corrupted: true },
            Fault::DiskFull { .. } => Self::new("53100", message),
            Fault::Memory { .. } => Self::new("53200", message),
            Fault::Internal(message) => Self::Internal { message },
            _ => Self::Fault { message, corrupted: false },
        }
    }
}

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Deadlock => Self::Deadlock,
            LockError::Timeout => Self::LockNotAvailable { message: error.to_string() },
            LockError::NotAvailable => Self::LockNotAvailable { message: error.to_string() },
            LockError::Cancelled => Self::Cancelled { reason: CancelReason::User },
        }
    }
}
