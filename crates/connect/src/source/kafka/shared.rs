//! What the reading thread and `Source` share: the buffer, the pulls in flight, and requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use factmill_core::source::{InFlight, InFlightToken};
use tokio::sync::{Notify, oneshot, watch};

use super::buffer::Buffer;
use super::error::KafkaSourceError;

/// Shared by the thread that polls and the source that hands out.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Something can be taken, or the state of the source changed; wakes the taker.
    pub(super) readable: Notify,
    /// Something was taken, a pull is gone, a request came; wakes the thread.
    changed: Condvar,
    stop: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) buffer: Buffer,
    /// How many pulls in flight cover a partition.
    in_flight: BTreeMap<i32, usize>,
    pub(super) rewind: Option<oneshot::Sender<Result<(), KafkaSourceError>>>,
    /// Offsets to tell the group, by partition.
    pub(super) commit: BTreeMap<i32, i64>,
    /// Why the source ended, until somebody was told.
    pub(super) failure: Option<KafkaSourceError>,
    /// Whether the source failed or its thread is gone: nothing comes any more.
    pub(super) ended: bool,
    /// Counts assignments and revocations.
    pub(super) assignments: u64,
}

impl State {
    /// Whether waiting makes the next pull no larger.
    pub(super) fn is_filled(&self) -> bool {
        self.ended || self.buffer.is_full() || self.buffer.all_done()
    }

    /// Whether pulls in flight cover one of the partitions.
    fn covers(&self, numbers: &[i32]) -> bool {
        numbers
            .iter()
            .any(|number| self.in_flight.contains_key(number))
    }
}

impl Shared {
    pub(super) fn new(buffer: Buffer) -> Self {
        Self {
            state: Mutex::new(State {
                buffer,
                in_flight: BTreeMap::new(),
                rewind: None,
                commit: BTreeMap::new(),
                failure: None,
                ended: false,
                assignments: 0,
            }),
            readable: Notify::new(),
            changed: Condvar::new(),
            stop: watch::Sender::new(false),
        }
    }

    /// Locks the state. A panic elsewhere leaves it usable: nothing is half done between its fields
    /// that a reader relies on, and the thread's end is told by [`State::ended`].
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the thread to end.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
        self.wake_thread();
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits until somebody asked the thread to end.
    pub(super) async fn stopped(&self) {
        // the sender lives in `self`, so the channel is open
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Wakes the thread from its waits, not from a poll.
    pub(super) fn wake_thread(&self) {
        // taking the lock orders this after a waiter's last look at the state
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Sleeps up to `patience` while `wait` holds and nobody asked to end; whether it still holds.
    pub(super) fn wait_while(&self, patience: Duration, wait: impl Fn(&State) -> bool) -> bool {
        let waiting = |state: &mut State| !self.is_stopping() && wait(state);
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        waiting(&mut state)
    }

    /// Waits until no pull in flight covers one of the partitions, at most `patience`, and not when
    /// the thread is asked to end. Returns how long it took, `None` where it was given up.
    pub(super) fn wait_for_pulls(&self, numbers: &[i32], patience: Duration) -> Option<Duration> {
        let began = Instant::now();
        let still = self.wait_while(patience, |state| state.covers(numbers));
        (!still && !self.is_stopping()).then(|| began.elapsed())
    }

    /// Ends the source with an error; the first one counts.
    pub(super) fn fail(&self, error: KafkaSourceError) {
        {
            let mut state = self.lock();
            if !state.ended {
                state.failure = Some(error);
                state.ended = true;
            }
        }
        self.readable.notify_one();
    }

    /// Whether the source failed.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().ended
    }

    /// A token that counts a pull as in flight over `covered` until it is dropped.
    pub(super) fn in_flight(self: &Arc<Self>, state: &mut State, covered: Vec<i32>) -> InFlight {
        for &number in &covered {
            *state.in_flight.entry(number).or_default() += 1;
        }
        InFlight::new(Covering {
            shared: Arc::clone(self),
            numbers: covered,
        })
    }
}

/// Held by a pull: the partitions it covers.
#[derive(Debug)]
struct Covering {
    shared: Arc<Shared>,
    numbers: Vec<i32>,
}

impl InFlightToken for Covering {}

impl Drop for Covering {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            for number in &self.numbers {
                if let Some(count) = state.in_flight.get_mut(number) {
                    *count -= 1;
                    if *count == 0 {
                        state.in_flight.remove(number);
                    }
                }
            }
        }
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use factmill_core::position::SourceName;

    fn shared() -> Arc<Shared> {
        let buffer = Buffer::new(SourceName::new("a", "b"), false, 10, 10);
        Arc::new(Shared::new(buffer))
    }

    #[test]
    fn a_partition_is_waited_for_until_its_last_pull_is_gone() {
        let shared = shared();
        let first = shared.in_flight(&mut shared.lock(), vec![0, 1]);
        let second = shared.in_flight(&mut shared.lock(), vec![1]);
        let copy = second.clone();
        assert!(shared.wait_for_pulls(&[2], Duration::ZERO).is_some());
        drop(second);
        assert!(shared.wait_for_pulls(&[1], Duration::ZERO).is_none());
        drop(first);
        assert!(shared.wait_for_pulls(&[0], Duration::ZERO).is_some());
        assert!(shared.wait_for_pulls(&[1], Duration::ZERO).is_none());

        let waiter = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.wait_for_pulls(&[1], Duration::from_secs(60)))
        };
        drop(copy);
        assert!(
            matches!(waiter.join(), Ok(Some(_))),
            "the last drop wakes the waiter"
        );
    }

    #[test]
    fn an_end_is_not_held_up_by_pulls() {
        let shared = shared();
        let pull = shared.in_flight(&mut shared.lock(), vec![0]);
        let waiter = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.wait_for_pulls(&[0], Duration::from_secs(60)))
        };
        shared.stop();
        assert!(matches!(waiter.join(), Ok(None)));
        drop(pull);
    }
}
