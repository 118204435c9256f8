//! Tests of statement.
