//! A Kafka topic as a source: read by a consumer group, from positions that the warehouse keeps.
//!
//! One thread owns the consumer and polls always (`poller`); it fills an arena (`buffer`) that
//! [`KafkaSource::next`] takes whole. Where reading begins is decided inside the rebalance callback
//! (`opening`, `context`): records before the stored position are never fetched, and a position
//! that the log does not reach is a gap, told with the ways out ([`Gap`]). Kafka's own offsets are
//! written afterwards and never read.
//!
//! A position of an unbounded read moves with its records; the control records of a transaction at
//! the end of a log are passed with the next record, or by a bounded read, which ends behind them.

mod buffer;
mod config;
mod context;
mod error;
mod gaps;
mod native;
mod opening;
mod poller;
mod shared;
mod statistics;

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_recursion::async_recursion as boxed;
use async_trait::async_trait;
use factmill_core::position::{Interval, PartitionId, SourceName};
use factmill_core::records::Pulled;
use factmill_core::source::{BoxedError, PositionStore, Pull, Source};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use config::{Identity, KafkaConfig, KafkaRead, Start};
pub use error::{Gap, GapFound, KafkaSourceError};
pub use gaps::{TopicGaps, Way};

use buffer::Buffer;
use context::Context;
use opening::Opener;
use poller::Poller;
use shared::{Shared, State};

/// How long dropping a source waits for its thread to leave the group.
const LEAVE: Duration = Duration::from_secs(4);

/// A Kafka topic that is being read.
///
/// Dropping it drops what is buffered, leaves the group and ends the thread; it blocks while that
/// lasts, usually some milliseconds, four seconds at most.
#[derive(Debug)]
pub struct KafkaSource {
    read: KafkaRead,
    shared: Arc<Shared>,
    /// Closed when the thread ends.
    alive: mpsc::Receiver<()>,
}

impl KafkaSource {
    /// Meets the brokers and begins to read.
    ///
    /// Partitions come with the group's assignment. An unbounded read waits for a topic that does
    /// not exist yet.
    ///
    /// # Errors
    /// Configuration that Kafka refuses, unreachable brokers, a bounded read of a topic that does
    /// not exist. Gaps are told by [`Source::next`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[boxed]
    pub async fn start(
        config: &KafkaConfig,
        read: KafkaRead,
        positions: Arc<dyn PositionStore>,
    ) -> Result<Self, KafkaSourceError> {
        read.check()?;
        let client = config::client_config(config, &read)?;
        let shared = Arc::new(Shared::new(Buffer::new(
            read.source.clone(),
            read.bounded,
            read.max_rows,
            read.max_bytes,
        )));
        let context = Context::new(Opener {
            read: read.clone(),
            brokers: config.brokers.clone(),
            identity: config.identity.clone(),
            positions,
            runtime: Handle::current(),
            shared: Arc::clone(&shared),
        });
        let poller = Poller::new(&client, context, Arc::clone(&shared))?;
        let (met, meeting) = oneshot::channel();
        let (life, alive) = mpsc::channel();
        let patience = config.connect_timeout;
        let thread = Alive {
            shared: Arc::clone(&shared),
            _life: life,
        };
        std::thread::Builder::new()
            .name(format!("kafka {}", read.topic))
            .spawn(move || {
                let _thread = thread;
                poller.run(patience, met);
            })
            .map_err(|source| KafkaSourceError::Thread { source })?;
        // from here on, dropping the source ends the thread
        let source = Self {
            read,
            shared,
            alive,
        };
        match meeting.await {
            Ok(met) => met.map(|()| source),
            Err(_) => Err(source.stopped()),
        }
    }

    /// What is there, if it is time to take it; else until when to wait for more.
    fn take(&self, state: &mut State) -> Result<Option<Pull>, Option<Instant>> {
        let Some(since) = state.buffer.since() else {
            return Err(None);
        };
        let due = Instant::from_std(since + self.read.max_wait);
        if due > Instant::now() && !state.is_filled() {
            return Err(Some(due));
        }
        let Some(taken) = state.buffer.take() else {
            return Err(None);
        };
        Ok(Some(Pull {
            source: self.read.source.clone(),
            pulled: Pulled {
                topic: self.read.topic.clone(),
                partitions: taken.partitions,
                records: taken.records,
            },
            intervals: taken.intervals,
            in_flight: self.shared.in_flight(state, taken.covered),
        }))
    }

    /// What the state says about the next pull; `Err` holds until when to wait.
    fn look(&self) -> Result<Result<Option<Pull>, KafkaSourceError>, Option<Instant>> {
        let mut state = self.shared.lock();
        if let Some(failure) = state.failure.take() {
            return Ok(Err(failure));
        }
        if state.ended {
            return Ok(Err(self.stopped()));
        }
        match self.take(&mut state) {
            Ok(pull) => Ok(Ok(pull)),
            Err(None) if state.buffer.all_done() => Ok(Ok(None)),
            Err(until) => Err(until),
        }
    }

    fn stopped(&self) -> KafkaSourceError {
        KafkaSourceError::Stopped {
            topic: self.read.topic.clone(),
        }
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn name(&self) -> &SourceName {
        &self.read.source
    }

    async fn next(&mut self) -> Result<Option<Pull>, BoxedError> {
        loop {
            // made before the look, so that a wake-up in between is not missed
            let readable = self.shared.readable.notified();
            match self.look() {
                Ok(next) => {
                    self.shared.wake_thread();
                    return next.map_err(|error| Box::new(error) as BoxedError);
                }
                Err(None) => readable.await,
                Err(Some(until)) => {
                    // either way the state is looked at again
                    let _ = tokio::time::timeout_at(until, readable).await;
                }
            }
        }
    }

    async fn filled(&mut self) {
        loop {
            let readable = self.shared.readable.notified();
            if self.shared.lock().is_filled() {
                return;
            }
            readable.await;
        }
    }

    async fn rewind(&mut self) -> Result<(), BoxedError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            if let Some(failure) = state.failure.take() {
                return Err(Box::new(failure));
            }
            if state.ended {
                return Err(Box::new(self.stopped()));
            }
            state.rewind = Some(answer);
        }
        self.shared.wake_thread();
        match answered.await {
            Ok(result) => result.map_err(|error| Box::new(error) as BoxedError),
            Err(_) => Err(Box::new(self.stopped())),
        }
    }

    async fn committed(&mut self, intervals: &[Interval]) {
        let mut state = self.shared.lock();
        for interval in intervals {
            let number = interval.partition().partition.parse();
            if let (Ok(number), Some(offset)) = (number, interval.to().offset()) {
                state.commit.insert(number, offset);
            }
        }
    }

    fn lag(&self) -> HashMap<PartitionId, i64> {
        self.shared.lock().buffer.lag()
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.shared.stop();
        if self.alive.recv_timeout(LEAVE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let topic = &self.read.topic;
            tracing::warn!(topic, "the consumer has not left its group in time");
        }
    }
}

/// Held by the thread: tells its end, however it ends.
struct Alive {
    shared: Arc<Shared>,
    /// Dropped with the thread.
    _life: mpsc::Sender<()>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        // whoever waits for an answer hears that there is none
        state.rewind = None;
        drop(state);
        self.shared.readable.notify_one();
    }
}
