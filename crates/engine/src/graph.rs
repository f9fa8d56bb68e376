//! Models as logical plans: parsed, resolved against each other, typed.
//!
//! Every model is planned once against placeholders; views and ephemeral models are inlined into
//! the plans of their readers.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use factmill_core::diagnostic::Diagnostic;
use factmill_core::position::SourceName;
use factmill_core::table::{Column, TableName};
use factmill_planner::Parsed;
use factmill_project::{Dependency, Model, Project, ProjectSource};

use crate::columns;
use crate::diagnose::Text;
use crate::placeholder::{Placeholder, Relation, relations};
use crate::seed::SeedRows;
use crate::session::{LAKE, WAREHOUSE, schema};

/// A model and its plan.
#[derive(Debug)]
pub(crate) struct PlannedModel {
    pub(crate) model: Model,
    pub(crate) statement: Parsed,
    /// Reads placeholders; its output is `columns`.
    pub(crate) plan: LogicalPlan,
    pub(crate) columns: Vec<Column>,
    /// What the plan reads after inlining.
    pub(crate) reads: Vec<Relation>,
}

/// The planned models of a run.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) state: SessionState,
    /// In the order they were given.
    pub(crate) models: Vec<PlannedModel>,
    /// The seeds that the models read.
    pub(crate) seeds: Vec<SeedRows>,
    relations: BTreeSet<String>,
}

impl Graph {
    /// Plans `models`, which stand behind the models that they read.
    ///
    /// Models with errors are left out, and so are, without a word of their own, those that read
    /// them; the diagnostics tell of the first.
    pub(crate) async fn plan(
        project: &Project,
        models: &[Model],
        state: SessionState,
    ) -> (Self, Vec<Diagnostic>) {
        let mut graph = Self {
            state,
            models: Vec::new(),
            seeds: Vec::new(),
            relations: BTreeSet::new(),
        };
        let mut wrong = Vec::new();
        for source in &project.sources {
            if let Err(error) = graph.add_source(source) {
                wrong.push(Diagnostic::at(
                    source.location.clone(),
                    error.strip_backtrace(),
                ));
            }
        }
        let mut left_out = BTreeSet::new();
        for model in models {
            match graph.seeds_of(project, model) {
                Ok(()) => {}
                Err(diagnostic) => {
                    if !wrong.contains(&diagnostic) {
                        wrong.push(diagnostic);
                    }
                    left_out.insert(model.name.clone());
                    continue;
                }
            }
            let reads_left_out = model.models_read().any(|name| left_out.contains(name));
            if reads_left_out {
                left_out.insert(model.name.clone());
                continue;
            }
            if let Err(diagnostics) = graph.add_model(model).await {
                wrong.extend(diagnostics);
                left_out.insert(model.name.clone());
            }
        }
        (graph, wrong)
    }

    /// The planned model of a name.
    pub(crate) fn model(&self, name: &str) -> Option<&PlannedModel> {
        self.models
            .iter()
            .find(|planned| planned.model.name == name)
    }

    fn add_source(&mut self, source: &ProjectSource) -> Result<()> {
        let decoded = source.schema.arrow_schema();
        let declared = &decoded.fields()[..source.schema.columns.len()];
        let arrow = Arc::new(datafusion::arrow::datatypes::Schema::new(declared));
        let relation = match source.reference {
            Some(_) => Relation::Reference(source.name.clone()),
            None => Relation::Source(source.name.clone()),
        };
        let placeholder = Placeholder::table(relation, arrow);
        self.register_source(&source.name, placeholder)
    }

    /// Puts another provider in the place of a planned model, for those that are added later.
    pub(crate) fn replace(
        &mut self,
        name: &TableName,
        provider: Arc<dyn TableProvider>,
    ) -> Result<()> {
        schema(&self.state, WAREHOUSE, &name.schema)?.deregister_table(&name.name)?;
        self.register(name, provider)
    }

    fn register_source(
        &mut self,
        name: &SourceName,
        provider: Arc<dyn TableProvider>,
    ) -> Result<()> {
        self.relations
            .insert(format!("{LAKE}.{}.{}", name.group(), name.table()));
        schema(&self.state, LAKE, name.group())?.register_table(name.table().into(), provider)?;
        Ok(())
    }

    fn register(&mut self, name: &TableName, provider: Arc<dyn TableProvider>) -> Result<()> {
        self.relations.insert(name.to_string());
        schema(&self.state, WAREHOUSE, &name.schema)?
            .register_table(name.name.clone(), provider)?;
        Ok(())
    }

    /// Reads the seeds of a model.
    pub(crate) fn seeds_of(
        &mut self,
        project: &Project,
        model: &Model,
    ) -> std::result::Result<(), Diagnostic> {
        for dependency in &model.depends_on {
            let Dependency::Seed(name) = dependency else {
                continue;
            };
            if self.seeds.iter().any(|seed| seed.table.model == *name) {
                continue;
            }
            let Some(seed) = project.seed(name) else {
                continue;
            };
            let rows = SeedRows::read(project, seed)?;
            let placeholder =
                Placeholder::table(Relation::Table(seed.relation.clone()), rows.rows.schema());
            self.register(&seed.relation, placeholder)
                .map_err(|error| {
                    Diagnostic::bare(format!("seed `{name}`: {}", error.strip_backtrace()))
                })?;
            self.seeds.push(rows);
        }
        Ok(())
    }

    /// Plans a model that reads those before it.
    pub(crate) async fn add_model(
        &mut self,
        model: &Model,
    ) -> std::result::Result<(), Vec<Diagnostic>> {
        let statement = self.parse(model)?;
        let text = Text {
            sql: &model.sql,
            statement: Some(&statement),
            relations: &self.relations,
            state: &self.state,
        };
        let plan = statement.plan(&self.state).await;
        let plan = plan.map_err(|error| text.diagnose(&error))?;
        let plan = analyzed(&self.state, plan.clone())
            .map_err(|error| vec![text.diagnose_types(&error, &plan)])?;
        let columns = columns::columns(model, plan.schema())?;
        let failed = |error: DataFusionError| {
            vec![Diagnostic::at(
                model.sql.locate(1, 1),
                format!("model `{}`: {}", model.name, error.strip_backtrace()),
            )]
        };
        let plan = columns::project(plan, &columns).map_err(failed)?;
        let reads = relations(&plan).map_err(failed)?;
        let provider: Arc<dyn TableProvider> = if model.materialized.is_inlined() {
            Arc::new(ViewTable::new(
                plan.clone(),
                Some(model.sql.text().to_owned()),
            ))
        } else {
            Placeholder::table(
                Relation::Table(model.relation.clone()),
                columns::arrow_schema(&columns),
            )
        };
        self.register(&model.relation, provider).map_err(failed)?;
        self.models.push(PlannedModel {
            model: model.clone(),
            statement,
            plan,
            columns,
            reads,
        });
        Ok(())
    }

    fn parse(&self, model: &Model) -> std::result::Result<Parsed, Vec<Diagnostic>> {
        let text = Text {
            sql: &model.sql,
            statement: None,
            relations: &self.relations,
            state: &self.state,
        };
        let statement = Parsed::parse(&self.state, model.sql.text());
        let statement = statement.map_err(|error| text.diagnose(&error))?;
        if !statement.is_query() {
            return Err(vec![
                Diagnostic::at(
                    text.start(),
                    format!("model `{}` is not a query", model.name),
                )
                .help("a model is one `select`, with or without `with` before it"),
            ]);
        }
        Ok(statement)
    }
}

/// The plan with its types resolved.
pub(crate) fn analyzed(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    state
        .analyzer()
        .execute_and_check(plan, state.config_options(), |_, _| {})
}
