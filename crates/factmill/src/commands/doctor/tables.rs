//! Whether the jobs' models compile and what is in the warehouse fits them.

use factmill_connect::sink::postgres;
use factmill_core::epoch::Reader;
use factmill_engine::{Memory, StreamPlan};
use factmill_project::{Job, Project};

use super::report::Report;
use crate::config::Warehouse;
use crate::failure::chain;

/// Compiles a job's models and, where the warehouse is there, holds its tables against them.
/// Nothing is changed.
pub(super) async fn examine(
    project: &Project,
    job: &Job,
    reader: &Reader,
    warehouse: Option<&Warehouse>,
) -> Report {
    let mut report = Report::of("models");
    let plan = match StreamPlan::compile(project, job, &Memory::stream()).await {
        Ok(plan) => plan,
        Err(wrong) => {
            for diagnostic in wrong.iter() {
                let place = diagnostic
                    .location
                    .as_ref()
                    .map(|place| format!("{place}: "));
                report.failed(
                    format!("job {}", job.name),
                    format!("{}{}", place.unwrap_or_default(), diagnostic.message),
                    diagnostic.help.as_deref().unwrap_or("correct the model"),
                );
            }
            return report;
        }
    };
    report.ok(
        format!("job {}", job.name),
        format!("{} tables", plan.tables().len()),
    );
    let Some(warehouse) = warehouse else {
        return report;
    };
    // What is wrong with the server itself is found by the checks of the warehouse.
    let Ok(warehouse) = postgres::Warehouse::connect(warehouse.config()).await else {
        return report;
    };
    if warehouse.check_schema().await.is_err() {
        return report;
    }
    let check = format!("tables of {}", job.name);
    match warehouse.check_tables(reader, plan.tables()).await {
        Ok(()) => report.ok(check, "fit, or will be made"),
        Err(error) => report.failed(
            check,
            chain(&error),
            "correct the model, move the table away, or run `factmill run` to replace it",
        ),
    }
    report
}
