//! Text forms of values: PostgreSQL's input and output of every type. Knows no tables and no clock; a time
//! zone is a function that the caller gives.

pub mod json;
pub mod time;
