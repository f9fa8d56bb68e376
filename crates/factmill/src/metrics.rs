//! What a stream tells Prometheus. Names and labels are constants; dashboards are held to them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
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

/// The metrics of one running job.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    rows_read: Counter,
    bytes_read: Counter,
    rows_written: Family<Labels, Counter>,
    dead_letters: Counter,
    epochs: Counter,
    last_epoch: Gauge,
    last_commit: FloatGauge,
    phases: Family<Labels, Histogram, fn() -> Histogram>,
    latency: Histogram,
    lag: Family<Labels, Gauge>,
    /// The partitions of each source that have a lag now.
    lagging: Mutex<HashMap<SourceName, HashSet<String>>>,
    rebuild_seconds: Family<Labels, FloatGauge>,
    rebuild_rows: Family<Labels, Gauge>,
    undeclared: Family<Labels, Counter>,
    retries: Counter,
    rewinds: Counter,
}

/// 1 ms, doubling up to about 16 s: an idle epoch takes some milliseconds, a full one under a second.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Metrics {
    /// The metrics of this job, all at nothing.
    pub(crate) fn new(job: &str) -> Self {
        let labels = [(JOB.into(), escaped(job).into())];
        let mut registry = Registry::with_labels(labels.into_iter());
        let mut metrics = Self {
            rows_read: Counter::default(),
            bytes_read: Counter::default(),
            rows_written: Family::default(),
            dead_letters: Counter::default(),
            epochs: Counter::default(),
            last_epoch: Gauge::default(),
            last_commit: FloatGauge::default(),
            phases: Family::new_with_constructor(durations),
            latency: durations(),
            lag: Family::default(),
            lagging: Mutex::default(),
            rebuild_seconds: Family::default(),
            rebuild_rows: Family::default(),
            undeclared: Family::default(),
            retries: Counter::default(),
            rewinds: Counter::default(),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register(
            ROWS_READ,
            "Records read, dead letters included",
            m.rows_read.clone(),
        );
        registry.register(
            BYTES_READ,
            "Payload, key and header bytes read",
            m.bytes_read.clone(),
        );
        registry.register(ROWS_WRITTEN, "Rows written", m.rows_written.clone());
        registry.register(DEAD_LETTERS, "Records quarantined", m.dead_letters.clone());
        registry.register(EPOCHS, "Epochs committed", m.epochs.clone());
        registry.register(
            LAST_EPOCH,
            "The newest committed epoch",
            m.last_epoch.clone(),
        );
        registry.register(
            LAST_COMMIT,
            "Time of the newest commit",
            m.last_commit.clone(),
        );
        registry.register(
            EPOCH_PHASE,
            "Seconds in each phase of an epoch",
            m.phases.clone(),
        );
        registry.register(
            COMMIT_LATENCY,
            "Seconds from hand-over to commit",
            m.latency.clone(),
        );
        registry.register(LAG, "Records not read yet", m.lag.clone());
        registry.register(
            REBUILD_SECONDS,
            "Seconds of the last rebuild",
            m.rebuild_seconds.clone(),
        );
        registry.register(
            REBUILD_ROWS,
            "Rows of the last rebuild",
            m.rebuild_rows.clone(),
        );
        registry.register(
            UNDECLARED_FIELDS,
            "Fields that are not declared",
            m.undeclared.clone(),
        );
        registry.register(RETRIES, "Passing failures", m.retries.clone());
        registry.register(
            REWINDS,
            "Returns to the stored positions",
            m.rewinds.clone(),
        );
        metrics.registry = registry;
        metrics
    }

    /// Counts a committed epoch.
    pub(crate) fn epoch(&self, report: &EpochReport) {
        self.rows_read.inc_by(report.rows_in);
        self.bytes_read.inc_by(report.bytes_in);
        self.dead_letters.inc_by(report.dead_letters);
        for (table, rows) in &report.rows_out {
            self.rows_written
                .get_or_create(&table_labels(table))
                .inc_by(*rows);
        }
        self.epochs.inc();
        self.last_epoch.set(report.epoch.id());
        self.last_commit
            .set(Utc::now().timestamp_micros() as f64 / 1e6);
        let phases = &report.phases;
        for (phase, took) in [
            ("pull", phases.pull),
            ("decode", phases.decode),
            ("transform", phases.transform),
            ("side_writes", phases.side_writes),
            ("commit", phases.commit),
        ] {
            let labels = vec![(PHASE, phase.to_owned())];
            self.phases
                .get_or_create(&labels)
                .observe(took.as_secs_f64());
        }
        self.latency.observe(phases.total.as_secs_f64());
    }

    /// Notes how far a source is behind. Partitions that went to another process are forgotten.
    pub(crate) fn lag(&self, source: &SourceName, known: &HashMap<PartitionId, i64>) {
        let labels = |partition: &str| {
            vec![
                (SOURCE, escaped(&source.to_string())),
                (PARTITION, escaped(partition)),
            ]
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
            self.lag.remove(&labels(gone));
        }
        for (partition, records) in known {
            self.lag
                .get_or_create(&labels(&partition.partition))
                .set(*records);
        }
    }

    /// Notes a rebuild.
    pub(crate) fn rebuilt(&self, table: &TableName, rows: u64, took: Duration) {
        let labels = table_labels(table);
        self.rebuild_seconds
            .get_or_create(&labels)
            .set(took.as_secs_f64());
        self.rebuild_rows
            .get_or_create(&labels)
            .set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// Counts fields that the source does not declare. Their names come from the data, so they are
    /// no label.
    pub(crate) fn undeclared(&self, source: &SourceName, count: u64) {
        let labels = vec![(SOURCE, escaped(&source.to_string()))];
        self.undeclared.get_or_create(&labels).inc_by(count);
    }

    /// Counts a passing failure.
    pub(crate) fn retrying(&self) {
        self.retries.inc();
    }

    /// Counts a return to the stored positions.
    pub(crate) fn rewinding(&self) {
        self.rewinds.inc();
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

fn table_labels(table: &TableName) -> Labels {
    vec![
        (SCHEMA, escaped(&table.schema)),
        (TABLE, escaped(&table.name)),
    ]
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
        let metrics = Metrics::new("banking");
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
        let text = metrics.text().unwrap();
        for line in [
            "factmill_rows_read_total{job=\"banking\"} 100",
            "factmill_dead_letters_total{job=\"banking\"} 2",
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
        let metrics = Metrics::new("banking");
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
        let text = metrics.text().unwrap();
        assert!(!text.contains("partition=\"0\""), "{text}");
        assert!(text.contains("partition=\"1\"} 3"), "{text}");
    }
}
