//! Every job from its source to its tables: `cargo xtask bench jobs [-- --scale 0.1]`.
//!
//! One run on one machine with a real Kafka, a real Postgres whose commits reach the disk, and a
//! MongoDB. Each job alone, over what its producer has sent before, with the share of each phase;
//! then all of them side by side for a while, in one process and in one each; then a snapshot of a
//! collection against a bare cursor of the driver. Progress goes to stderr, the figures to stdout.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed bench")]
#![allow(dead_code, reason = "each benchmark uses some of the parts")]

mod measure;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use measure::jobs::{self, JOBS, Jobs};
use measure::snapshot;

#[derive(Debug, Parser)]
struct Arguments {
    /// Only these jobs
    #[arg(long = "job", value_name = "JOB")]
    jobs: Vec<String>,
    /// How many events each job gets, as a part of the usual number
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Seconds that the jobs run side by side; 0 leaves it out
    #[arg(long, default_value_t = 60)]
    together_seconds: u64,
    /// Documents of the snapshot; 0 leaves it out
    #[arg(long, default_value_t = 1_000_000)]
    documents: u64,
    /// Override a key of every job file, such as raw_store.enabled=false: the stand-in for MongoDB is
    /// slower than all the rest
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// The binary to measure, another one than the one just built
    #[arg(long, default_value = env!("CARGO_BIN_EXE_factmill"))]
    binary: PathBuf,
    /// Cargo gives it to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let chosen = |job: &str| arguments.jobs.is_empty() || arguments.jobs.iter().any(|at| at == job);
    let world = Jobs::start(arguments.binary, arguments.settings).await?;

    let mut alone = Vec::new();
    for (job, _, events) in JOBS.iter().filter(|(job, ..)| chosen(job)) {
        progress(&format!("{job}: producing"));
        let events = ((*events as f64 * arguments.scale) as u64).max(1);
        let sent = world.produce(job, events).await?;
        progress(&format!("{job}: streaming"));
        alone.push(world.alone(job, sent).await?);
    }
    jobs::print_alone(&alone);

    if arguments.together_seconds > 0 {
        let lasting = Duration::from_secs(arguments.together_seconds);
        let names: Vec<&str> = alone.iter().map(|ran| ran.job.as_str()).collect();
        progress("all jobs in one process");
        let one = world
            .together(std::slice::from_ref(&names), lasting)
            .await?;
        jobs::print_together("in one process", &one);
        progress("all jobs, a process each");
        let each: Vec<Vec<&str>> = names.iter().map(|name| vec![*name]).collect();
        let five = world.together(&each, lasting).await?;
        jobs::print_together("a process each", &five);
    }
    drop(world);

    if arguments.documents > 0 {
        progress("snapshot of a collection");
        snapshot::measure(arguments.documents).await?.print();
    }
    Ok(())
}

fn progress(what: &str) {
    eprintln!("{what} …");
}
