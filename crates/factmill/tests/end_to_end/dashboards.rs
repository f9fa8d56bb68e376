//! Every question that the shipped dashboards ask, on tables that a stream filled.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use factmill_testkit::grafana::{Dashboard, GRAFANA, check_dashboards};
use tokio_postgres::error::SqlState;

use super::world::World;

/// The shipped dashboards.
pub(super) const DASHBOARDS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../grafana/dashboards");

/// Spread evenly over the month that the dashboards open on.
const EVENTS: &str = "20000";

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_has_rows_over_the_range_it_opens_on() -> Result<()> {
    let mut world = World::start().await?;
    let warehouse = world.warehouse().await?;
    // before the first start, as compose does it: factmill grants what it makes
    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/warehouse/roles.sql");
    warehouse.batch_execute(&fs::read_to_string(roles)?).await?;
    world.run(&[
        "produce", "banking", "--count", EVENTS, "--rate", "max", "--seed", "11",
    ])?;
    world.run(&["stream", "banking", "--once"])?;
    for (job, count, bad) in [
        ("payments", "5000", "0"),
        // for the panels of dead letters
        ("retail", "5000", "1"),
        ("stripe", "20", "0"),
        ("ecommerce", "400", "0"),
    ] {
        world.run(&[
            "produce", job, "--count", count, "--rate", "max", "--seed", "11", "--bad", bad,
        ])?;
    }
    let simulated = world.serve_rates()?;
    world.run(&["stream", "stripe", "--once"])?;
    simulated.end()?;
    world.run(&["stream", "payments", "retail", "ecommerce", "--once"])?;
    // Grafana's login has this role and no other right
    warehouse.batch_execute("set role factmill_reader").await?;

    let folder = Path::new(DASHBOARDS);
    let mut panels = 0;
    for file in fs::read_dir(folder)? {
        panels += every_panel_has_rows(&warehouse, &file?.path()).await?;
    }
    ensure!(panels > 50, "{panels} queries were asked");
    payloads_stay_closed(&warehouse).await?;
    every_day_has_points(&warehouse).await
}

#[test]
fn every_dashboard_is_what_grafana_takes() -> Result<()> {
    check_dashboards(Path::new(DASHBOARDS))?;
    let compose = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker-compose.yml");
    let image = format!("image: grafana/grafana:{GRAFANA}\n");
    ensure!(
        fs::read_to_string(compose)?.contains(&image),
        "docker-compose.yml runs another Grafana than {GRAFANA}"
    );
    Ok(())
}

/// A payload may be personal data: the role sees that there is a dead letter, not what it holds.
async fn payloads_stay_closed(warehouse: &tokio_postgres::Client) -> Result<()> {
    let asked = warehouse.query("select payload from factmill.dead_letters", &[]);
    let refused = asked.await.err().and_then(|error| error.code().cloned());
    ensure!(
        refused == Some(SqlState::INSUFFICIENT_PRIVILEGE),
        "{refused:?}"
    );
    Ok(())
}

/// Gives the connection the rights of Grafana's login, and no other.
pub(super) async fn read_as_grafana(warehouse: &tokio_postgres::Client) -> Result<()> {
    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/warehouse/roles.sql");
    warehouse.batch_execute(&fs::read_to_string(roles)?).await?;
    warehouse.batch_execute("set role factmill_reader").await?;
    Ok(())
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
