//! `produce`: a job's events into its topic.

use std::sync::Arc;
use std::time::Duration;

use factmill_core::error::ExitCode;
use factmill_produce::banking::{BankingEvents, BankingSettings, Spread};
use factmill_produce::{ProduceConfig, Progress, Rate, Report, produce};
use factmill_project::Job;
use factmill_project::job::{Origin, Producer};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::cli::ProduceArgs;
use crate::config::{Kafka, Needs, Profile};
use crate::context::Context;
use crate::embedded::running_broker;
use crate::failure::Failure;
use crate::printer::{Printer, grouped};
use crate::shutdown::Shutdown;
use crate::workspace::{Workspace, embedded_failure};

/// One event every five seconds, as jobs.md has it for banking.
const USUAL_RATE: Rate = Rate::PerSecond(0.2);

/// Runs it.
///
/// # Errors
/// A job without a producer, brokers that do not answer or refuse.
pub(super) async fn run(arguments: &ProduceArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(context)?;
    let named: Vec<String> = arguments.job.iter().cloned().collect();
    let chosen = workspace.choose_jobs(&named, false)?;
    let project = workspace.project_with(&chosen, &arguments.settings)?;
    let job = project.job(&chosen[0])?;
    let (topic, events, seed) = events(arguments, job)?;
    let kafka = brokers(&workspace).await?;
    let shutdown = Shutdown::listen(&workspace.printer)?;
    workspace.printer.note(format_args!(
        "producing {} to {topic} at {}, seed {seed}",
        arguments.count.map_or("events".into(), |count| format!(
            "{} events",
            grouped(count)
        )),
        kafka.brokers,
    ));

    let mut config = ProduceConfig::new(kafka.pairs(), &topic);
    config.rate = arguments.rate.unwrap_or(USUAL_RATE);
    config.count = arguments.count;
    let bar = bar(&workspace.printer, arguments.count);
    let shown = bar.clone();
    let report = produce(
        config,
        events.starting_at(0),
        shutdown.token(),
        move |progress| show(&shown, progress),
    )
    .await;
    bar.finish_and_clear();
    let report = report.map_err(Failure::classified)?;
    print(
        &workspace.printer,
        &job.name,
        &topic,
        seed,
        &report,
        arguments.json,
    )?;
    Ok(if report.given_up > 0 {
        ExitCode::Failed
    } else {
        ExitCode::Done
    })
}

/// The topic and the events of a job's producer, and the seed that they come from.
fn events(
    arguments: &ProduceArgs,
    job: &Job,
) -> Result<(String, Arc<BankingEvents>, u64), Failure> {
    let Some(Producer::Banking) = job.producer else {
        return Err(Failure::usage(format!(
            "job `{}` has no producer; add `producer: {{ kind: banking }}` to {}",
            job.name,
            job.file.display()
        )));
    };
    let Some(Origin::Kafka { topic, .. }) = job.sources.first().map(|source| &source.origin) else {
        return Err(Failure::usage(format!("job `{}` reads no topic", job.name)));
    };
    let seed = arguments.seed.unwrap_or_else(BankingSettings::fresh_seed);
    let events = BankingEvents::new(BankingSettings {
        seed,
        spread: arguments.count.map_or(Spread::Steps, Spread::Month),
        bad_percent: arguments.bad.unwrap_or(0.0),
    });
    let events = events.map_err(|error| Failure::usage(error.to_string()))?;
    Ok((topic.clone(), Arc::new(events), seed))
}

/// The profile's brokers; those of the embedded profile are inside a running stream.
async fn brokers(workspace: &Workspace) -> anyhow::Result<Kafka> {
    let needs = Needs {
        kafka: true,
        ..Needs::default()
    };
    let found = match workspace.profile(needs)? {
        Profile::Servers(connections) => connections.kafka,
        Profile::Embedded(directory) => running_broker(&directory)
            .await
            .map_err(|error| embedded_failure(error.into()))?,
    };
    Ok(found.ok_or_else(|| {
        Failure::new(
            factmill_core::error::ErrorKind::Unreachable,
            "there is no broker: the embedded one lives in a running stream; start `factmill stream` first, \
             or choose a profile with brokers",
        )
    })?)
}

fn bar(printer: &Printer, count: Option<u64>) -> ProgressBar {
    let (bar, template) = match count {
        Some(count) => (
            ProgressBar::new(count),
            "{bar:30} {human_pos}/{human_len} events  {msg}  {eta} left",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {human_pos} events  {msg}  {elapsed}",
        ),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let bar = printer.live().add(bar);
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_position(progress.acknowledged);
    bar.set_message(format!(
        "{}/s",
        grouped(rate(progress.acknowledged, progress.elapsed.as_secs_f64()))
    ));
}

fn rate(events: u64, seconds: f64) -> u64 {
    (events as f64 / seconds.max(0.001)).round() as u64
}

#[derive(Serialize)]
struct Line<'a> {
    job: &'a str,
    topic: &'a str,
    seed: u64,
    events: u64,
    bad: u64,
    given_up: u64,
    bytes: u64,
    seconds: f64,
    events_per_second: u64,
}

fn print(
    printer: &Printer,
    job: &str,
    topic: &str,
    seed: u64,
    report: &Report,
    json: bool,
) -> anyhow::Result<()> {
    let events_per_second = rate(report.acknowledged, report.seconds);
    if json {
        return printer.json(&Line {
            job,
            topic,
            seed,
            events: report.acknowledged,
            bad: report.bad,
            given_up: report.given_up,
            bytes: report.bytes,
            seconds: report.seconds,
            events_per_second,
        });
    }
    printer.line(format_args!(
        "{} events in {topic}, {} of them broken, {:.1} s, {}/s, seed {seed}",
        grouped(report.acknowledged),
        grouped(report.bad),
        report.seconds,
        grouped(events_per_second)
    ))?;
    if report.given_up > 0 {
        printer.warn(format_args!(
            "{} events were not acknowledged in time",
            report.given_up
        ));
    }
    Ok(())
}
