//! `stream`: a job's epochs, one after the other, until it is stopped or everything is read.

mod private;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use factmill_connect::registry::Registry;
use factmill_connect::source::kafka::KafkaConfig;
use factmill_core::error::{ErrorKind, ExitCode};
use factmill_core::source::BoxedError;
use factmill_produce::UnreadLimit;
use factmill_project::{Job, Project};
use tokio_util::sync::CancellationToken;

use crate::cli::StreamArgs;
use crate::config::{Connections, Needs, Profile};
use crate::context::Context;
use crate::failure::Failure;
use crate::live_view::LiveView;
use crate::metrics_server::{self, Readiness, Telling, Told};
use crate::printer::{Printer, grouped};
use crate::shutdown::Shutdown;
use crate::stream::{self, OpenError, Shared, Simulated, StreamOptions, Summary};
use crate::watch::Watch;
use crate::workspace::{Unnamed, Workspace};

/// The job that runs where none is named and nobody can be asked, and that a terminal proposes.
const USUAL_JOB: &str = "banking";

/// How long epochs in flight may take to be committed once the run was asked to end. With the end of
/// private servers behind it, all stays within five seconds.
const GRACE: Duration = Duration::from_secs(3);

/// How often a view is redrawn although nothing came.
const TICK: Duration = Duration::from_millis(250);

/// Runs it.
///
/// # Errors
/// What is wrong in the project or the configuration, servers that are not there, and what made the
/// job stop.
pub(super) async fn run(arguments: &StreamArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(context)?;
    let unnamed = match arguments.all {
        true => Unnamed::All,
        false => Unnamed::Usual(USUAL_JOB),
    };
    let (project, names) = workspace.choose_jobs(&arguments.jobs, unnamed, &arguments.settings)?;
    let jobs = names.iter().map(|name| project.job(name));
    let jobs: Vec<&Job> = jobs.collect::<Result<_, _>>()?;
    let mut needs = Needs::of(&jobs);
    for job in &jobs {
        needs = needs.and_databases_of(&project, &project.job_models(job)?);
    }
    let profile = workspace.profile(needs)?;
    let shutdown = Shutdown::listen(&workspace.printer)?;
    let stop = shutdown.token().child_token();
    if let Some(duration) = arguments.duration {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            stop.cancel();
        });
    }
    let run = Run {
        workspace: &workspace,
        project: &project,
        shared: Shared::new(jobs.len()).context("cannot start threads")?,
        jobs,
        arguments,
        stop,
    };
    match profile {
        Profile::Servers(connections) => {
            let kafka = connections.kafka.as_ref().map(crate::config::Kafka::config);
            let jobs = run.jobs.iter().map(|job| JobRun {
                job,
                kafka: kafka.clone(),
                unread: None,
                simulated: Simulated::default(),
            });
            run.epochs(&connections, jobs.collect()).await?;
        }
        Profile::Embedded {
            directory,
            databases,
        } => private::run(run, &directory, databases).await?,
    }
    Ok(ExitCode::Done)
}

/// One run of one job or several, side by side.
struct Run<'a> {
    workspace: &'a Workspace,
    project: &'a Project,
    jobs: Vec<&'a Job>,
    arguments: &'a StreamArgs,
    /// Cancelled when the run shall end.
    stop: CancellationToken,
    shared: Shared,
}

/// One job of a run.
struct JobRun<'a> {
    job: &'a Job,
    /// The brokers, where the profile has some.
    kafka: Option<KafkaConfig>,
    /// Told how far is committed, where a producer waits for it.
    unread: Option<Arc<UnreadLimit>>,
    /// Services that are simulated beside it.
    simulated: Simulated,
}

impl Run<'_> {
    /// Runs the epochs of all jobs until each has ended. A job that fails ends alone.
    ///
    /// # Errors
    /// The first failure, once all jobs have ended.
    async fn epochs(&self, connections: &Connections, jobs: Vec<JobRun<'_>>) -> anyhow::Result<()> {
        let told = Arc::new(Told::new(jobs.iter().map(|run| run.job.name.as_str())));
        let printer = &self.workspace.printer;
        let server = serve(self.arguments.listen, &told, printer).await?;
        let several = jobs.len() > 1;
        let runs = jobs
            .into_iter()
            .zip(told.jobs())
            .map(async |(run, telling)| {
                let name = &run.job.name;
                let ended = Box::pin(self.job(connections, run, telling)).await;
                if let (Err(failure), true) = (&ended, several) {
                    let reason = format!("{failure:#}");
                    tracing::error!(job = name, reason, "the job ended; the others go on");
                }
                ended
            });
        let ended = futures::future::join_all(runs).await;
        server.cancel();
        ended.into_iter().collect()
    }

    /// Opens a job, runs its epochs, says what was done.
    async fn job(
        &self,
        connections: &Connections,
        run: JobRun<'_>,
        telling: &Arc<Telling>,
    ) -> anyhow::Result<()> {
        let printer = &self.workspace.printer;
        let live = printer.is_interactive() && !self.arguments.json;
        let live = live.then(|| LiveView::show(printer, &run.job.name));
        let watch = Watch::new(telling.clone(), live, run.unread.clone());

        let ended = tokio::select! {
            ended = self.open_and_run(connections, run, telling, &watch) => ended,
            () = watch.keep_drawing(TICK) => unreachable!("it draws until it is dropped"),
            () = self.out_of_time(telling) => {
                printer.note("the epoch in flight was dropped; the next start reads it again");
                Ok(())
            }
        };
        telling.set(Readiness::Ending);
        let summary = watch.summary();
        drop(watch);
        let phases = &summary.phases;
        tracing::info!(
            job = summary.job,
            pull = phases.pull,
            decode = phases.decode,
            transform = phases.transform,
            side_writes = phases.side_writes,
            commit = phases.commit,
            rebuild = phases.rebuild,
            "seconds by phase"
        );
        print(printer, &summary, self.arguments.json)?;
        ended
    }

    async fn open_and_run(
        &self,
        connections: &Connections,
        run: JobRun<'_>,
        telling: &Telling,
        watch: &Watch,
    ) -> anyhow::Result<()> {
        let (Some(warehouse), Some(lake)) = (&connections.warehouse, &connections.lake) else {
            return Err(Failure::usage("the profile has no `warehouse` or no `lake`").into());
        };
        let reader = self.workspace.reader(&run.job.name);
        // the profile's is there for any job of the run
        let registry = connections.schema_registry.as_ref();
        let registry = registry.filter(|_| Needs::of(&[run.job]).schema_registry);
        let registry = registry.map(|registry| Registry::new(&registry.config()));
        let registry = registry.transpose().map_err(Failure::classified)?;
        let options = StreamOptions {
            project: self.project,
            job: run.job,
            target: &reader.target,
            kafka: run.kafka,
            warehouse: warehouse.config(),
            warehouse_url: warehouse.url_with_tls(),
            databases: connections.database_configs(),
            lake: lake
                .location()
                .map_err(|error| Failure::usage(crate::failure::chain(&error)))?,
            mongo_url: connections.mongo.as_ref().map(|mongo| mongo.url.expose()),
            registry: registry.map(Arc::new),
            once: self.arguments.once,
            simulated: run.simulated,
            shared: self.shared.clone(),
        };
        let mut job = tokio::select! {
            opened = Box::pin(stream::open(options)) => opened.map_err(open_failure)?,
            () = self.stop.cancelled() => return Ok(()),
        };
        telling.set(Readiness::Ready);
        let ended = stream::run(&mut job, &self.stop, watch).await;
        match ended {
            // A failure that would have been tried again, were the run not ending anyway.
            Err(failure) if self.stop.is_cancelled() && is_passing(&failure) => {
                tracing::warn!(
                    reason = crate::failure::chain(&*failure),
                    "ended while a failure was waited out"
                );
                Ok(())
            }
            ended => Ok(ended.map_err(Failure::boxed)?),
        }
    }

    /// Comes back when the time for a graceful end is over.
    async fn out_of_time(&self, telling: &Telling) {
        self.stop.cancelled().await;
        telling.set(Readiness::Ending);
        tokio::time::sleep(GRACE).await;
    }
}

fn is_passing(failure: &BoxedError) -> bool {
    matches!(failure.kind(), ErrorKind::Transient | ErrorKind::Fenced)
}

fn open_failure(error: OpenError) -> anyhow::Error {
    match error {
        OpenError::Project(diagnostics) => diagnostics.into(),
        other => Failure::classified(other).into(),
    }
}

/// Serves what is told of the jobs until the token is cancelled.
async fn serve(
    asked: Option<SocketAddr>,
    told: &Arc<Told>,
    printer: &Printer,
) -> anyhow::Result<CancellationToken> {
    let listener = metrics_server::bind(asked).await.map_err(|error| {
        let place = asked.map_or("loopback".to_owned(), |address| address.to_string());
        Failure::usage(format!(
            "cannot listen on {place}: {error}; choose another --listen"
        ))
    })?;
    printer.note(format_args!(
        "metrics at http://{}/metrics",
        listener.local_addr()?
    ));
    let shutdown = CancellationToken::new();
    let served = metrics_server::serve(listener, told.clone(), shutdown.clone());
    tokio::spawn(async move {
        if let Err(error) = served.await {
            tracing::error!(%error, "metrics are not served any more");
        }
    });
    Ok(shutdown)
}

fn print(printer: &Printer, summary: &Summary, json: bool) -> anyhow::Result<()> {
    if json {
        return printer.json(summary);
    }
    printer.line(format_args!(
        "{}: {} rows read in {} epochs, {} rows written, {} dead letters, {:.1} s, {} rows/s, peak memory {} MiB",
        summary.job,
        grouped(summary.rows_in),
        grouped(summary.epochs),
        grouped(summary.rows_out),
        grouped(summary.dead_letters),
        summary.seconds,
        grouped(summary.rows_per_second.round() as u64),
        summary.peak_rss_bytes >> 20
    ))?;
    Ok(())
}
