//! Rebuild: models that are recomputed as a whole, on a schedule and at the end of a bounded run.
//!
//! One process of a job rebuilds at a time; a rebuild reads what is committed, so it is no part of
//! any epoch and holds none up.

use std::time::{Duration, Instant};

use factmill_connect::sink::lake::LakeLocation;
use factmill_connect::sink::postgres::Warehouse;
use factmill_core::epoch::{Epoch, Reader};
use factmill_core::error::{Action, backoff, policy};
use factmill_core::source::BoxedError;
use factmill_core::table::{Maintenance, Table};
use factmill_engine::batch::Rebuild;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::observe::Observer;

/// The job's models that are rebuilt.
pub(crate) struct Rebuilds {
    warehouse: Warehouse,
    reader: Reader,
    models: Vec<Scheduled>,
    /// The newest committed epoch.
    committed: watch::Receiver<Option<Epoch>>,
}

struct Scheduled {
    table: Table,
    every: Duration,
    rebuild: Rebuild,
    /// The newest epoch when the last rebuild began.
    built: Option<Epoch>,
    due: Instant,
}
