//! One client connection: accept, login, rest, work, goodbye.
//!
//! [`life`] takes a connection from its first byte to its last; [`relay`] is the working life of a client that is
//! logged in, and [`duplex`] the hot path.

pub mod accept;
pub mod admission;
mod alarm;
pub mod card;
mod clock;
pub mod deadline;
mod duplex;
pub mod entrance;
mod farewell;
mod half_open;
pub mod house;
pub mod life;
pub mod limits;
mod listen;
pub mod login;
pub mod pinned;
mod queue;
mod recover;
mod relay;
mod settle;
mod slow;
mod stall;
mod transfer;
mod working;
