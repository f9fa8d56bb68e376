//! The epoch loop: pull → decode → transform → commit.
//!
//! Three stages run side by side, each at most one epoch ahead of the next, so the pull, decode and
//! transform of epoch n+1 overlap the commit of epoch n. A stage begins an epoch once the next one
//! has room for it, and a pull that is not full yet waits until no epoch is under way. What a stage
//! holds is bounded by the trigger's `max_bytes`; without room the source pauses.
//!
//! A failure never cancels a commit half-way: the stage that failed closes its queue, the sources
//! stop, the others finish what they hold, and [`run`] then decides by [`policy`] whether to begin
//! again at the stored positions or to stop.

mod background;
mod commit;
pub(crate) mod observe;
mod one_scan;
mod open;
mod pull;
mod quarantine;
mod rebuild;
mod references;
mod sources;
mod transform;

pub(crate) use observe::{EpochReport, Observer, Summary, Tally};
pub(crate) use open::{OpenError, Shared, StreamOptions, open};
pub(crate) use sources::{Simulated, dialect};

use std::time::Instant;

use factmill_core::error::{Action, ErrorKind, backoff, policy};
use factmill_core::source::{BoxedError, boxed};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use commit::Committer;
use transform::Transformer;

/// A job that is ready to run: every connection open, every model compiled, every table prepared.
pub(crate) struct Job {
    sources: Vec<pull::Decoding>,
    transformer: Transformer,
    committer: Committer,
    rebuilds: rebuild::Rebuilds,
}

/// Runs epochs until a bounded read ends, `shutdown` is cancelled, or a person has to act.
///
/// On shutdown the epochs in flight are committed; the caller bounds how long that may take.
///
/// # Errors
/// The failure that [`policy`] says to stop for, with what was done until then lost to nobody:
/// committed epochs are in the warehouse.
pub(crate) async fn run(
    job: &mut Job,
    shutdown: &CancellationToken,
    observer: &dyn Observer,
) -> Result<(), BoxedError> {
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let Err(failure) = Box::pin(epochs(job, shutdown, observer)).await else {
            return if shutdown.is_cancelled() {
                Ok(())
            } else {
                finish(job, shutdown, observer).await
            };
        };
        failures = if began.elapsed() > STEADY {
            1
        } else {
            failures + 1
        };
        match policy(failure.kind()) {
            Action::Stop(_) => return Err(failure),
            Action::Retry | Action::Rewind if shutdown.is_cancelled() => return Err(failure),
            Action::Retry => observer.retrying(&*failure, backoff(failures)),
            Action::Rewind => observer.rewinding(&*failure),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff(failures)) => {}
            () = shutdown.cancelled() => return Err(failure),
        }
        for decoding in &mut job.sources {
            decoding.source.rewind().await?;
        }
    }
}

/// Ends a bounded read: rebuilds what is not current, while the sources take their leave.
async fn finish(
    job: &mut Job,
    shutdown: &CancellationToken,
    observer: &dyn Observer,
) -> Result<(), BoxedError> {
    let sources = std::mem::take(&mut job.sources);
    let leaving = tokio::task::spawn_blocking(move || drop(sources));
    let rebuilt = job.rebuilds.finish(shutdown, observer).await;
    leaving.await.map_err(|source| {
        boxed(StageLost {
            stage: "pull",
            source,
        })
    })?;
    rebuilt
}

/// A run that lasted this long without a failure begins its count of failures anew.
const STEADY: std::time::Duration = std::time::Duration::from_secs(30);

/// One stretch of epochs without a failure.
async fn epochs(
    job: &mut Job,
    shutdown: &CancellationToken,
    observer: &dyn Observer,
) -> Result<(), BoxedError> {
    let stop = shutdown.child_token();
    let streamed = CancellationToken::new();
    // one place for each source: it is held while the source is waited for, and a quiet one must not
    // keep the others out
    let (decoded, to_transform) = mpsc::channel(job.sources.len().max(1));
    let (transformed, to_commit) = mpsc::channel(1);
    let (committed, _) = broadcast::channel(16);
    let under_way = pull::UnderWay::none();

    let pulls = job.sources.iter_mut().map(|decoding| {
        let pull = pull::pull_and_decode(
            decoding,
            decoded.clone(),
            committed.subscribe(),
            &under_way,
            &stop,
            observer,
        );
        ending(&stop, pull)
    });
    let pulls = futures::future::join_all(pulls);
    let transform = transform::transform(&job.transformer, to_transform, transformed, observer);
    let commit = commit::commit(&job.committer, to_commit, committed, &stop, observer);
    let rebuilds = job.rebuilds.keep_current(&streamed, &stop, observer);
    drop(decoded);

    let stream = async {
        let (pulled, transformed, committed) =
            tokio::join!(pulls, ending(&stop, transform), ending(&stop, commit));
        streamed.cancel();
        first_cause([committed, transformed].into_iter().chain(pulled))
    };
    let (stream, rebuilds) = tokio::join!(stream, ending(&stop, rebuilds));
    first_cause([stream, rebuilds].into_iter())
}

/// Ends the stretch when one of its parts fails. Another source could go on for ever, and nobody would
/// be told of the failure.
async fn ending(
    stop: &CancellationToken,
    part: impl Future<Output = Result<(), BoxedError>>,
) -> Result<(), BoxedError> {
    let ended = part.await;
    if ended.is_err() {
        stop.cancel();
    }
    ended
}

/// The failure that needs a person, if any, else the first one: a fenced commit must not hide that
/// a source has a gap.
fn first_cause(results: impl Iterator<Item = Result<(), BoxedError>>) -> Result<(), BoxedError> {
    let mut failures: Vec<_> = results.filter_map(Result::err).collect();
    failures.sort_by_key(|failure| !matches!(policy(failure.kind()), Action::Stop(_)));
    match failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// A failure inside factmill itself, such as a task that ended without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the {stage} stage ended without an answer")]
struct StageLost {
    stage: &'static str,
    source: tokio::task::JoinError,
}

impl factmill_core::source::Classified for StageLost {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}
