//! Functions on text: cleaning, words, language, sentiment.
//!
//! Each takes any of Arrow's text types and gives null for null. What a function means is a plain
//! function on `&str` (`clean`, `words`, `language`, `vader`); the SQL functions run it down a column
//! with buffers that are made once a batch. `docs/text-functions.md` tells users of them.

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

use super::project_files::ProjectFiles;

mod clean;
mod column;
mod language;
mod model;
mod remove_stop_words;
mod row_wise;
mod sentiment;
mod stop_words;
#[cfg(test)]
mod tests;
mod vader;
mod words;

/// All functions of this module; `files` holds the models that `sentiment` may name.
pub(super) fn functions(files: &Arc<ProjectFiles>) -> [Arc<ScalarUDF>; 6] {
    [
        clean::function(),
        words::function(),
        language::function(),
        remove_stop_words::function(),
        sentiment::sentiment(files),
        sentiment::sentiment_label(files),
    ]
}
