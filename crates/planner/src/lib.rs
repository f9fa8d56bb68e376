//! A query's way from its text to the plan that runs, in DataFusion's words.
//!
//! A crate of its own for the sake of build time. The body of an asynchronous function is compiled by
//! whoever awaits it, the syntax tree's `clone` and `drop` by whoever calls them: DataFusion's whole
//! planner in the engine and once more in the engine's tests, at the level of optimization that rows
//! need. Here it is compiled once, at the level that suffices for what runs once for each model; so
//! nothing in the public part of this crate is generic, asynchronous or made of the syntax tree.

mod operator;
mod parsed;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

pub use operator::Operator;
pub use parsed::Parsed;

/// The plan that runs a logical one, optimized.
///
/// # Errors
/// An optimizer rule's or the planner's.
pub fn physical<'a>(
    state: &'a SessionState,
    plan: &'a LogicalPlan,
) -> BoxFuture<'a, Result<Arc<dyn ExecutionPlan>>> {
    Box::pin(state.create_physical_plan(plan))
}
