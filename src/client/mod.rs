//! One client connection: accept, login, rest, work, goodbye.

pub mod deadline;
pub mod limits;
