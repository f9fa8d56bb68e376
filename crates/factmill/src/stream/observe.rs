//! What a run tells about itself while it goes.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use factmill_core::epoch::Epoch;
use factmill_core::position::{Interval, PartitionId, SourceName};
use factmill_core::source::Classified;
use factmill_core::table::TableName;
use serde::Serialize;

/// One committed epoch.
#[derive(Debug, Clone)]
pub(crate) struct EpochReport {
    pub(crate) epoch: Epoch,
    /// What was read of each partition that moved.
    pub(crate) intervals: Vec<Interval>,
    /// Records read, dead letters included.
    pub(crate) rows_in: u64,
    /// Payload, key and header bytes read.
    pub(crate) bytes_in: u64,
    /// Rows written, by table.
    pub(crate) rows_out: Vec<(TableName, u64)>,
    pub(crate) dead_letters: u64,
    pub(crate) phases: Phases,
}

/// How long each phase of an epoch took. Phases of different epochs overlap.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Phases {
    /// Waiting for the source.
    pub(crate) pull: Duration,
    pub(crate) decode: Duration,
    pub(crate) transform: Duration,
    /// Raw documents and Parquet files, before the transaction.
    pub(crate) side_writes: Duration,
    pub(crate) commit: Duration,
    /// From the records' hand-over by the source to the end of the commit.
    pub(crate) total: Duration,
}

impl Phases {
    /// The phases before the commit, by the names that metrics and lineage give them.
    pub(crate) fn before_commit(&self) -> [(&'static str, Duration); 4] {
        [
            ("pull", self.pull),
            ("decode", self.decode),
            ("transform", self.transform),
            ("side_writes", self.side_writes),
        ]
    }
}

/// Hears what happens; it must not block.
pub(crate) trait Observer: Send + Sync {
    /// An epoch was committed.
    fn epoch(&self, report: &EpochReport);
    /// A table was rebuilt.
    fn rebuilt(&self, table: &TableName, rows: u64, took: Duration);
    /// How far a source is behind, by partition.
    fn lag(&self, source: &SourceName, lag: &HashMap<PartitionId, i64>);
    /// Records held fields that the source does not declare: by path, how many did.
    fn undeclared(&self, source: &SourceName, fields: &BTreeMap<String, u64>);
    /// A passing failure; the same work is tried again after the pause.
    fn retrying(&self, failure: &dyn Classified, pause: Duration);
    /// Another process owns a partition, or records were dropped: back to the stored positions.
    fn rewinding(&self, failure: &dyn Classified);
}

/// What a run did, printed at its end.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    pub(crate) job: String,
    pub(crate) epochs: u64,
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) dead_letters: u64,
    pub(crate) seconds: f64,
    pub(crate) rows_per_second: f64,
    pub(crate) peak_rss_bytes: u64,
    /// Logged, and no part of the documented JSON line.
    #[serde(skip)]
    pub(crate) phases: PhaseSeconds,
}

/// Where the time of a run went, seconds by phase, added up over its epochs. The stages run side by
/// side, so together the phases are more than the run took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PhaseSeconds {
    pub(crate) pull: f64,
    pub(crate) decode: f64,
    pub(crate) transform: f64,
    pub(crate) side_writes: f64,
    pub(crate) commit: f64,
    /// Tables computed anew, each from its first read to its swap.
    pub(crate) rebuild: f64,
}

impl PhaseSeconds {
    fn add(&mut self, epoch: &Phases) {
        self.pull += epoch.pull.as_secs_f64();
        self.decode += epoch.decode.as_secs_f64();
        self.transform += epoch.transform.as_secs_f64();
        self.side_writes += epoch.side_writes.as_secs_f64();
        self.commit += epoch.commit.as_secs_f64();
    }
}

/// Adds up epochs into a [`Summary`].
#[derive(Debug)]
pub(crate) struct Tally {
    began: Instant,
    epochs: u64,
    rows_in: u64,
    rows_out: u64,
    dead_letters: u64,
    phases: PhaseSeconds,
}

impl Tally {
    /// A tally that begins now.
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
            epochs: 0,
            rows_in: 0,
            rows_out: 0,
            dead_letters: 0,
            phases: PhaseSeconds::default(),
        }
    }

    /// Adds one epoch.
    pub(crate) fn add(&mut self, report: &EpochReport) {
        self.epochs += 1;
        self.rows_in += report.rows_in;
        self.rows_out += report.rows_out.iter().map(|(_, rows)| rows).sum::<u64>();
        self.dead_letters += report.dead_letters;
        self.phases.add(&report.phases);
    }

    /// Adds a table that was computed anew.
    pub(crate) fn rebuilt(&mut self, took: Duration) {
        self.phases.rebuild += took.as_secs_f64();
    }

    /// The summary as of now.
    pub(crate) fn summary(&self, job: &str) -> Summary {
        let seconds = self.began.elapsed().as_secs_f64();
        Summary {
            job: job.to_owned(),
            epochs: self.epochs,
            rows_in: self.rows_in,
            rows_out: self.rows_out,
            dead_letters: self.dead_letters,
            seconds,
            rows_per_second: self.rows_in as f64 / seconds.max(f64::EPSILON),
            peak_rss_bytes: peak_rss_bytes(),
            phases: self.phases,
        }
    }
}

/// The largest resident set of this process so far, bytes; 0 where the system does not tell.
pub(crate) fn peak_rss_bytes() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        u64::try_from(usage.max_rss()).unwrap_or(0) * unit
    })
}
