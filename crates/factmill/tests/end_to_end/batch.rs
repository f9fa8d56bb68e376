//! Questions over what was streamed, and the same tables built from the lake as a batch.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::banking::Expected;
use super::world::World;

/// Every table of the job.
const TABLES: [&str; 7] = [
    "agg_daily_by_type",
    "agg_hourly_volume",
    "dim_account",
    "dim_customer",
    "dim_date",
    "dim_merchant",
    "fct_transactions",
];

fn stream(world: &World, seed: &str) -> Result<()> {
    world.run(&[
        "produce", "banking", "--count", "8000", "--rate", "max", "--seed", seed, "--bad", "1",
    ])?;
    // several epochs, inlined ones among them
    let small = "trigger.max_rows=900";
    world.run(&["stream", "banking", "--once", "--set", small])?;
    Ok(())
}

/// Rows of one and not of the other, and the number of rows, of a table in two schemas.
async fn difference(warehouse: &Client, table: &str) -> Result<(i64, i64, i64, i64)> {
    let row = warehouse
        .query_one(
            &format!(
                "select (select count(*) from (table streamed.{table} except all table banking.{table}) x), \
                     (select count(*) from (table banking.{table} except all table streamed.{table}) x), \
                     (select count(*) from streamed.{table}), (select count(*) from banking.{table})"
            ),
            &[],
        )
        .await
        .with_context(|| format!("comparing {table}"))?;
    Ok((row.get(0), row.get(1), row.get(2), row.get(3)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_over_the_streamed_lake_builds_the_same_tables() -> Result<()> {
    let world = World::start().await?;
    stream(&world, "21")?;
    stream(&world, "22")?;
    let warehouse = world.warehouse().await?;
    Expected::of(&world.records()?)
        .compare(&warehouse, "banking")
        .await?;
    questions(&world, &warehouse).await?;

    let tables = warehouse
        .query(
            "select table_name::text from information_schema.tables where table_schema = 'banking' order by 1",
            &[],
        )
        .await?;
    let tables: Vec<&str> = tables.iter().map(|row| row.get(0)).collect();
    ensure!(tables == TABLES, "{tables:?}");
    warehouse.batch_execute("create schema streamed").await?;
    for table in TABLES {
        warehouse
            .batch_execute(&format!(
                "create table streamed.{table} as table banking.{table}"
            ))
            .await?;
    }
    let built = world.run(&["run", "--json", "--select", "banking"])?;
    for line in built.lines() {
        let line: Value = serde_json::from_str(line)?;
        ensure!(line["status"] == "success", "{line}");
    }
    ensure!(built.lines().count() == TABLES.len(), "{built}");
    for table in TABLES {
        let (only_streamed, only_built, streamed, built) = difference(&warehouse, table).await?;
        ensure!(
            (only_streamed, only_built) == (0, 0) && streamed == built && built > 0,
            "{table}: {streamed} rows streamed, {built} built; {only_streamed} only streamed, {only_built} only built"
        );
    }

    // a stream goes on with the tables that a batch built
    stream(&world, "23")?;
    Expected::of(&world.records()?)
        .compare(&warehouse, "banking")
        .await?;
    let one = world.run(&["run", "--select", "fct_transactions"])?;
    ensure!(one.contains("PASS=1"), "{one}");
    analyses(&world)
}

/// The shipped analyses, which name models by `ref()`.
fn analyses(world: &World) -> Result<()> {
    for analysis in ["busiest_hours", "spending_by_category"] {
        let file = world.project().join(format!("sql/analyses/{analysis}.sql"));
        let found = world.run(&["sql", "--format", "json", "--file", &file.to_string_lossy()])?;
        let found: Value = serde_json::from_str(&found)?;
        ensure!(
            found.as_array().is_some_and(|rows| !rows.is_empty()),
            "{analysis}: {found}"
        );
    }
    Ok(())
}

/// Ad-hoc questions in every format, over warehouse and lake.
async fn questions(world: &World, warehouse: &Client) -> Result<()> {
    let query =
        "select day_type, count(*) as n from banking.fct_transactions group by 1 order by 1";
    let rows = warehouse.query(query, &[]).await?;
    let wanted: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let as_json: Vec<Value> = wanted
        .iter()
        .map(|(day_type, n)| json!({ "day_type": day_type, "n": n }))
        .collect();
    let found: Value = serde_json::from_str(&world.run(&["sql", "--format", "json", query])?)?;
    ensure!(found == json!(as_json), "{found}");
    let as_csv: String = wanted
        .iter()
        .map(|(day_type, n)| format!("{day_type},{n}\n"))
        .collect();
    let found = world.run(&["sql", "--format", "csv", query])?;
    ensure!(
        found.replace('\r', "") == format!("day_type,n\n{as_csv}"),
        "{found}"
    );
    // as the README has it
    let found = world.run(&[
        "sql",
        "select day_type, count(*) from banking.fct_transactions group by 1",
    ])?;
    for (day_type, n) in &wanted {
        ensure!(
            found.contains(day_type) && found.contains(&n.to_string()),
            "{found}"
        );
    }

    let row = warehouse
        .query_one(
            "select sum(rows_in - dead_letters)::bigint, (select count(*) from banking.fct_transactions) from factmill.epochs",
            &[],
        )
        .await?;
    let (good, facts): (i64, i64) = (row.get(0), row.get(1));
    let found = world.run(&[
        "sql",
        "--format",
        "json",
        "select count(*) as n, count(distinct transaction_id) as ids, sum(amount) as total, null as nothing, \
             timestamp '2024-01-01' as at from lake.banking.transactions",
    ])?;
    let found: Value = serde_json::from_str(&found)?;
    ensure!(
        found[0]["n"] == good && found[0]["ids"] == facts && found[0]["nothing"].is_null(),
        "{found}, the stream loaded {good}"
    );
    let nothing = world.run(&[
        "sql",
        "--format",
        "json",
        "select * from banking.fct_transactions where false",
    ])?;
    ensure!(
        serde_json::from_str::<Value>(&nothing)? == json!([]),
        "{nothing}"
    );
    let file = world.project().join("facts.parquet");
    let place = file.to_string_lossy();
    world.run(&[
        "sql",
        "--format",
        "parquet",
        "--output",
        &place,
        "select * from banking.fct_transactions",
    ])?;
    ensure!(file.metadata()?.len() > 1_000, "a Parquet file");
    let wrong = world
        .factmill(&["sql", "select day_typ from banking.fct_transactions"])
        .output()?;
    ensure!(
        wrong.status.code() == Some(2)
            && String::from_utf8_lossy(&wrong.stderr).contains("day_type"),
        "{wrong:?}"
    );
    Ok(())
}
