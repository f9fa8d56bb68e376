//! The lease of a source's one reader: taken before the first record is read, renewed while reading.
//!
//! It saves double work and guards nothing: a reader that was paused longer than its lease and goes
//! on before it notices is fenced by the compare-and-swap of its positions.

use std::sync::Arc;
use std::time::Duration;

use factmill_core::position::SourceName;
use factmill_core::source::{BoxedError, Lease, PositionStore};
use uuid::Uuid;

/// How long a reader that does not renew keeps others out, while its connection lives.
const DURATION: Duration = Duration::from_secs(15);

/// How often it renews; a reader that waits looks as often.
const RENEWAL: Duration = Duration::from_secs(5);

/// How often a reader looks that waits for one that may be about to leave.
const LOOK: Duration = Duration::from_millis(500);

/// The lease of one reader. Dropping it gives it back.
pub(super) struct OneReader {
    positions: Arc<dyn PositionStore>,
    source: SourceName,
    holder: String,
}

impl OneReader {
    pub(super) fn new(positions: Arc<dyn PositionStore>, source: SourceName) -> Self {
        Self {
            positions,
            source,
            holder: format!(
                "process {} ({})",
                std::process::id(),
                Uuid::new_v4().simple()
            ),
        }
    }

    /// Waits until the lease is free, and takes it. Who has it is said once.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn wait(&self) -> Result<(), BoxedError> {
        let mut told = None;
        loop {
            let Lease::HeldBy { holder, expires_in } = self.take().await? else {
                return Ok(());
            };
            if told.as_ref() != Some(&holder) {
                tracing::warn!(
                    source = %self.source,
                    holder,
                    "another process reads this source; waiting to take over once it ends"
                );
                told = Some(holder);
            }
            tokio::time::sleep(expires_in.clamp(Duration::from_millis(1), LOOK)).await;
        }
    }

    /// Renews the lease until somebody else has it; says who.
    ///
    /// A store that does not answer ends nothing: what was read meanwhile cannot be committed either.
    pub(super) async fn lost(&self) -> String {
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.take().await {
                Ok(Lease::Held) => {}
                Ok(Lease::HeldBy { holder, .. }) => return holder,
                Err(error) => {
                    let (reason, kind) = (error.to_string(), error.kind());
                    tracing::warn!(source = %self.source, reason, ?kind, "the lease was not renewed");
                }
            }
        }
    }

    async fn take(&self) -> Result<Lease, BoxedError> {
        let lease = self.positions.lease(&self.source, &self.holder, DURATION);
        lease.await
    }
}

impl Drop for OneReader {
    fn drop(&mut self) {
        // Without a runtime the process ends, and its connection tells the next reader.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let positions = Arc::clone(&self.positions);
        let (source, holder) = (self.source.clone(), std::mem::take(&mut self.holder));
        runtime.spawn(async move {
            if let Err(error) = positions.release(&source, &holder).await {
                let reason = error.to_string();
                tracing::debug!(%source, reason, "the lease was not given back; it will run out");
            }
        });
    }
}
