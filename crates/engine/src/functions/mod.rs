//! Functions that models and the engine use and DataFusion lacks, or has for fewer values, one file a topic.

use std::path::Path;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::ScalarUDF;

use project_files::ProjectFiles;

mod date_trunc;
mod project_files;
pub(crate) mod record_order;
mod scale;
mod text;

/// The functions that models are written with; files that they name lie in `project_dir` and are
/// read once by these instances of them.
pub fn of_models(project_dir: &Path) -> Vec<Arc<ScalarUDF>> {
    let files = Arc::new(ProjectFiles::new(project_dir));
    let mut functions = vec![scale::function(&files)];
    functions.extend(text::functions(&files));
    functions
}

/// Makes every function of this module known to a session over the project in `project_dir`.
pub(crate) fn register(state: &mut SessionState, project_dir: &Path) -> Result<()> {
    let ours = record_order::functions();
    let ours = ours.into_iter().chain([date_trunc::function()]);
    for function in ours.chain(of_models(project_dir)) {
        state.register_udf(function)?;
    }
    Ok(())
}
