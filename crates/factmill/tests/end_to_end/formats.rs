//! Kafka values beyond JSON, from the topic to the tables: Avro and Protobuf by a real schema registry,
//! Debezium's changes; deletions in keyed sources; a schema that changes while the job runs.

mod project;
mod wire;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use factmill_testkit::SchemaRegistry;
use serde_json::{Value, json};
use tokio_postgres::Client;

use self::wire::{Topics, branch, framed, long, text};
use super::world::{Running, World, eventually, finished, succeeded};

/// A world with a registry and the project that reads all formats.
struct Shop {
    world: World,
    registry: SchemaRegistry,
    topics: Topics,
    folder: tempfile::TempDir,
}

impl Shop {
    async fn open() -> Result<Self> {
        let world = World::start().await?;
        let registry = SchemaRegistry::start().await?;
        let names = ["orders", "customers", "stock", "payments"];
        let topics = Topics::create(&world, &names).await?;
        let folder = tempfile::tempdir()?;
        project::write(folder.path(), topics.prefix())?;
        Ok(Self {
            world,
            registry,
            topics,
            folder,
        })
    }

    fn factmill(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.factmill_in(self.folder.path(), arguments);
        command.env("SCHEMA_REGISTRY_URL", self.registry.url());
        command
    }

    async fn avro(&self, subject: &str, schema: Value) -> Result<u32> {
        let registered = json!({ "schema": schema.to_string() });
        self.registry.register(subject, &registered).await
    }
}

/// Waits until a table holds just these rows, in the order of their ids.
async fn holds(warehouse: &Client, table: &str, columns: &str, wanted: &[&str]) -> Result<()> {
    let there = format!("select to_regclass('shop.{table}') is not null");
    let query = format!("select concat_ws(' ', {columns}) from shop.{table} order by id");
    eventually(&format!("{wanted:?} in {table}"), async || {
        if !warehouse.query_one(&there, &[]).await?.get::<_, bool>(0) {
            return Ok(false);
        }
        let rows = warehouse.query(&query, &[]).await?;
        let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        Ok(found == wanted)
    })
    .await
}

const ORDERS: &str = "id, customer, amount, coalesce(note, '-')";
const CUSTOMERS: &str = "id, name";
const STOCK: &str = "id, pieces";

#[tokio::test(flavor = "multi_thread")]
async fn avro_protobuf_and_debezium_reach_their_tables_with_their_deletions() -> Result<()> {
    let shop = Shop::open().await?;
    let log = shop.folder.path().join("stream.log");
    let running = Running::start(shop.factmill(&["stream", "shop"]), log)?;
    let warehouse = shop.world.warehouse().await?;
    orders(&shop, &warehouse).await?;
    customers(&shop, &warehouse).await?;
    stock(&shop, &warehouse).await?;
    payments(&shop, &warehouse).await?;
    let (status, said) = running.end()?;
    ensure!(status.success(), "the stream ended with {status}:\n{said}");

    let letters = succeeded(shop.factmill(&["dead-letters", "list", "shop", "--json"]))?;
    let letters: Vec<Value> = letters
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let details: Vec<&str> = letters
        .iter()
        .filter_map(|letter| letter["detail"].as_str())
        .collect();
    ensure!(details.len() == 2, "{details:?}");
    for wanted in ["no schema 2000000000", "a schema id of four bytes"] {
        ensure!(
            details.iter().any(|detail| detail.contains(wanted)),
            "{wanted}: {details:?}"
        );
    }

    // a batch over the lake's log of changes comes to the same
    let tables = ["orders", "customers", "stock", "payments"];
    succeeded(shop.factmill(&[&["run", "--select"], tables.as_slice()].concat()))?;
    holds(
        &warehouse,
        "orders",
        ORDERS,
        &["2 Luc 8.25 paid", "4 Eva 1.00 -"],
    )
    .await?;
    holds(&warehouse, "customers", CUSTOMERS, &["2 Eva", "4 Noé"]).await?;
    holds(&warehouse, "stock", STOCK, &["1 7"]).await
}

/// Avro, its keys too; the writer's schema is widened, reordered, and gains a field under way.
async fn orders(shop: &Shop, warehouse: &Client) -> Result<()> {
    let record = |fields: Value| json!({ "type": "record", "name": "Order", "namespace": "shop", "fields": fields });
    let key = shop
        .avro(
            "orders-key",
            json!({ "type": "record", "name": "Key", "fields": [{ "name": "id", "type": "int" }] }),
        )
        .await?;
    let first = shop
        .avro(
            "orders-value",
            record(json!([
                { "name": "id", "type": "int" },
                { "name": "customer", "type": "string" },
                { "name": "amount", "type": { "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2 } },
            ])),
        )
        .await?;
    let key = |id: i64| framed(key, &[long(id)]);
    let send =
        async |id: i64, payload: Option<&[u8]>| shop.topics.send("orders", &key(id), payload).await;
    for (id, customer, cents) in [(1, "Zoé", 1250_i16), (2, "Luc", -5), (3, "Ana", 700)] {
        let order = framed(
            first,
            &[long(id), text(customer), text(cents.to_be_bytes())],
        );
        send(id, Some(&order)).await?;
    }
    let before = ["1 Zoé 12.50 -", "2 Luc -0.05 -", "3 Ana 7.00 -"];
    holds(warehouse, "orders", ORDERS, &before).await?;

    let second = shop
        .avro(
            "orders-v2-value",
            record(json!([
                { "name": "note", "type": ["null", "string"], "default": null },
                { "name": "customer", "type": "string" },
                { "name": "id", "type": "long" },
                { "name": "amount", "type": "string" },
            ])),
        )
        .await?;
    let paid = framed(
        second,
        &[branch(1, text("paid")), text("Luc"), long(2), text("8.25")],
    );
    send(2, Some(&paid)).await?;
    let new = framed(second, &[long(0), text("Eva"), long(4), text("1.00")]);
    send(4, Some(&new)).await?;
    send(1, None).await?;
    send(3, Some(b"")).await?;
    send(99, None).await?;
    send(5, Some(&framed(2_000_000_000, &[long(5)]))).await?;
    send(5, Some(b"{\"id\":5}")).await?;
    holds(
        warehouse,
        "orders",
        ORDERS,
        &["2 Luc 8.25 paid", "4 Eva 1.00 -"],
    )
    .await
}

/// Debezium's envelopes as JSON, with and without the converter's outer object.
async fn customers(shop: &Shop, warehouse: &Client) -> Result<()> {
    let row = |id: i32, name: &str| json!({ "id": id, "name": name });
    let change = |op: &str, before: Value, after: Value| json!({ "before": before, "after": after, "op": op, "ts_ms": 1 });
    let wrapped = |payload: Value| json!({ "schema": { "type": "struct" }, "payload": payload });
    let send = async |key: Value, payload: Option<Value>| {
        let payload = payload.map(|payload| payload.to_string());
        let key = key.to_string();
        shop.topics
            .send(
                "customers",
                key.as_bytes(),
                payload.as_deref().map(str::as_bytes),
            )
            .await
    };
    let key = |id: i32| json!({ "id": id });
    for (id, name) in [(1, "Zoé"), (2, "Luc")] {
        send(key(id), Some(change("r", Value::Null, row(id, name)))).await?;
    }
    send(key(3), Some(change("c", Value::Null, row(3, "Ana")))).await?;
    holds(
        warehouse,
        "customers",
        CUSTOMERS,
        &["1 Zoé", "2 Luc", "3 Ana"],
    )
    .await?;
    send(key(2), Some(change("u", row(2, "Luc"), row(2, "Eva")))).await?;
    send(key(1), Some(change("d", row(1, "Zoé"), Value::Null))).await?;
    send(key(1), None).await?;
    let deleted = change("d", row(3, "Ana"), Value::Null);
    send(wrapped(key(3)), Some(wrapped(deleted))).await?;
    let created = change("c", Value::Null, row(4, "Noé"));
    send(wrapped(key(4)), Some(wrapped(created))).await?;
    holds(warehouse, "customers", CUSTOMERS, &["2 Eva", "4 Noé"]).await
}

/// The same as Avro.
async fn stock(shop: &Shop, warehouse: &Client) -> Result<()> {
    let key = shop
        .avro(
            "stock-key",
            json!({ "type": "record", "name": "Key", "fields": [{ "name": "id", "type": "int" }] }),
        )
        .await?;
    let row = json!({ "type": "record", "name": "Value", "fields": [
        { "name": "id", "type": "int" }, { "name": "pieces", "type": "long" },
    ] });
    let envelope = json!({ "type": "record", "name": "Envelope", "fields": [
        { "name": "before", "type": ["null", row] },
        { "name": "after", "type": ["null", "Value"] },
        { "name": "op", "type": "string" },
    ] });
    let envelope = shop.avro("stock-value", envelope).await?;
    let none = || branch(0, Vec::new());
    let row = |id: i64, pieces: i64| branch(1, [long(id), long(pieces)].concat());
    let send = async |id: i64, payload: Option<[Vec<u8>; 3]>| {
        let payload = payload.map(|parts| framed(envelope, &parts));
        shop.topics
            .send("stock", &framed(key, &[long(id)]), payload.as_deref())
            .await
    };
    send(1, Some([none(), row(1, 3), text("r")])).await?;
    send(2, Some([none(), row(2, 5), text("c")])).await?;
    holds(warehouse, "stock", STOCK, &["1 3", "2 5"]).await?;
    send(1, Some([row(1, 3), row(1, 7), text("u")])).await?;
    send(2, Some([row(2, 5), none(), text("d")])).await?;
    send(2, None).await?;
    holds(warehouse, "stock", STOCK, &["1 7"]).await
}

/// Protobuf, where every record stands for itself.
async fn payments(shop: &Shop, warehouse: &Client) -> Result<()> {
    let text =
        "syntax = \"proto3\"; package shop; message Payment { int64 id = 1; string amount = 2; }";
    let schema = json!({ "schemaType": "PROTOBUF", "schema": text });
    let schema = shop.registry.register("payments-value", &schema).await?;
    for (id, amount) in [(1_u8, "12.50"), (2, "0.01")] {
        let length = u8::try_from(amount.len())?;
        let message = [vec![0, 8, id, 0x12, length], amount.as_bytes().to_vec()];
        let payload = framed(schema, &message);
        shop.topics.send("payments", b"", Some(&payload)).await?;
    }
    holds(warehouse, "payments", "id, amount", &["1 12.50", "2 0.01"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_needed_is_asked_for_by_name_and_looked_at_by_doctor() -> Result<()> {
    let shop = Shop::open().await?;
    let refused = |command: Command, code: i32, says: &str| -> Result<()> {
        let output = finished(command)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.code() == Some(code),
            "{}:\n{said}",
            output.status
        );
        ensure!(said.contains(says), "no `{says}` in\n{said}");
        Ok(())
    };
    let once = ["stream", "shop", "--once"];
    let mut unset = shop.factmill(&once);
    unset.env_remove("SCHEMA_REGISTRY_URL");
    refused(unset, 2, "variable `SCHEMA_REGISTRY_URL` is not set")?;
    let mut unnamed = shop.factmill(&once);
    unnamed.env("FACTMILL_PROFILE", "without");
    refused(unnamed, 2, "profile `without` has no `schema_registry`")?;
    let mut elsewhere = shop.factmill(&once);
    let host = shop.registry.url().trim_end_matches("/apis/ccompat/v7");
    elsewhere.env("SCHEMA_REGISTRY_URL", format!("{host}/nothing"));
    refused(elsewhere, 2, "no schema registry answers")?;
    // a job without such a source needs no variable
    let mut plain = shop.factmill(&["doctor", "plain"]);
    plain.env_remove("SCHEMA_REGISTRY_URL");
    let report = succeeded(plain)?;
    ensure!(!report.contains("registry"), "{report}");

    let report = succeeded(shop.factmill(&["doctor", "shop"]))?;
    let line = report.lines().find(|line| line.contains("registry"));
    let line = line.context("doctor does not speak of the registry")?;
    ensure!(line.starts_with("ok") && line.contains("AVRO"), "{line}");
    let mut away = shop.factmill(&["doctor", "shop"]);
    away.env("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1");
    refused(
        away,
        3,
        "start it, or correct `schema_registry.url` of the profile",
    )
}
