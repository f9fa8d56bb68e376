//! Models that go to collections, and models that read tables which somebody else keeps.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use factmill_testkit::Postgres;
use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};
use tokio_postgres::Client;

use super::world::{World, eventually, finished};

/// The ids of a collection.
async fn ids(collection: &Collection<Document>) -> Result<BTreeSet<String>> {
    let found = collection.find(doc! {}).projection(doc! { "_id": 1 });
    let found: Vec<Document> = found.await?.try_collect().await?;
    let count = found.len();
    let ids = found.iter().map(|document| document.get_str("_id"));
    let ids: BTreeSet<String> = ids
        .map(|id| id.map(str::to_owned))
        .collect::<Result<_, _>>()?;
    ensure!(ids.len() == count, "an id stands twice");
    Ok(ids)
}

#[tokio::test]
async fn each_raw_document_has_its_processed_one_once_whatever_is_killed() -> Result<()> {
    let world = World::start().await?;
    world.run(&[
        "produce", "retail", "--count", "1500", "--rate", "max", "--seed", "7",
    ])?;
    let client = world.servers.mongo.connect().await?;
    let database = client.database(&world.named("retail"));
    let raw = database.collection("transactions");
    let processed = database.collection("transactions_processed");
    let small = ["stream", "retail", "--set", "trigger.max_rows=100"];
    for kill in 1..=3 {
        let running = world.spawn(&small)?;
        let wanted = kill * 200;
        eventually("processed documents", async || {
            Ok(processed.count_documents(doc! {}).await? >= wanted)
        })
        .await?;
        running.kill()?;
    }
    world.run(&["stream", "retail", "--once"])?;

    let raw = ids(&raw).await?;
    ensure!(raw.len() >= 1500, "{} raw documents", raw.len());
    assert_eq!(ids(&processed).await?, raw);
    let reviewed = processed.find_one(doc! { "language": "en" }).await?;
    let reviewed = reviewed.context("a review in English")?;
    ensure!(reviewed.get_f64("sentiment").is_ok(), "{reviewed}");
    ensure!(
        matches!(reviewed.get("ts"), Some(Bson::DateTime(_))),
        "{reviewed}"
    );
    ensure!(
        matches!(reviewed.get("items"), Some(Bson::Array(_))),
        "{reviewed}"
    );
    let table = "select to_regclass('retail.transactions_processed') is null";
    let is_view: bool = world.warehouse().await?.query_one(table, &[]).await?.get(0);
    ensure!(is_view, "the view has become a table");
    Ok(())
}

const SOURCE: &str = "\
version: 2
sources:
  - name: crm
    tables:
      - name: segments
        config: { meta: { factmill: { postgres: { table: crm.segments, refresh: 200ms, watermark: updated_at } } } }
        columns:
          - { name: segment_id, data_type: bigint }
          - { name: name, data_type: text }
          - { name: weight, data_type: \"numeric(18,4)\" }
          - { name: updated_at, data_type: timestamptz }
models:
  - name: dim_segment
    config: { materialized: table, meta: { factmill: { maintenance: rebuild, rebuild_every: 200ms } } }
";

/// A table that somebody keeps there, a model that reads it, and some records for the job.
async fn refer(world: &World, source: &str, keeper: &Client) -> Result<()> {
    let models = world.project().join("models/banking");
    std::fs::write(models.join("_reference.yml"), source)?;
    std::fs::write(
        models.join("marts/dim_segment.sql"),
        "select segment_id, name, weight from {{ source('crm', 'segments') }}",
    )?;
    keeper
        .batch_execute(
            "create schema crm; \
             create table crm.segments (segment_id integer primary key, name varchar(40), \
                 weight numeric(12,2), updated_at timestamptz not null, unread xml); \
             insert into crm.segments values (1, 'it''s \"gold\"', 1.25, now(), '<a/>')",
        )
        .await?;
    world.run(&[
        "produce", "banking", "--count", "200", "--rate", "max", "--seed", "7",
    ])?;
    Ok(())
}

/// Whether the model that reads it has these rows.
async fn has(warehouse: &Client, rows: &str) -> Result<bool> {
    let shown = "select coalesce(string_agg(segment_id || ' ' || name || ' ' || weight, ', ' \
                 order by segment_id), '') from banking.dim_segment";
    // the table is not there before the job has made it
    let row = warehouse.query_one(shown, &[]).await;
    Ok(row.is_ok_and(|row| row.get::<_, String>(0) == rows))
}

#[tokio::test]
async fn a_table_kept_elsewhere_reaches_what_reads_it_in_stream_batch_and_query() -> Result<()> {
    let world = World::start().await?;
    let warehouse = world.warehouse().await?;
    refer(&world, SOURCE, &warehouse).await?;
    let running = world.spawn(&["stream", "banking"])?;
    let has = async |rows: &str| has(&warehouse, rows).await;
    let first = "1 it's \"gold\" 1.2500";
    eventually("the first rows", async || has(first).await).await?;
    warehouse
        .batch_execute(
            "update crm.segments set weight = 2, updated_at = clock_timestamp(); \
             insert into crm.segments values (2, 'new', 3, clock_timestamp())",
        )
        .await?;
    let second = "1 it's \"gold\" 2.0000, 2 new 3.0000";
    eventually("the changed rows", async || has(second).await).await?;
    // a deletion leaves the largest watermark as it is
    warehouse
        .batch_execute("delete from crm.segments where segment_id = 1")
        .await?;
    eventually("the rows that are left", async || has("2 new 3.0000").await).await?;
    let (status, said) = running.end()?;
    ensure!(status.success(), "{said}");

    warehouse
        .batch_execute("insert into crm.segments values (3, 'batch', 4, now())")
        .await?;
    world.run(&["run", "--select", "dim_segment"])?;
    ensure!(
        has("2 new 3.0000, 3 batch 4.0000").await?,
        "a batch reads it too"
    );
    let query = "select sum(weight) as total from lake.crm.segments where name <> 'new'";
    let answer = world.run(&["sql", query])?;
    ensure!(answer.contains("4.0000"), "{answer}");

    warehouse
        .batch_execute("alter table crm.segments rename weight to weights")
        .await?;
    let refused = finished(world.factmill(&["stream", "banking", "--once"]))?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(!refused.status.success(), "{said}");
    ensure!(
        said.contains("declares column `weight`, which table crm.segments does not have")
            && said.contains("did you mean `weights`?")
            && said.contains("_reference.yml"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_table_of_another_server_is_read_there() -> Result<()> {
    let world = World::start().await?;
    let server = Postgres::start().await?;
    let elsewhere = server.create_database().await?;
    let keeper = elsewhere.connect().await?;
    let source = SOURCE.replace(
        "table: crm.segments",
        "database: \"the crm\", table: crm.segments",
    );
    refer(&world, &source, &keeper).await?;
    let warehouse = world.warehouse().await?;

    let refused = finished(world.factmill(&["stream", "banking", "--once"]))?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(
        refused.status.code() == Some(2)
            && said.contains("profile `local` has no database `the crm`")
            && said.contains("factmill.yml:"),
        "{said}"
    );

    let file = world.project().join("factmill.yml");
    let profiles = std::fs::read_to_string(&file)?;
    let named = "  local:\n    databases: { the crm: { url: \"${CRM_URL}\" } }\n";
    std::fs::write(&file, profiles.replacen("  local:\n", named, 1))?;
    let variable = format!("CRM_URL={}\n", elsewhere.url());
    std::fs::write(world.project().join(".env"), variable)?;

    let running = world.spawn(&["stream", "banking"])?;
    let has = async |rows: &str| has(&warehouse, rows).await;
    eventually("the first rows", async || {
        has("1 it's \"gold\" 1.2500").await
    })
    .await?;
    // the other server goes away and comes back: the stream waits for it
    server.kill()?;
    server.restart().await?;
    let keeper = elsewhere.connect().await?;
    keeper
        .batch_execute("insert into crm.segments values (2, 'new', 3, clock_timestamp())")
        .await?;
    let second = "1 it's \"gold\" 1.2500, 2 new 3.0000";
    eventually("the changed rows", async || has(second).await).await?;
    let (status, said) = running.end()?;
    ensure!(status.success(), "{said}");

    keeper
        .batch_execute("delete from crm.segments where segment_id = 1")
        .await?;
    world.run(&["run", "--select", "dim_segment"])?;
    ensure!(has("2 new 3.0000").await?, "a batch reads it too");
    let query = "select sum(weight) as total from lake.crm.segments";
    let answer = world.run(&["sql", query])?;
    ensure!(answer.contains("3.0000"), "{answer}");
    let examined = world.run(&["doctor", "banking"])?;
    ensure!(examined.contains("the crm: crm.segments"), "{examined}");

    // who does not read it does without
    server.kill()?;
    world.run(&["sql", "select count(*) from banking.fct_transactions"])?;
    let refused = finished(world.factmill(&["sql", query]))?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(!refused.status.success(), "{said}");
    ensure!(said.contains("database `the crm`"), "{said}");
    ensure!(!said.contains(elsewhere.url()), "{said}");
    Ok(())
}
