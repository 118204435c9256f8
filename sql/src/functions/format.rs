//! `to_char`, `to_date`, `to_timestamp`, `to_number` with PostgreSQL's templates.

use super::Function;

pub(super) fn functions() -> Vec<Function> {
    Vec::new()
}
