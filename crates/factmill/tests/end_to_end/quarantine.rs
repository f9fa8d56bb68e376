//! Records that decode, and that a model or a table does not take.

use std::fs;

use anyhow::{Result, ensure};
use factmill_testkit::{DuckDb, project};
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Sent, World, finished};

/// A model that divides by zero for a channel of one letter, and takes no currency `none` or of more than
/// four letters.
const SHARES: &str = "\
{{ config(materialized='incremental') }}
select
    transaction_id,
    nullif(currency, 'none') as currency,
    currency as label,
    100 / (length(channel) - 1) as share
from {{ ref('stg_transactions') }}
";

const SHARES_PROPERTIES: &str = "\
version: 2
models:
  - name: fct_shares
    columns:
      - name: currency
        constraints: [{ type: not_null }]
      - name: label
        data_type: varchar(4)
";

const GOOD: i64 = 2_000;
const REFUSED: i64 = 4;

fn event(channel: &str, currency: &str, customer_id: &str) -> Vec<u8> {
    let event = json!({
        "transaction_id": Uuid::new_v4(),
        "timestamp": "2024-01-06T10:00:00.125Z",
        "account_id": "FR76",
        "customer": { "customer_id": customer_id, "name": "Zoé", "city": "Lyon", "email": null },
        "amount": "12.50",
        "currency": currency,
        "transaction_type": "card_payment",
        "merchant": null,
        "channel": channel,
        "status": "completed",
    });
    event.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_model_or_a_table_refuses_is_one_dead_letter_and_the_rest_loads()
-> Result<()> {
    let world = World::start().await?;
    let models = world.project().join("models/banking/marts");
    fs::write(models.join("fct_shares.sql"), SHARES)?;
    fs::write(models.join("fct_shares.yml"), SHARES_PROPERTIES)?;
    let count = GOOD.to_string();
    world.run(&[
        "produce", "banking", "--count", &count, "--rate", "max", "--seed", "5",
    ])?;
    let long = "0123456789".repeat(500);
    let refused = [
        (event("x", "EUR", "C1"), "model_failed", None, "fct_shares"),
        (
            event("web", "none", "C1"),
            "constraint_failed",
            Some("currency"),
            "not_null",
        ),
        (
            event("web", "EUROS", "C1"),
            "constraint_failed",
            Some("label"),
            "5 characters",
        ),
        (
            event("web", "EUR", &long),
            "constraint_failed",
            None,
            "5000 bytes",
        ),
    ];
    let mut places = Vec::new();
    for (payload, ..) in &refused {
        let sent = Sent {
            key: Some("key"),
            payload: Some(payload),
            headers: &[("trace", b"t1")],
            ..Sent::default()
        };
        places.push(world.send(&world.topic, &sent).await?);
    }
    let summary = world.run(&["stream", "banking", "--once", "--json"])?;
    let summary: Value = serde_json::from_str(&summary)?;
    ensure!(
        summary["rows_in"] == GOOD + REFUSED && summary["dead_letters"] == REFUSED,
        "{summary}"
    );

    let warehouse = world.warehouse().await?;
    for ((payload, reason, field, detail), (partition, offset)) in refused.iter().zip(&places) {
        let row = warehouse
            .query_one(
                "select reason, field, detail, key, payload, headers::text from factmill.dead_letters \
                 where job = 'banking' and partition = $1 and \"offset\" = $2",
                &[&partition.to_string(), offset],
            )
            .await?;
        let found: (&str, Option<&str>, &str) = (row.get(0), row.get(1), row.get(2));
        ensure!(
            (found.0, found.1) == (*reason, *field) && found.2.contains(detail),
            "{found:?} is not {reason} at {field:?} because of {detail}"
        );
        ensure!(
            row.get::<_, &[u8]>(3) == b"key" && row.get::<_, &[u8]>(4) == payload,
            "key or payload was changed"
        );
        ensure!(row.get::<_, &str>(5).contains("t1"), "headers are kept");
    }
    for table in ["fct_transactions", "fct_shares"] {
        let sql = format!("select count(*) from banking.{table}");
        let rows: i64 = warehouse.query_one(&sql, &[]).await?.get(0);
        ensure!(rows == GOOD, "{table} has {rows} rows of {GOOD}");
    }
    let lake = DuckDb::attach(world.database.url(), &world.lake().to_string_lossy()).await?;
    let found = lake
        .query("select count(*) from lake.banking.transactions")
        .await?;
    ensure!(found[0] == [json!(GOOD)], "the lake holds {found:?}");

    // so a batch over the lake does not meet them again
    world.run(&["run"])?;
    let rows: i64 = warehouse
        .query_one("select count(*) from banking.fct_shares", &[])
        .await?
        .get(0);
    ensure!(rows == GOOD, "the batch built {rows} rows");

    // a model that takes hardly any record is broken itself, and none is set aside for it
    let broken = SHARES.replace("length(channel) - 1", "length(channel) - length(channel)");
    fs::write(models.join("fct_shares.sql"), broken)?;
    world.run(&[
        "produce", "banking", "--count", "5000", "--rate", "max", "--seed", "6",
    ])?;
    let stopped = finished(world.factmill(&["stream", "banking", "--once"]))?;
    let told = String::from_utf8_lossy(&stopped.stderr);
    ensure!(
        stopped.status.code() == Some(1)
            && told.contains("more than 1000 records")
            && told.contains("fct_shares"),
        "{}: {told}",
        stopped.status
    );
    let row = warehouse
        .query_one(
            "select (select count(*) from banking.fct_transactions), \
             (select count(*) from factmill.dead_letters)",
            &[],
        )
        .await?;
    let kept: (i64, i64) = (row.get(0), row.get(1));
    ensure!(
        kept == (GOOD, REFUSED),
        "{kept:?} facts and dead letters are kept"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_rebuilt_ends_the_stream() -> Result<()> {
    let world = World::start().await?;
    world.run(&["produce", "banking", "--count", "100", "--rate", "max"])?;
    world.run(&["stream", "banking", "--once"])?;
    let hourly = "models/banking/marts/agg_hourly_volume.sql";
    project::rewrite(
        &world.project().join(hourly),
        "count(*) as transaction_count",
        "count(*) / (count(*) - count(*)) as transaction_count",
    )?;
    let (status, said) = world.spawn(&["stream", "banking"])?.wait()?;
    ensure!(status.code() == Some(1), "ended with {status}:\n{said}");
    ensure!(
        said.contains("agg_hourly_volume") && said.to_lowercase().contains("divi"),
        "{said}"
    );
    Ok(())
}
