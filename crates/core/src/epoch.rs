//! One micro-batch and what it leaves behind.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a committed epoch: its lake snapshot id, so it follows commit order over all
/// processes that write to the warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(i64);

impl Epoch {
    /// The epoch that the warehouse numbered `id`.
    pub fn new(id: i64) -> Self {
        Self(id)
    }

    /// The number, a DuckLake snapshot id.
    pub fn id(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who reads: a job of a target. Both are part of stored positions and of the consumer group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reader {
    /// The profile's target, such as `local` or `prod`.
    pub target: String,
    /// The job, the stem of `jobs/<job>.yml`.
    pub job: String,
}

impl Reader {
    /// The Kafka consumer group of this reader, the same in all its processes.
    pub fn consumer_group(&self) -> String {
        format!("factmill.{}.{}", self.target, self.job)
    }
}
