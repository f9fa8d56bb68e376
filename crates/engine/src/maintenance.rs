//! How each model is kept, derived from its plan: the choice, and why not another one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use factmill_core::diagnostic::Diagnostic;
use factmill_core::position::SourceName;
use factmill_core::source_schema::deleted_field;
use factmill_core::table::{Maintenance, ORDER_COLUMN, Table};
use factmill_planner::Operator;
use factmill_project::{Dependency, Materialized, Model, ProjectSource};

use crate::columns;
use crate::delta::{Behaviour, NotRowWise, over_new_rows};
use crate::diagnose::nearest;
use crate::documents::{self, DocumentChoice};
use crate::graph::{Graph, PlannedModel};
use crate::lineage::origin_of;
use crate::placeholder::{self, Relation};
use crate::replay::unrepeatable;

/// The least time between the starts of two rebuilds, where a model does not say.
const REBUILD_EVERY: Duration = Duration::from_secs(30);

/// A table and the plan that fills it.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) table: Table,
    /// Reads placeholders. For `append` and `upsert` it reads [`Relation::Records`]; for `upsert`
    /// its last column is [`ORDER_COLUMN`].
    pub(crate) plan: LogicalPlan,
    /// The plan's columns as batches carry them.
    pub(crate) schema: SchemaRef,
    /// Indices of the `unique_key`'s columns; empty unless `upsert`.
    pub(crate) key: Vec<usize>,
}

/// What was chosen for the models of a graph.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// The tables of the materialized models, in the graph's order.
    pub(crate) tables: Vec<Choice>,
    /// The collections of the models that go to one, in the graph's order.
    pub(crate) documents: Vec<DocumentChoice>,
    /// Everything that is wrong.
    pub(crate) wrong: Vec<Diagnostic>,
}

/// Chooses for every model of the graph. `sources` are those whose records keep coming.
pub(crate) fn choose<'a>(graph: &'a Graph, sources: &'a [&'a ProjectSource]) -> Chosen {
    let mut chooser = Chooser {
        graph,
        sources,
        behaviour: HashMap::new(),
        reported: BTreeSet::new(),
    };
    let Chosen {
        mut tables,
        mut documents,
        mut wrong,
    } = Chosen::default();
    for source in sources {
        match records(source) {
            Ok(rows) => {
                let behaviour = if source.schema.is_keyed() {
                    Behaviour::Keyed(rows)
                } else {
                    Behaviour::Appends(rows)
                };
                let relation = Relation::Source(source.name.clone());
                chooser.behaviour.insert(relation, behaviour);
            }
            Err(error) => wrong.push(Diagnostic::at(
                source.location.clone(),
                format!("source {}: {}", source.name, error.strip_backtrace()),
            )),
        }
    }
    for seed in &graph.seeds {
        chooser
            .behaviour
            .insert(Relation::Table(seed.table.name.clone()), Behaviour::Static);
    }
    for planned in &graph.models {
        match chooser.documents(planned, &documents) {
            Ok(choice) => documents.extend(choice),
            Err(diagnostic) => wrong.push(diagnostic),
        }
        match chooser.model(planned) {
            Ok(choice) => tables.extend(choice),
            Err(diagnostic) if wrong.contains(&diagnostic) => {}
            Err(diagnostic) => wrong.push(diagnostic),
        }
    }
    Chosen {
        tables,
        documents,
        wrong,
    }
}

/// The records of a source with their order, and with what is deleted where it is keyed, as a leaf.
fn records(source: &ProjectSource) -> Result<LogicalPlan> {
    let declared = source.schema.arrow_schema();
    let declared = declared
        .fields()
        .iter()
        .take(source.schema.columns.len())
        .cloned();
    let deleted = source.schema.is_keyed().then(deleted_column);
    let fields: Vec<_> = declared.chain([order_field()]).chain(deleted).collect();
    let relation = Relation::Records(source.name.clone());
    placeholder::scan(source.name.table(), relation, Arc::new(Schema::new(fields)))
}

/// The column that carries the order of records.
pub(crate) fn order_field() -> Arc<Field> {
    Arc::new(Field::new(ORDER_COLUMN, DataType::Binary, false))
}

/// The column that carries whether a row deletes its key.
fn deleted_column() -> Arc<Field> {
    Arc::new(deleted_field())
}

struct Chooser<'a> {
    graph: &'a Graph,
    sources: &'a [&'a ProjectSource],
    behaviour: HashMap<Relation, Behaviour>,
    /// Views in which an unrepeatable call was reported.
    reported: BTreeSet<&'a str>,
}

impl<'a> Chooser<'a> {
    /// `None` for a model that is inlined.
    fn model(&mut self, planned: &'a PlannedModel) -> Result<Option<Choice>, Diagnostic> {
        let model = &planned.model;
        let streams = !planned
            .reads
            .iter()
            .all(|relation| self.is_static(relation));
        if streams {
            self.repeatable(planned)?;
        }
        if model.materialized.is_inlined() {
            return Ok(None);
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
                deletes: self.keyed_source(planned).is_some(),
            }
        };
        expected(planned, &maintenance)?;
        let table = Table {
            name: model.relation.clone(),
            model: model.name.clone(),
            columns: planned.columns.clone(),
            maintenance,
            description: model.description.clone(),
        };
        let relation = Relation::Table(table.name.clone());
        let schema = columns::arrow_schema(&table.columns);
        let (behaviour, plan, schema, key) = match &table.maintenance {
            Maintenance::Static => (Behaviour::Static, planned.plan.clone(), schema, Vec::new()),
            Maintenance::Rebuild { .. } => {
                (Behaviour::Changes, planned.plan.clone(), schema, Vec::new())
            }
            Maintenance::Append => {
                if let Some(source) = self.keyed_source(planned) {
                    return Err(self.needs_key(planned, source));
                }
                let rows = self.new_rows(planned)?;
                let plan = without_order(rows.clone()).map_err(|error| fault(planned, &error))?;
                (Behaviour::Appends(rows), plan, schema, Vec::new())
            }
            Maintenance::Upsert {
                unique_key,
                deletes,
            } => {
                let key = key_columns(planned, &table, unique_key)?;
                if let Some(source) = self.keyed_source(planned) {
                    self.has_key_of(planned, &key, source)?;
                }
                let fields = schema.fields().iter().cloned();
                let fields = fields.chain([order_field()]);
                let fields: Vec<_> = fields.chain(deletes.then(deleted_column)).collect();
                (
                    Behaviour::Changes,
                    self.new_rows(planned)?,
                    Arc::new(Schema::new(fields)),
                    key,
                )
            }
        };
        self.behaviour.insert(relation, behaviour);
        Ok(Some(Choice {
            table,
            plan,
            schema,
            key,
        }))
    }

    /// `None` for a model that goes to no collection. `before` are those chosen already.
    fn documents(
        &self,
        planned: &PlannedModel,
        before: &[DocumentChoice],
    ) -> Result<Option<DocumentChoice>, Diagnostic> {
        let Some(to) = &planned.model.factmill.mongo else {
            return Ok(None);
        };
        let taken = before
            .iter()
            .find(|choice| choice.collection.name == to.name);
        if let Some(other) = taken {
            let message = format!(
                "models `{}` and `{}` both go to {}",
                other.collection.model, planned.model.name, to.name
            );
            return Err(Diagnostic::at(to.location.clone(), message)
                .help("give each a collection of its own"));
        }
        let keyed = self.keyed_source(planned);
        documents::check(planned, to, keyed.is_some())?;
        let plan = self.new_rows(planned)?;
        let key = match keyed {
            Some(source) => self.columns_of_key(planned, source)?,
            None => Vec::new(),
        };
        Ok(Some(DocumentChoice::new(planned, to, key, plan)))
    }

    /// The columns of a model that are the key of the keyed source that it reads.
    fn columns_of_key(
        &self,
        planned: &PlannedModel,
        source: &ProjectSource,
    ) -> Result<Vec<usize>, Diagnostic> {
        let relation = Relation::Source(source.name.clone());
        let mut origins = Vec::with_capacity(planned.columns.len());
        for index in 0..planned.columns.len() {
            let origin = origin_of(&planned.plan, index).map_err(|error| fault(planned, &error))?;
            origins.push(origin.filter(|(from, _)| *from == relation));
        }
        let column = |key: &String| {
            let is_key = |origin: &Option<(Relation, String)>| {
                origin.as_ref().is_some_and(|(_, column)| column == key)
            };
            origins.iter().position(is_key).ok_or_else(|| {
                let message = format!(
                    "model `{}` goes to a collection and has no column `{key}`, the key of {}",
                    planned.model.name, source.name
                );
                Diagnostic::at(planned.model.sql.locate(1, 1), message)
                    .help("pass the source's key columns on as they are: they name the documents")
            })
        };
        source.schema.key.iter().map(column).collect()
    }

    /// The keyed source that a model reads.
    fn keyed_source(&self, planned: &PlannedModel) -> Option<&'a ProjectSource> {
        let mut keyed = self
            .sources
            .iter()
            .filter(|source| source.schema.is_keyed());
        let reads = |source: &&&ProjectSource| {
            let relation = Relation::Source(source.name.clone());
            planned.reads.contains(&relation)
        };
        keyed.find(reads).copied()
    }

    fn needs_key(&self, planned: &PlannedModel, source: &ProjectSource) -> Diagnostic {
        let message = format!(
            "incremental model `{}` reads {}, whose records change keys, and has no `unique_key`",
            planned.model.name, source.name
        );
        let key = source.schema.key.join(", ");
        Diagnostic::at(planned.model.sql.locate(1, 1), message).help(format!(
            "set `unique_key` to what the source is keyed by: {key}"
        ))
    }

    /// A change must find the row that the change before it left: by the same key.
    fn has_key_of(
        &self,
        planned: &PlannedModel,
        key: &[usize],
        source: &ProjectSource,
    ) -> Result<(), Diagnostic> {
        let relation = Relation::Source(source.name.clone());
        let mut columns = Vec::with_capacity(key.len());
        for index in key {
            let origin =
                origin_of(&planned.plan, *index).map_err(|error| fault(planned, &error))?;
            columns.extend(
                origin
                    .filter(|(from, _)| *from == relation)
                    .map(|(_, column)| column),
            );
        }
        let same = columns.len() == key.len()
            && columns.len() == source.schema.key.len()
            && source.schema.key.iter().all(|key| columns.contains(key));
        if same {
            return Ok(());
        }
        let message = format!(
            "model `{}` reads {}, whose key is ({}), and its `unique_key` is not made of just these columns",
            planned.model.name,
            source.name,
            source.schema.key.join(", ")
        );
        Err(
            Diagnostic::at(planned.model.sql.locate(1, 1), message).help(
                "pass the source's key columns on as they are and name them in `unique_key`, or materialize the model as `table`",
            ),
        )
    }

    fn behaviour_of(&self, relation: &Relation) -> Behaviour {
        // What the run does not write may change at any time.
        self.behaviour
            .get(relation)
            .cloned()
            .unwrap_or(Behaviour::Changes)
    }

    fn is_static(&self, relation: &Relation) -> bool {
        matches!(self.behaviour_of(relation), Behaviour::Static)
    }

    /// Refuses calls that a replay would answer differently.
    fn repeatable(&mut self, planned: &'a PlannedModel) -> Result<(), Diagnostic> {
        let Some(call) = unrepeatable(&planned.plan).map_err(|error| fault(planned, &error))?
        else {
            return Ok(());
        };
        let model = &planned.model;
        if let Some((line, column)) = planned.statement.find_call(&call.function) {
            self.reported.insert(&model.name);
            return Err(Diagnostic::at(
                model.sql.locate(line, column),
                format!(
                    "`{}` in model `{}`, which reads a stream",
                    call.function, model.name
                ),
            )
            .help(call.help));
        }
        if self.reported.iter().any(|view| self.reads(planned, view)) {
            return Ok(());
        }
        // It came with a macro or a keyword such as `current_date`: the model is known, not the place.
        self.reported.insert(&model.name);
        Err(Diagnostic::at(
            model.sql.locate(1, 1),
            format!(
                "`{}` in model `{}`, which reads a stream",
                call.function, model.name
            ),
        )
        .help(call.help))
    }

    fn new_rows(&self, planned: &PlannedModel) -> Result<LogicalPlan, Diagnostic> {
        over_new_rows(&planned.plan, &|relation| self.behaviour_of(relation))
            .map_err(|refusal| self.refused(planned, refusal))
    }

    fn refused(&self, planned: &PlannedModel, refusal: NotRowWise) -> Diagnostic {
        let model = &planned.model;
        match refusal {
            NotRowWise::Operator(operator) => {
                let (location, of) = match self.find(planned, operator) {
                    Some((at, (line, column))) if at.model.name != model.name => (
                        at.model.sql.locate(line, column),
                        format!(", read by {} `{}`,", kind(model), model.name),
                    ),
                    found => {
                        let (line, column) = found.map_or((1, 1), |(_, place)| place);
                        (model.sql.locate(line, column), format!(" in {} `{}`", kind(model), model.name))
                    }
                };
                let message = format!("{}{of} cannot be computed from new rows alone", operator.name());
                Diagnostic::at(location, message).help(operator.help())
            }
            NotRowWise::Changes(relation) => Diagnostic::at(
                model.sql.locate(1, 1),
                format!("{} `{}` reads {relation}, whose rows change", kind(model), model.name),
            )
            .help(match relation {
                Relation::Reference(_) => "materialize this model as `table`: it is then rebuilt when rows of the reference change",
                _ => "read the view or source that it is made from, or materialize this model as `table`",
            }),
            NotRowWise::Plan(error) => fault(planned, &error),
        }
    }

    /// Where the operator stands: in the model, or in a view that it reads, nearest first.
    fn find<'b>(
        &'b self,
        planned: &'b PlannedModel,
        operator: Operator,
    ) -> Option<(&'b PlannedModel, (usize, usize))> {
        let here = planned.statement.find(operator);
        let here = here.map(|place| (planned, place));
        here.or_else(|| {
            let views = self.graph.models.iter().rev();
            views
                .filter(|view| {
                    view.model.materialized.is_inlined() && self.reads(planned, &view.model.name)
                })
                .find_map(|view| Some((view, view.statement.find(operator)?)))
        })
    }

    /// Whether a model reads another one, directly or through others.
    fn reads(&self, planned: &PlannedModel, name: &str) -> bool {
        planned
            .model
            .depends_on
            .iter()
            .any(|dependency| match dependency {
                Dependency::Model(read) => {
                    read == name
                        || self
                            .graph
                            .model(read)
                            .is_some_and(|read| self.reads(read, name))
                }
                _ => false,
            })
    }
}

/// What a model that takes new rows is called.
fn kind(model: &Model) -> &'static str {
    match model.materialized.is_inlined() {
        true => "model",
        false => "incremental model",
    }
}

/// A model that states its maintenance must have it.
fn expected(planned: &PlannedModel, maintenance: &Maintenance) -> Result<(), Diagnostic> {
    let model = &planned.model;
    let Some(expected) = model.factmill.maintenance else {
        return Ok(());
    };
    if expected.as_str() == maintenance.as_str() {
        return Ok(());
    }
    let place = model
        .factmill
        .location
        .clone()
        .unwrap_or_else(|| model.sql.locate(1, 1));
    let why = match maintenance {
        Maintenance::Static => "it reads no stream, so it is computed once",
        Maintenance::Rebuild { .. } => {
            "it is materialized as `table`; `incremental` makes it append or upsert"
        }
        Maintenance::Append => "it is incremental without a `unique_key`",
        Maintenance::Upsert { .. } => "it is incremental with a `unique_key`",
    };
    let message = format!(
        "model `{}` expects maintenance `{}` and gets `{}`",
        model.name,
        expected.as_str(),
        maintenance.as_str()
    );
    Err(Diagnostic::at(place, message).help(why))
}

fn key_columns(
    planned: &PlannedModel,
    table: &Table,
    unique_key: &[String],
) -> Result<Vec<usize>, Diagnostic> {
    let index = |key: &String| {
        let found = table.columns.iter().position(|column| column.name == *key);
        found.ok_or_else(|| {
            let unknown = Diagnostic::at(
                planned.model.sql.locate(1, 1),
                format!(
                    "unique_key `{key}` is not a column of model `{}`",
                    planned.model.name
                ),
            );
            match nearest(key, table.columns.iter().map(|column| &column.name[..])) {
                Some(nearest) => unknown.help(format!("did you mean `{nearest}`?")),
                None => unknown,
            }
        })
    };
    unique_key.iter().map(index).collect()
}

fn without_order(plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    let user = columns
        .into_iter()
        .filter(|column| column.name != ORDER_COLUMN);
    let exprs: Vec<_> = user.map(Expr::Column).collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

fn fault(planned: &PlannedModel, error: &DataFusionError) -> Diagnostic {
    Diagnostic::at(
        planned.model.sql.locate(1, 1),
        format!(
            "model `{}`: {}",
            planned.model.name,
            error.strip_backtrace()
        ),
    )
}

/// The sources of these names.
pub(crate) fn declared<'a>(
    sources: &'a [ProjectSource],
    names: &[&SourceName],
) -> Vec<&'a ProjectSource> {
    sources
        .iter()
        .filter(|source| names.contains(&&source.name))
        .collect()
}
