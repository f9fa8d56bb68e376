//! What was read and not yet taken: the arena that fills, and how far each partition has come.
//!
//! Pure bookkeeping, no Kafka in it. Three promises rest here: intervals of a partition join up, a
//! record is taken once, and nothing of a partition that was given away is taken.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use factmill_core::position::{Cursor, Incarnation, Interval, PartitionId, SourceName};
use factmill_core::records::{PulledPartition, Records};

/// Where a partition is read from, and up to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) number: i32,
    pub(super) incarnation: Incarnation,
    /// The stored position; `None` where nothing is stored.
    pub(super) stored: Option<i64>,
    /// The first offset to read.
    pub(super) start: i64,
    /// The offset behind the last stable record, at the time of the look.
    pub(super) end: i64,
}

/// One assigned partition.
#[derive(Debug)]
struct Partition {
    incarnation: Incarnation,
    /// Where reading began.
    first: i64,
    /// Everything before it has been taken; `None`: nothing stored and nothing taken.
    taken: Option<i64>,
    /// Everything before it has been buffered or taken.
    reached: i64,
    /// Where a bounded read ends.
    limit: Option<i64>,
    /// The end of the log as last heard of.
    end: i64,
    /// Its index in the arena that fills.
    slot: Option<u32>,
}

impl Partition {
    fn moved(&self) -> bool {
        self.taken != Some(self.reached)
    }

    fn done(&self) -> bool {
        self.limit.is_some_and(|limit| self.reached >= limit)
    }
}

/// What became of a record offered to the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// It is in the arena.
    Kept,
    /// It belongs to no assigned partition or was read before.
    Stale,
    /// It lies at or behind the end of a bounded read: its partition is done.
    Beyond,
}

/// A record as the broker sent it.
pub(super) struct Offer<'a, H> {
    pub(super) number: i32,
    pub(super) offset: i64,
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) payload: Option<&'a [u8]>,
    pub(super) headers: H,
}

/// What one pull takes.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) partitions: Vec<PulledPartition>,
    pub(super) records: Records,
    pub(super) intervals: Vec<Interval>,
    /// Numbers of the partitions that the intervals cover.
    pub(super) covered: Vec<i32>,
}

/// The arena and the partitions.
#[derive(Debug)]
pub(super) struct Buffer {
    source: SourceName,
    bounded: bool,
    max_rows: usize,
    max_bytes: usize,
    partitions: BTreeMap<i32, Partition>,
    /// Where a bounded read of each partition ends.
    limits: BTreeMap<i32, i64>,
    /// First positions of partitions that other processes read.
    elsewhere: BTreeMap<i32, (Incarnation, i64)>,
    records: Records,
    slots: Vec<PulledPartition>,
    /// When something to take came first.
    since: Option<Instant>,
    assigned: bool,
}

impl Buffer {
    pub(super) fn new(
        source: SourceName,
        bounded: bool,
        max_rows: usize,
        max_bytes: usize,
    ) -> Self {
        Self {
            source,
            bounded,
            max_rows: max_rows.max(1),
            max_bytes: max_bytes.max(1),
            partitions: BTreeMap::new(),
            limits: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            records: Records::default(),
            slots: Vec::new(),
            since: None,
            assigned: false,
        }
    }

    /// Begins to read partitions. An empty list counts too: it says that there is nothing to read.
    pub(super) fn assign(&mut self, openings: impl IntoIterator<Item = Opening>) {
        self.assigned = true;
        for opening in openings {
            self.elsewhere.remove(&opening.number);
            // the end it had at first: a partition that comes back, or a rewind, moves it no more
            let limit = *self.limits.entry(opening.number).or_insert(opening.end);
            self.partitions.insert(
                opening.number,
                Partition {
                    incarnation: opening.incarnation,
                    first: opening.start,
                    taken: opening.stored,
                    reached: opening.start,
                    limit: self.bounded.then_some(limit),
                    end: opening.end,
                    slot: None,
                },
            );
        }
        self.note_movement();
    }

    /// The first positions of partitions that other processes read, to be stored with those of this
    /// one: a partition without a position is later told from one that appeared since.
    pub(super) fn assigned_elsewhere(&mut self, openings: impl IntoIterator<Item = Opening>) {
        for opening in openings {
            if !self.partitions.contains_key(&opening.number) {
                self.elsewhere
                    .insert(opening.number, (opening.incarnation, opening.start));
            }
        }
        self.note_movement();
    }

    /// Forgets partitions and every buffered record of them. A first position that was not told yet
    /// is still told: it is where this process would have begun.
    pub(super) fn revoke(&mut self, numbers: &[i32]) {
        for number in numbers {
            if let Some(partition) = self.partitions.remove(number)
                && partition.taken.is_none()
            {
                self.elsewhere
                    .insert(*number, (partition.incarnation, partition.first));
            }
        }
        // a group that takes everything away says next what is read from now on; until then a
        // bounded read is not at its end
        self.assigned &= !self.partitions.is_empty();
        self.keep_assigned_records();
    }

    /// Forgets everything but where a bounded read ends, to begin again at the stored positions.
    pub(super) fn clear(&mut self) {
        self.partitions.clear();
        self.elsewhere.clear();
        self.records = Records::default();
        self.slots.clear();
        self.since = None;
    }

    /// Buffers a record, unless it is none of ours.
    pub(super) fn offer<'a>(
        &mut self,
        offer: Offer<'a, impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>>,
    ) -> Offered {
        let Some(partition) = self.partitions.get_mut(&offer.number) else {
            return Offered::Stale;
        };
        if offer.offset < partition.reached {
            return Offered::Stale;
        }
        if let Some(limit) = partition.limit
            && offer.offset >= limit
        {
            partition.reached = limit;
            self.note_movement();
            return Offered::Beyond;
        }
        let slot = *partition.slot.get_or_insert_with(|| {
            self.slots.push(pulled_partition(
                &self.source,
                offer.number,
                &partition.incarnation,
            ));
            self.slots.len() as u32 - 1
        });
        partition.reached = offer.offset + 1;
        partition.end = partition.end.max(partition.reached);
        self.records.payloads.push(offer.payload);
        self.records.keys.push(offer.key);
        self.records.headers.push_raw(offer.headers);
        self.records.partitions.push(slot);
        self.records.offsets.push(offer.offset);
        self.records.timestamps.push(offer.timestamp);
        if self.since.is_none() {
            self.since = Some(Instant::now());
        }
        Offered::Kept
    }

    /// The broker has nothing more of a partition for now. A bounded read of it is at its end: what
    /// lies between the last record and the limit are records that no reader sees (aborted
    /// transactions, control records, compacted ones), and the position moves past them.
    pub(super) fn reached_end(&mut self, number: i32) {
        if let Some(partition) = self.partitions.get_mut(&number)
            && let Some(limit) = partition.limit
        {
            partition.reached = partition.reached.max(limit);
            self.note_movement();
        }
    }

    /// The end of a partition's log as last heard of.
    pub(super) fn heard_of_end(&mut self, number: i32, end: i64) {
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.end = partition.end.max(end);
        }
    }

    /// Takes what is there: records, and the intervals of all partitions that moved.
    ///
    /// `None` when nothing moved.
    pub(super) fn take(&mut self) -> Option<Taken> {
        self.since?;
        let mut intervals = Vec::new();
        let mut covered = Vec::new();
        for (&number, partition) in &mut self.partitions {
            partition.slot = None;
            if !partition.moved() {
                continue;
            }
            let from = partition.taken.map(Cursor::Offset);
            intervals.push(interval(
                partition_id(&self.source, number),
                partition.incarnation.clone(),
                from,
                partition.reached,
            ));
            covered.push(number);
            partition.taken = Some(partition.reached);
        }
        for (number, (incarnation, start)) in std::mem::take(&mut self.elsewhere) {
            let id = partition_id(&self.source, number);
            intervals.push(interval(id, incarnation, None, start));
        }
        intervals.sort_by(|left, right| left.partition().cmp(right.partition()));
        self.since = None;
        Some(Taken {
            partitions: std::mem::take(&mut self.slots),
            records: std::mem::take(&mut self.records),
            intervals,
            covered,
        })
    }

    /// When something to take came first; `None` while there is nothing.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether a pull can grow no more.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= self.max_rows || self.records.byte_len() >= self.max_bytes
    }

    /// Whether every assigned partition of a bounded read is at its end.
    pub(super) fn all_done(&self) -> bool {
        self.bounded && self.assigned && self.partitions.values().all(Partition::done)
    }

    /// The assigned partitions that have more to read, in their order.
    pub(super) fn open(&self) -> impl Iterator<Item = i32> {
        self.partitions
            .iter()
            .filter(|(_, partition)| !partition.done())
            .map(|(&number, _)| number)
    }

    /// The assigned partitions and the next offset to read of each, in their order.
    pub(super) fn reached(&self) -> impl Iterator<Item = (i32, i64)> {
        self.partitions
            .iter()
            .map(|(&number, partition)| (number, partition.reached))
    }

    /// The identity of the incarnation read, while there is something assigned.
    pub(super) fn identity(&self) -> Option<&str> {
        self.partitions
            .values()
            .next()
            .map(|partition| partition.incarnation.identity.as_str())
    }

    /// Records between what was taken and the end of each assigned partition.
    pub(super) fn lag(&self) -> HashMap<PartitionId, i64> {
        self.partitions
            .iter()
            .map(|(&number, partition)| {
                let taken = partition.taken.unwrap_or(partition.reached);
                let lag = (partition.end - taken).max(0);
                (partition_id(&self.source, number), lag)
            })
            .collect()
    }

    fn note_movement(&mut self) {
        let moved = !self.records.is_empty()
            || !self.elsewhere.is_empty()
            || self.partitions.values().any(Partition::moved);
        match (moved, self.since) {
            (true, None) => self.since = Some(Instant::now()),
            (false, Some(_)) => self.since = None,
            _ => {}
        }
    }

    /// Copies the records of assigned partitions into a new arena. Rebalances are rare, so the copy
    /// costs nothing that counts.
    fn keep_assigned_records(&mut self) {
        let old = std::mem::take(&mut self.records);
        let old_slots = std::mem::take(&mut self.slots);
        let mut moved_to = vec![None; old_slots.len()];
        for (index, slot) in old_slots.into_iter().enumerate() {
            if let Some(partition) = self.partitions.get_mut(&slot.number) {
                let slot_now = self.slots.len() as u32;
                partition.slot = Some(slot_now);
                moved_to[index] = Some(slot_now);
                self.slots.push(slot);
            }
        }
        for index in 0..old.len() {
            let Some(slot) = moved_to[old.partitions[index] as usize] else {
                continue;
            };
            self.records.payloads.push(old.payloads.get(index));
            self.records.keys.push(old.keys.get(index));
            self.records.headers.push_raw(old.headers.get(index));
            self.records.partitions.push(slot);
            self.records.offsets.push(old.offsets[index]);
            self.records.timestamps.push(old.timestamps[index]);
        }
        self.note_movement();
    }
}

/// The id of a partition, its number in decimal.
pub(super) fn partition_id(source: &SourceName, number: i32) -> PartitionId {
    PartitionId {
        source: source.clone(),
        partition: number.to_string(),
    }
}

fn pulled_partition(
    source: &SourceName,
    number: i32,
    incarnation: &Incarnation,
) -> PulledPartition {
    PulledPartition {
        id: partition_id(source, number),
        number,
        incarnation: incarnation.clone(),
    }
}

fn interval(id: PartitionId, incarnation: Incarnation, from: Option<Cursor>, to: i64) -> Interval {
    #[expect(clippy::expect_used, reason = "a broken invariant of this module")]
    Interval::new(id, incarnation, from, Cursor::Offset(to))
        .expect("a partition's reached offset never moves back")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    fn buffer(bounded: bool) -> Buffer {
        Buffer::new(
            SourceName::new("banking", "transactions"),
            bounded,
            4,
            1_000,
        )
    }

    fn opening(number: i32, stored: Option<i64>, start: i64, end: i64) -> Opening {
        Opening {
            number,
            incarnation: Incarnation {
                ordinal: 1,
                identity: "c/t".into(),
            },
            stored,
            start,
            end,
        }
    }

    fn offer(buffer: &mut Buffer, number: i32, offset: i64) -> Offered {
        buffer.offer(Offer {
            number,
            offset,
            timestamp: Some(offset * 1_000),
            key: None,
            payload: Some(format!("{number}:{offset}").as_bytes()),
            headers: [(&b"h"[..], Some(&b"v"[..]))],
        })
    }

    /// `(partition, from, to)` of each interval.
    fn intervals(taken: &Taken) -> Vec<(String, Option<i64>, i64)> {
        taken
            .intervals
            .iter()
            .map(|interval| {
                let from = interval.from().and_then(Cursor::offset);
                let to = interval.to().offset().unwrap();
                (interval.partition().partition.clone(), from, to)
            })
            .collect()
    }

    fn payloads(taken: &Taken) -> Vec<String> {
        let payloads = &taken.records.payloads;
        (0..payloads.len())
            .map(|at| String::from_utf8(payloads.get(at).unwrap().to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn intervals_join_up_over_holes_in_the_log() {
        let mut buffer = buffer(false);
        buffer.assign([opening(0, Some(5), 5, 100)]);
        assert!(buffer.take().is_none(), "nothing moved yet");
        assert_eq!(offer(&mut buffer, 0, 7), Offered::Kept);
        assert_eq!(offer(&mut buffer, 0, 9), Offered::Kept);
        assert_eq!(
            intervals(&buffer.take().unwrap()),
            [("0".into(), Some(5), 10)]
        );
        assert_eq!(offer(&mut buffer, 0, 20), Offered::Kept);
        assert_eq!(
            intervals(&buffer.take().unwrap()),
            [("0".into(), Some(10), 21)]
        );
        assert!(buffer.take().is_none());
    }

    #[test]
    fn a_first_position_is_told_without_a_row() {
        let mut buffer = buffer(false);
        buffer.assign([opening(0, None, 42, 42)]);
        buffer.assigned_elsewhere([opening(1, None, 17, 17), opening(0, None, 42, 42)]);
        let taken = buffer.take().unwrap();
        assert_eq!(
            intervals(&taken),
            [("0".into(), None, 42), ("1".into(), None, 17)]
        );
        assert_eq!(taken.covered, [0], "the other is not ours to wait for");
        assert!(taken.records.is_empty());
        assert!(buffer.take().is_none(), "it is told once");
    }

    #[test]
    fn what_was_read_before_is_not_read_again() {
        let mut buffer = buffer(false);
        buffer.assign([opening(0, Some(5), 5, 100)]);
        assert_eq!(offer(&mut buffer, 0, 4), Offered::Stale);
        assert_eq!(offer(&mut buffer, 0, 5), Offered::Kept);
        assert_eq!(offer(&mut buffer, 0, 5), Offered::Stale);
        assert_eq!(offer(&mut buffer, 1, 5), Offered::Stale, "not assigned");
        assert_eq!(payloads(&buffer.take().unwrap()), ["0:5"]);
    }

    #[test]
    fn a_revoked_partition_leaves_nothing_behind() {
        let mut buffer = buffer(false);
        buffer.assign([
            opening(0, Some(0), 0, 9),
            opening(1, Some(0), 0, 9),
            opening(2, Some(0), 0, 9),
        ]);
        for (number, offset) in [(0, 0), (1, 0), (2, 0), (1, 1)] {
            assert_eq!(offer(&mut buffer, number, offset), Offered::Kept);
        }
        buffer.revoke(&[0, 2]);
        assert_eq!(offer(&mut buffer, 0, 1), Offered::Stale);
        assert_eq!(offer(&mut buffer, 1, 2), Offered::Kept);
        let taken = buffer.take().unwrap();
        assert_eq!(payloads(&taken), ["1:0", "1:1", "1:2"]);
        assert_eq!(intervals(&taken), [("1".into(), Some(0), 3)]);
        assert_eq!(taken.partitions.len(), 1);
        assert_eq!(taken.records.partitions, [0, 0, 0]);
        assert_eq!(
            taken.records.headers.get(2).collect::<Vec<_>>(),
            [(&b"h"[..], Some(&b"v"[..]))]
        );

        offer(&mut buffer, 1, 3);
        buffer.revoke(&[1]);
        assert!(buffer.take().is_none());
    }

    #[test]
    fn a_first_position_is_told_even_if_its_partition_is_revoked_before() {
        let mut buffer = buffer(false);
        buffer.assign([opening(0, None, 0, 9), opening(1, None, 7, 9)]);
        offer(&mut buffer, 1, 7);
        buffer.revoke(&[1]);
        let taken = buffer.take().unwrap();
        assert_eq!(
            intervals(&taken),
            [("0".into(), None, 0), ("1".into(), None, 7)]
        );
        assert_eq!(taken.covered, [0]);
        assert!(taken.records.is_empty());
    }

    #[test]
    fn a_rewind_does_not_move_the_end_of_a_bounded_read() {
        let mut buffer = buffer(true);
        buffer.assign([opening(0, Some(0), 0, 3)]);
        buffer.clear();
        buffer.assign([opening(0, Some(0), 0, 9)]);
        assert_eq!(offer(&mut buffer, 0, 3), Offered::Beyond);
        assert!(buffer.all_done());
    }

    #[test]
    fn a_partition_that_comes_back_begins_at_its_stored_position() {
        let mut buffer = buffer(false);
        buffer.assign([opening(0, Some(0), 0, 9)]);
        offer(&mut buffer, 0, 0);
        buffer.revoke(&[0]);
        buffer.assign([opening(0, Some(0), 0, 9)]);
        assert_eq!(offer(&mut buffer, 0, 0), Offered::Kept);
        assert_eq!(
            intervals(&buffer.take().unwrap()),
            [("0".into(), Some(0), 1)]
        );
    }

    #[test]
    fn a_bounded_read_that_loses_everything_waits_for_its_next_assignment() {
        let mut buffer = buffer(true);
        buffer.assign([opening(0, Some(0), 0, 3)]);
        buffer.revoke(&[0]);
        assert!(
            !buffer.all_done(),
            "the session was lost with records unread"
        );
        buffer.assign([opening(0, Some(0), 0, 3)]);
        assert!(!buffer.all_done());
        buffer.revoke(&[0]);
        buffer.assign([]);
        assert!(buffer.all_done(), "another process reads it");
    }

    #[test]
    fn a_bounded_read_ends_at_its_limit_whatever_comes_first() {
        let mut buffer = buffer(true);
        assert!(!buffer.all_done(), "nothing is assigned yet");
        // ends by a record behind the limit, by end of partition, by being empty
        buffer.assign([
            opening(0, Some(0), 0, 3),
            opening(1, Some(0), 0, 3),
            opening(2, None, 6, 6),
        ]);
        assert_eq!(buffer.open().collect::<Vec<_>>(), [0, 1]);
        offer(&mut buffer, 0, 1);
        assert_eq!(offer(&mut buffer, 0, 3), Offered::Beyond);
        offer(&mut buffer, 1, 0);
        buffer.reached_end(1);
        assert!(buffer.all_done());
        let taken = buffer.take().unwrap();
        assert_eq!(payloads(&taken), ["0:1", "1:0"]);
        assert_eq!(
            intervals(&taken),
            [
                ("0".into(), Some(0), 3),
                ("1".into(), Some(0), 3),
                ("2".into(), None, 6)
            ]
        );
    }

    #[test]
    fn an_end_of_partition_moves_no_unbounded_read() {
        let mut buffer = buffer(false);
        buffer.assign([opening(0, Some(0), 0, 3)]);
        buffer.reached_end(0);
        assert!(buffer.take().is_none());
    }

    #[test]
    fn rows_and_bytes_close_a_pull() {
        let mut by_rows = buffer(false);
        by_rows.assign([opening(0, Some(0), 0, 9)]);
        for offset in 0..4 {
            assert!(!by_rows.is_full());
            offer(&mut by_rows, 0, offset);
        }
        assert!(by_rows.is_full());

        let mut by_bytes = buffer(false);
        by_bytes.assign([opening(0, Some(0), 0, 9)]);
        by_bytes.offer(Offer {
            number: 0,
            offset: 0,
            timestamp: None,
            key: None,
            payload: Some(&[b'x'; 5_000]),
            headers: [],
        });
        assert!(by_bytes.is_full(), "one large record passes alone");
        assert_eq!(by_bytes.take().unwrap().records.len(), 1);
        assert!(!by_bytes.is_full());
    }

    #[test]
    fn intervals_stand_in_the_order_that_locks_are_taken_in() {
        let mut buffer = buffer(false);
        buffer.assign([opening(2, None, 0, 0), opening(10, None, 0, 0)]);
        let order: Vec<_> = intervals(&buffer.take().unwrap())
            .into_iter()
            .map(|(partition, _, _)| partition)
            .collect();
        assert_eq!(order, ["10", "2"], "as text, like the partition ids");
    }

    #[test]
    fn lag_counts_what_was_not_taken() {
        let mut buffer = buffer(false);
        buffer.assign([opening(0, Some(5), 5, 9)]);
        offer(&mut buffer, 0, 5);
        let lag = |buffer: &Buffer| buffer.lag().into_values().sum::<i64>();
        assert_eq!(lag(&buffer), 4, "buffered, but not taken");
        buffer.take();
        assert_eq!(lag(&buffer), 3);
        buffer.heard_of_end(0, 20);
        assert_eq!(lag(&buffer), 14);
    }
}
