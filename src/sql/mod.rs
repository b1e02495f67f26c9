//! Text → effects: what a statement may leave behind in a session, told from its words alone.
//!
//! PostgreSQL stays the authority on what really changed; the effects only say *what to ask it about*. So the
//! room may say too much (a wasted question) but must not say too little. What no text shows (state changed
//! inside functions, triggers, views) comes in by a [`Dictionary`] that `catalog` makes.
//!
//! Depends on nothing but memchr. Invariant: a text without a sign costs one pass and no allocation.
#![deny(clippy::disallowed_methods)]

mod analyse;
mod body;
mod ddl;
mod effects;
mod lexer;
mod names;
mod rename;
mod settings;
mod words;

#[cfg(test)]
mod tests;

pub use analyse::{Analysis, Extent, analyse};
pub use body::{Language, read_body};
pub use ddl::tag_changes_catalog;
pub use effects::Effects;
pub use lexer::Dialect;
pub use names::{custom_setting_name, fold_identifier, quote_identifier};
pub use rename::{Renamed, StatementRef, Use, rename_statements};
pub use settings::MEANING;
pub use words::{Dictionary, NoWords, WordHash};
