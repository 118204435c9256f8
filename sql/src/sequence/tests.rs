//! Tests of sequence.
