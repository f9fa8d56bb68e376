//! Watches a running stream: counts, measures, logs, draws.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use factmill_core::position::{PartitionId, SourceName};
use factmill_core::source::Classified;
use factmill_core::table::TableName;
use factmill_produce::UnreadLimit;

use crate::failure::chain;
use crate::live_view::LiveView;
use crate::metrics_server::{Readiness, Telling};
use crate::stream::{EpochReport, Observer, Summary, Tally};

/// How often progress is logged where no live view is drawn.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// More undeclared fields of a source than this are counted and not named: hostile data has no end
/// of names.
const NAMED_FIELDS: usize = 100;

/// The one observer of a run.
pub(crate) struct Watch {
    telling: Arc<Telling>,
    live: Option<LiveView>,
    /// Told how far is committed, where a producer waits for it.
    unread: Option<Arc<UnreadLimit>>,
    told: Mutex<Told>,
}

struct Told {
    tally: Tally,
    logged_at: Instant,
    logged_rows: u64,
    rows: u64,
    dead_letters: u64,
    lag: HashMap<SourceName, i64>,
    /// Undeclared fields that were named already.
    fields: HashMap<SourceName, HashSet<String>>,
}

impl Watch {
    /// Watches from now on; without a live view, progress is logged.
    pub(crate) fn new(
        telling: Arc<Telling>,
        live: Option<LiveView>,
        unread: Option<Arc<UnreadLimit>>,
    ) -> Self {
        Self {
            telling,
            live,
            unread,
            told: Mutex::new(Told::nothing()),
        }
    }

    /// What the run did until now.
    pub(crate) fn summary(&self) -> Summary {
        self.told().tally.summary(&self.telling.job)
    }

    /// Redraws or logs although nothing came, until it is dropped.
    pub(crate) async fn keep_drawing(&self, every: Duration) {
        let mut interval = tokio::time::interval(every);
        loop {
            interval.tick().await;
            match &self.live {
                Some(live) => live.tick(),
                None => self.told().log_progress(&self.telling.job),
            }
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn nothing() -> Self {
        Self {
            tally: Tally::begin(),
            logged_at: Instant::now(),
            logged_rows: 0,
            rows: 0,
            dead_letters: 0,
            lag: HashMap::new(),
            fields: HashMap::new(),
        }
    }

    /// Those of these fields that no line has named, as long as not too many are.
    fn not_named_yet<'a>(
        &mut self,
        source: &SourceName,
        fields: impl Iterator<Item = &'a String>,
    ) -> Vec<&'a str> {
        let named = self.fields.entry(source.clone()).or_default();
        let mut new = Vec::new();
        for field in fields {
            if named.len() < NAMED_FIELDS && !named.contains(field) {
                named.insert(field.clone());
                new.push(field.as_str());
            }
        }
        new
    }

    fn log_progress(&mut self, job: &str) {
        let since = self.logged_at.elapsed();
        if since < LOG_EVERY || self.rows == self.logged_rows {
            return;
        }
        let rate = (self.rows - self.logged_rows) as f64 / since.as_secs_f64();
        tracing::info!(
            job,
            rows = self.rows,
            rows_per_second = rate.round(),
            lag = self.lag.values().sum::<i64>(),
            dead_letters = self.dead_letters,
            "progress"
        );
        self.logged_at = Instant::now();
        self.logged_rows = self.rows;
    }
}

impl Observer for Watch {
    fn epoch(&self, report: &EpochReport) {
        self.telling.metrics.epoch(report);
        self.telling.set(Readiness::Ready);
        if let Some(unread) = &self.unread {
            for interval in &report.intervals {
                // Kafka numbers its partitions and counts its records.
                if let (Ok(partition), Some(next)) = (
                    interval.partition().partition.parse(),
                    interval.to().offset(),
                ) {
                    unread.consumed(partition, next);
                }
            }
        }
        let mut told = self.told();
        told.tally.add(report);
        told.rows += report.rows_in;
        told.dead_letters += report.dead_letters;
        match &self.live {
            Some(live) => live.epoch(report),
            None => told.log_progress(&self.telling.job),
        }
    }

    fn rebuilt(&self, table: &TableName, rows: u64, took: Duration) {
        self.telling.metrics.rebuilt(table, rows, took);
        self.told().tally.rebuilt(took);
        tracing::debug!(%table, rows, seconds = took.as_secs_f64(), "rebuilt");
    }

    fn lag(&self, source: &SourceName, lag: &HashMap<PartitionId, i64>) {
        self.telling.metrics.lag(source, lag);
        self.told().lag.insert(source.clone(), lag.values().sum());
        if let Some(live) = &self.live {
            live.lag(source, lag);
        }
    }

    fn undeclared(&self, source: &SourceName, fields: &BTreeMap<String, u64>) {
        let metrics = &self.telling.metrics;
        metrics.undeclared(source, fields.values().sum());
        let new = self.told().not_named_yet(source, fields.keys());
        if !new.is_empty() {
            let fields = listed(&new);
            tracing::warn!(%source, fields, "fields that are not declared are left out; this is said once");
            tracing::debug!(%source, fields = new.join(", "), "each of these fields is left out");
        }
    }

    fn retrying(&self, failure: &dyn Classified, pause: Duration) {
        self.telling.metrics.retrying();
        self.telling.set(Readiness::Waiting);
        let reason = chain(failure);
        tracing::warn!(
            job = self.telling.job,
            reason,
            pause_ms = pause.as_millis() as u64,
            "trying again after a failure"
        );
        if let Some(live) = &self.live {
            live.waiting(reason);
        }
    }

    fn rewinding(&self, failure: &dyn Classified) {
        self.telling.metrics.rewinding();
        tracing::warn!(
            job = self.telling.job,
            reason = chain(failure),
            "going back to the stored positions"
        );
    }
}

/// So many fields are named in a line that a person reads.
const SHOWN_FIELDS: usize = 6;

/// The first fields, and how many more there are.
fn listed(fields: &[&str]) -> String {
    let shown = fields.len().min(SHOWN_FIELDS);
    let (named, more) = (fields[..shown].join(", "), fields.len() - shown);
    match more {
        0 => named,
        _ => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(listed(&["a", "b.c"]), "a, b.c");
        let many = ["a", "b", "c", "d", "e", "f", "g", "h"];
        assert_eq!(listed(&many), "a, b, c, d, e, f and 2 more");
    }

    #[test]
    fn a_field_is_named_once_and_not_without_end() {
        let mut told = Told::nothing();
        let charges = SourceName::new("stripe", "charges");
        let fields = ["a.b".to_owned(), "c".to_owned()];
        assert_eq!(told.not_named_yet(&charges, fields.iter()), ["a.b", "c"]);
        assert!(told.not_named_yet(&charges, fields.iter()).is_empty());
        let more: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        let named = told.not_named_yet(&charges, more.iter()).len();
        assert_eq!(named, NAMED_FIELDS - fields.len());
        let orders = SourceName::new("shop", "orders");
        assert_eq!(told.not_named_yet(&orders, fields.iter()).len(), 2);
    }
}
