//! Every shipped job, killed on its way, keeps its promise.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use factmill_testkit::{Mongo, same_tables};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio_postgres::Client;

use super::promise::{
    self, BANKING, BANKING_CHAINED, ECOMMERCE, Job, PAYMENTS, Produced, RETAIL, STRIPE,
};
use super::world::{Running, World, eventually};

const KILLS: usize = 5;

/// About how many epochs a job's events are spread over, so that many commits can be hit.
const EPOCHS: i64 = 40;

/// The arguments of a stream in small epochs.
fn stream(job: Job, events: i64) -> [String; 4] {
    let small = format!("trigger.max_rows={}", events / EPOCHS);
    ["stream".into(), job.name.into(), "--set".into(), small]
}

/// Streams in small epochs and kills the stream, again and again, after random numbers of records.
async fn kill_on_its_way(world: &World, job: Job, events: i64) -> Result<()> {
    let seed: u64 = rand::rng().random();
    eprintln!("kills of {} are drawn from seed {seed}", job.name);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let stream = stream(job, events);
    let stream: Vec<&str> = stream.iter().map(String::as_str).collect();
    let warehouse = world.warehouse().await?;
    let mut moments: Vec<i64> = (0..KILLS).map(|_| random.random_range(0..events)).collect();
    moments.sort_unstable();
    for moment in moments {
        let run = world.spawn(&stream)?;
        has_read(&warehouse, job, moment)
            .await
            .with_context(|| run.said().unwrap_or_default())?;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..20_000))).await;
        run.kill()?;
    }
    Ok(())
}

/// Waits until a job has read that many records of its producer.
async fn has_read(warehouse: &Client, job: Job, records: i64) -> Result<()> {
    eventually(
        &format!("{} to read {records} records", job.name),
        async || Ok(promise::read_by(warehouse, job).await? >= records),
    )
    .await
}

/// Produces, streams with kills, then to the end, and holds the job to its promise.
async fn killed_on_its_way(job: Job, events: i64) -> Result<()> {
    let mut world = World::start().await?;
    let produced = promise::produce(&world, job, events, "31")?;
    let rates = match job.name {
        "stripe" => Some(world.serve_rates()?),
        _ => None,
    };
    kill_on_its_way(&world, job, produced.events).await?;
    world.run(&["stream", job.name, "--once"])?;
    promise::holds(&world, job, produced).await?;
    rates.map_or(Ok(()), |rates| rates.end().map(drop))
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_killed_on_its_way_keeps_its_promise() -> Result<()> {
    killed_on_its_way(STRIPE, 400).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ecommerce_killed_on_its_way_keeps_its_promise() -> Result<()> {
    killed_on_its_way(ECOMMERCE, 8_000).await
}

#[tokio::test(flavor = "multi_thread")]
async fn retail_killed_on_its_way_keeps_its_promise() -> Result<()> {
    killed_on_its_way(RETAIL, 8_000).await
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_killed_on_its_way_keeps_its_promise() -> Result<()> {
    killed_on_its_way(PAYMENTS, 3_000).await
}

#[tokio::test(flavor = "multi_thread")]
async fn banking_killed_on_its_way_keeps_its_promise() -> Result<()> {
    killed_on_its_way(BANKING, 20_000).await
}

/// Kafka → MongoDB, and at the same time MongoDB → Postgres in a process that is killed: the tables
/// are those of the job that has them from Kafka.
async fn chained(mongo: impl Future<Output = Result<Mongo>>) -> Result<()> {
    let world = World::start_own(mongo).await?;
    let produced = promise::produce(&world, BANKING, 2_000, "32")?;
    let first = world.spawn(&["stream", "banking", "--set", "trigger.max_rows=100"])?;
    kill_on_its_way(&world, BANKING_CHAINED, produced.events).await?;
    let warehouse = world.warehouse().await?;
    has_read(&warehouse, BANKING, produced.events)
        .await
        .with_context(|| first.said().unwrap_or_default())?;
    let (status, said) = first.end()?;
    ensure!(status.success(), "banking ended with {status}:\n{said}");
    world.run(&["stream", "banking", "banking_chained", "--once"])?;
    promise::holds(&world, BANKING, produced).await?;
    promise::holds(&world, BANKING_CHAINED, produced).await?;
    same_tables(&warehouse, "banking", "banking_chained").await
}

#[tokio::test(flavor = "multi_thread")]
async fn banking_chained_over_a_polled_mongodb_gives_the_tables_of_banking() -> Result<()> {
    chained(Mongo::start()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn banking_chained_over_a_mongodb_with_change_streams_gives_the_tables_of_banking()
-> Result<()> {
    chained(Mongo::start_with_changes()).await
}

/// How many events of each job are sent, and how many a second: 15 s of input. The stand-in for MongoDB
/// sorts a whole collection for every look at it, so that a chained job takes its time over many.
const INPUT: [(Job, &str, &str); 5] = [
    (BANKING, "3000", "200"),
    (PAYMENTS, "3000", "200"),
    (STRIPE, "60", "4"),
    (ECOMMERCE, "3000", "200"),
    (RETAIL, "4500", "300"),
];

/// Streams all jobs while their producers send, then holds each to its promise.
async fn all_at_once(streams: &[&[&str]]) -> Result<()> {
    let mut world = World::start().await?;
    let rates = world.serve_rates()?;
    let streams: Vec<Running> = streams
        .iter()
        .map(|arguments| world.spawn(arguments))
        .collect::<Result<_>>()?;
    let producers = INPUT.map(|(job, count, rate)| {
        let arguments = [
            "produce", job.name, "--count", count, "--rate", rate, "--seed", "33", "--bad", "2",
            "--json",
        ];
        world.spawn(&arguments).map(|running| (job, running))
    });
    let warehouse = world.warehouse().await?;
    let mut produced = Vec::new();
    for producer in producers {
        let (job, running) = producer?;
        let (status, said) = running.wait()?;
        ensure!(status.success(), "the producer of {}:\n{said}", job.name);
        produced.push((job, Produced::read(&said)?));
    }
    produced.push((BANKING_CHAINED, produced[0].1));
    for (job, produced) in &produced {
        has_read(&warehouse, *job, produced.events)
            .await
            .with_context(|| {
                let said = streams.iter().map(Running::said);
                said.map(Result::unwrap_or_default).collect::<String>()
            })?;
    }
    for stream in streams {
        let (status, said) = stream.end()?;
        ensure!(status.success(), "a stream ended with {status}:\n{said}");
    }
    world.run(&["stream", "--all", "--once"])?;
    for (job, produced) in produced {
        promise::holds(&world, job, produced).await?;
    }
    rates.end()?;
    same_tables(&warehouse, "banking", "banking_chained").await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_jobs_at_once_in_one_process_keep_their_promises() -> Result<()> {
    all_at_once(&[&["stream", "--all"]]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_jobs_at_once_in_a_process_each_keep_their_promises() -> Result<()> {
    all_at_once(&[
        &["stream", "banking"],
        &["stream", "banking_chained"],
        &["stream", "payments"],
        &["stream", "stripe"],
        &["stream", "ecommerce"],
        &["stream", "retail"],
    ])
    .await
}
