//! Tests of normal.
