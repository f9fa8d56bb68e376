//! Models that are recomputed as a whole, on a schedule.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlan;
use factmill_core::position::SourceName;
use factmill_core::table::TableName;
use factmill_project::ProjectSource;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::StreamPlan;
use crate::error::{ModelError, Work};
use crate::inputs::Inputs;
use crate::placeholder::Relation;
use crate::rows::{Rows, start};

/// A model that is recomputed as a whole.
#[derive(Debug)]
pub struct Rebuild {
    /// Index in [`StreamPlan::tables`].
    pub table: usize,
    /// The least time between the starts of two rebuilds.
    pub every: Duration,
    /// The rebuilds whose tables it reads, by their place in [`StreamPlan::rebuilds`].
    pub reads: Vec<usize>,
    /// The sources that it reads and that are tables of Postgres, see [`StreamPlan::references`].
    pub references: Vec<SourceName>,
    /// Whether it reads a source, so that [`Inputs`] need a lake.
    pub reads_lake: bool,
    /// The table that it scans once and beside which it reads nothing but rows in memory: rebuilds
    /// of one such table can share a scan of it.
    pub only_scan: Option<TableName>,
    pub(super) work: Work,
    pub(super) plan: LogicalPlan,
    pub(super) schema: SchemaRef,
}

impl StreamPlan {
    /// The models that are recomputed on a schedule; each stands behind those that it reads.
    pub fn rebuilds(&self) -> &[Rebuild] {
        &self.rebuilds
    }

    /// The sources that are tables of Postgres and that some rebuild reads, in order of name.
    pub fn references(&self) -> impl Iterator<Item = &ProjectSource> {
        let is_read = |source: &&ProjectSource| {
            let mut rebuilds = self.rebuilds.iter();
            source.reference.is_some()
                && rebuilds.any(|rebuild| rebuild.references.contains(&source.name))
        };
        self.contracts.iter().filter(is_read)
    }

    /// Starts to recompute a model: sources from the lake, tables from the warehouse, views inlined.
    ///
    /// The rows have the table's columns in their order.
    ///
    /// # Errors
    /// [`ModelError`], when an input cannot be read or a value cannot be computed; a failure while
    /// rows are on their way comes with the stream.
    pub fn rebuild<'a>(
        &'a self,
        rebuild: &'a Rebuild,
        inputs: &'a Inputs,
    ) -> BoxFuture<'a, Result<Rows, ModelError>> {
        async move {
            let known = |relation: &Relation| match relation {
                Relation::Table(name) => self
                    .unchanging
                    .get(name)
                    .map(|rows| Arc::clone(rows) as Arc<dyn TableProvider>),
                _ => None,
            };
            if let Some(lake) = &inputs.lake {
                let registered = lake.register_store(self.rebuild_state.runtime_env());
                registered.map_err(|error| ModelError::running(&rebuild.work, error))?;
            }
            let plan = inputs
                .bind(&rebuild.work, rebuild.plan.clone(), &self.contracts, &known)
                .await?;
            start(
                &self.rebuild_state,
                &rebuild.work,
                &plan,
                Arc::clone(&rebuild.schema),
            )
            .await
        }
        .boxed()
    }
}
