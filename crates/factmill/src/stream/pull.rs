//! Pull and decode: records become columns, broken ones dead letters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use factmill_connect::decode::{Decoded, Decoder};
use factmill_core::position::{Interval, PartitionId};
use factmill_core::source::{BoxedError, Pull, Source, boxed};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::StageLost;
use super::observe::Observer;

/// A source and what turns its payloads into columns.
pub(crate) struct Decoding {
    pub(super) source: Box<dyn Source>,
    pub(super) decoder: Arc<dyn Decoder>,
}

/// The epochs between their pull and the end of their commit, of all sources.
#[derive(Clone)]
pub(super) struct UnderWay(Arc<watch::Sender<Epochs>>);

#[derive(Clone, Copy, Default)]
struct Epochs {
    under_way: usize,
    /// How many have ended.
    ended: u64,
}

/// Counts an epoch until it is dropped.
pub(super) struct Counted(UnderWay);

impl UnderWay {
    pub(super) fn none() -> Self {
        Self(Arc::new(watch::Sender::new(Epochs::default())))
    }

    fn count(&self) -> Counted {
        self.0.send_modify(|epochs| epochs.under_way += 1);
        Counted(self.clone())
    }

    /// Waits until no epoch is under way, or one has ended: another source may begin its next one
    /// at once, again and again.
    async fn free(&self) {
        let before = self.0.borrow().ended;
        let is_free = |epochs: &Epochs| epochs.under_way == 0 || epochs.ended > before;
        // the sender lives in `self`, so the channel is open
        let _ = self.0.subscribe().wait_for(is_free).await;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.send_modify(|epochs| {
            epochs.under_way -= 1;
            epochs.ended += 1;
        });
    }
}

/// An epoch after decoding.
pub(super) struct DecodedEpoch {
    pub(super) under_way: Counted,
    /// When its first record was handed over by the source.
    pub(super) began: Instant,
    pub(super) started_at: DateTime<Utc>,
    pub(super) pull: Arc<Pull>,
    pub(super) decoded: Decoded,
    /// How many records lay beyond the pull, by partition.
    pub(super) lag: HashMap<PartitionId, i64>,
    /// How long the source took to hand it over.
    pub(super) waited: Duration,
    /// How long decoding took.
    pub(super) decode: Duration,
}

/// Pulls until the source ends, `stop`, or the next stage is gone; then passes on what is still
/// committed.
pub(super) async fn pull_and_decode(
    Decoding { source, decoder }: &mut Decoding,
    next_stage: mpsc::Sender<DecodedEpoch>,
    mut committed: broadcast::Receiver<Arc<[Interval]>>,
    under_way: &UnderWay,
    stop: &CancellationToken,
    observer: &dyn Observer,
) -> Result<(), BoxedError> {
    let mut asked = None;
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = next_stage.closed() => break,
            Ok(intervals) = committed.recv() => {
                acknowledge(source.as_mut(), &intervals, observer).await;
                continue;
            }
            next = pull(source.as_mut(), &next_stage, under_way, &mut asked) => next?,
        };
        let Some((room, pull)) = next else { break };
        let waited = asked.take().map_or(Duration::ZERO, |asked| asked.elapsed());
        let taken = Taken {
            under_way: under_way.count(),
            waited,
            lag: source.lag(),
            pull: Arc::new(pull),
        };
        room.send(decode(taken, decoder.clone()).await?);
    }
    drop(next_stage);
    while let Ok(intervals) = committed.recv().await {
        acknowledge(source.as_mut(), &intervals, observer).await;
    }
    Ok(())
}

/// The next pull, taken once the next stage has room for it: until then its records stay with the
/// source, which bounds them. A pull that could still grow also waits until no epoch is under way, or
/// one has ended: behind others its records would wait as long, and for a commit of their own after.
/// `asked` is set when the wait for the source begins.
async fn pull<'a>(
    source: &mut dyn Source,
    next_stage: &'a mpsc::Sender<DecodedEpoch>,
    under_way: &UnderWay,
    asked: &mut Option<Instant>,
) -> Result<Option<(mpsc::Permit<'a, DecodedEpoch>, Pull)>, BoxedError> {
    let Ok(room) = next_stage.reserve().await else {
        return Ok(None);
    };
    tokio::select! {
        () = under_way.free() => {}
        () = source.filled() => {}
    }
    asked.get_or_insert_with(Instant::now);
    Ok(source.next().await?.map(|pull| (room, pull)))
}

async fn acknowledge(source: &mut dyn Source, intervals: &[Interval], observer: &dyn Observer) {
    let own: Vec<_> = intervals
        .iter()
        .filter(|interval| interval.partition().source == *source.name())
        .cloned()
        .collect();
    if !own.is_empty() {
        source.committed(&own).await;
        observer.lag(source.name(), &source.lag());
    }
}

/// A pull and what is known of it.
struct Taken {
    under_way: Counted,
    pull: Arc<Pull>,
    waited: Duration,
    lag: HashMap<PartitionId, i64>,
}

async fn decode(taken: Taken, decoder: Arc<dyn Decoder>) -> Result<DecodedEpoch, BoxedError> {
    let Taken {
        under_way,
        pull,
        waited,
        lag,
    } = taken;
    let (began, started_at) = (Instant::now(), Utc::now());
    decoder.prepare(&pull.pulled).await?;
    let work = move || {
        let decoded = decoder.decode(&pull.source, &pull.pulled);
        (pull, decoded)
    };
    let (pull, decoded) = tokio::task::spawn_blocking(work).await.map_err(|source| {
        boxed(StageLost {
            stage: "decode",
            source,
        })
    })?;
    Ok(DecodedEpoch {
        under_way,
        began,
        started_at,
        pull,
        decoded,
        lag,
        waited,
        decode: began.elapsed(),
    })
}
