//! What a stream tells Prometheus. Names and labels are constants; dashboards are held to them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use factmill_core::position::{PartitionId, SourceName};
use factmill_core::table::TableName;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::stream::EpochReport;

/// Records read, dead letters included.
pub(crate) const ROWS_READ: &str = "factmill_rows_read";
/// Payload, key and header bytes read.
pub(crate) const BYTES_READ: &str = "factmill_bytes_read";
/// Rows written, by table.
pub(crate) const ROWS_WRITTEN: &str = "factmill_rows_written";
/// Records quarantined.
pub(crate) const DEAD_LETTERS: &str = "factmill_dead_letters";
/// Epochs committed.
pub(crate) const EPOCHS: &str = "factmill_epochs";
/// The number of the newest committed epoch.
pub(crate) const LAST_EPOCH: &str = "factmill_last_epoch";
/// When the newest epoch was committed, seconds since 1970 UTC.
pub(crate) const LAST_COMMIT: &str = "factmill_last_commit_timestamp_seconds";
/// Seconds that each phase of an epoch took.
pub(crate) const EPOCH_PHASE: &str = "factmill_epoch_phase_seconds";
/// Seconds from the hand-over of an epoch's first record to the end of its commit.
pub(crate) const COMMIT_LATENCY: &str = "factmill_commit_latency_seconds";
/// Records between what was read and the end of each partition.
pub(crate) const LAG: &str = "factmill_lag_records";
/// Seconds that the last rebuild of a table took.
pub(crate) const REBUILD_SECONDS: &str = "factmill_rebuild_seconds";
/// Rows of a table after its last rebuild.
pub(crate) const REBUILD_ROWS: &str = "factmill_rebuild_rows";
/// Fields that a source does not declare.
pub(crate) const UNDECLARED_FIELDS: &str = "factmill_undeclared_fields";
/// Passing failures after which the same work was tried again.
pub(crate) const RETRIES: &str = "factmill_retries";
/// Times that everything not committed was dropped and read again.
pub(crate) const REWINDS: &str = "factmill_rewinds";

/// The job, on every metric.
pub(crate) const JOB: &str = "job";
/// The source, `group.table`.
pub(crate) const SOURCE: &str = "source";
/// The partition's name within its source.
pub(crate) const PARTITION: &str = "partition";
/// The schema of a table.
pub(crate) const SCHEMA: &str = "schema";
/// The name of a table in its schema.
pub(crate) const TABLE: &str = "table";
/// `pull`, `decode`, `transform`, `side_writes` or `commit`.
pub(crate) const PHASE: &str = "phase";

type Labels = Vec<(&'static str, String)>;
type FloatGauge = Gauge<f64, AtomicU64>;

/// The metrics of all jobs of a process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    rows_read: Family<Labels, Counter>,
    bytes_read: Family<Labels, Counter>,
    rows_written: Family<Labels, Counter>,
    dead_letters: Family<Labels, Counter>,
    epochs: Family<Labels, Counter>,
    last_epoch: Family<Labels, Gauge>,
    last_commit: Family<Labels, FloatGauge>,
    phases: Family<Labels, Histogram, fn() -> Histogram>,
    latency: Family<Labels, Histogram, fn() -> Histogram>,
    lag: Family<Labels, Gauge>,
    rebuild_seconds: Family<Labels, FloatGauge>,
    rebuild_rows: Family<Labels, Gauge>,
    undeclared: Family<Labels, Counter>,
    retries: Family<Labels, Counter>,
    rewinds: Family<Labels, Counter>,
}

/// 1 ms, doubling up to about 16 s: an idle epoch takes some milliseconds, a full one under a second.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Metrics {
    /// The metrics of no job yet.
    pub(crate) fn new() -> Self {
        let mut m = Self {
            registry: Registry::default(),
            rows_read: Family::default(),
            bytes_read: Family::default(),
            rows_written: Family::default(),
            dead_letters: Family::default(),
            epochs: Family::default(),
            last_epoch: Family::default(),
            last_commit: Family::default(),
            phases: Family::new_with_constructor(durations),
            latency: Family::new_with_constructor(durations),
            lag: Family::default(),
            rebuild_seconds: Family::default(),
            rebuild_rows: Family::default(),
            undeclared: Family::default(),
            retries: Family::default(),
            rewinds: Family::default(),
        };
        let r = &mut m.registry;
        let read = "Records read, dead letters included";
        r.register(ROWS_READ, read, m.rows_read.clone());
        let bytes = "Payload, key and header bytes read";
        r.register(BYTES_READ, bytes, m.bytes_read.clone());
        r.register(ROWS_WRITTEN, "Rows written", m.rows_written.clone());
        r.register(DEAD_LETTERS, "Records quarantined", m.dead_letters.clone());
        r.register(EPOCHS, "Epochs committed", m.epochs.clone());
        let newest = "The newest committed epoch";
        r.register(LAST_EPOCH, newest, m.last_epoch.clone());
        let time = "Time of the newest commit";
        r.register(LAST_COMMIT, time, m.last_commit.clone());
        let phase = "Seconds in each phase of an epoch";
        r.register(EPOCH_PHASE, phase, m.phases.clone());
        let latency = "Seconds from hand-over to commit";
        r.register(COMMIT_LATENCY, latency, m.latency.clone());
        r.register(LAG, "Records not read yet", m.lag.clone());
        let took = "Seconds of the last rebuild";
        r.register(REBUILD_SECONDS, took, m.rebuild_seconds.clone());
        let rows = "Rows of the last rebuild";
        r.register(REBUILD_ROWS, rows, m.rebuild_rows.clone());
        let undeclared = "Fields that are not declared";
        r.register(UNDECLARED_FIELDS, undeclared, m.undeclared.clone());
        r.register(RETRIES, "Passing failures", m.retries.clone());
        let rewinds = "Returns to the stored positions";
        r.register(REWINDS, rewinds, m.rewinds.clone());
        m
    }

    /// The OpenMetrics text of all of them.
    ///
    /// # Errors
    /// Never for text in memory; the encoder's signature has it.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The metrics of one job.
#[derive(Debug)]
pub(crate) struct JobMetrics {
    all: Arc<Metrics>,
    job: String,
    /// The partitions of each source that have a lag now.
    lagging: Mutex<HashMap<SourceName, HashSet<String>>>,
}

impl JobMetrics {
    /// The metrics of this job, shown at nothing.
    pub(crate) fn new(all: &Arc<Metrics>, job: &str) -> Self {
        let metrics = Self {
            all: Arc::clone(all),
            job: escaped(job),
            lagging: Mutex::default(),
        };
        let labels = metrics.labels([]);
        for counter in [
            &all.rows_read,
            &all.bytes_read,
            &all.dead_letters,
            &all.epochs,
            &all.retries,
            &all.rewinds,
        ] {
            drop(counter.get_or_create(&labels));
        }
        metrics
    }

    /// The job and what else a metric is told apart by.
    fn labels<const N: usize>(&self, more: [(&'static str, String); N]) -> Labels {
        let job = [(JOB, self.job.clone())];
        job.into_iter().chain(more).collect()
    }

    fn table_labels(&self, table: &TableName) -> Labels {
        self.labels([
            (SCHEMA, escaped(&table.schema)),
            (TABLE, escaped(&table.name)),
        ])
    }

    /// Counts a committed epoch.
    pub(crate) fn epoch(&self, report: &EpochReport) {
        let (all, job) = (&self.all, self.labels([]));
        all.rows_read.get_or_create(&job).inc_by(report.rows_in);
        all.bytes_read.get_or_create(&job).inc_by(report.bytes_in);
        let bad = all.dead_letters.get_or_create(&job);
        bad.inc_by(report.dead_letters);
        drop(bad);
        for (table, rows) in &report.rows_out {
            let labels = self.table_labels(table);
            all.rows_written.get_or_create(&labels).inc_by(*rows);
        }
        all.epochs.get_or_create(&job).inc();
        all.last_epoch.get_or_create(&job).set(report.epoch.id());
        let now = Utc::now().timestamp_micros() as f64 / 1e6;
        all.last_commit.get_or_create(&job).set(now);
        let phases = &report.phases;
        let commit = ("commit", phases.commit);
        for (phase, took) in phases.before_commit().into_iter().chain([commit]) {
            let labels = self.labels([(PHASE, phase.to_owned())]);
            let phase = all.phases.get_or_create(&labels);
            phase.observe(took.as_secs_f64());
        }
        let latency = all.latency.get_or_create(&job);
        latency.observe(phases.total.as_secs_f64());
    }

    /// Notes how far a source is behind. Partitions that went to another process are forgotten.
    pub(crate) fn lag(&self, source: &SourceName, known: &HashMap<PartitionId, i64>) {
        let labels = |partition: &str| {
            self.labels([
                (SOURCE, escaped(&source.to_string())),
                (PARTITION, escaped(partition)),
            ])
        };
        let now: HashSet<String> = known
            .keys()
            .map(|partition| partition.partition.clone())
            .collect();
        let mut lagging = self.lagging.lock().unwrap_or_else(PoisonError::into_inner);
        let before = lagging
            .insert(source.clone(), now.clone())
            .unwrap_or_default();
        for gone in before.difference(&now) {
            self.all.lag.remove(&labels(gone));
        }
        for (partition, records) in known {
            self.all
                .lag
                .get_or_create(&labels(&partition.partition))
                .set(*records);
        }
    }

    /// Notes a rebuild.
    pub(crate) fn rebuilt(&self, table: &TableName, rows: u64, took: Duration) {
        let (all, labels) = (&self.all, self.table_labels(table));
        let seconds = all.rebuild_seconds.get_or_create(&labels);
        seconds.set(took.as_secs_f64());
        let count = all.rebuild_rows.get_or_create(&labels);
        count.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// Counts fields that the source does not declare. Their names come from the data, so they are
    /// no label.
    pub(crate) fn undeclared(&self, source: &SourceName, count: u64) {
        let labels = self.labels([(SOURCE, escaped(&source.to_string()))]);
        self.all.undeclared.get_or_create(&labels).inc_by(count);
    }

    /// Counts a passing failure.
    pub(crate) fn retrying(&self) {
        self.all.retries.get_or_create(&self.labels([])).inc();
    }

    /// Counts a return to the stored positions.
    pub(crate) fn rewinding(&self) {
        self.all.rewinds.get_or_create(&self.labels([])).inc();
    }
}

/// A label's value as the text format wants it; the encoder writes it as it is.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::stream::observe::Phases;
    use factmill_core::epoch::Epoch;

    #[test]
    fn an_epoch_is_counted_under_its_job() {
        let all = Arc::new(Metrics::new());
        let metrics = JobMetrics::new(&all, "banking");
        let source = SourceName::new("banking", "transactions");
        let table = TableName {
            schema: "banking".into(),
            name: "fct \"x\"".into(),
        };
        metrics.epoch(&EpochReport {
            epoch: Epoch::new(7),
            rows_in: 100,
            intervals: Vec::new(),
            bytes_in: 24_000,
            rows_out: vec![(table.clone(), 98)],
            dead_letters: 2,
            phases: Phases {
                commit: Duration::from_millis(3),
                ..Phases::default()
            },
        });
        let partition = PartitionId {
            source: source.clone(),
            partition: "3".into(),
        };
        metrics.lag(&source, &HashMap::from([(partition, 12)]));
        metrics.rebuilt(&table, 5, Duration::from_millis(500));
        JobMetrics::new(&all, "retail").rewinding();
        let text = all.text().unwrap();
        for line in [
            "factmill_rows_read_total{job=\"banking\"} 100",
            "factmill_dead_letters_total{job=\"banking\"} 2",
            "factmill_rewinds_total{job=\"banking\"} 0",
            "factmill_rewinds_total{job=\"retail\"} 1",
            "factmill_last_epoch{job=\"banking\"} 7",
            "factmill_rows_written_total{job=\"banking\",schema=\"banking\",table=\"fct \\\"x\\\"\"} 98",
            "factmill_epoch_phase_seconds_count{job=\"banking\",phase=\"commit\"} 1",
            "factmill_lag_records{job=\"banking\",source=\"banking.transactions\",partition=\"3\"} 12",
            "factmill_rebuild_seconds{job=\"banking\",schema=\"banking\",table=\"fct \\\"x\\\"\"} 0.5",
        ] {
            assert!(text.contains(line), "{line} in:\n{text}");
        }
    }

    #[test]
    fn a_partition_that_left_has_no_lag() {
        let all = Arc::new(Metrics::new());
        let metrics = JobMetrics::new(&all, "banking");
        let source = SourceName::new("banking", "transactions");
        let partition = |name: &str| PartitionId {
            source: source.clone(),
            partition: name.into(),
        };
        metrics.lag(
            &source,
            &HashMap::from([(partition("0"), 1), (partition("1"), 2)]),
        );
        metrics.lag(&source, &HashMap::from([(partition("1"), 3)]));
        let text = all.text().unwrap();
        assert!(!text.contains("partition=\"0\""), "{text}");
        assert!(text.contains("partition=\"1\"} 3"), "{text}");
    }
}
