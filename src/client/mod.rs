//! One client connection: accept, login, rest, work, goodbye.

pub mod accept;
pub mod alarm;
pub mod card;
pub mod deadline;
pub mod limits;
pub mod login;
pub mod working;
