//! Whether a polled collection is still the one that was found at the start: one that was dropped
//! answers like one that has nothing new.

use std::time::{Duration, Instant};

use factmill_core::source::BoxedError;

use super::super::connection::Connection;

/// How often it is asked, at most.
const EVERY: Duration = Duration::from_secs(3);

/// What the server called a collection, and when it did last.
#[derive(Debug, Default)]
pub(super) struct Watch {
    known: Option<(String, Instant)>,
}

impl Watch {
    /// What the server calls the collection now.
    pub(super) fn begin(&mut self, identity: String) {
        self.known = Some((identity, Instant::now()));
    }

    /// Whether it was not looked for a while.
    pub(super) fn is_due(&self) -> bool {
        let known = self.known.as_ref();
        known.is_some_and(|(_, looked)| looked.elapsed() >= EVERY)
    }

    /// Looks whether it is still the same.
    ///
    /// # Errors
    /// A gap where it is not.
    pub(super) async fn look(&mut self, connection: &Connection) -> Result<(), BoxedError> {
        if let Some((identity, looked)) = &mut self.known {
            connection.is_still(identity).await?;
            *looked = Instant::now();
        }
        Ok(())
    }
}
