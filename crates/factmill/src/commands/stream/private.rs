//! A stream on private servers, with its producer inside.

use std::path::Path;

use factmill_connect::source::kafka::Identity;
use factmill_produce::produce;
use factmill_project::job::Origin;
use tokio_util::sync::CancellationToken;

use super::Run;
use crate::embedded::{FIRST_PART, Feed, Servers, USUAL_RATE, Wanted};
use crate::failure::{Failure, chain};
use crate::printer::{BOLD, grouped};
use crate::workspace::embedded_failure;

/// Starts the servers, streams, and ends them, whatever happened between.
///
/// # Errors
/// As a stream on other servers, and when private ones cannot be had.
pub(super) async fn run(run: &Run<'_>, directory: &Path) -> anyhow::Result<()> {
    let wanted = Wanted {
        topics: run
            .job
            .sources
            .iter()
            .map(|source| match &source.origin {
                Origin::Kafka { topic, .. } => topic.clone(),
            })
            .collect(),
        mongo: run.job.raw_store.is_some(),
    };
    let command = format!("factmill stream {}", run.job.name);
    let starting = Servers::start(directory, &command, wanted);
    let servers = tokio::select! {
        started = starting => started.map_err(embedded_failure)?,
        () = run.stop.cancelled() => return Ok(()),
    };
    let streamed = stream(run, &servers).await;
    let ended = servers.end().await.map_err(embedded_failure);
    streamed?;
    Ok(ended?)
}

async fn stream(run: &Run<'_>, servers: &Servers) -> anyhow::Result<()> {
    let connections = servers.connections();
    let Some(kafka) = &connections.kafka else {
        return Err(Failure::usage(format!("job `{}` reads no topic", run.job.name)).into());
    };
    // Offsets of a new broker begin at 0 again: each start is a life of its own.
    let identity = format!("embedded/{}", uuid::Uuid::new_v4());
    let reader = run.workspace.reader(&run.job.name);
    let warehouse = crate::commands::warehouse(&connections).await?;
    let feed = Feed::prepare(
        run.job,
        &reader,
        &warehouse,
        &identity,
        servers.folder(),
        &kafka.brokers,
    )
    .await?;
    drop(warehouse);
    announce(run, servers, feed.as_ref())?;

    let mut config = kafka.config();
    config.identity = Identity::Given(identity);
    let Some(mut feed) = feed else {
        return run.epochs(&connections, config, None).await;
    };
    let unread = feed.unread.clone();
    if let Some(rate) = run.arguments.produce_rate {
        feed.config.rate = rate;
    }
    if run.arguments.once {
        feed.config.count = Some(feed.committed + FIRST_PART);
        produce(feed.config, feed.source, &run.stop, |_| {})
            .await
            .map_err(Failure::classified)?;
        return run.epochs(&connections, config, Some(unread)).await;
    }
    let ended = CancellationToken::new();
    let cancel = run.stop.child_token();
    let producing = async {
        let produced = tokio::select! {
            produced = produce(feed.config, feed.source, &cancel, |_| {}) => produced,
            () = ended.cancelled() => return,
        };
        if let Err(error) = produced {
            tracing::error!(
                reason = chain(&error),
                "the producer inside ended; the stream goes on"
            );
        }
    };
    let streaming = async {
        let streamed = run.epochs(&connections, config, Some(unread)).await;
        ended.cancel();
        streamed
    };
    let (streamed, ()) = tokio::join!(streaming, producing);
    streamed
}

/// Says what runs where and how to ask it.
fn announce(run: &Run<'_>, servers: &Servers, feed: Option<&Feed>) -> anyhow::Result<()> {
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
    match (&run.job.raw_store, &connections.mongo) {
        (None, _) => {}
        (Some(_), Some(mongo)) => lines.push(format!("  raw store  {}", mongo.url)),
        (Some(_), None) => lines.push("  raw store  off: no mongod on the PATH".into()),
    }
    if let Some(feed) = feed {
        let rate = run.arguments.produce_rate.unwrap_or(USUAL_RATE);
        let then = if run.arguments.once {
            String::new()
        } else {
            format!(", then {rate} a second")
        };
        lines.push(format!(
            "  producer   {} events at once{then}; seed {}, {} committed before",
            grouped(FIRST_PART),
            feed.seed,
            grouped(feed.committed)
        ));
    }
    lines.push(format!(
        "  ask        factmill sql \"select count(*) from {}.…\"",
        run.job.schema
    ));
    lines.push(format!("             {}", servers.psql()));
    for line in lines {
        printer.note(line);
    }
    Ok(())
}
