//! `produce`: a job's events into its topic.

mod bar;
mod payments;

use factmill_core::error::ExitCode;
use factmill_produce::ecommerce::Ask as ShopAsk;
use factmill_produce::{ProduceConfig, Report, produce};
use factmill_project::Job;
use factmill_project::job::Producer;
use serde::Serialize;

use self::bar::Bar;
use super::refuse;
use crate::cli::ProduceArgs;
use crate::config::{Kafka, Needs, Profile};
use crate::context::Context;
use crate::embedded::{self, running_broker};
use crate::failure::Failure;
use crate::printer::{Printer, grouped};
use crate::producers::{self, Ask, Shop};
use crate::shutdown::Shutdown;
use crate::workspace::{Unnamed, Workspace, embedded_failure};

/// Runs it.
///
/// # Errors
/// A job without a producer, brokers that do not answer or refuse.
pub(super) async fn run(arguments: &ProduceArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(context)?;
    let named: Vec<String> = arguments.job.iter().cloned().collect();
    let (project, chosen) = workspace.choose_jobs(&named, Unnamed::Ask, &arguments.settings)?;
    let job = project.job(&chosen[0])?;
    let producer = job.producer.as_ref().ok_or_else(|| {
        Failure::usage(format!(
            "job `{}` has no producer; add `producer: {{ kind: … }}` to {}",
            job.name,
            job.file.display()
        ))
    })?;
    if !matches!(producer, Producer::Stripe { .. }) {
        let live = [("--live", arguments.live)];
        let why = format!("is for charges, and job `{}` makes none", job.name);
        refuse(&live, &why)?;
    }
    let ask = match producer {
        Producer::Payments { input, scaler } => {
            let settings = payments::settings(&arguments.payments, &workspace, [input, scaler]);
            if arguments.payments.fit || arguments.payments.output.is_some() {
                return payments::files(arguments, settings, &workspace).await;
            }
            let mut ask = ask(arguments, job, &workspace)?;
            ask.payments = Some(settings);
            ask
        }
        _ => {
            let why = format!(
                "is for files of payments, and job `{}` reads none",
                job.name
            );
            refuse(&arguments.payments.given(), &why)?;
            ask(arguments, job, &workspace)?
        }
    };
    let kafka = brokers(&workspace).await?;
    forget_sequence(producer, job, &workspace)?;
    let shutdown = Shutdown::listen(&workspace.printer)?;
    let sending = Sending {
        job,
        topic: producers::topic(job)?,
        arguments,
        kafka,
        workspace: &workspace,
        shutdown,
    };
    let report = match producer {
        Producer::Ecommerce { third_party, cors } => {
            sending.shop(third_party.as_deref(), cors, &ask).await?
        }
        _ => sending.events(producer, ask).await?,
    };
    Ok(if report.given_up > 0 {
        ExitCode::Failed
    } else {
        ExitCode::Done
    })
}

/// What the flags ask of a producer.
fn ask(arguments: &ProduceArgs, job: &Job, workspace: &Workspace) -> anyhow::Result<Ask> {
    let state = match workspace.is_embedded()? {
        // That broker begins empty each time.
        true => None,
        false => Some(workspace.state_file("produce", &job.name)?),
    };
    Ok(Ask {
        seed: arguments.seed,
        count: arguments.count,
        rate: arguments.rate,
        bad_percent: arguments.bad.unwrap_or(0.0),
        state,
        stripe_key: producers::stripe_key(workspace),
        live: arguments.live,
        payments: None,
    })
}

/// Lets the producer inside an embedded stream send its file from the first row on at its next start:
/// with the rows of this run in the topic, the number of records does not tell any more which of its
/// own are there. They count once.
fn forget_sequence(producer: &Producer, job: &Job, workspace: &Workspace) -> anyhow::Result<()> {
    if let (Producer::Payments { .. }, Profile::Embedded { directory, .. }) =
        (producer, workspace.profile(Needs::default())?)
    {
        embedded::forget(&directory, &workspace.reader(&job.name))?;
    }
    Ok(())
}

/// One run of a producer.
struct Sending<'a> {
    job: &'a Job,
    topic: &'a str,
    arguments: &'a ProduceArgs,
    kafka: Kafka,
    workspace: &'a Workspace,
    shutdown: Shutdown,
}

impl Sending<'_> {
    /// Sends the events of a source.
    async fn events(&self, producer: &Producer, ask: Ask) -> anyhow::Result<Report> {
        let opened = producers::open(producer, &self.workspace.directory, ask).await?;
        self.announce(&opened.about);
        let mut config = ProduceConfig::new(self.kafka.pairs(), self.topic);
        config.rate = opened.rate;
        config.count = self.arguments.count;
        let (seed, meter) = (opened.seed, opened.meter.clone());
        let (source, simulator) = opened.into_source();
        let printer = &self.workspace.printer;
        let bar = match (self.arguments.count, &meter) {
            (None, Some(meter)) => Bar::of_file(printer, meter.clone()),
            (count, _) => Bar::of_events(printer, count),
        };
        let shown = bar.clone();
        let token = self.shutdown.token();
        let report = produce(config, source, token, move |progress| shown.show(progress)).await;
        bar.finish();
        drop(simulator);
        let report = report.map_err(Failure::classified)?;
        if let Some(meter) = meter {
            payments::print_refused(&self.workspace.printer, &meter.report());
        }
        self.print(seed, &report)?;
        Ok(report)
    }

    /// Runs the shop's services with a client of each.
    async fn shop(
        &self,
        third_party: Option<&str>,
        cors: &[String],
        ask: &Ask,
    ) -> anyhow::Result<Report> {
        // The clients ask for the pace, half of it each.
        let settings = Ask {
            rate: None,
            ..ask.clone()
        };
        let settings = producers::shop_settings(self.topic, cors, &settings);
        let shop = Shop::bind(settings, third_party, [None, None]).await?;
        let seed = shop.seed();
        self.announce(&format!(
            "http://{} and http://{}, which asks {}, seed {seed}",
            shop.generator,
            shop.third_party,
            shop.asks()
        ));
        let ask = ShopAsk {
            count: self.arguments.count,
            rate: ask.rate,
            ..ShopAsk::default()
        };
        let bar = Bar::of_events(&self.workspace.printer, self.arguments.count);
        let (shown, asks) = (bar.clone(), [ask]);
        let produced = shop.produce(
            self.kafka.pairs().collect(),
            &asks,
            self.shutdown.token(),
            move |progress| shown.show(progress),
        );
        let produced = produced.await;
        bar.finish();
        let report = produced?;
        self.print(Some(seed), &report)?;
        Ok(report)
    }

    fn announce(&self, about: &str) {
        let count = self.arguments.count;
        let events = count.map_or("events".into(), |count| {
            format!("{} events", grouped(count))
        });
        self.workspace.printer.note(format_args!(
            "producing {events} to {} at {}, {about}",
            self.topic, self.kafka.brokers,
        ));
    }

    fn print(&self, seed: Option<u64>, report: &Report) -> anyhow::Result<()> {
        let printer = &self.workspace.printer;
        let (topic, json) = (self.topic, self.arguments.json);
        print(printer, &self.job.name, topic, seed, report, json)
    }
}

/// The profile's brokers; those of the embedded profile are inside a running stream.
pub(super) async fn brokers(workspace: &Workspace) -> anyhow::Result<Kafka> {
    let needs = Needs {
        kafka: true,
        ..Needs::default()
    };
    let found = match workspace.profile(needs)? {
        Profile::Servers(connections) => connections.kafka,
        Profile::Embedded { directory, .. } => running_broker(&directory)
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

fn rate(events: u64, seconds: f64) -> u64 {
    (events as f64 / seconds.max(0.001)).round() as u64
}

#[derive(Serialize)]
struct Line<'a> {
    job: &'a str,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
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
    seed: Option<u64>,
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
    let seed = seed.map_or(String::new(), |seed| format!(", seed {seed}"));
    printer.line(format_args!(
        "{} events in {topic}, {} of them broken, {:.1} s, {}/s{seed}",
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
