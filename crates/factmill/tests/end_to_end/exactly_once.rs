//! Every record is loaded once: through kills, rebalances, pauses and dead servers.

use std::time::Duration;

use anyhow::{Result, ensure};
use factmill_testkit::Mongo;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use tokio_postgres::Client;

use super::banking::Expected;
use super::world::{Running, World, eventually, read_so_far};

/// Small epochs, so that many commits can be hit.
const SMALL_EPOCHS: [&str; 2] = ["--set", "trigger.max_rows=2000"];

fn stream<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["stream", "banking"], SMALL_EPOCHS.as_slice(), more].concat()
}

fn produce(world: &World, count: &str, rate: &str) -> Result<()> {
    world.run(&[
        "produce", "banking", "--count", count, "--rate", rate, "--seed", "7", "--bad", "1",
    ])?;
    Ok(())
}

/// Facts, dead letters, raw store and lake hold each record once.
async fn each_once(world: &World, warehouse: &Client) -> Result<()> {
    let expected = Expected::of(&world.records()?);
    expected.compare(warehouse, "banking").await?;
    let raw = world
        .servers
        .mongo
        .connect()
        .await?
        .database(&world.named("banking"))
        .collection::<mongodb::bson::Document>("transactions");
    let documents = raw.count_documents(mongodb::bson::doc! {}).await?;
    ensure!(
        documents == expected.records as u64,
        "{documents} raw documents of {} records",
        expected.records
    );
    let lake: i64 = warehouse
        .query_one(
            "select s.record_count from lake.ducklake_table_stats s join lake.ducklake_table t using (table_id) \
             where t.table_name = 'transactions'",
            &[],
        )
        .await?
        .get(0);
    let good = expected.records - expected.broken.len();
    ensure!(
        lake == good as i64,
        "the lake holds {lake} rows, {good} records are good"
    );
    joined_up(warehouse).await
}

/// The lineage has neither gap nor overlap.
async fn joined_up(warehouse: &Client) -> Result<()> {
    let row = warehouse
        .query_one(
            "select count(*) from (select from_position::bigint as \"from\", \
                 lag(to_position::bigint) over (partition by source, partition, incarnation order by epoch) as \"before\" \
             from factmill.epoch_intervals) i where \"before\" is not null and \"before\" <> \"from\"",
            &[],
        )
        .await?;
    let gaps: i64 = row.get(0);
    ensure!(
        gaps == 0,
        "{gaps} intervals do not begin where the one before ended"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_25_random_moments() -> Result<()> {
    const EVENTS: i64 = 200_000;
    let seed: u64 = rand::rng().random();
    eprintln!("kills are drawn from seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let world = World::start().await?;
    produce(&world, &EVENTS.to_string(), "max")?;
    let warehouse = world.warehouse().await?;
    let mut moments: Vec<i64> = (0..25).map(|_| random.random_range(0..EVENTS)).collect();
    moments.sort_unstable();
    for moment in moments {
        let run = world.spawn(&stream(&[]))?;
        world.read_at_least(&warehouse, moment).await?;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..20_000))).await;
        run.kill()?;
    }
    world.run(&stream(&["--once"]))?;
    each_once(&world, &warehouse).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_joins_and_leaves_under_load() -> Result<()> {
    let world = World::start().await?;
    world.servers.kafka.create_topic(&world.topic, 8).await?;
    produce(&world, "100000", "max")?;
    let warehouse = world.warehouse().await?;
    let first = world.spawn(&stream(&[]))?;
    world.read_at_least(&warehouse, 15_000).await?;
    let second = world.spawn(&stream(&[]))?;
    world.read_at_least(&warehouse, 40_000).await?;
    let (status, said) = second.end()?;
    ensure!(
        status.success(),
        "the second process ended with {status}:\n{said}"
    );
    world.read_at_least(&warehouse, 60_000).await?;
    let third = world.spawn(&stream(&[]))?;
    world.read_at_least(&warehouse, 80_000).await?;
    third.kill()?;
    world.read_at_least(&warehouse, 100_000).await?;
    let (status, said) = first.end()?;
    ensure!(
        status.success(),
        "the first process ended with {status}:\n{said}"
    );
    each_once(&world, &warehouse).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_paused_past_its_session_is_fenced() -> Result<()> {
    let world = World::start().await?;
    produce(&world, "70000", "max")?;
    let warehouse = world.warehouse().await?;
    let paused = world.spawn(&stream(&[]))?;
    world.read_at_least(&warehouse, 10_000).await?;
    paused.signal(Signal::STOP)?;
    let after = read_so_far(&warehouse).await?;
    let heir = world.spawn(&stream(&[]))?;
    // the group gives the partitions away once the session of the paused process has expired
    world
        .read_at_least(&warehouse, (after + 30_000).min(70_000))
        .await?;
    let (tables, snapshots) = state(&warehouse).await?;
    paused.signal(Signal::CONT)?;
    eventually("the paused process to notice", async || {
        let said = paused.said()?;
        Ok(said.contains("going back to the stored positions") || said.contains("lost=true"))
    })
    .await?;
    ensure!(
        state(&warehouse).await? >= (tables, snapshots),
        "tables and lake never go back"
    );
    world.read_at_least(&warehouse, 70_000).await?;
    heir.end()?;
    paused.end()?;
    each_once(&world, &warehouse).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_paused_in_a_rebuild_holds_nobody_up() -> Result<()> {
    let world = World::start().await?;
    produce(&world, "20000", "max")?;
    let warehouse = world.warehouse().await?;
    let paused = world.spawn(&stream(&[]))?;
    world.read_at_least(&warehouse, 10_000).await?;
    // a rebuild about to swap waits for a reader, and has locked all else
    let reader = world.warehouse().await?;
    let read = "begin; select from banking.agg_daily_by_type";
    reader.batch_execute(read).await?;
    eventually("a rebuild about to swap", async || {
        let waiting = "select exists (select from pg_locks where mode = 'AccessExclusiveLock' and not granted \
                       and relation = 'banking.agg_daily_by_type'::regclass)";
        Ok(warehouse.query_one(waiting, &[]).await?.get(0))
    })
    .await?;
    paused.signal(Signal::STOP)?;
    reader.batch_execute("commit").await?;
    let heir = world.spawn(&stream(&[]))?;
    world.read_at_least(&warehouse, 20_000).await?;
    eventually("totals of all facts", async || {
        let whole = "select (select coalesce(sum(transaction_count), 0) from banking.agg_daily_by_type) \
                     = (select count(*) from banking.fct_transactions)";
        Ok(warehouse.query_one(whole, &[]).await?.get(0))
    })
    .await?;
    paused.signal(Signal::CONT)?;
    paused.end()?;
    heir.end()?;
    each_once(&world, &warehouse).await
}

async fn state(warehouse: &Client) -> Result<(i64, i64)> {
    let row = warehouse
        .query_one(
            "select (select count(*) from banking.fct_transactions), (select max(snapshot_id) from lake.ducklake_snapshot)",
            &[],
        )
        .await?;
    Ok((row.get(0), row.get(1)))
}

/// The run reads all 60,000 records, ends in order, and has loaded each once.
async fn all_is_read_once(world: &World, run: Running) -> Result<()> {
    let warehouse = world.warehouse().await?;
    world.read_at_least(&warehouse, 60_000).await?;
    let (status, said) = run.end()?;
    ensure!(status.success(), "ended with {status}:\n{said}");
    each_once(world, &warehouse).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_dies_and_comes_back_under_load() -> Result<()> {
    let world = World::start_own(Mongo::start()).await?;
    if !world.servers.kafka.restartable() {
        eprintln!("skipped: this Kafka runs elsewhere");
        return Ok(());
    }
    produce(&world, "60000", "max")?;
    let warehouse = world.warehouse().await?;
    let run = world.spawn(&stream(&[]))?;
    world.read_at_least(&warehouse, 20_000).await?;
    world.servers.kafka.kill()?;
    world.servers.kafka.restart().await?;
    all_is_read_once(&world, run).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_dies_and_comes_back_under_load() -> Result<()> {
    let world = World::start_own(Mongo::start()).await?;
    if !world.servers.postgres.restartable() {
        eprintln!("skipped: this Postgres runs elsewhere");
        return Ok(());
    }
    produce(&world, "60000", "max")?;
    let warehouse = world.warehouse().await?;
    let run = world.spawn(&stream(&[]))?;
    world.read_at_least(&warehouse, 20_000).await?;
    world.servers.postgres.kill()?;
    world.servers.postgres.restart().await?;
    all_is_read_once(&world, run).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_below_the_log_is_a_gap() -> Result<()> {
    let world = World::start().await?;
    produce(&world, "1000", "max")?;
    world.run(&["stream", "banking", "--once"])?;
    produce(&world, "1000", "max")?;
    for (partition, (_, end)) in world.servers.kafka.offsets(&world.topic).await? {
        world
            .servers
            .kafka
            .delete_records(&world.topic, partition, end)
            .await?;
    }
    let output = world.factmill(&["stream", "banking", "--once"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(4),
        "ended with {}:\n{said}",
        output.status
    );
    ensure!(
        said.contains(&world.topic)
            && said.contains("factmill positions banking accept-gap --profile local"),
        "names the topic and the way out:\n{said}"
    );
    // the way out leads out, for those who say so
    let shown = world
        .factmill(&["positions", "banking", "accept-gap"])
        .output()?;
    let lost = String::from_utf8_lossy(&shown.stdout);
    ensure!(
        shown.status.code() == Some(4) && lost.contains("records in between are gone"),
        "ended with {}:\n{lost}",
        shown.status
    );
    world.run(&["positions", "banking", "accept-gap", "--yes"])?;
    let none = world.run(&["positions", "banking", "accept-gap", "--json"])?;
    ensure!(none.is_empty(), "{none}");
    produce(&world, "500", "max")?;
    let again = world.run(&["stream", "banking", "--once", "--json"])?;
    ensure!(again.contains("\"rows_in\":500"), "{again}");
    joined_up(&world.warehouse().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_of_one_source_ends_a_stream_whose_others_go_on() -> Result<()> {
    let mut world = World::start().await?;
    let rates = world.serve_rates()?;
    let produce = ["produce", "stripe", "--count", "20", "--rate", "max"];
    world.run(&produce)?;
    world.run(&["stream", "stripe", "--once"])?;
    world.run(&produce)?;
    let topic = world.named("stripe_charges");
    for (partition, (_, end)) in world.servers.kafka.offsets(&topic).await? {
        world
            .servers
            .kafka
            .delete_records(&topic, partition, end)
            .await?;
    }
    let (status, said) = world.spawn(&["stream", "stripe"])?.wait()?;
    ensure!(status.code() == Some(4), "ended with {status}:\n{said}");
    ensure!(said.contains(&topic), "{said}");
    rates.end()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_beside_a_live_stream_loses_nothing() -> Result<()> {
    const EVENTS: i64 = 40_000;
    let world = World::start().await?;
    let warehouse = world.warehouse().await?;
    let producer = world.spawn(&[
        "produce", "banking", "--count", "40000", "--rate", "4000", "--seed", "7", "--bad", "1",
    ])?;
    for moment in [4_000, 12_000, 20_000] {
        let live = world.spawn(&stream(&[]))?;
        world.read_at_least(&warehouse, moment).await?;
        world.run(&["run", "--job", "banking"])?;
        let (status, said) = live.wait()?;
        ensure!(
            status.code() == Some(1) && said.contains("a newer version took over"),
            "ended with {status}:\n{said}"
        );
    }
    let (status, said) = producer.wait()?;
    ensure!(status.success(), "{said}");
    world.run(&stream(&["--once"]))?;
    let read = read_so_far(&warehouse).await?;
    ensure!(read == EVENTS, "{read} records read");
    each_once(&world, &warehouse).await
}
