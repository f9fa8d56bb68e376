//! Names with quotes, semicolons, spaces, Unicode and reserved words.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use factmill_testkit::DuckDb;
use serde_json::{Value, json};

use super::super::world::{Sent, World, finished, succeeded};
use super::bytes;

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
    world.servers.kafka.create_topic(&topic, 1).await?;
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
