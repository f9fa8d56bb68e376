//! What would make a replay of a stream come out differently: the clock, chance, numbers that
//! depend on the order in which rows happen to arrive.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility, WindowFunctionDefinition};

/// A call that a stream model must not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unrepeatable {
    /// The function as DataFusion names it.
    pub(crate) function: String,
    /// What to do instead.
    pub(crate) help: &'static str,
}

/// The first such call in a plan.
pub(crate) fn unrepeatable(plan: &LogicalPlan) -> Result<Option<Unrepeatable>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found = call(expr);
                Ok(if found.is_some() {
                    TreeNodeRecursion::Stop
                } else {
                    TreeNodeRecursion::Continue
                })
            })
        })
    })?;
    Ok(found)
}

fn call(expr: &Expr) -> Option<Unrepeatable> {
    match expr {
        Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
            Some(Unrepeatable {
                function: call.name().to_owned(),
                help: match call.func.signature().volatility {
                    Volatility::Volatile => {
                        "a replay would give other values; derive an id from the record's own columns, such as md5 of its key"
                    }
                    _ => {
                        "a replay would give other values; use the record's event time or Kafka's timestamp"
                    }
                },
            })
        }
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::WindowUDF(function)
                if function.name() == "row_number" && call.params.order_by.is_empty() =>
            {
                Some(Unrepeatable {
                    function: "row_number".into(),
                    help: "without an order a replay numbers rows differently; add an order by that leaves no ties, \
                           or derive an id from the row's own columns",
                })
            }
            _ => None,
        },
        _ => None,
    }
}
