//! Leaves of a compiled plan: relations by name, bound to rows only when the plan is run.
//!
//! A model is planned once; a stream binds its sources to an epoch's rows, a batch to the lake.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, internal_err};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan};
use datafusion::physical_plan::ExecutionPlan;
use factmill_core::position::SourceName;
use factmill_core::table::TableName;

use crate::scan::{Scan, Scanned};

/// A relation that models read and that is not inlined.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Relation {
    /// A declared source: its declared columns.
    Source(SourceName),
    /// A source's new rows: its declared columns, then [`factmill_core::table::ORDER_COLUMN`].
    Records(SourceName),
    /// A source that is a table of Postgres, kept by somebody else: its declared columns.
    Reference(SourceName),
    /// A seed or a materialized model: its columns.
    Table(TableName),
}

impl std::fmt::Display for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(name) | Self::Records(name) | Self::Reference(name) => {
                write!(f, "source {name}")
            }
            Self::Table(name) => name.fmt(f),
        }
    }
}

/// A relation in a plan that is not bound yet.
#[derive(Debug)]
pub(crate) struct Placeholder {
    relation: Relation,
    schema: SchemaRef,
}

impl Placeholder {
    /// The table that stands for it.
    pub(crate) fn table(relation: Relation, schema: SchemaRef) -> Arc<dyn TableProvider> {
        Arc::new(Scanned(Self { relation, schema }))
    }
}

impl Scan for Placeholder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn plan(&self, _: Option<&Vec<usize>>, _: Option<usize>) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!(
            "{} was planned for a run without being bound to rows",
            self.relation
        )
    }
}

/// A scan of a relation that is not bound yet.
pub(crate) fn scan(name: &str, relation: Relation, schema: SchemaRef) -> Result<LogicalPlan> {
    LogicalPlanBuilder::scan(
        name,
        provider_as_source(Placeholder::table(relation, schema)),
        None,
    )?
    .build()
}

/// The relation that a scan stands for; `None` for a table function or a bound table.
pub(crate) fn relation_of(scan: &TableScan) -> Option<Relation> {
    let provider = source_as_provider(&scan.source).ok()?;
    provider
        .downcast_ref::<Scanned<Placeholder>>()
        .map(|placeholder| placeholder.0.relation.clone())
}

/// Every relation that the plan reads, subqueries included, each once, sorted.
pub(crate) fn relations(plan: &LogicalPlan) -> Result<Vec<Relation>> {
    let found: std::collections::BTreeSet<_> = scans(plan)?.into_iter().flatten().collect();
    Ok(found.into_iter().collect())
}

/// What each scan of the plan stands for, subqueries included; `None` for a table function or a
/// bound table.
pub(crate) fn scans(plan: &LogicalPlan) -> Result<Vec<Option<Relation>>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found.push(relation_of(scan));
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The plan with every placeholder replaced by what `rows` gives for it: a table with at least the
/// placeholder's columns, by name.
pub(crate) fn bind(
    plan: LogicalPlan,
    rows: &mut dyn FnMut(&Relation) -> Result<Arc<dyn TableProvider>>,
) -> Result<LogicalPlan> {
    let bound = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = &node else {
            return Ok(Transformed::no(node));
        };
        let Some(relation) = relation_of(scan) else {
            return Ok(Transformed::no(node));
        };
        let provider = rows(&relation)?;
        let bound = scan_as(scan, provider)?;
        // What was put in its place is bound already.
        Ok(Transformed::new(
            bound,
            true,
            datafusion::common::tree_node::TreeNodeRecursion::Jump,
        ))
    })?;
    // What is bound may allow nulls where the placeholder did not.
    let retyped = bound
        .data
        .transform_up_with_subqueries(|node| Ok(Transformed::yes(node.recompute_schema()?)))?;
    Ok(retyped.data)
}

/// `provider` under the name and with the columns of `scan`.
fn scan_as(scan: &TableScan, provider: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    let name = scan.table_name.clone();
    let columns = scan
        .projected_schema
        .fields()
        .iter()
        .map(|field| field.name().clone());
    let exact = provider.schema().fields().len() == scan.projected_schema.fields().len()
        && columns.clone().eq(provider
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone()));
    let bound = LogicalPlanBuilder::scan(name.clone(), provider_as_source(provider), None)?;
    if exact {
        return bound.build();
    }
    bound
        .project(columns.map(|column| Expr::Column(Column::new(Some(name.clone()), column))))?
        .build()
}
