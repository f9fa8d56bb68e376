//! A stream on private servers, with its producer inside.

use std::collections::BTreeMap;
use std::path::Path;

use factmill_connect::source::kafka::{Identity, KafkaConfig};
use futures::future::{join_all, try_join_all};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{JobRun, Run};
use crate::commands::serve;
use crate::config::{Connections, Needs, Warehouse};
use crate::embedded::{Feed, Place, Servers, Wanted};
use crate::failure::chain;
use crate::printer::BOLD;
use crate::producers;
use crate::web::{self, PAGE_PORT, Page};
use crate::workspace::embedded_failure;

/// Starts the servers, streams, and ends them, whatever happened between.
///
/// # Errors
/// As a stream on other servers, and when private ones cannot be had.
pub(super) async fn run(
    mut run: Run<'_>,
    directory: &Path,
    databases: BTreeMap<String, Warehouse>,
) -> anyhow::Result<()> {
    let sources = run.jobs.iter().flat_map(|job| &job.sources);
    let wanted = Wanted {
        topics: sources
            .filter_map(|source| source.origin.topic().map(str::to_owned))
            .collect(),
        mongo: Needs::of(&run.jobs).mongo,
    };
    let names: Vec<&str> = run.jobs.iter().map(|job| job.name.as_str()).collect();
    let command = format!("factmill stream {}", names.join(" "));
    let starting = Servers::start(directory, &command, wanted);
    let servers = tokio::select! {
        started = starting => started.map_err(embedded_failure)?,
        () = run.stop.cancelled() => return Ok(()),
    };
    let connections = Connections {
        databases,
        ..servers.connections()
    };
    if run.arguments.all && connections.mongo.is_none() {
        leave_out_readers_of_collections(&mut run);
    }
    let streamed = stream(&run, &servers, &connections).await;
    let ended = servers.end().await.map_err(embedded_failure);
    streamed?;
    Ok(ended?)
}

/// `--all` is every job that can run here: one that reads collections cannot without a MongoDB.
fn leave_out_readers_of_collections(run: &mut Run<'_>) {
    let printer = &run.workspace.printer;
    run.jobs.retain(|job| {
        let reads = job.reads_collections();
        if reads {
            printer.warn(format_args!(
                "{} is left out: it reads a collection of MongoDB, and no mongod is on the PATH",
                job.name
            ));
        }
        !reads
    });
    run.shared.divide(run.jobs.len());
}

async fn stream(run: &Run<'_>, servers: &Servers, connections: &Connections) -> anyhow::Result<()> {
    // Offsets of a new broker begin at 0 again: each start is a life of its own.
    let identity = format!("embedded/{}", uuid::Uuid::new_v4());
    let feeds = feeds(run, servers, connections, &identity).await?;
    let page = match run.arguments.once {
        true => None,
        false => page(run, &feeds, connections).await?,
    };
    announce(run, servers, &feeds, page.as_ref());

    let jobs = run.jobs.iter().zip(&feeds).map(|(job, feed)| JobRun {
        job,
        kafka: connections.kafka.as_ref().map(|kafka| KafkaConfig {
            identity: Identity::Given(identity.clone()),
            ..kafka.config()
        }),
        unread: feed.as_ref().and_then(|feed| feed.unread.clone()),
        simulated: feed
            .as_ref()
            .map(|feed| feed.simulated.clone())
            .unwrap_or_default(),
    });
    let jobs: Vec<_> = jobs.collect();
    let feeds = feeds.into_iter().flatten();
    if run.arguments.once {
        let producing = feeds.map(|feed| Box::pin(feed.first_part(&run.stop)));
        let _simulators = try_join_all(producing).await?;
        return run.epochs(connections, jobs).await;
    }
    let ended = CancellationToken::new();
    let cancel = run.stop.child_token();
    let producing = feeds.map(async |feed| {
        let about = feed.about.clone();
        let produced = tokio::select! {
            produced = Box::pin(feed.keep_sending(&cancel)) => produced,
            () = ended.cancelled() => return,
        };
        if let Err(error) = produced {
            let reason = chain(&error);
            tracing::error!(about, reason, "a producer inside ended; the stream goes on");
        }
    });
    let showing = async {
        let Some((listener, page)) = page else { return };
        if let Err(error) = web::serve(listener, page, cancel.clone()).await {
            let reason = format!("{error:#}");
            tracing::error!(reason, "the web page ended; the stream goes on");
        }
    };
    let streaming = async {
        let streamed = run.epochs(connections, jobs).await;
        ended.cancel();
        cancel.cancel();
        streamed
    };
    let (streamed, _, ()) = tokio::join!(streaming, join_all(producing), showing);
    streamed
}

/// The page of the job that has one, bound to its usual port, or a free one where that is taken.
async fn page(
    run: &Run<'_>,
    feeds: &[Option<Feed>],
    connections: &Connections,
) -> anyhow::Result<Option<(TcpListener, Page)>> {
    let feeds = run.jobs.iter().zip(feeds);
    let mut shops = feeds.filter_map(|(job, feed)| Some((job, feed.as_ref()?.shop()?)));
    let Some((job, shop)) = shops.next() else {
        return Ok(None);
    };
    let listener = producers::bind(None, PAGE_PORT).await?;
    let page = serve::page(shop, job, connections).await?;
    Ok(Some((listener, page)))
}

/// The producer of each job, ready to go on; `None` where a job has none.
async fn feeds(
    run: &Run<'_>,
    servers: &Servers,
    connections: &Connections,
    identity: &str,
) -> anyhow::Result<Vec<Option<Feed>>> {
    let warehouse = crate::commands::warehouse(connections).await?;
    let mut feeds = Vec::with_capacity(run.jobs.len());
    let Some(kafka) = &connections.kafka else {
        feeds.resize_with(run.jobs.len(), || None);
        return Ok(feeds);
    };
    let place = Place {
        workspace: run.workspace,
        folder: servers.folder(),
        warehouse: &warehouse,
        identity,
        brokers: &kafka.brokers,
        rate: run.arguments.produce_rate,
        once: run.arguments.once,
    };
    for job in &run.jobs {
        let reader = run.workspace.reader(&job.name);
        feeds.push(Box::pin(Feed::prepare(job, &reader, &place)).await?);
    }
    Ok(feeds)
}

/// Says what runs where and how to ask it.
fn announce(
    run: &Run<'_>,
    servers: &Servers,
    feeds: &[Option<Feed>],
    page: Option<&(TcpListener, Page)>,
) {
    let printer = &run.workspace.printer;
    let connections = servers.connections();
    let mut lines = vec![format!(
        "{BOLD}embedded profile{BOLD:#} in {}, for trying out",
        servers.folder().display()
    )];
    if let Some(kafka) = &connections.kafka {
        lines.push(format!(
            "  broker     {}, inside this process and gone with it",
            kafka.brokers
        ));
    }
    lines.push(format!("  postgres   {}", servers.postgres_address()));
    lines.push(format!(
        "  lake       {}",
        servers.folder().join("lake").display()
    ));
    if run.jobs.iter().any(|job| job.raw_store.is_some()) {
        lines.push(match &connections.mongo {
            Some(mongo) => format!("  raw store  {}", mongo.url),
            None => "  raw store  off: no mongod on the PATH".into(),
        });
    }
    for (job, feed) in run.jobs.iter().zip(feeds) {
        let Some(feed) = feed else { continue };
        let whose = if run.jobs.len() > 1 {
            format!("{}: ", job.name)
        } else {
            String::new()
        };
        lines.push(format!("  producer   {whose}{}", feed.about));
    }
    if let Some(Ok(address)) = page.map(|(listener, _)| listener.local_addr()) {
        lines.push(format!("  page       http://{address}"));
    }
    if let Some(first) = run.jobs.first() {
        let schema = &first.schema;
        lines.push(format!(
            "  ask        factmill sql \"select count(*) from {schema}.…\""
        ));
    }
    lines.push(format!("             {}", servers.psql()));
    for line in lines {
        printer.note(line);
    }
}
