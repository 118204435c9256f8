//! Statements by key.
