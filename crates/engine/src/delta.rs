//! The plan of a model over new rows alone, with the order of records beside each row.
//!
//! Only row-wise operators have one: each row of the result comes from one new row, whatever was
//! there before. Projection, filter, unnest, union all, and joins with relations that do not change
//! are row-wise as long as they never keep an unmatched row of the unchanging side.
//!
//! The rows of a keyed source are changes of keys, and each of them has to reach the table: a filter
//! turns a row that does not pass into one that deletes its key, and what drops or multiplies rows
//! in another way is refused.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan, Union, lit,
};
use factmill_core::table::{DELETED_COLUMN, ORDER_COLUMN};
use factmill_planner::Operator;

use crate::functions::record_order;
use crate::placeholder::{Relation, relation_of, relations};

/// Why there is no plan over new rows.
#[derive(Debug)]
pub(crate) enum NotRowWise {
    /// An operator needs more than the new rows.
    Operator(Operator),
    /// A relation that is read has changes other than new rows.
    Changes(Relation),
    /// The plan could not be built.
    Plan(DataFusionError),
}

impl From<DataFusionError> for NotRowWise {
    fn from(error: DataFusionError) -> Self {
        Self::Plan(error)
    }
}

/// What a relation does while a stream runs.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// It stays as it is.
    Static,
    /// Rows are added. The plan has the relation's columns and [`ORDER_COLUMN`] as its last one.
    Appends(LogicalPlan),
    /// Rows are changes of keys. The plan has the relation's columns, then [`ORDER_COLUMN`] and
    /// [`DELETED_COLUMN`].
    Keyed(LogicalPlan),
    /// Rows change or go away.
    Changes,
}

/// A plan over new rows: the columns of the original plan, then [`ORDER_COLUMN`], then
/// [`DELETED_COLUMN`] where rows are changes of keys.
///
/// # Errors
/// The first operator or relation that does not allow it, from the leaves up.
pub(crate) fn over_new_rows(
    plan: &LogicalPlan,
    behaviour: &dyn Fn(&Relation) -> Behaviour,
) -> std::result::Result<LogicalPlan, NotRowWise> {
    match (Carrier { behaviour }).carry(plan)? {
        Flow::Static => Err(NotRowWise::Operator(Operator::Other)),
        Flow::New(rows) => Ok(columns_then_beside(plan, rows, None)?),
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "taken apart as soon as it is made"
)]
enum Flow {
    /// Reads nothing that changes.
    Static,
    /// Each row comes from one new row.
    New(NewRows),
}

/// Rows that each come from one new row.
struct NewRows {
    plan: LogicalPlan,
    /// The order of the record that a row comes from.
    order: Column,
    /// Whether the row deletes its key, where rows are changes of keys.
    deleted: Option<Column>,
}

impl NewRows {
    /// The columns that are carried beside the plan's own, in their order.
    fn beside(&self) -> impl Iterator<Item = Column> {
        [Some(self.order.clone()), self.deleted.clone()]
            .into_iter()
            .flatten()
    }

    /// The same columns where `plan` has them as its last ones.
    fn last_of(self, plan: LogicalPlan) -> Self {
        let schema = plan.schema();
        let fields = schema.fields().len();
        let from_end = |places: usize| Column::from(schema.qualified_field(fields - places));
        let (order, deleted) = match self.deleted {
            None => (from_end(1), None),
            Some(_) => (from_end(2), Some(from_end(1))),
        };
        Self {
            order,
            deleted,
            plan,
        }
    }
}

struct Carrier<'a> {
    behaviour: &'a dyn Fn(&Relation) -> Behaviour,
}

type Carried = std::result::Result<Flow, NotRowWise>;

impl Carrier<'_> {
    fn carry(&self, plan: &LogicalPlan) -> Carried {
        if self.is_static(plan)? {
            return Ok(Flow::Static);
        }
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => {
                self.no_changing_subquery(plan)?;
                let input = self.new_rows(&filter.input)?;
                filtered(input, filter.predicate.clone())
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.new_rows(&alias.input)?;
                let under = |column: Column| Column::new(Some(alias.alias.clone()), column.name);
                let (order, deleted) = (under(input.order), input.deleted.map(under));
                let plan = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
                    Arc::new(input.plan),
                    alias.alias.clone(),
                )?);
                Ok(Flow::New(NewRows {
                    plan,
                    order,
                    deleted,
                }))
            }
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Join(join) => self.join(plan, join),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Aggregate(_) => refuse(Operator::Aggregate),
            LogicalPlan::Distinct(_) => refuse(Operator::Distinct),
            LogicalPlan::Window(_) => refuse(Operator::Window),
            LogicalPlan::Limit(_) => refuse(Operator::Limit),
            LogicalPlan::Sort(_) => refuse(Operator::Sort),
            LogicalPlan::RecursiveQuery(_) => refuse(Operator::Recursive),
            LogicalPlan::Subquery(_) => refuse(Operator::Subquery),
            _ => refuse(Operator::Other),
        }
    }

    /// Whether nothing under the plan changes while the stream runs.
    fn is_static(&self, plan: &LogicalPlan) -> Result<bool> {
        Ok(relations(plan)?
            .iter()
            .all(|relation| matches!((self.behaviour)(relation), Behaviour::Static)))
    }

    fn new_rows(&self, plan: &LogicalPlan) -> std::result::Result<NewRows, NotRowWise> {
        match self.carry(plan)? {
            Flow::New(rows) => Ok(rows),
            // The only changing relation is read by a subquery of the operator above.
            Flow::Static => Err(NotRowWise::Operator(Operator::Subquery)),
        }
    }

    fn no_changing_subquery(&self, plan: &LogicalPlan) -> std::result::Result<(), NotRowWise> {
        let mut changing = false;
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                let subquery = match expr {
                    Expr::ScalarSubquery(subquery) => Some(subquery),
                    Expr::Exists(exists) => Some(&exists.subquery),
                    Expr::InSubquery(within) => Some(&within.subquery),
                    Expr::SetComparison(comparison) => Some(&comparison.subquery),
                    _ => None,
                };
                if let Some(subquery) = subquery {
                    changing |= !self.is_static(&subquery.subquery)?;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        if changing {
            return Err(NotRowWise::Operator(Operator::Subquery));
        }
        Ok(())
    }

    fn scan(&self, scan: &TableScan) -> Carried {
        let Some(relation) = relation_of(scan) else {
            return Ok(Flow::Static);
        };
        match (self.behaviour)(&relation) {
            Behaviour::Static => Ok(Flow::Static),
            Behaviour::Changes => Err(NotRowWise::Changes(relation)),
            Behaviour::Appends(rows) => named(rows, scan, false),
            Behaviour::Keyed(rows) => named(rows, scan, true),
        }
    }

    fn projection(&self, projection: &Projection) -> Carried {
        self.no_changing_subquery(&LogicalPlan::Projection(projection.clone()))?;
        let input = self.new_rows(&projection.input)?;
        let mut exprs = projection.expr.clone();
        exprs.extend(input.beside().map(Expr::Column));
        let below = Arc::new(input.plan.clone());
        let plan = LogicalPlan::Projection(Projection::try_new(exprs, below)?);
        Ok(Flow::New(input.last_of(plan)))
    }

    fn union(&self, union: &Union) -> Carried {
        let mut branches = Vec::with_capacity(union.inputs.len());
        for (index, input) in union.inputs.iter().enumerate() {
            let Flow::New(rows) = self.carry(input)? else {
                return refuse(Operator::StaticUnion);
            };
            if rows.deleted.is_some() {
                return refuse(Operator::KeyedUnion);
            }
            // Rows of one record that came through different branches differ in their order too.
            let index = i64::try_from(index + 1)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            let branch = columns_then_beside(input, rows, Some(lit(index)))?;
            branches.push(Arc::new(branch));
        }
        let plan = LogicalPlan::Union(Union::try_new_with_loose_types(branches)?);
        let order = last_column(&plan);
        Ok(Flow::New(NewRows {
            plan,
            order,
            deleted: None,
        }))
    }

    fn join(&self, plan: &LogicalPlan, join: &Join) -> Carried {
        self.no_changing_subquery(plan)?;
        let (left, right) = (self.carry(&join.left)?, self.carry(&join.right)?);
        let (left, right, order, deleted) = match (left, right) {
            (Flow::New(_), Flow::New(_)) => return refuse(Operator::StreamJoin),
            (Flow::New(rows), Flow::Static) => {
                match join.join_type {
                    JoinType::Left => {}
                    _ if rows.deleted.is_some() => return refuse(Operator::KeyedJoin),
                    JoinType::Inner | JoinType::LeftSemi | JoinType::LeftAnti => {}
                    _ => return refuse(Operator::OuterJoin),
                }
                let kept = Arc::clone(&join.right);
                (Arc::new(rows.plan), kept, rows.order, rows.deleted)
            }
            (Flow::Static, Flow::New(rows)) => {
                match join.join_type {
                    JoinType::Right => {}
                    _ if rows.deleted.is_some() => return refuse(Operator::KeyedJoin),
                    JoinType::Inner | JoinType::RightSemi | JoinType::RightAnti => {}
                    _ => return refuse(Operator::OuterJoin),
                }
                let kept = Arc::clone(&join.left);
                (kept, Arc::new(rows.plan), rows.order, rows.deleted)
            }
            (Flow::Static, Flow::Static) => return refuse(Operator::Subquery),
        };
        let plan = LogicalPlan::Join(Join::try_new(
            left,
            right,
            join.on.clone(),
            join.filter.clone(),
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?);
        Ok(Flow::New(NewRows {
            plan,
            order,
            deleted,
        }))
    }

    fn unnest(&self, unnest: &datafusion::logical_expr::Unnest) -> Carried {
        let input = self.new_rows(&unnest.input)?;
        unnested(unnest, input)
    }
}

/// The rows of a relation under the name that the scan gives it.
fn named(rows: LogicalPlan, scan: &TableScan, is_keyed: bool) -> Carried {
    let name = &scan.table_name;
    let plan = LogicalPlanBuilder::from(rows)
        .alias(name.clone())?
        .build()?;
    let column = |column: &str| Column::new(Some(name.clone()), column);
    Ok(Flow::New(NewRows {
        plan,
        order: column(ORDER_COLUMN),
        deleted: is_keyed.then(|| column(DELETED_COLUMN)),
    }))
}

/// Rows that pass; of changes all rows, where one that does not pass deletes its key.
fn filtered(input: NewRows, predicate: Expr) -> Carried {
    let Some(deleted) = input.deleted.clone() else {
        let plan = LogicalPlanBuilder::from(input.plan).filter(predicate)?;
        return Ok(Flow::New(NewRows {
            plan: plan.build()?,
            ..input
        }));
    };
    let fails = predicate.is_not_true();
    let is_deleted = Expr::Column(deleted.clone()).or(fails);
    let (qualifier, name) = (deleted.relation.clone(), deleted.name.clone());
    let columns = input.plan.schema().columns().into_iter();
    let exprs = columns.map(|column| {
        if column == deleted {
            is_deleted
                .clone()
                .alias_qualified(qualifier.clone(), name.clone())
        } else {
            Expr::Column(column)
        }
    });
    let exprs: Vec<Expr> = exprs.collect();
    let plan = LogicalPlanBuilder::from(input.plan).project(exprs)?;
    Ok(Flow::New(NewRows {
        plan: plan.build()?,
        order: input.order,
        deleted: Some(deleted),
    }))
}

/// An unnest that numbers the elements of its lists and ends the order of each row in that number.
fn unnested(unnest: &datafusion::logical_expr::Unnest, input: NewRows) -> Carried {
    /// The column of element numbers, a list before the unnest and one number after it.
    const INDEX: &str = "_factmill_index";
    /// The order of the record that is taken apart. Under the name that the result has, an optimizer
    /// rule that moves the access to a struct's field down would meet two columns of one name.
    const RECORD: &str = "_factmill_record";
    if unnest
        .list_type_columns
        .iter()
        .any(|(_, list)| list.depth > 1)
    {
        return refuse(Operator::Other);
    }
    if unnest.list_type_columns.is_empty() {
        // Structs only: their fields become columns, a row stays a row.
        let plan = LogicalPlanBuilder::from(input.plan)
            .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())?
            .build()?;
        return Ok(Flow::New(NewRows { plan, ..input }));
    }
    if input.deleted.is_some() {
        return refuse(Operator::KeyedUnnest);
    }
    let (order, input) = (&input.order, input.plan);
    let lists = unnest.list_type_columns.iter().map(|(index, _)| {
        let (qualifier, field) = unnest.input.schema().qualified_field(*index);
        Expr::Column(Column::from((qualifier, field)))
    });
    // Lists of one unnest run side by side; the longest decides how many rows come out.
    let lengths: Vec<Expr> = lists
        .map(|list| {
            let length = datafusion::functions_nested::length::array_length_udf().call(vec![list]);
            let length = datafusion::logical_expr::cast(
                length,
                datafusion::arrow::datatypes::DataType::Int64,
            );
            // Neither a null list nor an empty one may get a row from its numbers.
            datafusion::functions::core::coalesce().call(vec![length, lit(0_i64)])
        })
        .collect();
    let longest = datafusion::functions::core::greatest().call(lengths);
    let numbers =
        datafusion::functions_nested::range::gen_series_udf().call(vec![lit(1_i64), longest]);

    let columns = input.schema().columns().into_iter();
    let mut exprs: Vec<Expr> = columns
        .map(|column| match column == *order {
            true => Expr::Column(column).alias(RECORD),
            false => Expr::Column(column),
        })
        .collect();
    exprs.push(numbers.alias(INDEX));
    let mut columns = unnest.exec_columns.clone();
    columns.push(Column::new_unqualified(INDEX));
    let unnested = LogicalPlanBuilder::from(input)
        .project(exprs)?
        .unnest_columns_with_options(columns, unnest.options.clone())?
        .build()?;

    let index = Expr::Column(Column::new_unqualified(INDEX));
    let mut exprs: Vec<Expr> = unnested
        .schema()
        .columns()
        .into_iter()
        .filter(|column| column.name != INDEX && column.name != RECORD)
        .map(Expr::Column)
        .collect();
    let record = Expr::Column(Column::new_unqualified(RECORD));
    exprs.push(ordered_within(record, index).alias(ORDER_COLUMN));
    let plan = LogicalPlanBuilder::from(unnested).project(exprs)?.build()?;
    let order = last_column(&plan);
    Ok(Flow::New(NewRows {
        plan,
        order,
        deleted: None,
    }))
}

/// The order of a row that is the `index`th of its record or branch.
fn ordered_within(order: Expr, index: Expr) -> Expr {
    record_order::order_unnested().call(vec![order, index])
}

/// The columns of `original` in their order, taken from `rows`, then [`ORDER_COLUMN`], then
/// [`DELETED_COLUMN`] where rows are changes of keys.
fn columns_then_beside(
    original: &LogicalPlan,
    rows: NewRows,
    index: Option<Expr>,
) -> Result<LogicalPlan> {
    let mut exprs: Vec<Expr> = original
        .schema()
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect();
    let order = Expr::Column(rows.order);
    let order = match index {
        Some(index) => ordered_within(order, index),
        None => order,
    };
    exprs.push(order.alias(ORDER_COLUMN));
    let deleted = rows.deleted.map(Expr::Column);
    exprs.extend(deleted.map(|deleted| deleted.alias(DELETED_COLUMN)));
    LogicalPlanBuilder::from(rows.plan).project(exprs)?.build()
}

fn last_column(plan: &LogicalPlan) -> Column {
    let schema = plan.schema();
    let (qualifier, field) = schema.qualified_field(schema.fields().len() - 1);
    Column::from((qualifier, field))
}

fn refuse(operator: Operator) -> Carried {
    Err(NotRowWise::Operator(operator))
}
