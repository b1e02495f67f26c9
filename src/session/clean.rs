//! The proof that a server may be handed to another client.

/// Made only by the function that checked it.
#[must_use]
#[derive(Debug)]
pub struct Clean(());

impl Clean {
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self(())
    }
}
