//! What a rebuild, a batch or a query reads: sources from the lake, tables from the warehouse.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, cast, lit};
use factmill_core::position::SourceName;
use factmill_core::source_schema::{SourceSchema, provenance};
use factmill_core::table::{DELETED_COLUMN, ORDER_COLUMN};
use factmill_project::ProjectSource;

use crate::error::{ModelError, Work};
use crate::functions::record_order;
use crate::lake::LakeSnapshot;
use crate::placeholder::{Relation, bind, relations};
use crate::reading;
use crate::reference::{self, Databases};

/// Where rows come from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The sources; `None` where a run reads none.
    pub lake: Option<LakeSnapshot>,
    /// The tables of models, and those that somebody else keeps.
    pub databases: Databases,
}

impl Inputs {
    /// Binds a plan's placeholders: first to what `known` has, then to lake and warehouse.
    pub(crate) async fn bind(
        &self,
        work: &Work,
        plan: LogicalPlan,
        contracts: &[ProjectSource],
        known: &(dyn Fn(&Relation) -> Option<Arc<dyn TableProvider>> + Sync),
    ) -> Result<LogicalPlan, ModelError> {
        let failed = |error: DataFusionError| ModelError::running(work, error);
        let mut rows: BTreeMap<Relation, Arc<dyn TableProvider>> = BTreeMap::new();
        for relation in relations(&plan).map_err(failed)? {
            let table = match known(&relation) {
                Some(table) => table,
                None => self.table(&relation, contracts).await.map_err(failed)?,
            };
            rows.insert(relation, table);
        }
        bind(plan, &mut |relation| {
            rows.get(relation)
                .cloned()
                .ok_or_else(|| DataFusionError::Internal(format!("{relation} was not looked up")))
        })
        .map_err(failed)
    }

    async fn table(
        &self,
        relation: &Relation,
        contracts: &[ProjectSource],
    ) -> Result<Arc<dyn TableProvider>> {
        match relation {
            Relation::Table(name) => {
                let warehouse = &self.databases.warehouse;
                let reader = warehouse.table(name).await.map_err(reading::external)?;
                let reader = reader.ok_or_else(|| {
                    DataFusionError::Plan(format!(
                        "table {name} is not in the warehouse; run the model that fills it"
                    ))
                })?;
                Ok(reading::table(reader))
            }
            Relation::Reference(name) => {
                reference::table(declared(contracts, name)?, &self.databases).await
            }
            Relation::Source(name) | Relation::Records(name) => {
                let contract = declared(contracts, name)?;
                let stored = match &self.lake {
                    Some(lake) => lake.table(name).await?,
                    None => {
                        return Err(DataFusionError::Plan(format!(
                            "source {name} is read, but no lake is open"
                        )));
                    }
                };
                let with_order = matches!(relation, Relation::Records(_));
                records(&contract.schema, stored, with_order)
            }
        }
    }
}

fn declared<'a>(contracts: &'a [ProjectSource], name: &SourceName) -> Result<&'a ProjectSource> {
    let contract = contracts.iter().find(|source| source.name == *name);
    contract.ok_or_else(|| DataFusionError::Internal(format!("source {name} is not declared")))
}

/// A source as the lake keeps it, under its contract: the declared columns with their declared
/// types, and the order of records where it is asked for.
///
/// Of a keyed source these are the rows that hold: the newest one of each key, unless it is deleted.
/// The order then goes with a [`DELETED_COLUMN`] that a filter of the model may set.
fn records(
    contract: &SourceSchema,
    stored: Option<Arc<dyn TableProvider>>,
    with_order: bool,
) -> Result<Arc<dyn TableProvider>> {
    const STORED: &str = "stored";
    let decoded = contract.arrow_schema();
    // No epoch has written the source yet.
    let stored = match stored {
        Some(stored) => stored,
        None => Arc::new(MemTable::try_new(Arc::clone(&decoded), vec![Vec::new()])?),
    };
    let kept = stored.schema();
    let column = |name: &str| -> Result<Expr> {
        let wanted = decoded.field_with_name(name)?.data_type();
        Ok(match kept.field_with_name(name) {
            Ok(field) if field.data_type() == wanted => {
                Expr::Column(Column::new(Some(STORED), name))
            }
            Ok(_) => cast(
                Expr::Column(Column::new(Some(STORED), name)),
                wanted.clone(),
            )
            .alias(name),
            // Declared after the lake's table was last written: rows from before are null.
            Err(_) => lit(ScalarValue::try_from(wanted)?).alias(name),
        })
    };
    let mut exprs = contract
        .columns
        .iter()
        .map(|declared| column(&declared.name))
        .collect::<Result<Vec<_>>>()?;
    if with_order || contract.is_keyed() {
        let event_time = match contract.order_time() {
            Some(event_time) => column(event_time)?.unalias(),
            None => lit(ScalarValue::Null),
        };
        let mut arguments = vec![event_time];
        for name in [
            provenance::TOPIC,
            provenance::INCARNATION,
            provenance::PARTITION,
            provenance::OFFSET,
        ] {
            arguments.push(column(name)?.unalias());
        }
        exprs.push(record_order::order().call(arguments).alias(ORDER_COLUMN));
    }
    if contract.is_keyed() {
        exprs.push(column(DELETED_COLUMN)?);
    }
    let rows =
        LogicalPlanBuilder::scan(STORED, provider_as_source(stored), None)?.project(exprs)?;
    let plan = if contract.is_keyed() {
        that_hold(rows, contract, with_order)?.build()?
    } else {
        rows.build()?
    };
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// Of changes the newest one of each key, unless it deletes the key.
fn that_hold(
    changes: LogicalPlanBuilder,
    contract: &SourceSchema,
    with_order: bool,
) -> Result<LogicalPlanBuilder> {
    const AGE: &str = "_factmill_age";
    let unqualified = |name: &str| Expr::Column(Column::new_unqualified(name));
    let newest_first = unqualified(ORDER_COLUMN).sort(false, false);
    let age = row_number()
        .partition_by(contract.key.iter().map(|key| unqualified(key)).collect())
        .order_by(vec![newest_first])
        .build()?
        .alias(AGE);
    let holds = unqualified(AGE)
        .eq(lit(1_u64))
        .and(unqualified(DELETED_COLUMN).is_not_true());
    let beside = [ORDER_COLUMN, DELETED_COLUMN];
    let declared = contract.columns.iter().map(|column| column.name.as_str());
    let kept = declared.chain(beside.into_iter().filter(|_| with_order));
    changes
        .window([age])?
        .filter(holds)?
        .project(kept.map(unqualified))
}
