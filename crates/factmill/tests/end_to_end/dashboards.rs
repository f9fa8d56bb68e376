//! Every question that the shipped dashboards ask, on tables that a stream filled.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use chrono::{TimeZone, Utc};
use factmill_testkit::grafana::{Dashboard, Range};

use super::world::World;

/// Spread evenly over the month that the dashboards open on.
const EVENTS: &str = "20000";

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_has_rows_over_the_range_it_opens_on() -> Result<()> {
    let world = World::start().await?;
    world.run(&[
        "produce", "banking", "--count", EVENTS, "--rate", "max", "--seed", "11",
    ])?;
    world.run(&["stream", "banking", "--once"])?;
    let warehouse = world.warehouse().await?;
    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/warehouse/roles.sql");
    warehouse.batch_execute(&fs::read_to_string(roles)?).await?;
    // Grafana's login has this role and no other right
    warehouse.batch_execute("set role factmill_reader").await?;

    let january = Range {
        from: Utc.with_ymd_and_hms(2024, 1, 1, 0, 0, 0).unwrap(),
        to: Utc.with_ymd_and_hms(2024, 2, 1, 0, 0, 0).unwrap(),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../grafana/dashboards");
    let mut panels = 0;
    for file in fs::read_dir(folder)? {
        let dashboard = Dashboard::read(&file?.path())?;
        ensure!(
            dashboard.range == january,
            "{} opens on {:?}",
            dashboard.title,
            dashboard.range
        );
        for query in &dashboard.queries {
            let place = format!("{}: {}", dashboard.title, query.panel);
            let sql = query.expand(dashboard.range)?;
            ensure!(!sql.contains('$'), "{place} leaves a variable open:\n{sql}");
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
            panels += 1;
        }
    }
    ensure!(panels > 10, "{panels} queries were asked");
    every_day_has_points(&warehouse).await
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
