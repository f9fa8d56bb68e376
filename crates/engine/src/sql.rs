//! Ad-hoc SQL over lake, warehouse, views and seeds.
//!
//! The lake is the catalog `lake` (`lake.banking.transactions`), with the provenance columns of
//! each record. The warehouse is the default catalog (`banking.fct_transactions`, `factmill.epochs`);
//! views and seeds of the project that are not in the warehouse answer there too.

mod sources;
mod warehouse;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use factmill_core::diagnostic::{Diagnostic, Diagnostics, Location};
use factmill_core::error::ErrorKind;
use factmill_core::source::{BoxedError, Classified};
use factmill_planner::Parsed;
use factmill_project::{Model, Project, Rendered};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::diagnose::Text;
use crate::error::{ModelError, Work};
use crate::graph::analyzed;
use crate::inputs::Inputs;
use crate::rows::{Rows, start};
use crate::session::{self, LAKE, Memory, WAREHOUSE};
use sources::Sources;
use warehouse::WarehouseCatalog;

/// A query could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The query is wrong; lines and columns count in its text.
    #[error(transparent)]
    Query(#[from] Diagnostics),
    /// The query is right and could not be computed.
    #[error(transparent)]
    Run(#[from] ModelError),
    /// The relations of the warehouse could not be listed.
    #[error("the warehouse's tables cannot be listed: {0}")]
    Warehouse(BoxedError),
    /// The engine did not start.
    #[error("the SQL engine did not start: {0}")]
    Engine(Box<dyn std::error::Error + Send + Sync>),
}

impl Classified for SqlError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Query(_) => ErrorKind::Configuration,
            Self::Run(error) => error.kind(),
            Self::Warehouse(error) => error.kind(),
            Self::Engine(_) => ErrorKind::Internal,
        }
    }
}

/// A session that answers queries.
#[derive(Debug)]
pub struct SqlSession {
    state: SessionState,
    relations: BTreeSet<String>,
}

impl SqlSession {
    /// Opens a session over `inputs`; `models` are those whose views may be queried. `partitions`
    /// is how many cores a query may use.
    ///
    /// A model with errors is left out: it does not keep the rest from being queried.
    ///
    /// # Errors
    /// [`SqlError::Warehouse`], when its tables cannot be listed.
    pub fn open<'a>(
        project: &'a Project,
        models: &'a [Model],
        inputs: Inputs,
        memory: &'a Memory,
        partitions: usize,
    ) -> BoxFuture<'a, Result<Self, SqlError>> {
        async move {
            let engine = |error: DataFusionError| SqlError::Engine(error.into());
            let state = session::state(memory, partitions, &project.dir).map_err(engine)?;
            let mut relations = BTreeSet::new();
            if let Some(lake) = &inputs.lake {
                lake.register_store(state.runtime_env()).map_err(engine)?;
            }
            let references = project.sources.iter();
            let references = references.filter(|source| source.reference.is_some());
            let sources = Sources {
                lake: inputs.lake.as_ref().map(|lake| lake.catalog()),
                references: references.cloned().collect(),
                databases: inputs.databases.clone(),
            };
            state
                .catalog_list()
                .register_catalog(LAKE.into(), Arc::new(sources));
            for source in &project.sources {
                relations.insert(format!(
                    "{LAKE}.{}.{}",
                    source.name.group(),
                    source.name.table()
                ));
            }
            let warehouse = WarehouseCatalog::open(project, models, inputs, memory).await?;
            relations.extend(warehouse.names().map(ToString::to_string));
            state
                .catalog_list()
                .register_catalog(WAREHOUSE.into(), Arc::new(warehouse));
            Ok(Self { state, relations })
        }
        .boxed()
    }

    /// What may stand after `from`, as it is written, sorted.
    pub fn relations(&self) -> impl Iterator<Item = &str> {
        self.relations.iter().map(String::as_str)
    }

    /// Plans a query and starts it. `select`, `with`, `values`, `explain`, `describe` and `show` are
    /// queries; what would change anything is refused.
    ///
    /// # Errors
    /// [`SqlError::Query`] with the place in the text, [`SqlError::Run`] when it cannot start; a
    /// failure while rows are on their way comes with the stream.
    pub fn query<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<Rows, SqlError>> {
        async move {
            let start = Location {
                file: PathBuf::from("query"),
                line: 1,
                column: 1,
            };
            self.rendered(&Rendered::verbatim(sql, start)).await
        }
        .boxed()
    }

    /// The same for a query that was rendered from a file; places are those of the file.
    ///
    /// # Errors
    /// As [`SqlSession::query`].
    pub fn rendered<'a>(&'a self, rendered: &'a Rendered) -> BoxFuture<'a, Result<Rows, SqlError>> {
        async move {
            let sql = rendered.text();
            let mut text = Text {
                sql: rendered,
                statement: None,
                relations: &self.relations,
                state: &self.state,
            };
            let wrong = |found| match Diagnostics::finish(found, ()) {
                Err(diagnostics) => SqlError::Query(diagnostics),
                Ok(()) => SqlError::Query(Diagnostic::bare("the query is wrong").into()),
            };
            let statement = Parsed::parse(&self.state, sql);
            let statement = statement.map_err(|error| wrong(text.diagnose(&error)))?;
            text.statement = Some(&statement);
            let plan = statement.plan(&self.state).await;
            let plan = plan.map_err(|error| wrong(text.diagnose(&error)))?;
            let reading_only = SQLOptions::new()
                .with_allow_ddl(false)
                .with_allow_dml(false)
                .with_allow_statements(false);
            if reading_only.verify_plan(&plan).is_err() {
                let refused = Diagnostic::at(text.start(), "only queries are answered here")
                    .help("models write tables: see `factmill run` and `factmill stream`");
                return Err(wrong(vec![refused]));
            }
            let plan = analyzed(&self.state, plan.clone())
                .map_err(|error| wrong(vec![text.diagnose_types(&error, &plan)]))?;
            let schema = Arc::clone(plan.schema().inner());
            Ok(start(&self.state, &Work::Query, &plan, schema).await?)
        }
        .boxed()
    }
}
