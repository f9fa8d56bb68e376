//! What every job promises, held against what a run left behind: its tables are those that a batch
//! over the lake builds, and each record that was produced is loaded, quarantined or a duplicate.
//!
//! Tables are compared both ways, row for row, with every column of theirs, the order of records
//! that `upsert` tables keep included. No shipped model makes a surrogate value that differs from
//! run to run, so nothing is left out.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use factmill_testkit::same_tables;
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Client;

use super::dashboards::{DASHBOARDS, every_panel_has_rows, read_as_grafana};
use super::world::{self, World};

/// The schema that batches build in.
const REBUILT: &str = "rebuilt";

/// A shipped job: what it reads and which table has a row for each of its events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) name: &'static str,
    /// The source whose records its producer sends.
    source: &'static str,
    /// Where it keeps that source in the lake.
    lake: &'static str,
    fact: &'static str,
    /// What of the lake's rows makes a fact: the number of different ones, and of all.
    facts: &'static str,
    dashboard: Option<&'static str>,
    /// Whether its producer also passes on what a third party sends: what that breaks is not counted.
    passes_on: bool,
}

pub(super) const BANKING: Job = Job {
    name: "banking",
    source: "banking.transactions",
    lake: "banking.transactions",
    fact: "fct_transactions",
    facts: "select count(distinct transaction_id) as facts, count(*) as sent from lake.banking.transactions",
    dashboard: Some("banking"),
    passes_on: false,
};

pub(super) const BANKING_CHAINED: Job = Job {
    name: "banking_chained",
    lake: "banking_chained.transactions",
    facts: "select count(distinct transaction_id) as facts, count(*) as sent from lake.banking_chained.transactions",
    dashboard: None,
    ..BANKING
};

pub(super) const PAYMENTS: Job = Job {
    name: "payments",
    source: "payments.financial_transactions",
    lake: "payments.financial_transactions",
    fact: "fct_payments",
    facts: "select count(distinct concat(file, ':', row_number)) as facts, count(*) as sent \
            from lake.payments.financial_transactions",
    dashboard: Some("payments"),
    passes_on: false,
};

pub(super) const STRIPE: Job = Job {
    name: "stripe",
    source: "stripe.charges",
    lake: "stripe.charges",
    fact: "fct_charges",
    facts: "select count(distinct charge['id']) as facts, count(charge['id']) as sent \
            from (select unnest(transactions) as charge from lake.stripe.charges)",
    dashboard: Some("stripe"),
    passes_on: false,
};

pub(super) const ECOMMERCE: Job = Job {
    name: "ecommerce",
    source: "ecommerce.transactions",
    lake: "ecommerce.transactions",
    fact: "fct_orders",
    facts: "select count(distinct transaction_id) as facts, count(*) as sent from lake.ecommerce.transactions",
    dashboard: Some("ecommerce"),
    passes_on: true,
};

pub(super) const RETAIL: Job = Job {
    name: "retail",
    source: "retail.transactions",
    lake: "retail.transactions",
    fact: "fct_sales",
    facts: "select count(distinct transaction_id) as facts, count(*) as sent from lake.retail.transactions",
    dashboard: Some("retail"),
    passes_on: false,
};

/// What a producer says that it sent.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Produced {
    pub(super) events: i64,
    pub(super) bad: i64,
}

impl Produced {
    /// Reads the line that `produce --json` ends with.
    pub(super) fn read(said: &str) -> Result<Self> {
        let line = said.lines().find(|line| line.starts_with('{'));
        let line = line.with_context(|| format!("`produce` printed no line of JSON: {said}"))?;
        Ok(serde_json::from_str(line)?)
    }
}

/// Sends events of a job, one in fifty of them broken.
pub(super) fn produce(world: &World, job: Job, count: i64, seed: &str) -> Result<Produced> {
    let count = count.to_string();
    let produced = world.run(&[
        "produce", job.name, "--count", &count, "--rate", "max", "--seed", seed, "--bad", "2",
        "--json",
    ])?;
    Produced::read(&produced)
}

/// How many records of its producer's source a job has read.
pub(super) async fn read_by(warehouse: &Client, job: Job) -> Result<i64> {
    world::read_by(warehouse, job.name, job.source).await
}

/// Everything that a job promises, once it has read all that was produced.
pub(super) async fn holds(world: &World, job: Job, produced: Produced) -> Result<()> {
    let warehouse = world.warehouse().await?;
    counts_add_up(world, &warehouse, job, produced).await?;
    tables_are_those_of_a_batch(world, &warehouse, job).await?;
    if let Some(dashboard) = job.dashboard {
        read_as_grafana(&warehouse).await?;
        let file = Path::new(DASHBOARDS).join(format!("{dashboard}.json"));
        every_panel_has_rows(&warehouse, &file).await?;
    }
    Ok(())
}

/// Each record is read once: then it is a dead letter, or a row of the lake; and each of these a
/// fact, or a duplicate of one.
async fn counts_add_up(
    world: &World,
    warehouse: &Client,
    job: Job,
    produced: Produced,
) -> Result<()> {
    let (lake_schema, lake_table) = job.lake.split_once('.').context("schema.table")?;
    let row = warehouse
        .query_one(
            &format!(
                "select (select coalesce(sum(to_position::bigint - coalesce(from_position, '0')::bigint), 0)::bigint \
                         from factmill.epoch_intervals join factmill.epochs using (epoch) \
                         where job = $1 and source = $2), \
                     (select count(*) from factmill.dead_letters where job = $1 and source = $2), \
                     (select coalesce(sum(record_count), 0)::bigint from lake.ducklake_table_stats \
                      join lake.ducklake_table t using (table_id) join lake.ducklake_schema s using (schema_id) \
                      where s.schema_name = $3 and t.table_name = $4), \
                     (select count(*) from \"{}\".\"{}\")",
                job.name, job.fact
            ),
            &[&job.name, &job.source, &lake_schema, &lake_table],
        )
        .await?;
    let (read, quarantined, kept, facts): (i64, i64, i64, i64) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    let found = world.run(&["sql", "--format", "json", job.facts])?;
    let found: Value = serde_json::from_str(&found)?;
    let (expected, sent) = (&found[0]["facts"], &found[0]["sent"]);
    eprintln!(
        "{}: {} events produced, {} of them broken; {read} read, {quarantined} quarantined, {kept} in the lake, \
         which hold {sent} facts, {expected} of them different; {facts} facts",
        job.name, produced.events, produced.bad
    );
    let counted = match job.passes_on {
        true => quarantined > produced.bad,
        false => quarantined == produced.bad,
    };
    ensure!(
        read == produced.events && counted && kept == read - quarantined,
        "{read} records read of {} that were sent; {quarantined} quarantined of {} that are broken; {kept} in the lake",
        produced.events,
        produced.bad
    );
    ensure!(facts > 0 && *expected == facts, "{facts} facts, {found}");
    Ok(())
}

/// A batch over the lake builds the same tables in a schema of its own.
async fn tables_are_those_of_a_batch(world: &World, warehouse: &Client, job: Job) -> Result<()> {
    let schema = format!("{REBUILT}_{}", job.name);
    let setting = format!("schema={schema}");
    world.run(&["run", "--job", job.name, "--set", &setting])?;
    same_tables(warehouse, job.name, &schema).await
}
