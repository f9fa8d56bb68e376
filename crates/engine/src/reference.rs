//! Sources that are tables of Postgres: kept by somebody else, read as they are when a model is
//! computed.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast};
use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_core::error::ErrorKind;
use factmill_core::source::{BoxedError, Classified, boxed};
use factmill_core::table_reader::{Relations, TableReader};
use factmill_core::types::DeclaredType;
use factmill_project::{ProjectSource, Reference};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::columns::keeps_every_value;
use crate::diagnose::nearest;
use crate::reading::{self, external};

/// The databases whose tables models read.
#[derive(Debug, Clone)]
pub struct Databases {
    /// The warehouse's own, which has the tables of models too.
    pub warehouse: Arc<dyn Relations>,
    /// Others that references are kept in, by the names that the profile gives them.
    pub others: BTreeMap<String, Arc<dyn Relations>>,
}

impl Databases {
    /// The warehouse's own and no other.
    pub fn only(warehouse: Arc<dyn Relations>) -> Self {
        Self {
            warehouse,
            others: BTreeMap::new(),
        }
    }

    /// The one that a reference is kept in.
    fn of(&self, source: &ProjectSource, reference: &Reference) -> FoundDatabase<'_> {
        let Some(name) = &reference.database else {
            return Ok(self.warehouse.as_ref());
        };
        let other = self.others.get(name).map(AsRef::as_ref);
        other.ok_or_else(|| {
            let message = format!(
                "source {} is kept in database `{name}`, which the profile does not have",
                source.name
            );
            Diagnostic::at(source.location.clone(), message)
                .help("declare it under `databases` of the profile")
        })
    }
}

type FoundDatabase<'a> = std::result::Result<&'a dyn Relations, Diagnostic>;

/// Holds the declared columns of references to those of their tables.
///
/// # Errors
/// The inner one: everything that does not fit, each at the source's declaration. The outer one: a
/// database could not be asked.
pub async fn check(
    references: impl Iterator<Item = &ProjectSource>,
    databases: &Databases,
) -> std::result::Result<std::result::Result<(), Diagnostics>, BoxedError> {
    let mut wrong = Vec::new();
    for source in references {
        let Some(reference) = &source.reference else {
            continue;
        };
        let database = match databases.of(source, reference) {
            Ok(database) => database,
            Err(unknown) => {
                wrong.push(unknown);
                continue;
            }
        };
        match database.table(&reference.table).await? {
            Some(reader) => wrong.extend(differences(source, reference, reader.as_ref())),
            None => wrong.push(missing(source, reference)),
        }
    }
    Ok(Diagnostics::finish(wrong, ()))
}

/// The table of a reference under its declaration: the declared columns with their declared types.
pub(crate) fn table<'a>(
    source: &'a ProjectSource,
    databases: &'a Databases,
) -> BoxFuture<'a, Result<Arc<dyn TableProvider>>> {
    async move {
        let Some(reference) = &source.reference else {
            let message = format!("source {} is no table of Postgres", source.name);
            return Err(DataFusionError::Internal(message));
        };
        let unfit = |wrong: Diagnostic| external(boxed(Unfit(wrong)));
        let database = databases.of(source, reference).map_err(unfit)?;
        let reader = database.table(&reference.table).await.map_err(external)?;
        let reader = reader.ok_or_else(|| unfit(missing(source, reference)))?;
        if let Some(wrong) = differences(source, reference, reader.as_ref())
            .into_iter()
            .next()
        {
            return Err(unfit(wrong));
        }
        let stored = reader.schema();
        let mut exprs = Vec::with_capacity(source.schema.columns.len());
        for declared in &source.schema.columns {
            let column = Expr::Column(Column::new_unqualified(&declared.name));
            let wanted = declared.data_type.arrow();
            let kept = stored.field_with_name(&declared.name)?;
            exprs.push(match *kept.data_type() == wanted {
                true => column,
                false => cast(column, wanted).alias(&declared.name),
            });
        }
        let rows = reading::table(reader);
        let plan = LogicalPlanBuilder::scan(source.name.table(), provider_as_source(rows), None)?
            .project(exprs)?
            .build()?;
        let table: Arc<dyn TableProvider> = Arc::new(ViewTable::new(plan, None));
        Ok(table)
    }
    .boxed()
}

/// A table that is not what is declared of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unfit(Diagnostic);

impl Classified for Unfit {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Configuration
    }
}

fn missing(source: &ProjectSource, reference: &Reference) -> Diagnostic {
    let place = match &reference.database {
        None => "the warehouse".to_owned(),
        Some(name) => format!("database `{name}`"),
    };
    let message = format!(
        "source {} is table {}, which is not in {place}",
        source.name, reference.table
    );
    Diagnostic::at(source.location.clone(), message)
        .help("create it, or correct `config.meta.factmill.postgres`; the user needs the right to read it")
}

/// The declared columns that the table does not have, or not with a type whose every value is one of
/// the declared type.
fn differences(
    source: &ProjectSource,
    reference: &Reference,
    table: &dyn TableReader,
) -> Vec<Diagnostic> {
    let stored = table.schema();
    let names = || stored.fields().iter().map(|field| field.name().as_str());
    let mut wrong = Vec::new();
    for declared in &source.schema.columns {
        let (name, wanted) = (&declared.name, &declared.data_type);
        let Ok(field) = stored.field_with_name(name) else {
            let message = format!(
                "source {} declares column `{name}`, which table {} does not have",
                source.name, reference.table
            );
            let near = nearest(name, names());
            let help = near.map_or_else(
                || "remove it from `columns`, or add it to the table".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            wrong.push(Diagnostic::at(source.location.clone(), message).help(help));
            continue;
        };
        let is_same = *field.data_type() == wanted.arrow();
        let found = DeclaredType::from_arrow(field.data_type());
        let fits = found
            .as_ref()
            .is_ok_and(|found| keeps_every_value(found, wanted));
        if !is_same && !fits {
            let is =
                found.map_or_else(|_| field.data_type().to_string(), |found| found.to_string());
            let message = format!(
                "column `{name}` of source {} is declared {wanted}, and is {is} in table {}",
                source.name, reference.table
            );
            let help = format!("declare `data_type: {is}`, and cast it in a model");
            wrong.push(Diagnostic::at(source.location.clone(), message).help(help));
        }
    }
    wrong
}
