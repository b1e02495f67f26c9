//! Tests of the reply queue.
