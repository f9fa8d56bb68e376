//! Values that have a meaning somewhere on the way.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use factmill_testkit::DuckDb;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::banking::Expected;
use super::super::world::{Sent, World};
use super::{bytes, event};

/// Text that has a meaning somewhere on the way.
const HOSTILE: [&str; 16] = [
    "'; drop table banking.fct_transactions; --",
    "\"; drop schema banking cascade; --",
    "back\\slash \\N \\. \\x00",
    "\\N",
    "",
    " ",
    "NULL",
    "null",
    "%s %n {} {{ ref('x') }} ${HOME} $1 $$",
    "tab\tline\nreturn\rbell\u{7}escape\u{1b}[31m",
    "é e\u{301} \u{df} \u{130} \u{1f600} \u{202e}rtl\u{202c} \u{feff}bom \u{fffd}",
    "\u{10ffff}\u{e000}\u{2028}",
    "=1+1",
    "a,b;c|d\"e'f`g",
    "{\"$ne\": 1}",
    "<script>alert(1)</script>",
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_values_arrive_unchanged() -> Result<()> {
    let world = World::start().await?;
    world.servers.kafka.create_topic(&world.topic, 2).await?;
    for (index, text) in HOSTILE.iter().enumerate() {
        let payload = bytes(&event(Uuid::new_v4(), |event| {
            event["account_id"] = json!(text);
            for field in ["customer_id", "name", "city", "email"] {
                event["customer"][field] = json!(text);
            }
            for field in ["merchant_id", "name", "category"] {
                event["merchant"][field] = json!(text);
            }
            for field in ["currency", "transaction_type", "channel", "status"] {
                event[field] = json!(text);
            }
        }));
        let sent = Sent {
            partition: (index % 2) as i32,
            key: Some(text),
            payload: Some(&payload),
            headers: &[("'; drop", text.as_bytes())],
        };
        world.send(&world.topic, &sent).await?;
    }
    world.run(&["stream", "banking", "--once"])?;
    let warehouse = world.warehouse().await?;
    let expected = Expected::of(&world.records()?);
    ensure!(
        expected.records == HOSTILE.len() && expected.broken.is_empty(),
        "all are good"
    );
    expected.compare(&warehouse, "banking").await?;

    let wanted: HashSet<&str> = HOSTILE.into_iter().collect();
    for column in [
        "dim_account.account_id",
        "dim_account.customer_id",
        "dim_customer.customer_id",
        "dim_customer.name",
        "dim_customer.city",
        "dim_customer.email",
        "dim_merchant.merchant_id",
        "dim_merchant.category",
        "agg_daily_by_type.transaction_type",
        "agg_hourly_volume.currency",
    ] {
        let (table, column) = column.split_once('.').context("table.column")?;
        let rows = warehouse
            .query(&format!("select {column} from banking.{table}"), &[])
            .await?;
        let found: HashSet<&str> = rows.iter().map(|row| row.get(0)).collect();
        ensure!(found == wanted, "{table}.{column} holds {found:?}");
    }
    let lake = DuckDb::attach(world.database.url(), &world.lake().to_string_lossy()).await?;
    let rows = lake
        .query("select account_id, customer.name, merchant.merchant_id, status from lake.banking.transactions")
        .await?;
    for place in 0..4 {
        let found: HashSet<&str> = rows.iter().filter_map(|row| row[place].as_str()).collect();
        ensure!(
            found == wanted,
            "column {place} of the lake holds {found:?}"
        );
    }
    let raw = world
        .servers
        .mongo
        .connect()
        .await?
        .database(&world.named("banking"))
        .collection::<Document>("transactions");
    for text in HOSTILE {
        let document = raw
            .find_one(doc! { "document.account_id": { "$eq": text } })
            .await?;
        let document = document.with_context(|| format!("no raw document of {text:?}"))?;
        ensure!(
            document.get_str("key").ok() == Some(text),
            "the key of {text:?}"
        );
    }
    // a value in a question is a value
    let answer = world.run(&[
        "sql",
        "--format",
        "json",
        "select account_id from banking.fct_transactions where account_id = '''; drop table banking.fct_transactions; --'",
    ])?;
    let answer: Value = serde_json::from_str(&answer)?;
    ensure!(answer == json!([{ "account_id": HOSTILE[0] }]), "{answer}");
    Ok(())
}
