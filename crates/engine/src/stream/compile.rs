//! From a project's models to the plans of a stream.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_core::position::SourceName;
use factmill_core::table::{Maintenance, Table, TableName};
use factmill_planner as planner;
use factmill_project::{Job, Model, Project, ProjectSource};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::compiled::{CompiledModel, Kept};
use super::epoch_rows::EpochTable;
use super::rebuild::Rebuild;
use super::{SourceInput, StaticTable, StreamPlan};
use crate::documents::DocumentChoice;
use crate::error::Work;
use crate::graph::Graph;
use crate::maintenance::{Choice, choose, declared};
use crate::placeholder::{Relation, bind, relations, scans};
use crate::rows::with_schema;
use crate::session::{self, Memory};

impl StreamPlan {
    /// Compiles the models of a job and computes those that read no stream.
    ///
    /// # Errors
    /// Everything that is wrong in the models' SQL and YAML, at once, each with its place.
    pub fn compile<'a>(
        project: &'a Project,
        job: &'a Job,
        memory: &'a Memory,
    ) -> BoxFuture<'a, Result<Self, Diagnostics>> {
        async move {
            let models = project.job_models(job)?;
            Self::compile_models(project, job, &models, memory).await
        }
        .boxed()
    }

    /// Compiles models that were rendered for the job already.
    pub(crate) async fn compile_models(
        project: &Project,
        job: &Job,
        models: &[Model],
        memory: &Memory,
    ) -> Result<Self, Diagnostics> {
        let state = stream_state(memory, &project.dir).map_err(|error| engine_fault(&error))?;
        let (graph, mut wrong) = Graph::plan(project, models, state).await;
        let names: Vec<_> = job.sources.iter().map(|read| &read.source).collect();
        let sources = declared(&project.sources, &names);
        let chosen = choose(&graph, &sources);
        wrong.extend(chosen.wrong);

        let mut compiler = Compiler {
            state: &graph.state,
            tables: Vec::new(),
            rows: BTreeMap::new(),
            sources: HashMap::new(),
            inputs: HashMap::new(),
            models: Vec::new(),
            documents: Vec::new(),
            statics: Vec::new(),
            rebuilds: Vec::new(),
        };
        for source in sources {
            compiler.source(source).map_err(|error| {
                Diagnostic::at(
                    source.location.clone(),
                    format!("source {}: {}", source.name, error.strip_backtrace()),
                )
            })?;
        }
        for seed in &graph.seeds {
            let added = compiler.unchanging(seed.table.clone(), vec![seed.rows.clone()]);
            added.map_err(|error| engine_fault(&error))?;
        }
        let failed = |model: &str, error: DataFusionError| Diagnostic {
            location: graph
                .model(model)
                .map(|planned| planned.model.sql.locate(1, 1)),
            message: format!("model `{model}`: {}", error.strip_backtrace()),
            help: None,
        };
        for choice in chosen.tables {
            let model = choice.table.model.clone();
            if let Err(error) = compiler.model(choice).await {
                wrong.push(failed(&model, error));
                // What reads its rows would fail for want of them.
                break;
            }
        }
        let collections = chosen.documents.iter();
        let collections = collections
            .map(|choice| choice.collection.clone())
            .collect();
        for choice in chosen.documents {
            // what is missing has been told
            if !wrong.is_empty() {
                break;
            }
            let model = choice.collection.model.clone();
            if let Err(error) = compiler.documents(choice).await {
                wrong.push(failed(&model, error));
            }
        }
        let plan = Self {
            tables: compiler.tables.into(),
            models: compiler.models.into_iter().map(Arc::new).collect(),
            collections,
            documents: compiler.documents,
            statics: compiler.statics,
            rebuilds: compiler.rebuilds,
            inputs: compiler.inputs,
            unchanging: compiler.rows,
            rebuild_state: session::state(memory, 1, &project.dir)
                .map_err(|error| engine_fault(&error))?,
            contracts: project.sources.clone(),
            state: graph.state.clone(),
        };
        Diagnostics::finish(wrong, plan)
    }
}

/// A session for plans that run often on few rows.
fn stream_state(memory: &Memory, project_dir: &Path) -> Result<SessionState> {
    let mut state = session::state(memory, 1, project_dir)?;
    let options = state.config_mut().options_mut();
    // Nothing below a join reads its filters, and making them costs each epoch.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    Ok(state)
}

struct Compiler<'a> {
    state: &'a SessionState,
    tables: Vec<Table>,
    /// Rows of the relations that do not change.
    rows: BTreeMap<TableName, Arc<MemTable>>,
    sources: HashMap<SourceName, Arc<dyn TableProvider>>,
    inputs: HashMap<SourceName, SourceInput>,
    models: Vec<CompiledModel>,
    documents: Vec<CompiledModel>,
    statics: Vec<StaticTable>,
    rebuilds: Vec<Rebuild>,
}

impl Compiler<'_> {
    fn source(&mut self, source: &ProjectSource) -> Result<()> {
        let table = EpochTable::table(source.name.clone(), &source.schema);
        let input = SourceInput::new(table.as_ref(), source.schema.order_time())?;
        self.inputs.insert(source.name.clone(), input);
        self.sources.insert(source.name.clone(), table);
        Ok(())
    }

    fn unchanging(&mut self, table: Table, rows: Vec<RecordBatch>) -> Result<()> {
        let schema = crate::columns::arrow_schema(&table.columns);
        let memory = MemTable::try_new(schema, vec![rows.clone()])?;
        self.rows.insert(table.name.clone(), Arc::new(memory));
        self.statics.push(StaticTable {
            table: self.tables.len(),
            rows,
        });
        self.tables.push(table);
        Ok(())
    }

    async fn model(&mut self, choice: Choice) -> Result<()> {
        let index = self.tables.len();
        match choice.table.maintenance {
            Maintenance::Static => {
                let rows = self.compute(&choice).await?;
                return self.unchanging(choice.table, rows);
            }
            Maintenance::Rebuild { every } => {
                let read = relations(&choice.plan)?;
                let reads = |rebuild: &Rebuild| {
                    let name = &self.tables[rebuild.table].name;
                    read.iter()
                        .any(|relation| matches!(relation, Relation::Table(read) if read == name))
                };
                self.rebuilds.push(Rebuild {
                    table: index,
                    every,
                    reads: (0..self.rebuilds.len())
                        .filter(|before| reads(&self.rebuilds[*before]))
                        .collect(),
                    reads_lake: read.iter().any(|relation| {
                        matches!(relation, Relation::Source(_) | Relation::Records(_))
                    }),
                    references: read
                        .iter()
                        .filter_map(|relation| match relation {
                            Relation::Reference(name) => Some(name.clone()),
                            _ => None,
                        })
                        .collect(),
                    only_scan: self.only_scan(&choice.plan)?,
                    work: Work::model(&choice.table.model),
                    plan: choice.plan,
                    schema: choice.schema,
                });
            }
            Maintenance::Append | Maintenance::Upsert { .. } => {
                let plan = bind(choice.plan, &mut |relation| self.bound(relation))?;
                let work = Work::model(&choice.table.model);
                let kept = Kept::of(&choice.table.columns, choice.key);
                let state = self.state;
                let compiled =
                    CompiledModel::new(state, work, index, kept, choice.schema, &plan).await?;
                self.models.push(compiled);
            }
        }
        self.tables.push(choice.table);
        Ok(())
    }

    fn only_scan(&self, plan: &LogicalPlan) -> Result<Option<TableName>> {
        let mut only = None;
        for scan in scans(plan)? {
            match scan {
                Some(Relation::Table(name)) if self.rows.contains_key(&name) => {}
                Some(Relation::Table(name)) if only.is_none() => only = Some(name),
                _ => return Ok(None),
            }
        }
        Ok(only)
    }

    async fn documents(&mut self, choice: DocumentChoice) -> Result<()> {
        let plan = bind(choice.plan, &mut |relation| self.bound(relation))?;
        let collection = choice.collection;
        let work = Work::model(&collection.model);
        let kept = Kept::of(&collection.columns, collection.key);
        let (state, index) = (self.state, self.documents.len());
        let compiled = CompiledModel::new(state, work, index, kept, choice.schema, &plan).await?;
        self.documents.push(compiled);
        Ok(())
    }

    /// The rows of a relation that does not change, or the leaf that reads an epoch's records.
    fn bound(&self, relation: &Relation) -> Result<Arc<dyn TableProvider>> {
        let found: Option<Arc<dyn TableProvider>> = match relation {
            Relation::Table(name) => self.rows.get(name).map(|rows| Arc::clone(rows) as _),
            Relation::Records(name) => self.sources.get(name).map(|rows| Arc::clone(rows) as _),
            Relation::Source(_) | Relation::Reference(_) => None,
        };
        found.ok_or_else(|| {
            DataFusionError::Internal(format!("{relation} has no rows in this stream"))
        })
    }

    /// The rows of a model that reads no stream.
    async fn compute(&self, choice: &Choice) -> Result<Vec<RecordBatch>> {
        let plan = bind(choice.plan.clone(), &mut |relation| self.bound(relation))?;
        let plan = planner::physical(self.state, &plan).await?;
        let context = Arc::new(TaskContext::from(self.state));
        let batches = datafusion::physical_plan::collect(plan, context).await?;
        batches
            .iter()
            .map(|batch| Ok(with_schema(batch, &choice.schema)?))
            .collect()
    }
}

fn engine_fault(error: &DataFusionError) -> Diagnostics {
    Diagnostic::bare(format!(
        "the SQL engine did not start: {}",
        error.strip_backtrace()
    ))
    .into()
}
