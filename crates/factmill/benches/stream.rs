//! The whole way against its two ends: `cargo xtask bench stream [-- --events N]`.
//!
//! One run on one machine with a real Kafka and a real Postgres whose commits reach the disk:
//! (a) a bare librdkafka consumer, (b) a bare `COPY BINARY` of the fact rows, (c) the release binary,
//! `stream banking --once` without the raw store. Then the time from produce to visible row while
//! events come at an even rate. Progress goes to stderr, the figures to stdout.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed bench")]
#![allow(dead_code, reason = "each benchmark uses some of the parts")]

mod measure;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use measure::latency::{self, Load};
use measure::report::Report;
use measure::{copy, kafka, run, world::World};

#[derive(Debug, Parser)]
struct Arguments {
    /// Events that the throughput is measured with
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Events a second that the latency is measured with
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// Seconds that the latency is measured, after 5 s that are not counted; 0 leaves it out
    #[arg(long, default_value_t = 40)]
    latency_seconds: u64,
    /// The binary to measure, another one than the one just built
    #[arg(long, default_value = env!("CARGO_BIN_EXE_factmill"))]
    binary: PathBuf,
    /// Override a key of the job file, such as trigger.max_bytes=24MiB
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    /// Cargo gives it to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let world = World::start(arguments.binary, arguments.settings).await?;
    let mut report = Report::of(arguments.events);

    progress("throughput: producing the events");
    let place = world.place().await?;
    kafka::produce(&world, &place, arguments.events).await?;
    progress("(a) bare librdkafka");
    report.consume = kafka::consume(&world, &place, arguments.events)?;
    progress("(c) factmill");
    world.settle().await?;
    report.factmill = run::once(&world, &place, arguments.events).await?;
    for (order, rate) in [
        (copy::Order::Arrival, &mut report.copy),
        (copy::Order::KeyWithinEpochs, &mut report.copy_sorted),
    ] {
        progress(&format!("(b) bare COPY, {order}"));
        world.settle().await?;
        *rate = copy::load(&place, order).await?;
    }
    drop(place);

    if arguments.latency_seconds > 0 {
        progress("latency");
        let load = Load {
            rate: arguments.rate,
            warm_up: Duration::from_secs(5),
            measured: Duration::from_secs(arguments.latency_seconds),
        };
        report.latency = Some(latency::measure(&world, load).await?);
    }
    report.print(arguments.json)
}

fn progress(what: &str) {
    eprintln!("{what} …");
}
