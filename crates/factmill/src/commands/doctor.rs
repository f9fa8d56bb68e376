//! `doctor`: checks every connection, right and setting, and says how to mend it.

mod databases;
mod kafka;
mod lake;
mod mongo;
mod registry;
mod report;
mod tables;
mod warehouse;

use factmill_core::error::ExitCode;
use factmill_project::{Job, Project};

use self::report::{Check, Outcome, Report};
use crate::cli::DoctorArgs;
use crate::config::{Connections, Needs, Profile};
use crate::context::Context;
use crate::embedded::{self, Access};
use crate::workspace::Workspace;

/// Runs it. All checks are made, whatever the first ones find.
///
/// # Errors
/// What is wrong in the project or in `factmill.yml`.
pub(super) async fn run(arguments: &DoctorArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(context)?;
    let project = workspace.project()?;
    let jobs: Vec<&Job> = match &arguments.job {
        Some(name) => vec![project.job(name)?],
        None => project.jobs.iter().collect(),
    };
    let mut needs = Needs::of(&jobs);
    // Their events go there, also where the job reads something else.
    needs.kafka |= jobs.iter().any(|job| job.producer.is_some());
    let needs = match arguments.job {
        Some(_) => needs.and_databases_of(&project, &project.job_models(jobs[0])?),
        None => needs.and_databases(&project.sources),
    };
    let mut checks = Vec::new();
    let mut project_report = Report::of("project");
    project_report.ok(
        "files",
        format!(
            "{} models, {} jobs",
            project.models.len(),
            project.jobs.len()
        ),
    );
    checks.extend(project_report.into_checks());

    match workspace.profile(needs)? {
        Profile::Servers(connections) => {
            checks.extend(examine(&connections, &workspace, &project, &jobs).await)
        }
        Profile::Embedded {
            directory,
            databases,
        } => {
            let mut report = Report::of("embedded");
            match Access::open(&directory, "factmill doctor").await {
                Ok(access) => {
                    report.ok("postgres", embedded::place(&access));
                    checks.extend(report.into_checks());
                    let connections = Connections {
                        databases,
                        ..access.connections()
                    };
                    checks.extend(examine(&connections, &workspace, &project, &jobs).await);
                    access.close().await?;
                }
                Err(error) => {
                    report.unreachable(
                        "postgres",
                        crate::failure::chain(&error),
                        "see the message",
                    );
                    checks.extend(report.into_checks());
                }
            }
        }
    }
    report::print(&workspace.printer, &checks, arguments.json)?;
    Ok(match report::worst(&checks) {
        Outcome::Ok | Outcome::Warning => ExitCode::Done,
        Outcome::Failed => ExitCode::Failed,
        Outcome::Unreachable => ExitCode::Unreachable,
    })
}

/// Everything that these connections lead to, at the same time.
async fn examine(
    connections: &Connections,
    workspace: &Workspace,
    project: &Project,
    jobs: &[&Job],
) -> Vec<Check> {
    let kafka = async {
        match &connections.kafka {
            Some(kafka) => kafka::examine(kafka, jobs).await.into_checks(),
            None => Vec::new(),
        }
    };
    let mongo = async {
        match &connections.mongo {
            Some(mongo) => mongo::examine(mongo).await.into_checks(),
            None => Vec::new(),
        }
    };
    let registry = async {
        match &connections.schema_registry {
            Some(registry) => registry::examine(registry).await.into_checks(),
            None => Vec::new(),
        }
    };
    let warehouse = async {
        match &connections.warehouse {
            Some(warehouse) => warehouse::examine(warehouse).await.into_checks(),
            None => Vec::new(),
        }
    };
    let lake = async {
        match &connections.lake {
            Some(lake) => lake::examine(lake).await.into_checks(),
            None => Vec::new(),
        }
    };
    let databases = databases::examine(&connections.databases, &project.sources);
    let (kafka, mongo, registry, warehouse, lake, databases) =
        tokio::join!(kafka, mongo, registry, warehouse, lake, databases);
    let mut checks = [kafka, mongo, registry, warehouse, lake].concat();
    checks.extend(databases.into_checks());
    for job in jobs {
        let reader = workspace.reader(&job.name);
        let settings = connections.warehouse.as_ref();
        checks.extend(
            tables::examine(project, job, &reader, settings)
                .await
                .into_checks(),
        );
    }
    checks
}
