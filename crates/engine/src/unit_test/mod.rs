//! Unit tests of models: a model's SQL over the rows of a test, held to the rows that it expects.
//! No server, no file of the lake.
//!
//! As in dbt every model and source that the tested model reads is given; a seed that is not keeps
//! its own rows. What a model with a `unique_key` keeps of several rows of a key is part of what is
//! tested, since batch and stream do it alike: the newest by event time, where the given view passes
//! the source's event time on, and else the one that was given last.

mod difference;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::catalog::{
    CatalogProvider, MemTable, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider,
};
use datafusion::error::DataFusionError;
use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_core::error::ErrorKind;
use factmill_core::position::SourceName;
use factmill_core::source::{BoxedError, Classified};
use factmill_core::source_schema::{ColumnOrigin, SourceColumn, SourceSchema};
use factmill_core::table::{Column, Maintenance, Table, TableName};
use factmill_core::table_reader::{Relations, TableReader};
use factmill_project::model::ModelMeta;
use factmill_project::unit_test::{Given, Input};
use factmill_project::{
    Dependency, Materialized, Model, Project, ProjectSource, UnitTest, nearest,
};
use futures::TryStreamExt;

use crate::batch::BatchPlan;
use crate::columns::arrow_schema;
use crate::error::ModelError;
use crate::graph::{Graph, PlannedModel};
use crate::inputs::Inputs;
use crate::lake::LakeSnapshot;
use crate::lineage::origin_of;
use crate::placeholder::{Placeholder, Relation};
use crate::reference::Databases;
use crate::seed::SeedRows;
use crate::session::{self, Memory};

pub use difference::Difference;

/// The group of given views, which stand for sources.
const GIVEN: &str = "given";

/// A unit test could not be run.
#[derive(Debug, thiserror::Error)]
pub enum UnitTestError {
    /// The test, or a model that it needs, is wrong.
    #[error(transparent)]
    Wrong(#[from] Diagnostics),
    /// The model failed on the given rows.
    #[error(transparent)]
    Run(#[from] ModelError),
}

impl Classified for UnitTestError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Wrong(_) => ErrorKind::Configuration,
            Self::Run(error) => error.kind(),
        }
    }
}

impl From<Diagnostic> for UnitTestError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Wrong(diagnostic.into())
    }
}

/// Runs a unit test of a project; `None` where the model gives just the expected rows, in whatever
/// order.
///
/// # Errors
/// [`UnitTestError`]: what is wrong in the test, each with its place, or why the model failed.
pub async fn run(project: &Project, test: &UnitTest) -> Result<Option<Difference>, UnitTestError> {
    Diagnostics::finish(test.unsupported.clone(), ())?;
    let model = project.model_for(test)?.ok_or_else(|| {
        let message = format!("unit test `{}` of no model `{}`", test.name, test.model);
        Diagnostic::at(test.location.clone(), message)
    })?;
    let (rows, columns) = Stage::set(project, test, &model).await?.play(model).await?;
    let state = &rows.state;
    let expected = all(rows::expected(state, &columns, &test.expect).await)?;
    Ok(Difference::between(test, expected, &rows.batch)?)
}

/// What the model gave, and the session that computed it.
struct Played {
    batch: RecordBatch,
    state: datafusion::execution::SessionState,
}

/// The given rows in their places.
struct Stage {
    graph: Graph,
    /// The contracts of the project, and of views that are given.
    sources: Vec<ProjectSource>,
    lake: Arc<MemoryCatalogProvider>,
}

impl Stage {
    /// Puts every input of the model in its place.
    async fn set(project: &Project, test: &UnitTest, model: &Model) -> Result<Self, Diagnostics> {
        let state = session::state(&Memory::stream(), 1, &project.dir).map_err(engine)?;
        // The models that are read say which columns there are, and of which types.
        let (graph, wrong) = Graph::plan(project, &upstream(project, model), state).await;
        Diagnostics::finish(wrong, ())?;
        let mut stage = Self {
            graph,
            sources: project.sources.clone(),
            lake: Arc::new(MemoryCatalogProvider::new()),
        };
        stage.graph.seeds_of(project, model)?;
        let mut wrong = not_read(test, model);
        for read in &model.depends_on {
            let given = test.given.iter().find(|given| is(&given.input, read));
            let put = match (given, read) {
                (Some(given), _) => stage.put(project, read, given).await,
                (None, Dependency::Seed(_)) => Ok(()),
                (None, _) => Err(vec![missing(test, read)]),
            };
            wrong.extend(put.err().into_iter().flatten());
        }
        Diagnostics::finish(wrong, stage)
    }

    async fn put(
        &mut self,
        project: &Project,
        read: &Dependency,
        given: &Given,
    ) -> Result<(), Vec<Diagnostic>> {
        match read {
            Dependency::Source(name) => {
                let Some(source) = project.source(name) else {
                    let message = format!("no source `{name}`");
                    return Err(vec![Diagnostic::at(given.location.clone(), message)]);
                };
                self.put_records(source, given).await
            }
            Dependency::Seed(name) => {
                let index = self
                    .graph
                    .seeds
                    .iter()
                    .position(|seed| seed.table.model == *name);
                if let Some(index) = index {
                    let schema = self.graph.seeds[index].rows.schema();
                    let rows = rows::batch(&self.graph.state, &schema, &given.rows).await?;
                    self.graph.seeds[index].rows = rows;
                }
                Ok(())
            }
            Dependency::Model(name) => {
                let Some(planned) = self.graph.model(name) else {
                    let message = format!("no model `{name}`");
                    return Err(vec![Diagnostic::at(given.location.clone(), message)]);
                };
                let (relation, columns) = (planned.model.relation.clone(), planned.columns.clone());
                if planned.model.materialized.is_inlined() {
                    let source = as_source(planned, &self.sources)
                        .map_err(|error| engine(error).into_vec())?;
                    let placeholder = Placeholder::table(
                        Relation::Source(source.name.clone()),
                        arrow_schema(&columns),
                    );
                    self.graph
                        .replace(&relation, placeholder)
                        .map_err(|error| engine(error).into_vec())?;
                    self.put_records(&source, given).await?;
                    self.sources.push(source);
                    return Ok(());
                }
                let schema = arrow_schema(&columns);
                let rows = rows::batch(&self.graph.state, &schema, &given.rows).await?;
                self.graph.seeds.push(SeedRows {
                    table: Table {
                        name: relation,
                        model: name.clone(),
                        columns,
                        maintenance: Maintenance::Static,
                        description: None,
                    },
                    rows,
                });
                Ok(())
            }
        }
    }

    /// Puts rows into the lake, as the records of a source in their order.
    async fn put_records(
        &self,
        source: &ProjectSource,
        given: &Given,
    ) -> Result<(), Vec<Diagnostic>> {
        let contract = source.schema.arrow_schema();
        let declared = contract.fields().iter().take(source.schema.columns.len());
        let nullable = declared.map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(
            nullable.collect::<Vec<_>>(),
        ));
        let rows = rows::batch(&self.graph.state, &schema, &given.rows).await?;
        self.put_into_lake(source, &rows)
            .map_err(|error| engine(error).into_vec())
    }

    fn put_into_lake(
        &self,
        source: &ProjectSource,
        rows: &RecordBatch,
    ) -> Result<(), DataFusionError> {
        let count = rows.num_rows();
        let offsets: Vec<i64> = (0..).take(count).collect();
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        columns.push(Arc::new(StringArray::from(vec![
            source.name.table();
            count
        ])));
        columns.push(Arc::new(Int32Array::from(vec![1; count])));
        columns.push(Arc::new(Int32Array::from(vec![0; count])));
        columns.push(Arc::new(Int64Array::from(offsets)));
        if source.schema.is_keyed() {
            let live = datafusion::arrow::array::BooleanArray::from(vec![false; count]);
            columns.push(Arc::new(live));
        }
        let contract = source.schema.arrow_schema();
        let fields = contract.fields().iter();
        let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(
            fields.collect::<Vec<_>>(),
        ));
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        let table = Arc::new(MemTable::try_new(schema, vec![vec![batch]])?);
        let group = match self.lake.schema(source.name.group()) {
            Some(group) => group,
            None => {
                let group: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
                self.lake
                    .register_schema(source.name.group(), Arc::clone(&group))?;
                group
            }
        };
        group.register_table(source.name.table().to_owned(), table)?;
        Ok(())
    }

    /// Computes the model; its columns come with the rows.
    async fn play(mut self, model: Model) -> Result<(Played, Vec<Column>), UnitTestError> {
        let tested = Model {
            materialized: match model.materialized.is_inlined() {
                true => Materialized::Table,
                false => model.materialized,
            },
            // What it costs to keep the model up to date is not what is tested.
            factmill: ModelMeta::default(),
            ..model
        };
        all(self.graph.add_model(&tested).await)?;
        self.graph
            .models
            .retain(|planned| planned.model.name == tested.name);
        let columns = self.graph.models[0].columns.clone();
        let state = self.graph.state.clone();
        let plan = BatchPlan::of(self.graph, self.sources)?;
        let inputs = Inputs {
            lake: Some(LakeSnapshot::of(self.lake)),
            databases: Databases::only(Arc::new(NoTables)),
        };
        let rows = plan.run(0, &inputs).await?;
        let schema = Arc::clone(&rows.schema);
        let batches: Vec<RecordBatch> = rows.batches.try_collect().await?;
        let batch = concat_batches(&schema, &batches).map_err(|error| engine(error.into()))?;
        Ok((Played { batch, state }, columns))
    }
}

/// The models that a model reads, itself or through others, in the project's order.
fn upstream(project: &Project, model: &Model) -> Vec<Model> {
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let mut next: Vec<&str> = model.models_read().collect();
    while let Some(name) = next.pop() {
        if let Some(found) = project.model(name)
            && wanted.insert(&found.name)
        {
            next.extend(found.models_read());
        }
    }
    let models = project.models.iter();
    models
        .filter(|model| wanted.contains(model.name.as_str()))
        .cloned()
        .collect()
}

/// A view as a source of its own: its rows have the order of their event time, where the view passes
/// that on, then the one that they are given in.
fn as_source(
    view: &PlannedModel,
    sources: &[ProjectSource],
) -> Result<ProjectSource, DataFusionError> {
    let mut event_time = None;
    for (index, column) in view.columns.iter().enumerate() {
        let Some((Relation::Source(name), from)) = origin_of(&view.plan, index)? else {
            continue;
        };
        let source = sources.iter().find(|source| source.name == name);
        if source.is_some_and(|source| source.schema.order_time() == Some(from.as_str())) {
            event_time = Some(column.name.clone());
        }
    }
    let columns = view.columns.iter().map(|column| SourceColumn {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        origin: ColumnOrigin::Field(vec![column.name.clone()]),
        not_null: false,
        accepted_values: Vec::new(),
    });
    Ok(ProjectSource {
        name: SourceName::new(GIVEN, &view.model.name),
        schema: SourceSchema {
            columns: columns.collect(),
            event_time,
            time_zone: "UTC".to_owned(),
            key: Vec::new(),
        },
        description: None,
        column_descriptions: Vec::new(),
        tags: Vec::new(),
        tests: Vec::new(),
        location: view.model.sql.locate(1, 1),
        reference: None,
    })
}

fn is(input: &Input, read: &Dependency) -> bool {
    match (input, read) {
        (Input::Ref(input), Dependency::Model(name) | Dependency::Seed(name)) => input == name,
        (Input::Source(input), Dependency::Source(name)) => input == name,
        _ => false,
    }
}

fn as_input(read: &Dependency) -> Input {
    match read {
        Dependency::Model(name) | Dependency::Seed(name) => Input::Ref(name.clone()),
        Dependency::Source(name) => Input::Source(name.clone()),
    }
}

/// Inputs that the model does not read.
fn not_read(test: &UnitTest, model: &Model) -> Vec<Diagnostic> {
    let read: Vec<String> = model
        .depends_on
        .iter()
        .map(|read| as_input(read).to_string())
        .collect();
    let others = test
        .given
        .iter()
        .filter(|given| !model.depends_on.iter().any(|read| is(&given.input, read)));
    others
        .map(|given| {
            let written = given.input.to_string();
            let message = format!("model `{}` does not read {written}", model.name);
            let help = nearest::help(&written, "inputs", read.iter().map(String::as_str));
            Diagnostic::at(given.location.clone(), message).help(help)
        })
        .collect()
}

fn missing(test: &UnitTest, read: &Dependency) -> Diagnostic {
    let input = as_input(read);
    let message = format!(
        "unit test `{}` gives no rows for {input}, which model `{}` reads",
        test.name, test.model
    );
    Diagnostic::at(test.location.clone(), message)
        .help(format!("add `- input: {input}` with `rows: []`"))
}

/// What is wrong as one error.
fn all<T>(done: Result<T, Vec<Diagnostic>>) -> Result<T, Diagnostics> {
    match done {
        Ok(value) => Ok(value),
        Err(found) => match Diagnostics::finish(found, ()) {
            Err(found) => Err(found),
            Ok(()) => unreachable!("who fails says why"),
        },
    }
}

/// An engine that does not do what it is meant to.
fn engine(error: DataFusionError) -> Diagnostics {
    Diagnostic::bare(format!(
        "the SQL engine failed on a unit test: {}",
        error.strip_backtrace()
    ))
    .into()
}

/// A warehouse without tables: those that are read are given.
#[derive(Debug)]
struct NoTables;

#[async_trait]
impl Relations for NoTables {
    async fn table(&self, _: &TableName) -> Result<Option<Arc<dyn TableReader>>, BoxedError> {
        Ok(None)
    }

    async fn list(&self) -> Result<Vec<TableName>, BoxedError> {
        Ok(Vec::new())
    }
}
