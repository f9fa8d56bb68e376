//! From produce to visible row, while events come at an even rate.
//!
//! An event's time is its record's timestamp: when the producer was handed it, cut to the
//! millisecond, so that a latency is told up to 1 ms too long. A reader asks the warehouse for the
//! stored positions all the time; a position becomes visible in one commit with the rows before it,
//! so an event is visible in the first answer whose position is beyond it, at the time the answer
//! came. The clock is that of the machine that everything runs on.

use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use factmill_produce::{ProduceConfig, Rate, produce};
use serde::Serialize;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::kafka::{each_record, events};
use super::world::{PARTITIONS, Place, World};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two questions of the reader.
const PAUSE: Duration = Duration::from_millis(2);

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Events a second.
    pub(crate) rate: u32,
    /// Not counted.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// Milliseconds from produce to visible row.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) rate: u32,
    pub(crate) events: usize,
    pub(crate) seconds: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    /// Between two answers to the reader: how finely it looks.
    pub(crate) reader_p50: f64,
}

/// One answer to the reader: the positions by partition, at a time in milliseconds since 1970.
struct Seen {
    at: f64,
    positions: [i64; PARTITIONS as usize],
}

/// Streams until all that was sent is visible.
pub(crate) async fn measure(world: &World, load: Load) -> Result<Latency> {
    let place = world.place().await?;
    world.settle().await?;
    let stream = Stream::start(world, &place).await?;
    let count = u64::from(load.rate) * (load.warm_up + load.measured).as_secs();
    let config = ProduceConfig {
        rate: Rate::PerSecond(f64::from(load.rate)),
        count: Some(count),
        ..ProduceConfig::new(
            [(
                "bootstrap.servers".to_owned(),
                world.kafka.brokers().to_owned(),
            )],
            &place.topic,
        )
    };
    let stop = CancellationToken::new();
    let reader = tokio::spawn(read(place.database.connect().await?, count as i64));
    let source = events(count)?.starting_at(0);
    let report = produce(config, source, &stop, |_| {}).await?;
    ensure!(
        report.acknowledged == count,
        "not all events were acknowledged"
    );
    let seen = reader.await??;
    drop(stream);
    latencies(world, &place, load, count, &seen)
}

/// `factmill stream`, ended when it is dropped.
struct Stream(Child);

impl Stream {
    /// Starts it and waits until it has prepared its tables.
    async fn start(world: &World, place: &Place) -> Result<Self> {
        let child = world
            .stream(place, &[])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let stream = Self(child);
        let warehouse = place.database.connect().await?;
        let there = async {
            let ready = "select to_regclass('banking.fct_transactions') is not null";
            while !warehouse.query_one(ready, &[]).await?.get::<_, bool>(0) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, there)
            .await
            .context("factmill does not start")??;
        Ok(stream)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // gone already where it failed
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks for the positions until they add up to `count`.
async fn read(warehouse: Client, count: i64) -> Result<Vec<Seen>> {
    let ask = warehouse
        .prepare("select partition::int, position::bigint from factmill.positions")
        .await?;
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        let rows = warehouse.query(&ask, &[]).await?;
        let mut positions = [0; PARTITIONS as usize];
        for row in &rows {
            positions[usize::try_from(row.get::<_, i32>(0))?] = row.get(1);
        }
        let at = now();
        let moved = seen.last().is_none_or(|last| last.positions != positions);
        let stands = seen.last().map_or(0.0, |last| at - last.at);
        ensure!(
            moved || stands < PATIENCE.as_secs_f64() * 1e3,
            "nothing becomes visible any more"
        );
        if moved {
            seen.push(Seen { at, positions });
        }
        if positions.iter().sum::<i64>() >= count {
            return Ok(seen);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() * 1e3
}

/// Holds every record's timestamp against the first answer that is beyond it.
fn latencies(
    world: &World,
    place: &Place,
    load: Load,
    count: u64,
    seen: &[Seen],
) -> Result<Latency> {
    use rdkafka::Message;
    let mut records = Vec::with_capacity(count as usize);
    each_record(world, &place.topic, count, |message| {
        let produced = message.timestamp().to_millis().unwrap() as f64;
        let partition = message.partition() as usize;
        let first = seen.partition_point(|seen| seen.positions[partition] <= message.offset());
        records.push((produced, seen[first].at - produced));
    })?;
    let began = records
        .iter()
        .map(|(produced, _)| *produced)
        .fold(f64::MAX, f64::min);
    let counted_from = began + load.warm_up.as_secs_f64() * 1e3;
    records.retain(|(produced, _)| *produced >= counted_from);
    let mut spent: Vec<f64> = records.into_iter().map(|(_, latency)| latency).collect();
    let mut gaps: Vec<f64> = seen
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect();
    spent.sort_unstable_by(f64::total_cmp);
    gaps.sort_unstable_by(f64::total_cmp);
    Ok(Latency {
        rate: load.rate,
        events: spent.len(),
        seconds: load.measured.as_secs_f64(),
        p50: quantile(&spent, 0.5),
        p90: quantile(&spent, 0.9),
        p99: quantile(&spent, 0.99),
        max: quantile(&spent, 1.0),
        reader_p50: quantile(&gaps, 0.5),
    })
}

/// The value that this part of the sorted values does not exceed.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}
