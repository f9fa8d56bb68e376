#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod columns;
mod docs;
mod fixtures;
mod models;

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::Field;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::functions::of_models;

/// The function of that name, over the project in `dir`.
fn function(name: &str, dir: &Path) -> Arc<ScalarUDF> {
    of_models(dir)
        .into_iter()
        .find(|function| function.name() == name)
        .unwrap()
}

/// Calls a function as a plan does, once types are settled.
fn call(function: &ScalarUDF, args: Vec<ColumnarValue>, rows: usize) -> ArrayRef {
    let types: Vec<_> = args.iter().map(ColumnarValue::data_type).collect();
    let fields = types
        .iter()
        .map(|data_type| Arc::new(Field::new("a", data_type.clone(), true)));
    let returns = function.return_type(&types).unwrap();
    function
        .invoke_with_args(ScalarFunctionArgs {
            arg_fields: fields.collect(),
            args,
            number_rows: rows,
            return_field: Arc::new(Field::new("r", returns, true)),
            config_options: Arc::new(ConfigOptions::default()),
        })
        .unwrap()
        .into_array(rows)
        .unwrap()
}
