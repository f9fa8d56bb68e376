//! `cargo xtask schema`.

use anyhow::Result;

use crate::steps;

/// The variable that makes a test write the schema it otherwise compares.
const UPDATE: &str = "UPDATE_SCHEMAS";

/// Writes the JSON Schemas anew: the tests that hold them current (`schema_is_current`) know the
/// types, and with the variable set they write instead of comparing.
pub(crate) fn write() -> Result<()> {
    steps::run(
        steps::cargo(&["test", "--release", "--workspace", "schema_is_current"]).env(UPDATE, "1"),
    )
}
