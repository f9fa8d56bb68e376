//! The loop that asks for events and hands them to librdkafka.

use std::thread;
use std::time::{Duration, Instant};

use factmill_core::source::BoxedError;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use tokio_util::sync::CancellationToken;

use super::delivery::{Deliveries, mark};
use super::error::ProduceError;
use super::{ProduceConfig, Progress, Report};
use crate::event::{Event, EventSource, Next};
use crate::partition::partition_of;
use crate::rate::{Pacer, Rate};

/// How long the runner serves delivery reports before it looks around again.
const SLICE: Duration = Duration::from_millis(50);
/// The wait for room in a full queue, or in a partition that holds much unread.
const SHORT: Duration = Duration::from_millis(2);
/// A fast rate is kept by the millisecond, with several events in each.
const GRAIN: Duration = Duration::from_millis(1);
/// Delivery reports are served after so many events at the latest.
const SERVE_EVERY: u64 = 256;
/// What was sent has so long to be acknowledged after cancellation.
const LAST_PATIENCE: Duration = Duration::from_secs(3);
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// One run.
pub(super) struct Runner {
    producer: BaseProducer<Deliveries>,
    config: ProduceConfig,
    partitions: i32,
    started: Instant,
    told_at: Instant,
    skipped: u64,
}

/// Who is told how far the run is.
struct Told<S, P> {
    source: S,
    progress: P,
}

impl<S: EventSource, P: FnMut(&Progress)> Told<S, P> {
    fn acknowledged(&mut self, count: u64) -> Result<(), ProduceError> {
        self.source.acknowledged(count).map_err(source_failed)
    }
}

fn source_failed(error: BoxedError) -> ProduceError {
    ProduceError::Source(error.into())
}

/// Whether the run goes on.
enum Flow {
    On,
    Stop,
}

impl Runner {
    pub(super) fn new(config: ProduceConfig, partitions: i32) -> Result<Self, ProduceError> {
        if let Some(&wanted) = config
            .skip
            .keys()
            .find(|&&partition| partition >= partitions)
        {
            return Err(ProduceError::FewerPartitions {
                topic: config.topic,
                found: partitions,
                wanted,
            });
        }
        let deliveries = Deliveries::new(config.unread.clone());
        let producer = BaseProducer::from_config_and_context(&config.producer_client(), deliveries);
        let now = Instant::now();
        Ok(Self {
            producer: producer.map_err(ProduceError::Client)?,
            config,
            partitions,
            started: now,
            told_at: now,
            skipped: 0,
        })
    }

    /// Sends until the end, then waits for what was sent.
    pub(super) fn run(
        mut self,
        source: impl EventSource,
        cancel: &CancellationToken,
        progress: impl FnMut(&Progress),
    ) -> Result<Report, ProduceError> {
        let mut told = Told { source, progress };
        let sent = self.send_all(cancel, &mut told);
        if sent.is_err() {
            // What is still on its way has no longer than after any other early end.
            cancel.cancel();
        }
        let flushed = self.flush(cancel, &mut told);
        let kept = told.acknowledged(self.producer.context().settled());
        sent.and(flushed).and(kept)?;
        Ok(self.report())
    }

    fn send_all(
        &mut self,
        cancel: &CancellationToken,
        told: &mut Told<impl EventSource, impl FnMut(&Progress)>,
    ) -> Result<(), ProduceError> {
        let mut event = Event::default();
        let mut pacer = Pacer::new(Rate::Max, self.started);
        let mut asked = 0;
        while self.config.count.is_none_or(|count| asked < count) && !cancel.is_cancelled() {
            event.clear();
            match told.source.next(&mut event).map_err(source_failed)? {
                Next::Event => {}
                Next::Wait(longest) => {
                    self.serve(longest, cancel, told)?;
                    continue;
                }
                Next::End => return Ok(()),
            }
            if asked == self.config.burst {
                pacer = Pacer::new(self.config.rate, Instant::now());
            }
            let index = asked;
            asked += 1;
            let partition = event.key().map(|key| partition_of(key, self.partitions));
            if self.is_held_already(partition) {
                self.producer.context().settle(index);
                continue;
            }
            self.serve(pacer.wait(Instant::now()), cancel, told)?;
            if let Flow::Stop = self.send(&event, index, partition, cancel, told)? {
                return Ok(());
            }
            pacer.sent(Instant::now());
            if asked % SERVE_EVERY == 0 {
                self.look_around(Duration::ZERO, told)?;
            }
        }
        Ok(())
    }

    fn is_held_already(&mut self, partition: Option<i32>) -> bool {
        let left = partition.and_then(|partition| self.config.skip.get_mut(&partition));
        let Some(left) = left.filter(|left| **left > 0) else {
            return false;
        };
        *left -= 1;
        self.skipped += 1;
        true
    }

    /// Hands one event to librdkafka, waiting for room; stops when cancelled meanwhile.
    fn send(
        &mut self,
        event: &Event,
        index: u64,
        partition: Option<i32>,
        cancel: &CancellationToken,
        told: &mut Told<impl EventSource, impl FnMut(&Progress)>,
    ) -> Result<Flow, ProduceError> {
        let counted = self.config.unread.clone().zip(partition);
        if let Some((unread, partition)) = &counted {
            while !unread.has_room(*partition, SHORT) {
                self.look_around(Duration::ZERO, told)?;
                if cancel.is_cancelled() {
                    return Ok(Flow::Stop);
                }
            }
        }
        loop {
            if cancel.is_cancelled() {
                return Ok(Flow::Stop);
            }
            match self
                .producer
                .send(record(&self.config.topic, event, index, partition))
            {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.look_around(SHORT, told)?
                }
                Err((source, _)) => return Err(self.delivery_error(source)),
            }
        }
        if let Some((unread, partition)) = counted {
            let bytes = event.key().map_or(0, <[u8]>::len) + event.payload().map_or(0, <[u8]>::len);
            unread.sent(partition, bytes);
        }
        Ok(Flow::On)
    }

    /// Serves delivery reports for some time, to the millisecond, or until cancelled.
    fn serve(
        &mut self,
        time: Duration,
        cancel: &CancellationToken,
        told: &mut Told<impl EventSource, impl FnMut(&Progress)>,
    ) -> Result<(), ProduceError> {
        let begun = Instant::now();
        while !cancel.is_cancelled() {
            let left = time.saturating_sub(begun.elapsed());
            if left < GRAIN {
                break;
            }
            let whole_grains = Duration::from_millis(left.min(SLICE).as_millis() as u64);
            self.look_around(whole_grains, told)?;
        }
        Ok(())
    }

    /// Sleeps for `time`, serves the delivery reports that are there, ends the run when one of them
    /// failed, tells how far it is.
    ///
    /// It does not wait within `poll`, which keeps a core busy for the last millisecond of its time.
    fn look_around(
        &mut self,
        time: Duration,
        told: &mut Told<impl EventSource, impl FnMut(&Progress)>,
    ) -> Result<(), ProduceError> {
        if !time.is_zero() {
            thread::sleep(time);
        }
        loop {
            let before = self.producer.context().acknowledged();
            self.producer.poll(Duration::ZERO);
            if self.producer.context().acknowledged() == before {
                break;
            }
        }
        if let Some(source) = self.producer.context().failure() {
            return Err(self.delivery_error(source));
        }
        if self.told_at.elapsed() >= PROGRESS_EVERY {
            self.told_at = Instant::now();
            (told.progress)(&self.progress());
            told.acknowledged(self.producer.context().settled())?;
        }
        Ok(())
    }

    /// Waits until everything is acknowledged; after cancellation not for long.
    fn flush(
        &mut self,
        cancel: &CancellationToken,
        told: &mut Told<impl EventSource, impl FnMut(&Progress)>,
    ) -> Result<(), ProduceError> {
        let mut cancelled_at = None;
        loop {
            match self.producer.flush(SLICE) {
                Ok(()) => break,
                Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) => {}
                Err(source) => return Err(self.delivery_error(source)),
            }
            self.look_around(Duration::ZERO, told)?;
            if cancel.is_cancelled()
                && cancelled_at.get_or_insert_with(Instant::now).elapsed() >= LAST_PATIENCE
            {
                self.producer
                    .purge(PurgeConfig::default().queue().inflight());
                cancelled_at = Some(Instant::now());
            }
        }
        self.look_around(Duration::ZERO, told)
    }

    fn delivery_error(&self, source: KafkaError) -> ProduceError {
        ProduceError::Delivery {
            topic: self.config.topic.clone(),
            source,
        }
    }

    fn progress(&self) -> Progress {
        let deliveries = self.producer.context();
        Progress {
            acknowledged: deliveries.acknowledged(),
            bad: deliveries.bad(),
            skipped: self.skipped,
            bytes: deliveries.bytes(),
            elapsed: self.started.elapsed(),
        }
    }

    fn report(&self) -> Report {
        let progress = self.progress();
        Report {
            acknowledged: progress.acknowledged,
            bad: progress.bad,
            skipped: progress.skipped,
            given_up: self.producer.context().given_up(),
            bytes: progress.bytes,
            seconds: progress.elapsed.as_secs_f64(),
        }
    }
}

fn record<'e>(
    topic: &'e str,
    event: &'e Event,
    index: u64,
    partition: Option<i32>,
) -> BaseRecord<'e, [u8], [u8], usize> {
    let mut record = BaseRecord::with_opaque_to(topic, mark(index, event.is_bad()));
    record.key = event.key();
    record.payload = event.payload();
    record.partition = partition;
    if !event.headers().is_empty() {
        let headers = OwnedHeaders::new_with_capacity(event.headers().len());
        record.headers = Some(
            event
                .headers()
                .iter()
                .fold(headers, |headers, (key, value)| {
                    headers.insert(Header {
                        key,
                        value: Some(value),
                    })
                }),
        );
    }
    record
}
