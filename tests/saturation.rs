//! Loads whose truth is known: what pgweir measures, judges and advises has to agree with it.
//!
//! Clients think for a random while and ask for work that takes as long as they say (`pg_sleep`). Bounds are wide, and on
//! ratios and counts, since the machine may be busy with other things.
#![allow(clippy::disallowed_methods, dead_code, unreachable_pub, unused_imports)]

#[path = "saturation/books.rs"]
mod books;
#[path = "faults/kit/mod.rs"]
mod kit;
#[path = "saturation/load.rs"]
mod load;
#[path = "saturation/truth.rs"]
mod truth;
#[path = "saturation/verdicts.rs"]
mod verdicts;
