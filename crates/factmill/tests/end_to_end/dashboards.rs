//! Every question that the shipped dashboards ask, on tables that a stream filled.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use factmill_testkit::grafana::Dashboard;

use super::world::{World, succeeded};

/// Spread evenly over the month that the dashboards open on.
const EVENTS: &str = "20000";

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_has_rows_over_the_range_it_opens_on() -> Result<()> {
    let world = World::start().await?;
    world.run(&[
        "produce", "banking", "--count", EVENTS, "--rate", "max", "--seed", "11",
    ])?;
    world.run(&["stream", "banking", "--once"])?;
    for (job, count) in [
        ("payments", "5000"),
        ("retail", "5000"),
        ("stripe", "20"),
        ("ecommerce", "400"),
    ] {
        world.run(&[
            "produce", job, "--count", count, "--rate", "max", "--seed", "11",
        ])?;
    }
    let address = free_address()?;
    let simulated = world.spawn(&["serve", "stripe", "--listen", &address])?;
    let rates = format!("http://{address}/forex/{{date}}.json");
    let mut stripe = world.factmill(&["stream", "stripe", "--once"]);
    stripe.env("FOREX_URL", rates);
    succeeded(stripe)?;
    simulated.end()?;
    world.run(&["stream", "payments", "retail", "ecommerce", "--once"])?;
    let warehouse = world.warehouse().await?;
    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/warehouse/roles.sql");
    warehouse.batch_execute(&fs::read_to_string(roles)?).await?;
    // Grafana's login has this role and no other right
    warehouse.batch_execute("set role factmill_reader").await?;

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../grafana/dashboards");
    let mut panels = 0;
    for file in fs::read_dir(folder)? {
        panels += every_panel_has_rows(&warehouse, &file?.path()).await?;
    }
    ensure!(panels > 50, "{panels} queries were asked");
    every_day_has_points(&warehouse).await
}

/// An address on loopback that nobody listens on.
fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

/// Asks every query of a dashboard; says how many there are.
pub(super) async fn every_panel_has_rows(
    warehouse: &tokio_postgres::Client,
    file: &Path,
) -> Result<usize> {
    let dashboard = Dashboard::read(file)?;
    for query in &dashboard.queries {
        let place = format!("{}: {}", dashboard.title, query.panel);
        let sql = dashboard.sql(query)?;
        let found = warehouse
            .query_one(
                &format!(
                    "select count(*), count(*) filter (where r::text like '%,,%' or r::text like '(,%' or r::text like '%,)') \
                     from ({sql}) r"
                ),
                &[],
            )
            .await?;
        let (rows, with_nulls): (i64, i64) = (found.get(0), found.get(1));
        ensure!(rows > 0, "{place} has no rows:\n{sql}");
        ensure!(
            with_nulls == 0,
            "{with_nulls} rows of {place} have nulls:\n{sql}"
        );
    }
    Ok(dashboard.queries.len())
}

/// The events reach from the first to the last day of the month, so no chart has a hole.
async fn every_day_has_points(warehouse: &tokio_postgres::Client) -> Result<()> {
    let row = warehouse
        .query_one(
            "select count(distinct date_day), count(distinct hour) \
             from banking.agg_daily_by_type full join banking.agg_hourly_volume on false",
            &[],
        )
        .await?;
    let (days, hours): (i64, i64) = (row.get(0), row.get(1));
    ensure!(
        (days, hours) == (31, 31 * 24),
        "{days} days and {hours} hours have transactions"
    );
    Ok(())
}
