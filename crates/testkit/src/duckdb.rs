//! DuckDB as the judge of the lake: another client of the same DuckLake, by its Python wheels.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::toolchain;

/// The wheels must be of one version: an extension loads into no other one.
const REQUIREMENTS: &[&str] = &[
    "duckdb==1.5.5",
    "duckdb-extension-ducklake==1.5.5",
    "duckdb-extension-postgres-scanner==1.5.5",
    "pytz",
];
const ENVIRONMENT: &str = "duckdb-1.5.5";

/// Reads a request as JSON, answers the rows as JSON: numbers that JSON cannot hold exactly
/// (decimals), times and everything else that is no JSON are written as text.
const JUDGE: &str = include_str!("duckdb/judge.py");

/// Answers queries about a lake as every other DuckLake client would.
#[derive(Debug)]
pub struct DuckDb {
    python: PathBuf,
    catalog: String,
    data: String,
    writable: bool,
}

impl DuckDb {
    /// Attaches, read-only and under the name `lake`, the lake whose catalog is in the schema `lake`
    /// of the database at `warehouse_url` (`postgresql://…`) and whose files are in `data`.
    ///
    /// # Errors
    /// When Python is missing or the wheels cannot be installed.
    pub async fn attach(warehouse_url: &str, data: &str) -> Result<Self> {
        Self::with_access(warehouse_url, data, false).await
    }

    /// As [`DuckDb::attach`], but its queries may write, as another client of the lake does; the
    /// first one makes a lake where there is none.
    ///
    /// # Errors
    /// As [`DuckDb::attach`].
    pub async fn attach_writable(warehouse_url: &str, data: &str) -> Result<Self> {
        Self::with_access(warehouse_url, data, true).await
    }

    async fn with_access(warehouse_url: &str, data: &str, writable: bool) -> Result<Self> {
        let python = tokio::task::spawn_blocking(environment).await??;
        Ok(Self {
            python,
            catalog: warehouse_url.to_owned(),
            data: data.to_owned(),
            writable,
        })
    }

    /// The rows of a query, in its order: null, booleans, integers and floats as such, lists and
    /// structs as arrays and objects; decimals, times, UUIDs and bytes as DuckDB writes them.
    /// Times are in UTC.
    ///
    /// # Errors
    /// With DuckDB's message when it cannot attach the lake or refuses the query.
    pub async fn query(&self, sql: &str) -> Result<Vec<Vec<Value>>> {
        let request = serde_json::json!({
            "catalog": self.catalog, "data": self.data, "writable": self.writable, "sql": sql,
        });
        let mut judge = Command::new(&self.python)
            .args(["-c", JUDGE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("could not start DuckDB's Python")?;
        // the request holds the password, so it goes by the input, not by the arguments
        let mut input = judge.stdin.take().context("DuckDB's Python has no input")?;
        input.write_all(request.to_string().as_bytes()).await?;
        drop(input);
        let answer = judge.wait_with_output().await?;
        if !answer.status.success() {
            bail!(
                "DuckDB refused {sql}: {}",
                String::from_utf8_lossy(&answer.stderr)
            );
        }
        serde_json::from_slice(&answer.stdout).context("could not read DuckDB's answer")
    }
}

fn environment() -> Result<PathBuf> {
    toolchain::python_environment(ENVIRONMENT, REQUIREMENTS)
}

/// Gets the wheels.
pub(crate) fn install() -> Result<()> {
    environment().map(drop)
}
