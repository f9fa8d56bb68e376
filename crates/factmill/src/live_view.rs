//! What a person sees while a stream runs: one line, redrawn in place.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use factmill_core::position::{PartitionId, SourceName};
use indicatif::{ProgressBar, ProgressStyle};

use crate::printer::{Printer, grouped};
use crate::stream::EpochReport;

/// The rate shown is that of this last stretch.
const WINDOW: Duration = Duration::from_secs(3);

/// How often the line is drawn anew.
const REDRAW: Duration = Duration::from_millis(125);

/// The line. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct LiveView {
    bar: ProgressBar,
    figures: Mutex<Figures>,
}

#[derive(Debug)]
struct Figures {
    job: String,
    began: Instant,
    /// When records were committed and how many, within the window.
    recent: VecDeque<(Instant, u64)>,
    rows: u64,
    dead_letters: u64,
    lag: HashMap<SourceName, i64>,
    last_epoch: Option<(i64, Duration)>,
    /// Why nothing moves, while that is so.
    waiting: Option<String>,
}

impl LiveView {
    /// Draws the line of a job, when somebody looks.
    pub(crate) fn show(printer: &Printer, job: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        let bar = printer.live().add(bar);
        bar.enable_steady_tick(REDRAW);
        let view = Self {
            bar,
            figures: Mutex::new(Figures::new(job)),
        };
        view.redraw(&view.figures());
        view
    }

    /// An epoch was committed.
    pub(crate) fn epoch(&self, report: &EpochReport) {
        let mut figures = self.figures();
        figures.epoch(Instant::now(), report);
        self.redraw(&figures);
    }

    /// How far a source is behind.
    pub(crate) fn lag(&self, source: &SourceName, lag: &HashMap<PartitionId, i64>) {
        let mut figures = self.figures();
        figures.lag.insert(source.clone(), lag.values().sum());
        self.redraw(&figures);
    }

    /// Nothing moves, for this reason, until the next epoch.
    pub(crate) fn waiting(&self, reason: String) {
        let mut figures = self.figures();
        figures.waiting = Some(reason);
        self.redraw(&figures);
    }

    /// Draws the figures anew although nothing came: a rate falls by itself.
    pub(crate) fn tick(&self) {
        self.redraw(&self.figures());
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn redraw(&self, figures: &Figures) {
        self.bar.set_message(figures.line(Instant::now()));
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Figures {
    fn new(job: &str) -> Self {
        Self {
            job: job.to_owned(),
            began: Instant::now(),
            recent: VecDeque::new(),
            rows: 0,
            dead_letters: 0,
            lag: HashMap::new(),
            last_epoch: None,
            waiting: None,
        }
    }

    fn epoch(&mut self, now: Instant, report: &EpochReport) {
        self.recent.push_back((now, report.rows_in));
        while self
            .recent
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.recent.pop_front();
        }
        self.rows += report.rows_in;
        self.dead_letters += report.dead_letters;
        self.last_epoch = Some((report.epoch.id(), report.phases.total));
        self.waiting = None;
    }

    /// Records a second over the window, or over the run where that is shorter.
    fn rate(&self, now: Instant) -> u64 {
        let recent = self
            .recent
            .iter()
            .filter(|(at, _)| now.duration_since(*at) <= WINDOW);
        let rows: u64 = recent.map(|(_, rows)| rows).sum();
        let stretch = WINDOW
            .min(now.duration_since(self.began))
            .as_secs_f64()
            .max(0.1);
        (rows as f64 / stretch).round() as u64
    }

    fn line(&self, now: Instant) -> String {
        let mut line = format!(
            "{}  {} rows/s  {} rows  lag {}",
            self.job,
            grouped(self.rate(now)),
            grouped(self.rows),
            grouped(self.lag.values().sum::<i64>().unsigned_abs()),
        );
        if let Some((epoch, took)) = self.last_epoch {
            line.push_str(&format!("  epoch {epoch} in {} ms", took.as_millis()));
        }
        line.push_str(&format!("  dead letters {}", grouped(self.dead_letters)));
        if let Some(reason) = &self.waiting {
            line.push_str(&format!("  waiting: {reason}"));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::observe::Phases;
    use factmill_core::epoch::Epoch;

    fn report(rows_in: u64) -> EpochReport {
        EpochReport {
            epoch: Epoch::new(7),
            rows_in,
            intervals: Vec::new(),
            bytes_in: 0,
            rows_out: Vec::new(),
            dead_letters: 1,
            phases: Phases {
                total: Duration::from_millis(12),
                ..Phases::default()
            },
        }
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut figures = Figures::new("banking");
        let start = figures.began;
        figures.epoch(start + Duration::from_secs(1), &report(50_000));
        figures.epoch(start + Duration::from_secs(9), &report(3_000));
        let now = start + Duration::from_secs(10);
        assert_eq!(figures.rate(now), 1_000);
        assert_eq!(figures.rate(now + WINDOW), 0);
        assert_eq!(
            figures.line(now),
            "banking  1,000 rows/s  53,000 rows  lag 0  epoch 7 in 12 ms  dead letters 2"
        );
    }

    #[test]
    fn a_wait_is_shown_until_the_next_epoch() {
        let mut figures = Figures::new("banking");
        let now = figures.began;
        figures.waiting = Some("connection refused".into());
        assert!(figures.line(now).ends_with("waiting: connection refused"));
        figures.epoch(now, &report(1));
        assert!(!figures.line(now).contains("waiting"));
    }
}
