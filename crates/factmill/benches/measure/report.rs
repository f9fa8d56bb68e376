//! The figures, as a person or a machine reads them.

use anyhow::Result;
use serde::Serialize;

use super::latency::Latency;
use super::run::Factmill;

/// Rows a second, and what else was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    events: u64,
    /// (a)
    pub(crate) consume: f64,
    /// (b)
    pub(crate) copy: f64,
    /// (b) with rows sorted, for information.
    pub(crate) copy_sorted: f64,
    /// (c)
    pub(crate) factmill: Factmill,
    pub(crate) latency: Option<Latency>,
}

impl Report {
    pub(crate) fn of(events: u64) -> Self {
        Self {
            events,
            ..Self::default()
        }
    }

    pub(crate) fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        let Factmill {
            phases,
            commit_phases: commit,
            ..
        } = &self.factmill;
        let slower = self.consume.min(self.copy);
        println!("{:<52} {:>12}", format!("{} events", self.events), "rows/s");
        let line = |what: &str, rate: f64| println!("{what:<52} {rate:>12.0}");
        line("(a) bare librdkafka consumer", self.consume);
        line("(b) bare COPY BINARY, rows as they come", self.copy);
        line(
            "    the same, sorted by key in epochs of 50,000",
            self.copy_sorted,
        );
        line(
            "(c) factmill --once, start to end of the process",
            self.factmill.rows_per_second,
        );
        line(
            "    first record to last commit",
            self.factmill.stream_rows_per_second,
        );
        let ratio = |what: &str, rate: f64| println!("{what:<52} {:>12.2}", rate / slower);
        ratio("(c) / min(a, b)", self.factmill.rows_per_second);
        ratio(
            "    first record to last commit",
            self.factmill.stream_rows_per_second,
        );
        println!(
            "{:<52} {:>12}",
            "peak RSS of factmill, MiB",
            self.factmill.peak_rss_bytes >> 20
        );
        println!();
        println!(
            "{:<52} {:>12}",
            format!("phases of {} epochs, side by side", self.factmill.epochs),
            "s"
        );
        let second = |what: &str, seconds: f64| println!("{what:<52} {seconds:>12.2}");
        second("pull (waiting for Kafka)", phases.pull);
        second("decode", phases.decode);
        second("transform", phases.transform);
        second("side writes (lake), beside transform", phases.side_writes);
        second("commit", phases.commit);
        second("    positions", commit.positions);
        second("    rows into tables", commit.tables);
        second("    dead letters", commit.dead_letters);
        second("    lake rows", commit.lake);
        let last =
            phases.commit - commit.positions - commit.tables - commit.dead_letters - commit.lake;
        second("    last message: catalog, lineage, COMMIT", last);
        second("rebuilt tables", phases.rebuild);
        second("first record to last commit", self.factmill.stream_seconds);
        second("start to end of the process", self.factmill.seconds);
        if let Some(latency) = &self.latency {
            println!();
            println!(
                "{:<52} {:>12}",
                format!(
                    "produce to visible row, {} events/s, {} s",
                    latency.rate, latency.seconds
                ),
                "ms"
            );
            let milli = |what: &str, millis: f64| println!("{what:<52} {millis:>12.1}");
            milli("p50", latency.p50);
            milli("p90", latency.p90);
            milli("p99", latency.p99);
            milli("max", latency.max);
            milli(
                "between two epochs that a reader saw, p50",
                latency.reader_p50,
            );
        }
        Ok(())
    }
}
