//! From a project's models to the plans of a stream: which model is kept how, and why not otherwise.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_core::position::SourceName;
use factmill_core::table::{Maintenance, ORDER_COLUMN, Table, TableName};
use factmill_project::{Job, Materialized, Project};

use super::compiled::{CompiledModel, Keep};
use super::epoch_rows::EpochTable;
use super::{SourceInput, StaticTable, StreamPlan};
use crate::columns;
use crate::delta::{Behaviour, NotRowWise, over_new_rows};
use crate::graph::{Graph, PlannedModel};
use crate::placeholder::{Relation, bind};
use crate::replay::unrepeatable;
use crate::session::{self, Memory};

/// The least time between the starts of two rebuilds, where a model does not say.
const REBUILD_EVERY: Duration = Duration::from_secs(30);

impl StreamPlan {
    /// Compiles the models of a job and computes those that read no stream.
    ///
    /// # Errors
    /// Everything that is wrong in the models' SQL and YAML, at once, each with its place.
    pub async fn compile(project: &Project, job: &Job, memory: &Memory) -> Result<Self, Diagnostics> {
        let models = project.job_models(job)?;
        let state = stream_state(memory).map_err(engine_fault)?;
        let (graph, wrong) = Graph::plan(project, &models, state).await;
        let mut compiler = Compiler {
            project,
            job,
            graph: &graph,
            wrong,
            tables: Vec::new(),
            rows: BTreeMap::new(),
            behaviour: HashMap::new(),
            sources: HashMap::new(),
            models: Vec::new(),
            statics: Vec::new(),
        };
        compiler.sources();
        compiler.seeds();
        for planned in &graph.models {
            if let Err(diagnostic) = compiler.model(planned).await {
                compiler.wrong.push(diagnostic);
            }
        }
        let Compiler {
            wrong,
            tables,
            sources,
            models,
            statics,
            ..
        } = compiler;
        let plan = Self {
            tables: tables.into(),
            models: models.into_iter().map(Arc::new).collect(),
            statics,
            sources,
            state: graph.state.clone(),
        };
        Diagnostics::finish(wrong, plan)
    }
}

/// A session for plans that run often on few rows.
fn stream_state(memory: &Memory) -> Result<SessionState> {
    let mut state = session::state(memory, 1)?;
    let options = state.config_mut().options_mut();
    // Nothing below a join reads its filters, and making them costs each epoch.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    Ok(state)
}

struct Compiler<'a> {
    project: &'a Project,
    job: &'a Job,
    graph: &'a Graph,
    wrong: Vec<Diagnostic>,
    tables: Vec<Table>,
    /// Rows of the relations that do not change.
    rows: BTreeMap<TableName, Arc<MemTable>>,
    behaviour: HashMap<Relation, Behaviour>,
    sources: HashMap<SourceName, SourceInput>,
    models: Vec<CompiledModel>,
    statics: Vec<StaticTable>,
}

impl Compiler<'_> {
    /// Every source of the job appends.
    fn sources(&mut self) {
        for read in &self.job.sources {
            let Some(source) = self.project.source(&read.source) else {
                continue;
            };
            let table = Arc::new(EpochTable::new(source.name.clone(), &source.schema));
            let added = SourceInput::new(table.as_ref(), source.schema.event_time.as_deref()).and_then(|input| {
                let rows = epoch_scan(&source.name, table, source.schema.columns.iter().map(|column| &column.name[..]))?;
                self.behaviour.insert(Relation::Source(source.name.clone()), Behaviour::Appends(rows));
                self.sources.insert(source.name.clone(), input);
                Ok(())
            });
            if let Err(error) = added {
                self.wrong.push(Diagnostic::at(
                    source.location.clone(),
                    format!("source {}: {}", source.name, error.strip_backtrace()),
                ));
            }
        }
    }

    fn seeds(&mut self) {
        for seed in &self.graph.seeds {
            self.add_static(seed.table.clone(), vec![seed.rows.clone()]);
        }
    }

    fn add_static(&mut self, table: Table, rows: Vec<datafusion::arrow::record_batch::RecordBatch>) {
        let schema = columns::arrow_schema(&table.columns);
        // A table of no batches is a table of no rows.
        if let Ok(memory) = MemTable::try_new(schema, vec![rows.clone()]) {
            self.rows.insert(table.name.clone(), Arc::new(memory));
        }
        self.behaviour
            .insert(Relation::Table(table.name.clone()), Behaviour::Static);
        self.statics.push(StaticTable {
            table: self.tables.len(),
            rows,
        });
        self.tables.push(table);
    }

    async fn model(&mut self, planned: &PlannedModel) -> Result<(), Diagnostic> {
        let model = &planned.model;
        let text = self.graph.text(planned);
        let fault = |error: DataFusionError| {
            Diagnostic::at(
                model.sql.locate(1, 1),
                format!("model `{}`: {}", model.name, error.strip_backtrace()),
            )
        };
        let streams = planned.reads.iter().any(|relation| !self.is_static(relation));
        if streams && let Some(call) = unrepeatable(&planned.plan).map_err(fault)? {
            // In a view the call stands in the view's own file, where it was reported already.
            let place = crate::operator::find_call(&planned.statement, &call.function);
            if let Some((line, column)) = place {
                return Err(Diagnostic::at(
                    model.sql.locate(line, column),
                    format!("`{}` in model `{}` of a stream", call.function, model.name),
                )
                .help(call.help));
            }
            if self.wrong.is_empty() {
                return Err(Diagnostic::at(
                    text.start(),
                    format!("`{}` in a view that model `{}` of a stream reads", call.function, model.name),
                )
                .help(call.help));
            }
        }
        if model.materialized.is_inlined() {
            return Ok(());
        }
        let maintenance = if !streams {
            Maintenance::Static
        } else if model.materialized == Materialized::Table {
            Maintenance::Rebuild {
                every: model.factmill.rebuild_every.unwrap_or(REBUILD_EVERY),
            }
        } else if model.unique_key.is_empty() {
            Maintenance::Append
        } else {
            Maintenance::Upsert {
                unique_key: model.unique_key.clone(),
            }
        };
        self.expected(planned, &maintenance)?;
        let table = Table {
            name: model.relation.clone(),
            model: model.name.clone(),
            columns: planned.columns.clone(),
            maintenance,
            description: model.description.clone(),
        };
        match table.maintenance {
            Maintenance::Static => {
                let rows = self.compute(planned).await.map_err(fault)?;
                self.add_static(table, rows);
            }
            Maintenance::Rebuild { .. } => {
                self.behaviour
                    .insert(Relation::Table(table.name.clone()), Behaviour::Changes);
                self.tables.push(table);
            }
            Maintenance::Append | Maintenance::Upsert { .. } => self.incremental(planned, table).await?,
        }
        Ok(())
    }

    /// A model that states its maintenance must have it.
    fn expected(&self, planned: &PlannedModel, maintenance: &Maintenance) -> Result<(), Diagnostic> {
        let model = &planned.model;
        let Some(expected) = model.factmill.maintenance else {
            return Ok(());
        };
        if expected.as_str() == maintenance.as_str() {
            return Ok(());
        }
        let place = model.factmill.location.clone().unwrap_or_else(|| model.sql.locate(1, 1));
        let why = match maintenance {
            Maintenance::Static => "it reads no source of the job, so it is computed once",
            Maintenance::Rebuild { .. } => "it is materialized as `table`; `incremental` makes it append or upsert",
            Maintenance::Append => "it is incremental without a `unique_key`",
            Maintenance::Upsert { .. } => "it is incremental with a `unique_key`",
        };
        Err(Diagnostic::at(
            place,
            format!(
                "model `{}` expects maintenance `{}` and gets `{}`",
                model.name,
                expected.as_str(),
                maintenance.as_str()
            ),
        )
        .help(why))
    }

    async fn incremental(&mut self, planned: &PlannedModel, table: Table) -> Result<(), Diagnostic> {
        let model = &planned.model;
        let fault = |error: DataFusionError| {
            Diagnostic::at(
                model.sql.locate(1, 1),
                format!("model `{}`: {}", model.name, error.strip_backtrace()),
            )
        };
        let keep = self.keep(planned, &table)?;
        let rows = over_new_rows(&planned.plan, &|relation| self.behaviour_of(relation))
            .map_err(|refusal| self.refused(planned, refusal))?;
        let behaviour = match table.maintenance {
            Maintenance::Append => Behaviour::Appends(rows.clone()),
            _ => Behaviour::Changes,
        };
        self.behaviour.insert(Relation::Table(table.name.clone()), behaviour);

        let schema = columns::arrow_schema(&table.columns);
        let (plan, schema) = match keep {
            Keep::All => (without_order(rows).map_err(fault)?, schema),
            Keep::NewestByKey(_) => {
                let order = Arc::new(Field::new(ORDER_COLUMN, DataType::Binary, false));
                let fields: Vec<_> = schema.fields().iter().cloned().chain([order]).collect();
                (rows, Arc::new(Schema::new(fields)))
            }
        };
        let plan = bind(plan, &mut |relation| self.static_rows(relation)).map_err(fault)?;
        let compiled = CompiledModel::new(
            &self.graph.state,
            model.name.clone(),
            self.tables.len(),
            keep,
            schema,
            &plan,
        )
        .await
        .map_err(fault)?;
        self.models.push(compiled);
        self.tables.push(table);
        Ok(())
    }

    fn keep(&self, planned: &PlannedModel, table: &Table) -> Result<Keep, Diagnostic> {
        let Maintenance::Upsert { unique_key } = &table.maintenance else {
            return Ok(Keep::All);
        };
        let indices = unique_key.iter().map(|key| {
            let found = table.columns.iter().position(|column| column.name == *key);
            found.ok_or_else(|| {
                let unknown = Diagnostic::at(
                    planned.model.sql.locate(1, 1),
                    format!("unique_key `{key}` is not a column of model `{}`", planned.model.name),
                );
                let names = table.columns.iter().map(|column| &column.name[..]);
                match crate::diagnose::nearest(key, names) {
                    Some(nearest) => unknown.help(format!("did you mean `{nearest}`?")),
                    None => unknown,
                }
            })
        });
        Ok(Keep::NewestByKey(indices.collect::<Result<_, _>>()?))
    }

    fn refused(&self, planned: &PlannedModel, refusal: NotRowWise) -> Diagnostic {
        let model = &planned.model;
        match refusal {
            NotRowWise::Operator(operator) => {
                let here = operator.find(&planned.statement).map(|place| (planned, place));
                // Else it came with a view: the views that the model reads, nearest first.
                let found = here.or_else(|| {
                    self.graph.models.iter().rev().find_map(|view| {
                        let is_read = view.model.materialized.is_inlined() && self.reads(planned, &view.model.name);
                        Some((view, operator.find(&view.statement).filter(|_| is_read)?))
                    })
                });
                let (location, of) = match found {
                    Some((at, (line, column))) if at.model.name != model.name => (
                        at.model.sql.locate(line, column),
                        format!(", read by incremental model `{}`,", model.name),
                    ),
                    Some((_, (line, column))) => {
                        (model.sql.locate(line, column), format!(" in incremental model `{}`", model.name))
                    }
                    None => (model.sql.locate(1, 1), format!(" in incremental model `{}`", model.name)),
                };
                Diagnostic::at(
                    location,
                    format!("{}{of} cannot be computed from new rows alone", operator.name()),
                )
                .help(operator.help())
            }
            NotRowWise::Changes(relation) => Diagnostic::at(
                model.sql.locate(1, 1),
                format!("incremental model `{}` reads {relation}, whose rows change", model.name),
            )
            .help("read the view or source that it is made from, or materialize this model as `table`"),
            NotRowWise::Plan(error) => Diagnostic::at(
                model.sql.locate(1, 1),
                format!("model `{}`: {}", model.name, error.strip_backtrace()),
            ),
        }
    }

    /// Whether a model reads another one, directly or through views.
    fn reads(&self, planned: &PlannedModel, name: &str) -> bool {
        planned.model.depends_on.iter().any(|dependency| match dependency {
            factmill_project::Dependency::Model(read) => {
                read == name || self.graph.model(read).is_some_and(|read| self.reads(read, name))
            }
            _ => false,
        })
    }

    fn behaviour_of(&self, relation: &Relation) -> Behaviour {
        // What is not of this job may change at any time.
        self.behaviour.get(relation).cloned().unwrap_or(Behaviour::Changes)
    }

    fn is_static(&self, relation: &Relation) -> bool {
        matches!(self.behaviour_of(relation), Behaviour::Static)
    }

    fn static_rows(&self, relation: &Relation) -> Result<Arc<dyn TableProvider>> {
        let rows = match relation {
            Relation::Table(name) => self.rows.get(name),
            Relation::Source(_) => None,
        };
        rows.map(|rows| Arc::clone(rows) as Arc<dyn TableProvider>)
            .ok_or_else(|| DataFusionError::Internal(format!("{relation} has no rows to join with")))
    }

    /// The rows of a model that reads no stream.
    async fn compute(&self, planned: &PlannedModel) -> Result<Vec<datafusion::arrow::record_batch::RecordBatch>> {
        let plan = bind(planned.plan.clone(), &mut |relation| self.static_rows(relation))?;
        let plan = self.graph.state.create_physical_plan(&plan).await?;
        let context = Arc::new(datafusion::execution::TaskContext::from(&self.graph.state));
        let batches = datafusion::physical_plan::collect(plan, context).await?;
        let schema = columns::arrow_schema(&planned.columns);
        batches
            .into_iter()
            .map(|batch| {
                Ok(datafusion::arrow::record_batch::RecordBatch::try_new(
                    Arc::clone(&schema),
                    batch.columns().to_vec(),
                )?)
            })
            .collect()
    }
}

/// The declared columns of a source and the order of its records.
fn epoch_scan<'a>(
    source: &SourceName,
    table: Arc<EpochTable>,
    declared: impl Iterator<Item = &'a str>,
) -> Result<LogicalPlan> {
    use datafusion::common::Column;
    use datafusion::logical_expr::Expr;
    let columns = declared
        .chain([ORDER_COLUMN])
        .map(|column| Expr::Column(Column::new(Some(source.table()), column)));
    LogicalPlanBuilder::scan(source.table(), provider_as_source(table), None)?
        .project(columns.collect::<Vec<_>>())?
        .build()
}

fn without_order(plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    let user = columns.into_iter().filter(|column| column.name != ORDER_COLUMN);
    let exprs = user.map(datafusion::logical_expr::Expr::Column).collect::<Vec<_>>();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

fn engine_fault(error: DataFusionError) -> Diagnostics {
    Diagnostic::bare(format!("the SQL engine did not start: {}", error.strip_backtrace())).into()
}
