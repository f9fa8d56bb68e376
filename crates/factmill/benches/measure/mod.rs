//! The parts of the benchmarks `stream` and `jobs`.

pub(crate) mod copy;
pub(crate) mod jobs;
pub(crate) mod kafka;
pub(crate) mod latency;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod snapshot;
pub(crate) mod world;
