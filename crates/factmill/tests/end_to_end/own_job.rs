//! A job of one's own, from records that no shipped job knows: written by `new`, streamed at once.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use factmill_project::{LoadOptions, Model, Project};
use factmill_testkit::{project, unique_name};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::dashboards::every_panel_has_rows;
use super::world::{Sent, World, finished, turn};

/// Tickets of parking meters: a third of them paid by card, one in ten without a plate.
fn ticket(number: u32) -> Value {
    let plate = (!number.is_multiple_of(10)).then(|| format!("AB-{number:03}"));
    json!({
        "ticketId": format!("T{number:06}"),
        "timestamp": format!("2024-03-0{}T{:02}:15:00Z", 1 + number / 24 % 9, number % 24),
        "meter": { "meter_id": format!("M{}", number % 7), "zone name": "A", "position": { "lat": 48.85, "lon": 2.35 } },
        "paid amount": f64::from(number % 9) / 2.0,
        "paidBy": (["card", "coins", "app"][(number % 3) as usize]),
        "plate": plate,
        "order": number,
        "services": [{ "name": "charging", "kwh": 1.5 }],
    })
}

/// Measurements of weather stations: no field of theirs is different in each.
fn measurement(number: u32) -> Value {
    json!({
        "station_id": format!("station-{}", number % 4),
        "measured_at": format!("2024-05-01 {:02}:{:02}:00", number / 240, number / 4 % 60),
        "temperature": f64::from(number % 300) / 10.0 + 0.05,
        "sky": (["clear", "cloudy", "rain"][(number % 3) as usize]),
    })
}

/// What `new` says of a job, as JSON.
fn new(world: &World, job: &str, from: &str) -> Result<Value> {
    let told = world.run(&["new", job, "--from", from, "--json"])?;
    Ok(serde_json::from_str(&told)?)
}

fn column<'a>(told: &'a Value, name: &str) -> Result<&'a Value> {
    let columns = told["columns"].as_array().context("columns")?;
    let column = columns.iter().find(|column| column["name"] == name);
    column.with_context(|| format!("no column `{name}` in {told}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_unknown_records_becomes_a_job_that_streams() -> Result<()> {
    let world = World::start().await?;
    let lines: Vec<String> = (0..400).map(|number| ticket(number).to_string()).collect();
    let file = world.project().join("data/parking tickets.jsonl");
    // one comes again, one is broken
    let text = format!("{}\n{}\n{{\"ticketId\":7\n", lines.join("\n"), lines[3]);
    fs::write(&file, text)?;

    let told = new(&world, "parking", &file.to_string_lossy())?;
    ensure!(told["table"] == "parking.fct_parking_tickets", "{told}");
    ensure!(told["key"] == json!(["ticketId"]), "{told}");
    ensure!(
        told["time"] == "timestamp" && told["repeated"] == 1,
        "{told}"
    );
    let paid = column(&told, "paid_amount")?;
    ensure!(
        paid["data_type"] == "numeric(18,2)" && paid["field"] == "paid amount",
        "{paid}"
    );
    let again = finished(world.factmill(&["new", "parking", "--from", &file.to_string_lossy()]))?;
    ensure!(again.status.code() == Some(2), "{again:?}");

    let summary = world.run(&["stream", "parking", "--once", "--json"])?;
    let summary: Value = serde_json::from_str(&summary)?;
    ensure!(summary["dead_letters"] == 1, "{summary}");
    let warehouse = world.warehouse().await?;
    let row = warehouse
        .query_one(
            "select count(*), sum(paid_amount)::text, count(plate), \
                 count(*) filter (where meter_zone_name = 'A' and meter_position_lat = 48.85), min(ts)::text \
             from parking.fct_parking_tickets",
            &[],
        )
        .await?;
    let wanted: u32 = (0..400).map(|number| number % 9 * 50).sum();
    let wanted = format!("{}.{:02}", wanted / 100, wanted % 100);
    let found: (i64, String, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
    ensure!(found == (400, wanted, 360, 400), "{found:?}");

    every_test_passes(&world, &warehouse, "parking").await?;
    let panels = dashboard(&world, &warehouse, "parking").await?;
    ensure!(panels >= 7, "{panels} panels");
    // the same as a batch, and once more as a stream: nothing comes twice
    let built = world.run(&["run", "--json", "--select", "parking"])?;
    ensure!(
        built.contains("\"success\"") && built.contains("\"rows\":400"),
        "{built}"
    );
    let summary = world.run(&["stream", "parking", "--once", "--json"])?;
    let summary: Value = serde_json::from_str(&summary)?;
    ensure!(summary["rows_in"] == 0, "{summary}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_unknown_records_becomes_a_job_that_streams() -> Result<()> {
    let world = World::start().await?;
    let topic = unique_name("weather").replace('_', "-");
    world.servers.kafka.create_topic(&topic, 3).await?;
    let from = format!("kafka:{topic}");
    let empty = finished(world.factmill(&["new", "weather", "--from", &from]))?;
    let said = String::from_utf8_lossy(&empty.stderr);
    ensure!(
        empty.status.code() == Some(2) && said.contains("holds no records yet"),
        "{said}"
    );
    let mut sending = Vec::new();
    for number in 0..300 {
        let payload = measurement(number).to_string();
        sending.push((number as i32 % 3, payload));
    }
    for (partition, payload) in &sending {
        let sent = Sent {
            partition: *partition,
            payload: Some(payload.as_bytes()),
            ..Sent::default()
        };
        world.send(&topic, &sent).await?;
    }
    let told = new(&world, "weather", &from)?;
    ensure!(
        told["key"] == json!(["station_id", "measured_at"]),
        "{told}"
    );
    ensure!(
        column(&told, "measured_at")?["data_type"] == "timestamptz",
        "{told}"
    );
    ensure!(
        column(&told, "temperature")?["data_type"] == "double precision",
        "{told}"
    );

    world.run(&["stream", "weather", "--once"])?;
    let warehouse = world.warehouse().await?;
    let table = told["table"].as_str().context("a table")?;
    let count: i64 = warehouse
        .query_one(&format!("select count(*) from {table}"), &[])
        .await?
        .get(0);
    ensure!(count == 300, "{count} rows");
    every_test_passes(&world, &warehouse, "weather").await?;
    dashboard(&world, &warehouse, "weather").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_of_unknown_documents_becomes_a_job_that_streams() -> Result<()> {
    let world = World::start().await?;
    let client = mongodb::Client::with_uri_str(world.servers.mongo.url()).await?;
    let name = unique_name("stations");
    let stations = client.database(&name).collection("stations");
    let documents = (0..50).map(|number| {
        mongodb::bson::doc! { "code": format!("S{number}"), "height": number, "opened": mongodb::bson::DateTime::from_millis(1_700_000_000_000) }
    });
    stations.insert_many(documents).await?;
    let told = new(&world, "stations", &format!("mongo:{name}.stations"))?;
    ensure!(told["key"] == json!(["_id"]), "{told}");
    world.run(&["stream", "stations", "--once"])?;
    let warehouse = world.warehouse().await?;
    let count: i64 = warehouse
        .query_one(
            "select count(*) from stations.fct_stations where opened > '2023-01-01'",
            &[],
        )
        .await?
        .get(0);
    ensure!(count == 50, "{count} rows");
    every_test_passes(&world, &warehouse, "stations").await
}

/// The guide is a walk: its commands run one after the other in a copy of the project, and print what it
/// shows. Words are compared, not the space between them.
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_says_what_happens() -> Result<()> {
    let _turn = turn().await;
    let project = project::shipped()?;
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/your-first-job.md");
    let guide = fs::read_to_string(guide)?;
    let mut walked = 0;
    for block in guide.split("```console\n$ ").skip(1) {
        let block = block.split("```").next().context("a block ends")?;
        let (command, shown) = block
            .split_once('\n')
            .context("a command and what it prints")?;
        let told = walk(project.path(), command)?;
        for line in shown.lines() {
            ensure!(
                told.lines().any(|told| is_shown(told, line)),
                "`{command}` does not print {line:?}:\n{told}"
            );
        }
        walked += 1;
    }
    ensure!(walked == 6, "{walked} commands");
    let staging = project
        .path()
        .join("models/weather/staging/stg_weather.sql");
    let staging = fs::read_to_string(staging)?;
    ensure!(
        guide.contains(&staging),
        "the guide shows another staging model:\n{staging}"
    );
    Ok(())
}

/// Runs a command of the guide on the embedded profile; all that it prints.
fn walk(project: &Path, command: &str) -> Result<String> {
    let arguments = command
        .strip_prefix("factmill ")
        .context("a command of ours")?;
    // the one kind of quotes that the guide has
    let mut parts = Vec::new();
    for (index, part) in arguments.split('"').enumerate() {
        match index % 2 {
            0 => parts.extend(part.split_whitespace()),
            _ => parts.push(part),
        }
    }
    let mut run = Command::new(env!("CARGO_BIN_EXE_factmill"));
    run.args(parts)
        .current_dir(project)
        .env_remove("FACTMILL_PROFILE")
        .stdin(Stdio::null());
    let output = finished(run)?;
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    ensure!(
        output.status.success(),
        "`{command}` ended with {}:\n{told}",
        output.status
    );
    Ok(told)
}

/// Whether a line is what the guide shows; what it leaves open behind `…` differs from run to run.
fn is_shown(told: &str, shown: &str) -> bool {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    match shown.strip_suffix('…') {
        Some(beginning) => words(told).starts_with(&words(beginning)),
        None => words(told) == words(shown),
    }
}

/// Runs the data tests of the job's tables, as dbt would.
async fn every_test_passes(world: &World, warehouse: &Client, job: &str) -> Result<()> {
    let options = LoadOptions {
        environment: [("MONGO_URL", ""), ("DATABASE_URL", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..LoadOptions::default()
    };
    let project = Project::load(world.project(), &options)?;
    ensure!(project.warnings.is_empty(), "{:?}", project.warnings);
    let models = project.job_models(project.job(job)?)?;
    let tables = models
        .iter()
        .filter(|model| !model.materialized.is_inlined());
    let mut asked = 0;
    for model in tables {
        for failing in failing_rows(model)? {
            let rows = warehouse.query(&failing, &[]).await;
            let rows = rows.with_context(|| failing.clone())?;
            ensure!(rows.is_empty(), "{} rows fail: {failing}", rows.len());
            asked += 1;
        }
    }
    ensure!(asked >= 2, "{asked} tests");
    Ok(())
}

/// The query of each test: the rows that fail it.
fn failing_rows(model: &Model) -> Result<Vec<String>> {
    let relation = &model.relation;
    let table = format!("\"{}\".\"{}\"", relation.schema, relation.name);
    let query = |test: &factmill_project::model::DataTest| {
        let column = test.column.as_deref().context("a column")?;
        Ok(match test.kind.as_str() {
            "not_null" => format!("select 1 from {table} where \"{column}\" is null"),
            "unique" => format!("select \"{column}\" from {table} group by 1 having count(*) > 1"),
            "accepted_values" => {
                let values = test.arguments["values"].as_array().context("values")?;
                let values: Vec<String> = values
                    .iter()
                    .filter_map(Value::as_str)
                    .map(|value| format!("'{}'", value.replace('\'', "''")))
                    .collect();
                format!(
                    "select 1 from {table} where \"{column}\" not in ({})",
                    values.join(", ")
                )
            }
            other => anyhow::bail!("a test of another kind: {other}"),
        })
    };
    model.tests.iter().map(query).collect()
}

/// Asks every panel of the job's dashboard; how many queries there are.
async fn dashboard(world: &World, warehouse: &Client, job: &str) -> Result<usize> {
    let folder = Path::new("grafana/dashboards").join(format!("{job}.json"));
    every_panel_has_rows(warehouse, &world.project().join(folder)).await
}
