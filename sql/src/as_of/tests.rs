//! Tests of as_of.
