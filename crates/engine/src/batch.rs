//! Models computed over their whole inputs: what `factmill run` loads, and what a stream is held to.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::Column;
use datafusion::error::Result as EngineResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_core::table::{DELETED_COLUMN, Maintenance, ORDER_COLUMN, Table};
use factmill_project::{Model, Project, ProjectSource};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::error::{ModelError, Work};
use crate::graph::Graph;
use crate::inputs::Inputs;
use crate::maintenance::{Choice, choose};
use crate::newest::newest_of_sorted;
use crate::placeholder::Relation;
use crate::rows::{Rows, start};
use crate::seed::SeedRows;
use crate::session::{self, Memory};

/// The models of a batch, ready to run one after the other.
#[derive(Debug)]
pub struct BatchPlan {
    tables: Arc<[Table]>,
    choices: Vec<Choice>,
    seeds: Vec<SeedRows>,
    contracts: Vec<ProjectSource>,
    state: SessionState,
}

impl BatchPlan {
    /// Compiles models, each of which stands behind those that it reads; `partitions` is how many
    /// cores one model may use.
    ///
    /// # Errors
    /// Everything that is wrong in the models' SQL and YAML, at once, each with its place.
    pub fn compile<'a>(
        project: &'a Project,
        models: &'a [Model],
        memory: &'a Memory,
        partitions: usize,
    ) -> BoxFuture<'a, Result<Self, Diagnostics>> {
        async move {
            let state = session::state(memory, partitions, &project.dir).map_err(|error| {
                Diagnostic::bare(format!(
                    "the SQL engine did not start: {}",
                    error.strip_backtrace()
                ))
            })?;
            let (graph, wrong) = Graph::plan(project, models, state).await;
            Self::choose(graph, project.sources.clone(), wrong)
        }
        .boxed()
    }

    /// The same from models that are planned; `contracts` are those of all sources.
    ///
    /// # Errors
    /// As [`BatchPlan::compile`].
    pub(crate) fn of(graph: Graph, contracts: Vec<ProjectSource>) -> Result<Self, Diagnostics> {
        Self::choose(graph, contracts, Vec::new())
    }

    fn choose(
        graph: Graph,
        contracts: Vec<ProjectSource>,
        mut wrong: Vec<Diagnostic>,
    ) -> Result<Self, Diagnostics> {
        let sources: Vec<_> = contracts.iter().collect();
        let chosen = choose(&graph, &sources);
        wrong.extend(chosen.wrong);
        let choices = chosen.tables;
        let plan = Self {
            tables: choices.iter().map(|choice| choice.table.clone()).collect(),
            choices,
            seeds: graph.seeds,
            contracts,
            state: graph.state,
        };
        Diagnostics::finish(wrong, plan)
    }

    /// The tables that the models fill, each behind those that it reads.
    pub fn tables(&self) -> &Arc<[Table]> {
        &self.tables
    }

    /// Starts to compute the table of that index in [`BatchPlan::tables`].
    ///
    /// Rows have the table's columns; those of an `upsert` table also
    /// [`ORDER_COLUMN`], one row per key, sorted by key. The tables that the model reads are taken
    /// from `inputs.warehouse`, so load each table before the next one is run; seeds come from their
    /// files.
    ///
    /// # Errors
    /// [`ModelError`]; a failure while rows are on their way comes with the stream.
    ///
    /// # Panics
    /// When there is no table of that index.
    pub fn run<'a>(
        &'a self,
        table: usize,
        inputs: &'a Inputs,
    ) -> BoxFuture<'a, Result<Rows, ModelError>> {
        async move {
            let choice = &self.choices[table];
            let work = Work::model(&choice.table.model);
            let failed = |error| ModelError::running(&work, error);
            if let Some(lake) = &inputs.lake {
                lake.register_store(self.state.runtime_env())
                    .map_err(failed)?;
            }
            let known = |relation: &Relation| self.seed(relation);
            let plan = inputs
                .bind(&work, choice.plan.clone(), &self.contracts, &known)
                .await?;
            if choice.key.is_empty() {
                return start(&self.state, &work, &plan, Arc::clone(&choice.schema)).await;
            }
            let plan = live(plan, &choice.table).map_err(failed)?;
            let columns = choice
                .key
                .iter()
                .map(|index| choice.schema.field(*index).name());
            let by_key = columns
                .map(|column| Expr::Column(Column::new_unqualified(column)).sort(true, true));
            let newest_first =
                Expr::Column(Column::new_unqualified(ORDER_COLUMN)).sort(false, false);
            let sorted = LogicalPlanBuilder::from(plan)
                .sort(by_key.chain([newest_first]))
                .and_then(LogicalPlanBuilder::build)
                .map_err(failed)?;
            // A table holds no deleted row, so it is not marked either.
            let columns = &choice.schema.fields()[..=choice.table.columns.len()];
            let schema = Arc::new(Schema::new(columns));
            let rows = start(&self.state, &work, &sorted, schema).await?;
            Ok(newest_of_sorted(rows, work.clone(), choice.key.clone()))
        }
        .boxed()
    }

    fn seed(&self, relation: &Relation) -> Option<Arc<dyn TableProvider>> {
        let Relation::Table(name) = relation else {
            return None;
        };
        let seed = self.seeds.iter().find(|seed| seed.table.name == *name)?;
        let rows = MemTable::try_new(seed.rows.schema(), vec![vec![seed.rows.clone()]]).ok()?;
        Some(Arc::new(rows))
    }
}

/// Leaves out rows whose key a filter of the model deleted, and the mark of it.
fn live(plan: LogicalPlan, table: &Table) -> EngineResult<LogicalPlan> {
    if !matches!(table.maintenance, Maintenance::Upsert { deletes: true, .. }) {
        return Ok(plan);
    }
    let deleted = Expr::Column(Column::new_unqualified(DELETED_COLUMN));
    let columns = plan.schema().columns().into_iter();
    let kept: Vec<Expr> = columns
        .filter(|column| column.name != DELETED_COLUMN)
        .map(Expr::Column)
        .collect();
    LogicalPlanBuilder::from(plan)
        .filter(deleted.is_not_true())?
        .project(kept)?
        .build()
}
