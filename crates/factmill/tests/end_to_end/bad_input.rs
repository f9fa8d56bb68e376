//! Broken records, hostile values and hostile names: each broken record is one dead letter, all else
//! arrives unchanged.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use factmill_testkit::DuckDb;
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use super::banking::Expected;
use super::world::{Sent, World, finished, succeeded};

/// A broken payload with its reason and the field at fault.
struct Broken {
    payload: Option<Vec<u8>>,
    reason: &'static str,
    field: Option<&'static str>,
}

/// A valid event; `change` makes of it what a test needs.
fn event(id: Uuid, change: impl FnOnce(&mut Value)) -> Value {
    let mut event = json!({
        "transaction_id": id,
        "timestamp": "2024-01-06T10:00:00.125Z",
        "account_id": "FR76",
        "customer": { "customer_id": "C1", "name": "Zoé", "city": "Lyon", "email": "zoe@example.com" },
        "amount": "12.50",
        "currency": "EUR",
        "transaction_type": "card_payment",
        "merchant": { "merchant_id": "M1", "name": "Chez \"Luc\"", "category": "food" },
        "channel": "web",
        "status": "completed",
    });
    change(&mut event);
    event
}

fn bytes(event: &Value) -> Vec<u8> {
    event.to_string().into_bytes()
}

/// An event with one field changed.
fn with(field: &str, value: Value) -> Vec<u8> {
    bytes(&event(Uuid::new_v4(), |event| {
        *event.pointer_mut(field).expect("the event has it") = value;
    }))
}

/// A valid event as text, one part of it replaced by what `json!` cannot write.
fn with_text(from: &str, to: &str) -> Vec<u8> {
    let text = event(Uuid::new_v4(), |_| {}).to_string();
    assert!(text.contains(from), "{text} has no {from}");
    text.replacen(from, to, 1).into_bytes()
}

/// All that must be a dead letter.
fn broken() -> Vec<Broken> {
    let whole = |payload: &[u8], reason| Broken {
        payload: Some(payload.to_vec()),
        reason,
        field: None,
    };
    let at = |payload: Vec<u8>, reason, field| Broken {
        payload: Some(payload),
        reason,
        field: Some(field),
    };
    let mut not_utf8 = with("/account_id", json!("X"));
    let place = not_utf8
        .iter()
        .position(|byte| *byte == b'X')
        .expect("the account");
    not_utf8[place] = 0xff;
    let mut raw_nul = not_utf8.clone();
    raw_nul[place] = 0;
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let deep_field = with_text(
        "\"Lyon\"",
        &format!("{}1{}", "{\"a\":".repeat(2_000), "}".repeat(2_000)),
    );
    let missing = |field: &str| {
        bytes(&event(Uuid::new_v4(), |event| {
            event
                .as_object_mut()
                .expect("an object")
                .remove(field)
                .expect("the field");
        }))
    };
    let large = "x".repeat(5_000_000);
    vec![
        Broken {
            payload: None,
            reason: "empty_payload",
            field: None,
        },
        whole(b"", "empty_payload"),
        whole(b" \n ", "malformed"),
        whole(&not_utf8, "invalid_utf8"),
        whole(b"\xc3\x28", "invalid_utf8"),
        whole(&raw_nul, "malformed"),
        whole(b"not json", "malformed"),
        whole(b"{\"transaction_id\":\"", "malformed"),
        whole(b"{} {}", "malformed"),
        whole(b"[{}]", "wrong_type"),
        whole(b"\"text\"", "wrong_type"),
        whole(b"null", "wrong_type"),
        whole(deep.as_bytes(), "too_deep"),
        whole("[".repeat(100_000).as_bytes(), "too_deep"),
        whole(&deep_field, "too_deep"),
        whole(format!("{{\"a\":\"{large}").as_bytes(), "malformed"),
        at(
            with("/account_id", json!("a\0b")),
            "does_not_fit",
            "account_id",
        ),
        at(
            with("/customer/name", json!("\0")),
            "does_not_fit",
            "customer.name",
        ),
        at(
            with("/amount", json!("12345678901234567890")),
            "does_not_fit",
            "amount",
        ),
        at(
            with("/amount", json!(12_345_678_901_234_567_890_u64)),
            "does_not_fit",
            "amount",
        ),
        at(with("/amount", json!("0.001")), "does_not_fit", "amount"),
        at(with_text("\"12.50\"", "1e400"), "does_not_fit", "amount"),
        at(with("/amount", json!(true)), "wrong_type", "amount"),
        at(with("/amount", json!("twelve")), "wrong_type", "amount"),
        at(with("/amount", json!([1])), "wrong_type", "amount"),
        at(with("/amount", json!("NaN")), "wrong_type", "amount"),
        at(with("/amount", Value::Null), "null_not_allowed", "amount"),
        at(
            with("/transaction_id", json!("not-a-uuid")),
            "wrong_type",
            "transaction_id",
        ),
        at(
            with("/transaction_id", json!(7)),
            "wrong_type",
            "transaction_id",
        ),
        at(with("/account_id", json!(76)), "wrong_type", "account_id"),
        at(with("/account_id", json!({})), "wrong_type", "account_id"),
        at(with("/customer", json!("C1")), "wrong_type", "customer"),
        at(
            with("/customer/city", json!(["Lyon"])),
            "wrong_type",
            "customer.city",
        ),
        at(with("/merchant", json!(7)), "wrong_type", "merchant"),
        at(
            with("/timestamp", json!("yesterday")),
            "wrong_type",
            "timestamp",
        ),
        at(
            with("/timestamp", json!(["2024"])),
            "wrong_type",
            "timestamp",
        ),
        at(
            with("/timestamp", json!("2024-02-30T00:00:00Z")),
            "does_not_fit",
            "timestamp",
        ),
        at(
            missing("transaction_id"),
            "null_not_allowed",
            "transaction_id",
        ),
        at(missing("timestamp"), "null_not_allowed", "timestamp"),
        at(missing("amount"), "null_not_allowed", "amount"),
        at(missing("account_id"), "null_not_allowed", "account_id"),
    ]
}

/// Valid events that look odd.
fn odd_but_good() -> Vec<Vec<u8>> {
    let nothing_optional = bytes(&event(Uuid::new_v4(), |event| {
        let fields = event.as_object_mut().expect("an object");
        for field in [
            "customer",
            "merchant",
            "currency",
            "channel",
            "status",
            "transaction_type",
        ] {
            fields.remove(field);
        }
    }));
    let more_fields = bytes(&event(Uuid::new_v4(), |event| {
        event["_id"] = json!(1);
        event["$where"] = json!("1; drop table x");
        event["customer"]["nested.name"] = json!([{ "deep": [1, 2, [3]] }]);
        event[""] = Value::Null;
    }));
    vec![
        nothing_optional,
        more_fields,
        with("/customer/name", json!("x".repeat(5_000_000))),
        with("/amount", json!(-0.01)),
        with("/amount", json!("9999999999999999.99")),
        with("/merchant", Value::Null),
        with("/timestamp", json!("2024-01-06T11:00:00.125+01:00")),
        with("/timestamp", json!("2024-01-06T10:00:00")),
    ]
}

const HEADERS: [(&str, &[u8]); 3] = [("trace", b"t'1"), ("trace", b"t2"), ("raw", b"\xff\0")];

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_record_is_one_dead_letter_and_the_rest_loads() -> Result<()> {
    let world = World::start().await?;
    world.kafka.create_topic(&world.topic, 3).await?;
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
        .mongo
        .connect()
        .await?
        .database("banking")
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

#[tokio::test(flavor = "multi_thread")]
async fn of_duplicates_and_late_events_the_newest_by_event_time_stays() -> Result<()> {
    let world = World::start().await?;
    world.kafka.create_topic(&world.topic, 2).await?;
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let change = |id: Uuid, minute: u32, amount: &str| {
        event(id, |event| {
            event["timestamp"] = json!(format!("2024-01-06T10:{minute:02}:00Z"));
            event["amount"] = json!(amount);
            event["customer"]["customer_id"] = json!(id.to_string());
            event["customer"]["name"] = json!(format!("name {minute} {amount}"));
        })
    };
    let send = async |partition: i32, event: Value| {
        let payload = bytes(&event);
        let sent = Sent {
            partition,
            payload: Some(&payload),
            ..Sent::default()
        };
        world.send(&world.topic, &sent).await
    };
    // within one batch: late, sent twice, and a tie that the later offset wins
    send(0, change(one, 10, "1")).await?;
    send(0, change(one, 5, "2")).await?;
    send(0, change(one, 10, "3")).await?;
    send(0, change(one, 10, "3")).await?;
    send(1, change(two, 59, "4")).await?;
    send(0, change(two, 58, "5")).await?;
    let warehouse = world.warehouse().await?;
    let after = async |one_amount: &str, one_name: &str| -> Result<()> {
        world.run(&["stream", "banking", "--once"])?;
        Expected::of(&world.records()?)
            .compare(&warehouse, "banking")
            .await?;
        let row = warehouse
            .query_one(
                "select f.amount::text, c.name from banking.fct_transactions f join banking.dim_customer c using (customer_id) \
                 where f.transaction_id = $1",
                &[&one],
            )
            .await?;
        let found: (&str, &str) = (row.get(0), row.get(1));
        ensure!(
            found == (one_amount, one_name),
            "{found:?} after {one_amount}"
        );
        Ok(())
    };
    after("3.00", "name 10 3").await?;
    // late in a later batch, also from the other partition
    send(0, change(one, 9, "6")).await?;
    send(1, change(one, 9, "7")).await?;
    after("3.00", "name 10 3").await?;
    send(1, change(one, 11, "8")).await?;
    send(0, change(two, 1, "9")).await?;
    after("8.00", "name 11 8").await?;
    let row = warehouse
        .query_one(
            "select first_seen_at::text, last_seen_at::text, \
                 (select sum(transaction_count)::bigint from banking.agg_daily_by_type), \
                 (select sum(total_amount)::text from banking.agg_daily_by_type) \
             from banking.dim_account",
            &[],
        )
        .await;
    let row = row.context("one account was seen")?;
    let total: (i64, &str) = (row.get(2), row.get(3));
    ensure!(total == (2, "12.00"), "the aggregate counts {total:?}");
    Ok(())
}

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
    world.kafka.create_topic(&world.topic, 2).await?;
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
        .mongo
        .connect()
        .await?
        .database("banking")
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

/// Names with quotes, semicolons, spaces, Unicode and reserved words.
const SCHEMA: &str = "sch\"ema'; drop schema public; -- é";
const TABLE: &str = "select \"from\"; drop table x; -- 😀";
const KEYED: &str = "order";
const GROUP: &str = "group'\"; é";
const SOURCE: &str = "table; \"x\" 'y'";
const COLUMNS: [&str; 5] = [
    "id\"; --",
    "select",
    "naïve 'amount'",
    "Ünï 😀; x",
    "customer",
];

/// A project of nothing but hostile names, reading this topic.
fn hostile_project(folder: &Path, topic: &str) -> Result<()> {
    let write = |name: &str, text: &str| -> Result<()> {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(fs::write(path, text)?)
    };
    // a JSON text is a YAML text too
    let quoted = |text: &str| json!(text).to_string();
    let identifier = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    write(
        "factmill.yml",
        "profiles:\n  local:\n    kafka: { brokers: \"${KAFKA_BROKERS}\" }\n    mongo: { url: \"${MONGO_URL}\" }\n    \
         warehouse: { url: \"${DATABASE_URL}\" }\n    lake: { path: \"${LAKE_PATH}\" }\n",
    )?;
    write("dbt_project.yml", "name: hostile\nversion: \"1\"\n")?;
    let columns: Vec<String> = COLUMNS
        .iter()
        .zip([
            "text",
            "bigint",
            "numeric(9,2)",
            "text",
            "struct(\"the \"\"name\"\"; x\" text)",
        ])
        .map(|(name, data_type)| {
            format!(
                "          - {{ name: {}, data_type: {} }}\n",
                quoted(name),
                quoted(data_type)
            )
        })
        .collect();
    write(
        "models/_sources.yml",
        &format!(
            "sources:\n  - name: {}\n    tables:\n      - name: {}\n        columns:\n{}",
            quoted(GROUP),
            quoted(SOURCE),
            columns.concat()
        ),
    )?;
    let selected: Vec<String> = COLUMNS[..4].iter().map(|name| identifier(name)).collect();
    let select = format!(
        "select {}, \"customer\"['the \"name\"; x'] as {} from {{{{ source({}, {}) }}}}\n",
        selected.join(", "),
        identifier("cust'omer"),
        quoted(GROUP),
        quoted(SOURCE)
    );
    write(
        "models/appended é; 'x'.sql",
        &format!(
            "{{{{ config(materialized='table', alias={}) }}}}\n{select}",
            quoted(TABLE)
        ),
    )?;
    write(
        "models/keyed.sql",
        &format!(
            "{{{{ config(materialized='incremental', unique_key={}, alias={}) }}}}\n{select}",
            quoted(COLUMNS[0]),
            quoted(KEYED)
        ),
    )?;
    write(
        "jobs/jöb; 'x'.yml",
        &format!(
            "sources:\n  {}:\n    kafka: {{ topic: {}, start: earliest }}\nraw_store: {{ database: hostile, collection: \"c; 'x'\" }}\n\
             schema: {}\nmodels: [\"*\"]\n",
            quoted(&format!("{GROUP}.{SOURCE}")),
            quoted(topic),
            quoted(SCHEMA)
        ),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_come_out_as_they_are_written() -> Result<()> {
    let world = World::start().await?;
    let topic = format!("..{}._-A..", world.topic);
    world.kafka.create_topic(&topic, 1).await?;
    let folder = tempfile::tempdir()?;
    hostile_project(folder.path(), &topic)?;
    for (id, number) in [("a", 1), ("b", 2), ("a", 3)] {
        let payload = bytes(&json!({
            COLUMNS[0]: id, COLUMNS[1]: number, COLUMNS[2]: "1.50", COLUMNS[3]: "é",
            "customer": { "the \"name\"; x": "Zoé" },
        }));
        let sent = Sent {
            payload: Some(&payload),
            ..Sent::default()
        };
        world.send(&topic, &sent).await?;
    }
    let sent = Sent {
        payload: Some(b"{\"select\": \"x\"}"),
        ..Sent::default()
    };
    world.send(&topic, &sent).await?;
    let factmill = |arguments: &[&str]| succeeded(world.factmill_in(folder.path(), arguments));
    factmill(&["stream", "jöb; 'x'", "--once"])?;

    let warehouse = world.warehouse().await?;
    let rows = warehouse
        .query(
            "select c.table_name, c.column_name from information_schema.columns c where c.table_schema = $1 \
               and c.column_name <> '_factmill_order' order by 1, c.ordinal_position",
            &[&SCHEMA],
        )
        .await?;
    let found: Vec<(&str, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let columns = || COLUMNS[..4].iter().copied().chain(["cust'omer"]);
    let wanted: Vec<(&str, &str)> = [KEYED, TABLE]
        .into_iter()
        .flat_map(|table| columns().map(move |column| (table, column)))
        .collect();
    ensure!(found == wanted, "{found:?}");
    let identifier = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    for (table, rows) in [(TABLE, 3), (KEYED, 2)] {
        let row = warehouse
            .query_one(
                &format!(
                    "select count(*), max({}), min({}::text), min({}), min({}) from {}.{}",
                    identifier(COLUMNS[1]),
                    identifier(COLUMNS[2]),
                    identifier(COLUMNS[3]),
                    identifier("cust'omer"),
                    identifier(SCHEMA),
                    identifier(table)
                ),
                &[],
            )
            .await?;
        let found: (i64, i64, &str, &str, &str) =
            (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
        ensure!(found == (rows, 3, "1.50", "é", "Zoé"), "{table}: {found:?}");
    }
    let letters = factmill(&["dead-letters", "list", "jöb; 'x'", "--json"])?;
    let letter: Value = serde_json::from_str(&letters)?;
    ensure!(
        letter["source"] == format!("{}.{}", identifier(GROUP), identifier(SOURCE))
            && letter["field"] == "select",
        "{letter}"
    );
    let positions = factmill(&["positions", "jöb; 'x'", "list", "--json"])?;
    ensure!(!positions.is_empty(), "no positions");

    // the lake and the questions know the same names
    let lake = DuckDb::attach(world.database.url(), &world.lake().to_string_lossy()).await?;
    let found = lake
        .query(&format!(
            "select count(*), max({}) from lake.{}.{}",
            identifier(COLUMNS[1]),
            identifier(GROUP),
            identifier(SOURCE)
        ))
        .await?;
    ensure!(
        found == [[json!(3), json!(3)]],
        "the lake answers {found:?}"
    );
    let answer = factmill(&[
        "sql",
        "--format",
        "json",
        &format!(
            "select max({}) as {} from {}.{}",
            identifier(COLUMNS[1]),
            identifier(COLUMNS[3]),
            identifier(SCHEMA),
            identifier(TABLE)
        ),
    ])?;
    let answer: Value = serde_json::from_str(&answer)?;
    ensure!(answer == json!([{ COLUMNS[3]: 3 }]), "{answer}");
    factmill(&["run"])?;
    let row = warehouse
        .query_one(
            &format!(
                "select count(*) from {}.{}",
                identifier(SCHEMA),
                identifier(KEYED)
            ),
            &[],
        )
        .await?;
    ensure!(row.get::<_, i64>(0) == 2, "a batch keeps one row a key too");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_kafka_refuses_are_refused_with_their_names() -> Result<()> {
    let world = World::start().await?;
    let long = "x".repeat(250);
    for topic in [
        "with space",
        "sémi;colon",
        "a/b",
        "..",
        ".",
        "'; drop",
        &long,
        "",
    ] {
        let setting = format!("sources.banking.transactions.kafka.topic={}", json!(topic));
        let output = finished(world.factmill(&["stream", "banking", "--once", "--set", &setting]))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(2),
            "`{topic}` ends with {}:\n{said}",
            output.status
        );
        ensure!(
            said.contains(topic) && said.contains("topic"),
            "`{topic}` is not named:\n{said}"
        );
    }
    Ok(())
}
