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
mod tests;
