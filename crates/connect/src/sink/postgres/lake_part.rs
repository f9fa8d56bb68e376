//! The lake's rows of an epoch, as the commit takes them.

use async_trait::async_trait;
use factmill_core::error::ErrorKind;
use factmill_core::source::{BoxedError, Classified, boxed};
use serde_json::Value;
use tokio_postgres::Transaction;

use super::LakeChanges;
use crate::sink::lake::{Lake, LakeError, Staged};

/// Rows written to the lake for one epoch and not visible yet.
#[derive(Debug)]
pub struct LakeEpoch {
    /// The lake.
    pub lake: Lake,
    /// What [`Lake::write`] returned for the tables of the epoch.
    pub staged: Vec<Staged>,
}

#[async_trait]
impl LakeChanges for LakeEpoch {
    async fn stage(&self, tx: &Transaction<'_>) -> Result<Value, BoxedError> {
        self.lake.stage(tx, &self.staged).await.map_err(boxed)
    }
}

impl Classified for LakeError {
    fn kind(&self) -> ErrorKind {
        Self::kind(self)
    }
}
