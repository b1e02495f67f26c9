//! The reply queue.
