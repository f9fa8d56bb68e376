//! Functions that models and the engine use and DataFusion lacks, one file a topic.

use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionState};

pub(crate) mod record_order;

/// Makes every function of this module known to a session.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    for function in record_order::functions() {
        state.register_udf(function)?;
    }
    Ok(())
}
