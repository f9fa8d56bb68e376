//! A bound on what lies in a topic and was not read yet, for a broker that keeps little.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts, by partition, the bytes that were sent and not read yet, and makes a producer wait where
/// they pass a limit.
///
/// The producer and the reader share one: [`produce`](crate::produce) tells it what it sends, the
/// reader tells it with [`UnreadLimit::consumed`] how far it has read.
#[derive(Debug)]
pub struct UnreadLimit {
    bytes: usize,
    partitions: Mutex<HashMap<i32, Unread>>,
    read: Condvar,
}

/// What is unread in one partition.
#[derive(Debug, Default)]
struct Unread {
    /// Sent, not acknowledged: no offset yet.
    in_flight: usize,
    /// Acknowledged, by offset in rising order.
    stored: VecDeque<(i64, usize)>,
    /// Sum of `stored`.
    stored_bytes: usize,
    /// The offset before which all was read.
    next: i64,
}

impl UnreadLimit {
    /// At most `bytes` of keys and payloads unread in each partition, passed by one event at most.
    pub fn new(bytes: usize) -> Self {
        Self {
            bytes,
            partitions: Mutex::default(),
            read: Condvar::new(),
        }
    }

    /// Everything before `next_offset` of the partition was read.
    pub fn consumed(&self, partition: i32, next_offset: i64) {
        let mut partitions = self.lock();
        let unread = partitions.entry(partition).or_default();
        unread.next = unread.next.max(next_offset);
        unread.forget_read();
        drop(partitions);
        self.read.notify_all();
    }

    /// Bytes that are unread in a partition.
    pub fn unread(&self, partition: i32) -> usize {
        self.lock().get(&partition).map_or(0, Unread::bytes)
    }

    /// Whether the partition takes another event; waits up to `patience` for it.
    pub(crate) fn has_room(&self, partition: i32, patience: Duration) -> bool {
        let full = |partitions: &mut HashMap<i32, Unread>| {
            partitions
                .get(&partition)
                .is_some_and(|unread| unread.bytes() >= self.bytes)
        };
        let waited = self.read.wait_timeout_while(self.lock(), patience, full);
        let (_guard, result) = waited.unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }

    /// An event was handed to the client.
    pub(crate) fn sent(&self, partition: i32, bytes: usize) {
        self.lock().entry(partition).or_default().in_flight += bytes;
    }

    /// An event that was sent is stored at `offset`; `None` when it was given up.
    pub(crate) fn settled(&self, partition: i32, bytes: usize, offset: Option<i64>) {
        let mut partitions = self.lock();
        let unread = partitions.entry(partition).or_default();
        unread.in_flight = unread.in_flight.saturating_sub(bytes);
        if let Some(offset) = offset.filter(|&offset| offset >= unread.next) {
            unread.stored.push_back((offset, bytes));
            unread.stored_bytes += bytes;
        }
    }

    /// The counts are whole after each statement that changes them, so a panic elsewhere leaves
    /// nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Unread>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unread {
    fn bytes(&self) -> usize {
        self.in_flight + self.stored_bytes
    }

    fn forget_read(&mut self) {
        while let Some(&(offset, bytes)) = self.stored.front()
            && offset < self.next
        {
            self.stored.pop_front();
            self.stored_bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn a_full_partition_has_room_again_when_it_was_read() {
        let limit = UnreadLimit::new(100);
        for offset in 0..3 {
            limit.sent(0, 40);
            limit.settled(0, 40, Some(offset));
        }
        assert!(!limit.has_room(0, NOW));
        assert!(limit.has_room(1, NOW), "another partition is not concerned");
        limit.consumed(0, 1);
        assert_eq!(limit.unread(0), 80);
        assert!(limit.has_room(0, NOW));
    }

    #[test]
    fn what_is_in_flight_counts_and_what_failed_does_not() {
        let limit = UnreadLimit::new(100);
        limit.sent(0, 100);
        assert!(!limit.has_room(0, NOW));
        limit.settled(0, 100, None);
        assert_eq!(limit.unread(0), 0);
    }

    #[test]
    fn what_was_read_before_its_acknowledgement_came_counts_no_more() {
        let limit = UnreadLimit::new(100);
        limit.sent(0, 100);
        limit.consumed(0, 8);
        limit.settled(0, 100, Some(7));
        assert_eq!(limit.unread(0), 0);
    }

    #[test]
    fn a_waiting_producer_is_woken() {
        let limit = Arc::new(UnreadLimit::new(10));
        limit.sent(0, 10);
        limit.settled(0, 10, Some(0));
        let waiting = Arc::clone(&limit);
        let producer = std::thread::spawn(move || waiting.has_room(0, Duration::from_secs(60)));
        limit.consumed(0, 1);
        assert!(matches!(producer.join(), Ok(true)));
    }
}
