//! (c): the release binary over the same events, and what it and the warehouse tell about its time.

use std::collections::HashMap;
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::world::{Place, World};

/// What a run of `stream --once` did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Factmill {
    /// From the start of the process to its end.
    pub(crate) seconds: f64,
    pub(crate) rows_per_second: f64,
    /// From the first record's hand-over to the last commit: without start, rebuilds and end.
    pub(crate) stream_seconds: f64,
    pub(crate) stream_rows_per_second: f64,
    pub(crate) epochs: u64,
    pub(crate) peak_rss_bytes: u64,
    pub(crate) phases: Phases,
    pub(crate) commit_phases: CommitPhases,
}

/// Seconds by phase, as the run logs them.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Phases {
    pub(crate) pull: f64,
    pub(crate) decode: f64,
    pub(crate) transform: f64,
    pub(crate) side_writes: f64,
    pub(crate) commit: f64,
    pub(crate) rebuild: f64,
}

/// Seconds within the commits, as the lineage tells them.
#[derive(Debug, Default, Serialize)]
pub(crate) struct CommitPhases {
    pub(crate) positions: f64,
    pub(crate) tables: f64,
    pub(crate) dead_letters: f64,
    pub(crate) lake: f64,
}

#[derive(Deserialize)]
struct Summary {
    rows_in: u64,
    dead_letters: u64,
    epochs: u64,
    peak_rss_bytes: u64,
}

impl Phases {
    /// Each phase's share of their sum, in percent.
    pub(crate) fn shares(&self) -> String {
        let phases = [
            self.pull,
            self.decode,
            self.transform,
            self.side_writes,
            self.commit,
            self.rebuild,
        ];
        let sum: f64 = phases.iter().sum();
        let shares = phases.map(|phase| format!("{:>3.0} %", 100.0 * phase / sum.max(1e-9)));
        shares.join(" ")
    }
}

/// The phases of each job of a run, as it logs them at its end.
pub(crate) fn phases_by_job(log: &[u8]) -> Result<HashMap<String, Phases>> {
    let log = String::from_utf8_lossy(log);
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|event| event["message"] == "seconds by phase");
    events
        .map(|event| {
            let job = event["job"].as_str().context("phases of no job")?;
            Ok((job.to_owned(), serde_json::from_value(event.clone())?))
        })
        .collect()
}

/// Runs a command to its end, which must be a good one.
pub(crate) async fn succeed(mut command: Command) -> Result<Output> {
    // not the variables: they hold passwords
    let told = format!("{:?}", command.get_args().collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    ensure!(
        output.status.success(),
        "{told} ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// Runs it to its end and checks that every event became a fact.
pub(crate) async fn once(world: &World, place: &Place, events: u64) -> Result<Factmill> {
    let command = world.stream(place, &["--once", "--json", "--log-format", "json"]);
    let began = Instant::now();
    let output = succeed(command).await?;
    let seconds = began.elapsed().as_secs_f64();
    let summary: Summary = serde_json::from_slice(&output.stdout)?;
    ensure!(
        (summary.rows_in, summary.dead_letters) == (events, 0),
        "not all events were read"
    );

    let warehouse = place.database.connect().await?;
    let facts = warehouse.query_one("select count(*) from banking.fct_transactions", &[]);
    ensure!(
        facts.await?.get::<_, i64>(0) == events as i64,
        "not all events are facts"
    );
    let told = warehouse
        .query_one(
            "select extract(epoch from max(committed_at) - min(started_at))::float8, \
                    sum((phases->>'positions')::float8) / 1e3, sum((phases->>'tables')::float8) / 1e3, \
                    sum((phases->>'dead_letters')::float8) / 1e3, sum((phases->>'lake')::float8) / 1e3 \
             from factmill.epochs",
            &[],
        )
        .await?;
    let stream_seconds = told.get(0);
    Ok(Factmill {
        seconds,
        rows_per_second: events as f64 / seconds,
        stream_seconds,
        stream_rows_per_second: events as f64 / stream_seconds,
        epochs: summary.epochs,
        peak_rss_bytes: summary.peak_rss_bytes,
        phases: phases_by_job(&output.stderr)?
            .remove("banking")
            .context("the run did not log its phases")?,
        commit_phases: CommitPhases {
            positions: told.get(1),
            tables: told.get(2),
            dead_letters: told.get(3),
            lake: told.get(4),
        },
    })
}
