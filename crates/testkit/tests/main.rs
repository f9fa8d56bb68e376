//! The servers of the testkit, held to what their documentation says.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod browser;
mod dashboards;
mod duckdb;
mod kafka;
mod mongo;
mod postgres;
