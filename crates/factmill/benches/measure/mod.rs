//! The parts of the benchmark `stream`.

pub(crate) mod copy;
pub(crate) mod kafka;
pub(crate) mod latency;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod world;
