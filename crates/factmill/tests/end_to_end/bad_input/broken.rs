//! Each broken record is one dead letter, kept whole and shown as it came.

use anyhow::{Context, Result, ensure};
use factmill_testkit::DuckDb;
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::super::banking::Expected;
use super::super::world::{Sent, World};
use super::samples::{Broken, broken, odd_but_good, with};

const HEADERS: [(&str, &[u8]); 3] = [("trace", b"t'1"), ("trace", b"t2"), ("raw", b"\xff\0")];

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_record_is_one_dead_letter_and_the_rest_loads() -> Result<()> {
    let world = World::start().await?;
    world.servers.kafka.create_topic(&world.topic, 3).await?;
    let mut letters = Vec::new();
    let mut good = odd_but_good().into_iter();
    for (index, broken) in broken().into_iter().enumerate() {
        let partition = (index % 3) as i32;
        let before = good
            .next()
            .unwrap_or_else(|| with("/status", json!("pending")));
        let sent = Sent {
            partition,
            payload: Some(&before),
            ..Sent::default()
        };
        world.send(&world.topic, &sent).await?;
        let sent = Sent {
            partition,
            key: Some("k'\"\u{1f600}"),
            payload: broken.payload.as_deref(),
            headers: &HEADERS,
        };
        letters.push((world.send(&world.topic, &sent).await?, broken));
    }
    let summary = world.run(&["stream", "banking", "--once", "--json"])?;
    let summary: Value = serde_json::from_str(&summary)?;
    ensure!(
        summary["dead_letters"] == letters.len() && summary["rows_in"] == 2 * letters.len(),
        "{summary}"
    );

    let warehouse = world.warehouse().await?;
    let records = world.records()?;
    Expected::of(&records)
        .compare(&warehouse, "banking")
        .await?;
    for ((partition, offset), broken) in &letters {
        kept_whole(&warehouse, *partition, *offset, broken).await?;
    }
    listed_and_shown(&world, &letters)?;
    raw_store_has_all(&world, &letters, records.len()).await?;

    let lake = DuckDb::attach(world.database.url(), &world.lake().to_string_lossy()).await?;
    let found = lake
        .query("select count(*), count(distinct transaction_id) from lake.banking.transactions")
        .await?;
    ensure!(
        found[0] == [json!(letters.len()), json!(letters.len())],
        "the lake holds {found:?}, {} records are good",
        letters.len()
    );

    // nothing is read or set aside a second time
    let again = world.run(&["stream", "banking", "--once", "--json"])?;
    let again: Value = serde_json::from_str(&again)?;
    ensure!(
        again["rows_in"] == 0 && again["dead_letters"] == 0,
        "{again}"
    );
    Ok(())
}

async fn kept_whole(
    warehouse: &Client,
    partition: i32,
    offset: i64,
    broken: &Broken,
) -> Result<()> {
    let rows = warehouse
        .query(
            "select reason, field, detail, key, payload, headers::text, source, incarnation \
             from factmill.dead_letters where job = 'banking' and partition = $1 and \"offset\" = $2",
            &[&partition.to_string(), &offset],
        )
        .await?;
    let shown = broken
        .payload
        .as_deref()
        .map(|payload| String::from_utf8_lossy(&payload[..payload.len().min(200)]).into_owned());
    ensure!(rows.len() == 1, "{} dead letters of {shown:?}", rows.len());
    let row = &rows[0];
    let (reason, field, detail): (String, Option<String>, String) =
        (row.get(0), row.get(1), row.get(2));
    ensure!(
        (reason.as_str(), field.as_deref()) == (broken.reason, broken.field),
        "{shown:?} is {reason} at {field:?} ({detail}), not {} at {:?}",
        broken.reason,
        broken.field
    );
    ensure!(!detail.is_empty(), "no detail of {shown:?}");
    ensure!(
        row.get::<_, Option<Vec<u8>>>(3).as_deref() == Some("k'\"\u{1f600}".as_bytes())
            && row.get::<_, Option<Vec<u8>>>(4) == broken.payload,
        "key or payload of {shown:?} was changed"
    );
    let headers: Value = serde_json::from_str(row.get(5))?;
    let sent = json!([["trace", "t'1"], ["trace", "t2"], ["raw", { "hex": "ff00" }]]);
    ensure!(headers == sent, "headers of {shown:?}: {headers}");
    ensure!(
        row.get::<_, &str>(6) == "banking.transactions" && row.get::<_, i32>(7) == 1,
        "source or incarnation of {shown:?}"
    );
    Ok(())
}

/// What `dead-letters` says is what was set aside.
fn listed_and_shown(world: &World, letters: &[((i32, i64), Broken)]) -> Result<()> {
    let listed = world.run(&[
        "dead-letters",
        "list",
        "banking",
        "--limit",
        "1000",
        "--json",
    ])?;
    let listed: Vec<Value> = listed
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    ensure!(listed.len() == letters.len(), "{} are listed", listed.len());
    for ((partition, offset), broken) in letters {
        let number = partition.to_string();
        let letter = listed
            .iter()
            .find(|letter| letter["partition"] == number.as_str() && letter["offset"] == *offset)
            .with_context(|| format!("{partition} @ {offset} is not listed"))?;
        ensure!(
            letter["reason"] == broken.reason && letter["field"] == json!(broken.field),
            "{letter} is listed"
        );
        let is_small = broken
            .payload
            .as_ref()
            .is_none_or(|payload| payload.len() < 1_000);
        let shown = match is_small && *partition == 0 {
            true => world.run(&["dead-letters", "show", &letter["id"].to_string(), "--json"])?,
            false => continue,
        };
        let shown: Value = serde_json::from_str(&shown)?;
        let payload = broken.payload.as_deref().map_or(Value::Null, |payload| {
            match std::str::from_utf8(payload) {
                Ok(text) => json!(text),
                Err(_) => json!({ "hex": payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
            }
        });
        ensure!(
            shown["payload"] == payload,
            "{shown} is shown for {payload}"
        );
        ensure!(shown["headers"][0] == json!(["trace", "t'1"]), "{shown}");
    }
    let of_reason = |reason: &str| {
        letters
            .iter()
            .filter(|(_, broken)| broken.reason == reason)
            .count()
    };
    let deep = world.run(&["dead-letters", "list", "--reason", "too_deep", "--json"])?;
    ensure!(deep.lines().count() == of_reason("too_deep"), "{deep}");
    let table = world.run(&["dead-letters", "list", "banking", "--limit", "1000"])?;
    ensure!(
        table.contains("null_not_allowed") && table.contains("customer.city"),
        "{table}"
    );
    ensure!(!table.contains('\0'), "a NUL reaches the terminal");
    Ok(())
}

/// The raw store has each record once; those that are no JSON object as the bytes they were.
async fn raw_store_has_all(
    world: &World,
    letters: &[((i32, i64), Broken)],
    records: usize,
) -> Result<()> {
    let raw = world
        .servers
        .mongo
        .connect()
        .await?
        .database(&world.named("banking"))
        .collection::<Document>("transactions");
    let documents = raw.count_documents(doc! {}).await?;
    ensure!(
        documents == records as u64,
        "{documents} raw documents of {records} records"
    );
    for ((partition, offset), broken) in letters {
        let id = format!("{}:{partition}:{offset}", world.topic);
        let document = raw
            .find_one(doc! { "_id": &id })
            .await?
            .with_context(|| format!("no raw document {id}"))?;
        match (document.get("payload"), &broken.payload) {
            (Some(Bson::Null), None) => {}
            (Some(Bson::Binary(kept)), Some(sent)) => {
                ensure!(kept.bytes == *sent, "the raw payload of {id} was changed");
            }
            // a JSON object that breaks the contract is a document like any other
            (None, Some(_)) => ensure!(
                broken.field.is_some() && document.contains_key("document"),
                "{id} has no payload"
            ),
            (kept, _) => anyhow::bail!("{id} keeps {kept:?}"),
        }
    }
    Ok(())
}
