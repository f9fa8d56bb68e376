//! The lake as another DuckLake client sees it, held against the warehouse.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use factmill_testkit::DuckDb;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::banking::Expected;
use super::world::World;

/// Epochs above this many rows are files.
const INLINED: i64 = 1000;

/// Transactions by id: amount, type and day.
type Facts = HashMap<String, (String, String, String)>;

async fn duckdb(world: &World) -> Result<DuckDb> {
    DuckDb::attach(world.database.url(), &world.lake().to_string_lossy()).await
}

/// Streams `count` new events to the end, in epochs of at most `rows`.
fn stream(world: &World, count: &str, seed: &str, rows: &str) -> Result<()> {
    world.run(&[
        "produce", "banking", "--count", count, "--rate", "max", "--seed", seed, "--bad", "2",
    ])?;
    let rows = format!("trigger.max_rows={rows}");
    // a full epoch is worth the wait here: its size is what the test is about
    let wait = "trigger.max_wait=1s";
    world.run(&["stream", "banking", "--once", "--set", &rows, "--set", wait])?;
    Ok(())
}

/// What the warehouse keeps.
async fn facts(warehouse: &Client) -> Result<Facts> {
    let rows = warehouse
        .query(
            "select transaction_id::text, amount::text, transaction_type, (ts at time zone 'UTC')::date::text \
             from banking.fct_transactions",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3))))
        .collect())
}

/// The same from the lake: the newest row of each id, `at` an earlier moment or now.
async fn lake_facts(duckdb: &DuckDb, at: &str) -> Result<Facts> {
    let rows = duckdb
        .query(&format!(
            "select transaction_id::varchar, amount::varchar, transaction_type, \"timestamp\"::date::varchar \
             from lake.banking.transactions{at} \
             qualify row_number() over (partition by transaction_id \
                 order by \"timestamp\" desc, _factmill_partition desc, _factmill_offset desc) = 1"
        ))
        .await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(rows
        .iter()
        .map(|row| (text(&row[0]), (text(&row[1]), text(&row[2]), text(&row[3]))))
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_counts_filters_and_travels_through_the_lake() -> Result<()> {
    let world = World::start().await?;
    let warehouse = world.warehouse().await?;
    // small epochs are inlined, large ones are files, and small ones come after them
    stream(&world, "1500", "1", "400")?;
    let first = last_epoch(&warehouse).await?;
    let facts_then = facts(&warehouse).await?;
    stream(&world, "6000", "2", "2500")?;
    stream(&world, "300", "3", "400")?;
    Expected::of(&world.records()?)
        .compare(&warehouse, "banking")
        .await?;

    let duckdb = duckdb(&world).await?;
    let facts_now = facts(&warehouse).await?;
    ensure!(
        facts_then.len() < facts_now.len(),
        "the earlier epoch had fewer facts"
    );
    same(&lake_facts(&duckdb, "").await?, &facts_now, "now")?;
    let version = format!(" at (version => {first})");
    same(
        &lake_facts(&duckdb, &version).await?,
        &facts_then,
        "at the earlier epoch",
    )?;
    let time: String = warehouse
        .query_one(
            "select (snapshot_time at time zone 'UTC')::text from lake.ducklake_snapshot where snapshot_id = $1",
            &[&first],
        )
        .await?
        .get(0);
    let moment = format!(" at (timestamp => timestamptz '{time}+00')");
    same(
        &lake_facts(&duckdb, &moment).await?,
        &facts_then,
        "at the time of the earlier epoch",
    )?;
    filters(&duckdb, &warehouse).await?;
    a_snapshot_for_each_epoch(&duckdb, &warehouse).await?;
    inlined_and_files(&duckdb, &warehouse).await
}

async fn last_epoch(warehouse: &Client) -> Result<i64> {
    let last = warehouse
        .query_one("select max(epoch) from factmill.epochs", &[])
        .await?;
    Ok(last.get(0))
}

fn same(lake: &Facts, warehouse: &Facts, when: &str) -> Result<()> {
    ensure!(
        lake.len() == warehouse.len(),
        "{when}: {} transactions in the lake, {} in the warehouse",
        lake.len(),
        warehouse.len()
    );
    for (id, fact) in warehouse {
        ensure!(
            lake.get(id) == Some(fact),
            "{when}: {id} is {:?} in the lake, {fact:?} in the warehouse",
            lake.get(id)
        );
    }
    Ok(())
}

/// The same filters, of the kinds that column statistics serve, find the same transactions.
async fn filters(duckdb: &DuckDb, warehouse: &Client) -> Result<()> {
    let account: String = warehouse
        .query_one("select min(account_id) from banking.fct_transactions", &[])
        .await?
        .get(0);
    for filter in [
        "amount > 500".to_owned(),
        "amount between 12.34 and 56.78 and status = 'failed'".to_owned(),
        "ts >= '2024-01-20T00:00:00Z' and ts < '2024-01-21T06:30:00Z'".to_owned(),
        format!("account_id = '{account}'"),
        "merchant_id is null and channel in ('web', 'branch')".to_owned(),
        "transaction_type = 'nothing'".to_owned(),
        "ts < '2023-12-31T00:00:00Z'".to_owned(),
    ] {
        let query = |table: &str| {
            format!(
                "select count(*), cast(coalesce(sum(amount), 0) as varchar) from {table} where {filter}"
            )
        };
        let row = warehouse
            .query_one(&query("banking.fct_transactions"), &[])
            .await?;
        let (count, sum): (i64, String) = (row.get(0), row.get(1));
        let newest = "(select *, \"timestamp\" as ts, merchant.merchant_id as merchant_id from lake.banking.transactions)";
        let found = duckdb.query(&query(newest)).await?;
        ensure!(
            found[0][0] == count && decimal(&found[0][1]) == decimal(&json!(sum)),
            "{filter}: {} in the lake, {count} and {sum} in the warehouse",
            json!(found)
        );
    }
    Ok(())
}

/// A decimal's text without the zeros at its end.
fn decimal(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

/// Each epoch is one snapshot with its rows, written by the transaction of the epoch.
async fn a_snapshot_for_each_epoch(duckdb: &DuckDb, warehouse: &Client) -> Result<()> {
    let rows = warehouse
        .query(
            "select e.epoch, e.rows_in - e.dead_letters, e.xmin = s.xmin \
             from factmill.epochs e left join lake.ducklake_snapshot s on s.snapshot_id = e.epoch order by 1",
            &[],
        )
        .await?;
    let epochs: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for row in &rows {
        ensure!(
            row.get::<_, Option<bool>>(2) == Some(true),
            "epoch {} has no snapshot of its transaction",
            row.get::<_, i64>(0)
        );
    }
    let counts: Vec<String> = epochs
        .iter()
        .flat_map(|(epoch, _)| [epoch - 1, *epoch])
        .map(|version| {
            format!("(select count(*) from lake.banking.transactions at (version => {version}))")
        })
        .collect();
    let counted = duckdb
        .query(&format!("select [{}]", counts.join(", ")))
        .await?;
    let counted: Vec<i64> = serde_json::from_value(counted[0][0].clone())?;
    for ((epoch, good), counted) in epochs.iter().zip(counted.chunks(2)) {
        ensure!(
            counted[1] - counted[0] == *good,
            "epoch {epoch} loaded {good} rows, its snapshot has {}",
            counted[1] - counted[0]
        );
    }
    let snapshots = duckdb
        .query("select snapshot_id from ducklake_snapshots('lake') where changes::varchar like '%insert%' order by 1")
        .await?;
    let snapshots: Vec<i64> = snapshots.iter().filter_map(|row| row[0].as_i64()).collect();
    let numbers: Vec<i64> = epochs.iter().map(|(epoch, _)| *epoch).collect();
    ensure!(
        snapshots == numbers,
        "snapshots {snapshots:?}, epochs {numbers:?}"
    );
    Ok(())
}

/// Small epochs stand in the catalog, large ones are Parquet files with zstd and statistics.
async fn inlined_and_files(duckdb: &DuckDb, warehouse: &Client) -> Result<()> {
    let row = warehouse
        .query_one(
            "select count(*) filter (where rows_in - dead_letters <= $1), count(*) filter (where rows_in - dead_letters > $1), \
                 (sum(rows_in - dead_letters) filter (where rows_in - dead_letters <= $1))::bigint, \
                 (select count(*) from lake.ducklake_data_file), (select sum(record_count)::bigint from lake.ducklake_data_file) \
             from factmill.epochs",
            &[&INLINED],
        )
        .await?;
    let (small, large, small_rows): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let (files, file_rows): (i64, i64) = (row.get(3), row.get(4));
    ensure!(
        small >= 4 && large >= 1,
        "{small} small and {large} large epochs: the test is to have both"
    );
    ensure!(files == large, "{files} files of {large} large epochs");
    let inlined: String = warehouse
        .query_one(
            "select i.table_name from lake.ducklake_inlined_data_tables i join lake.ducklake_table t using (table_id) \
             where t.table_name = 'transactions'",
            &[],
        )
        .await
        .context("no table of inlined rows")?
        .get(0);
    let inlined: i64 = warehouse
        .query_one(&format!("select count(*) from lake.\"{inlined}\""), &[])
        .await?
        .get(0);
    ensure!(
        inlined == small_rows,
        "{inlined} rows are inlined, small epochs have {small_rows}"
    );
    let total = duckdb
        .query("select count(*) from lake.banking.transactions")
        .await?;
    ensure!(total[0][0] == inlined + file_rows, "{total:?} rows");

    let listed = duckdb
        .query("select data_file from ducklake_list_files('lake', 'transactions', schema => 'banking')")
        .await?;
    ensure!(
        listed.len() as i64 == files,
        "{} files are listed",
        listed.len()
    );
    for file in &listed {
        let path = file[0].as_str().context("a path")?;
        let name = path.rsplit('/').next().context("a name")?;
        let metadata = duckdb
            .query(&format!(
                "select list(distinct compression), bool_and(stats_min_value is not null) filter (path_in_schema in \
                     ('amount', 'timestamp', 'account_id')) from parquet_metadata('{path}')"
            ))
            .await?;
        ensure!(
            metadata[0] == [json!(["ZSTD"]), json!(true)],
            "{name}: {}",
            json!(metadata)
        );
        statistics(duckdb, warehouse, path, name).await?;
    }
    Ok(())
}

/// The bounds in the catalog are those of the file's values.
async fn statistics(duckdb: &DuckDb, warehouse: &Client, path: &str, name: &str) -> Result<()> {
    let bounds = duckdb
        .query(&format!(
            "select min(amount)::varchar, max(amount)::varchar, min(account_id), max(account_id), \
                 count(*), count(*) filter (where currency is null), \
                 epoch_us(min(\"timestamp\")), epoch_us(max(\"timestamp\")) \
             from read_parquet('{path}')"
        ))
        .await?;
    let row = warehouse
        .query_one(
            "select amount.min_value, amount.max_value, account.min_value, account.max_value, \
                 account.value_count, currency.null_count, \
                 (extract(epoch from time.min_value::timestamptz) * 1000000)::bigint, \
                 (extract(epoch from time.max_value::timestamptz) * 1000000)::bigint \
             from lake.ducklake_data_file f, \
                 lateral (select s.* from lake.ducklake_file_column_stats s join lake.ducklake_column c using (table_id, column_id) \
                     where s.data_file_id = f.data_file_id and c.column_name = 'amount') amount, \
                 lateral (select s.* from lake.ducklake_file_column_stats s join lake.ducklake_column c using (table_id, column_id) \
                     where s.data_file_id = f.data_file_id and c.column_name = 'account_id') account, \
                 lateral (select s.* from lake.ducklake_file_column_stats s join lake.ducklake_column c using (table_id, column_id) \
                     where s.data_file_id = f.data_file_id and c.column_name = 'currency') currency, \
                 lateral (select s.* from lake.ducklake_file_column_stats s join lake.ducklake_column c using (table_id, column_id) \
                     where s.data_file_id = f.data_file_id and c.column_name = 'timestamp') time \
             where f.path like '%' || $1",
            &[&name],
        )
        .await
        .with_context(|| format!("no statistics of {name}"))?;
    let found = json!([
        row.get::<_, String>(0),
        row.get::<_, String>(1),
        row.get::<_, String>(2),
        row.get::<_, String>(3),
        row.get::<_, i64>(4),
        row.get::<_, i64>(5),
        row.get::<_, i64>(6),
        row.get::<_, i64>(7),
    ]);
    ensure!(
        json!(bounds[0]) == found,
        "{name} holds {}, its statistics say {found}",
        json!(bounds[0])
    );
    Ok(())
}
