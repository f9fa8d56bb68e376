//! Where a column of a plan comes from, when it is passed on as it is.

use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::placeholder::{Relation, relation_of};

/// The relation and its column whose values stand in the column `index` of the plan; `None` where
/// they are computed, or come from several.
pub(crate) fn origin_of(plan: &LogicalPlan, index: usize) -> Result<Option<(Relation, String)>> {
    Ok(match plan {
        LogicalPlan::TableScan(scan) => {
            let name = scan.projected_schema.field(index).name();
            relation_of(scan).map(|relation| (relation, name.clone()))
        }
        LogicalPlan::Projection(projection) => match passed_on(&projection.expr[index]) {
            Expr::Column(column) => {
                let below = projection.input.schema().index_of_column(column)?;
                origin_of(&projection.input, below)?
            }
            _ => None,
        },
        LogicalPlan::SubqueryAlias(alias) => origin_of(&alias.input, index)?,
        LogicalPlan::Filter(filter) => origin_of(&filter.input, index)?,
        LogicalPlan::Sort(sort) => origin_of(&sort.input, index)?,
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            if plan.schema().fields().len() < left || index < left {
                origin_of(&join.left, index)?
            } else {
                origin_of(&join.right, index - left)?
            }
        }
        _ => None,
    })
}

/// The expression under its names.
fn passed_on(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => passed_on(&alias.expr),
        other => other,
    }
}
