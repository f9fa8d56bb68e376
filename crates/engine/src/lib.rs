//! SQL over columns: models compiled once, run over micro-batches and over history.
//!
//! The only crate that names DataFusion. What comes in and goes out is Arrow and the words of
//! `factmill_core`; what is wrong in a model's SQL comes back as diagnostics that point into the
//! model's file.
//!
//! - [`stream`]: the incremental models of a job, run over each epoch's new rows, and its rebuilds.
//! - [`batch`]: models computed over their whole inputs.
//! - [`unit_test`]: models held to the rows that their unit tests expect.
//! - [`sql`]: ad-hoc queries over lake, warehouse and views.
//! - [`functions`]: what models call beside DataFusion's own functions.
//! - [`mod@reference`]: tables of Postgres that somebody else keeps, as sources.
//! - [`output`]: query results as text and files.

pub mod batch;
pub mod error;
pub mod functions;
pub mod inputs;
pub mod lake;
pub mod output;
pub mod reference;
pub mod rows;
pub mod seed;
pub mod session;
pub mod sql;
pub mod stream;
pub mod unit_test;

mod columns;
mod delta;
mod diagnose;
mod documents;
#[cfg(test)]
mod fixture;
mod graph;
mod lineage;
mod maintenance;
mod newest;
mod placeholder;
mod reading;
mod replay;
mod scan;

pub use batch::BatchPlan;
pub use error::ModelError;
pub use inputs::Inputs;
pub use lake::{Lake, LakeSnapshot};
pub use rows::Rows;
pub use session::Memory;
pub use sql::SqlSession;
pub use stream::StreamPlan;
