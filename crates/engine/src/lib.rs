//! SQL over columns: models compiled once, run over micro-batches and over history.
//!
//! The only crate that names DataFusion. What comes in and goes out is Arrow and the words of
//! `factmill_core`; what is wrong in a model's SQL comes back as diagnostics that point into the
//! model's file.
//!
//! - [`stream`]: the incremental models of a job, run over each epoch's new rows.

pub mod error;
pub mod session;
pub mod seed;
pub mod stream;

mod delta;
mod diagnose;
mod functions;
mod graph;
mod operator;
mod columns;
mod placeholder;
mod reading;
mod replay;

pub use error::ModelError;
pub use session::Memory;
pub use stream::StreamPlan;
