//! What was read and not yet taken. Pure bookkeeping: intervals of a partition join up, and a record
//! is taken once.

use std::collections::HashMap;
use std::time::Instant;

use factmill_core::position::{Cursor, Incarnation, Interval, PartitionId, SourceName};
use factmill_core::records::{PulledPartition, Records};

use super::batch::{Batch, Room};
use super::reader::Place;

/// What one pull takes.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) partitions: Vec<PulledPartition>,
    pub(super) records: Records,
    pub(super) intervals: Vec<Interval>,
}

/// The records and places between two pulls.
#[derive(Debug)]
pub(super) struct Buffer {
    source: SourceName,
    max_rows: usize,
    max_bytes: usize,
    incarnation: Incarnation,
    /// Stored places of partitions that the reader has not named yet.
    stored: HashMap<String, Cursor>,
    /// As in the batch, by its slots.
    partitions: Vec<Partition>,
    records: Records,
    since: Option<Instant>,
}

#[derive(Debug)]
struct Partition {
    id: PartitionId,
    number: i32,
    ordinal: i32,
    /// Everything before it has been taken; `None`: nothing stored and nothing taken.
    taken: Option<Cursor>,
    /// Everything before it has been buffered; `None`: the reader said nothing yet.
    reached: Option<Place>,
}

impl Buffer {
    pub(super) fn new(source: SourceName, max_rows: usize, max_bytes: usize) -> Self {
        Self {
            source,
            max_rows: max_rows.max(1),
            max_bytes: max_bytes.max(1),
            incarnation: Incarnation {
                ordinal: 0,
                identity: String::new(),
            },
            stored: HashMap::new(),
            partitions: Vec::new(),
            records: Records::default(),
            since: None,
        }
    }

    /// Drops everything and begins behind the stored places of an incarnation.
    pub(super) fn begin(&mut self, incarnation: Incarnation, stored: HashMap<String, Cursor>) {
        self.clear();
        self.incarnation = incarnation;
        self.stored = stored;
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.stored.clear();
        self.partitions.clear();
        self.records = Records::default();
        self.since = None;
    }

    /// Takes over what a batch holds; its partitions and counts stay with it.
    pub(super) fn merge(&mut self, batch: &mut Batch) {
        for known in &batch.partitions[self.partitions.len()..] {
            self.partitions.push(Partition {
                id: PartitionId {
                    source: self.source.clone(),
                    partition: known.name.clone(),
                },
                number: known.number,
                ordinal: known.ordinal.unwrap_or(self.incarnation.ordinal),
                taken: self.stored.remove(&known.name),
                reached: None,
            });
        }
        for (partition, batched) in self.partitions.iter_mut().zip(&mut batch.partitions) {
            if let Some(reached) = batched.reached.take() {
                partition.reached = Some(reached);
            }
        }
        let records = std::mem::take(&mut batch.records);
        if self.records.is_empty() {
            self.records = records;
        } else {
            append(&mut self.records, &records);
        }
        let moved = self
            .partitions
            .iter()
            .any(|partition| partition.reached.is_some());
        if moved && self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    /// Takes what is there: records, and the intervals of all partitions that moved. `None` when
    /// nothing moved.
    pub(super) fn take(&mut self) -> Option<Taken> {
        self.since.take()?;
        let records = std::mem::take(&mut self.records);
        let (partitions, records) = self.used(records);
        let mut intervals = Vec::new();
        for partition in &mut self.partitions {
            let Some(reached) = partition.reached.take() else {
                continue;
            };
            let to = reached.to_cursor();
            if partition.taken.as_ref() == Some(&to) {
                continue;
            }
            let from = partition.taken.replace(to.clone());
            #[expect(clippy::expect_used, reason = "a broken invariant of a reader")]
            let interval = Interval::new(partition.id.clone(), self.incarnation.clone(), from, to)
                .expect("a reader's offsets never move back");
            intervals.push(interval);
        }
        if intervals.is_empty() {
            return None;
        }
        intervals.sort_by(|left, right| left.partition().cmp(right.partition()));
        Some(Taken {
            partitions,
            records,
            intervals,
        })
    }

    /// Only the partitions that the records name, so that a source of many small ones (files) costs
    /// a pull no more than what it holds.
    fn used(&self, mut records: Records) -> (Vec<PulledPartition>, Records) {
        let mut places = vec![None; self.partitions.len()];
        let mut used = Vec::new();
        for slot in &mut records.partitions {
            let place = places[*slot as usize].get_or_insert_with(|| {
                used.push(self.pulled(*slot as usize));
                used.len() as u32 - 1
            });
            *slot = *place;
        }
        (used, records)
    }

    fn pulled(&self, slot: usize) -> PulledPartition {
        let partition = &self.partitions[slot];
        PulledPartition {
            id: partition.id.clone(),
            number: partition.number,
            incarnation: Incarnation {
                ordinal: partition.ordinal,
                identity: self.incarnation.identity.clone(),
            },
        }
    }

    /// When something to take came first; `None` while there is nothing.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// How much more a pull may hold.
    pub(super) fn room(&self) -> Room {
        Room {
            rows: self.max_rows.saturating_sub(self.records.len()),
            bytes: self.max_bytes.saturating_sub(self.records.byte_len()),
        }
    }

    /// Whether a pull can grow no more.
    pub(super) fn is_full(&self) -> bool {
        let room = self.room();
        room.rows == 0 || room.bytes == 0
    }

    /// Records buffered, by partition name.
    pub(super) fn waiting(&self) -> HashMap<&str, i64> {
        let mut waiting = HashMap::new();
        for &slot in &self.records.partitions {
            let name = self.partitions[slot as usize].id.partition.as_str();
            *waiting.entry(name).or_default() += 1;
        }
        waiting
    }

    /// The id of a partition of this source.
    pub(super) fn id(&self, partition: &str) -> PartitionId {
        PartitionId {
            source: self.source.clone(),
            partition: partition.to_owned(),
        }
    }
}

fn append(records: &mut Records, more: &Records) {
    for index in 0..more.len() {
        records.payloads.push(more.payloads.get(index));
        records.keys.push(more.keys.get(index));
        records.headers.push_raw(more.headers.get(index));
    }
    records.partitions.extend_from_slice(&more.partitions);
    records.offsets.extend_from_slice(&more.offsets);
    records.timestamps.extend_from_slice(&more.timestamps);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::super::batch::Record;
    use super::*;

    fn buffer(stored: &[(&str, Place)]) -> (Buffer, Batch) {
        let mut buffer = Buffer::new(SourceName::new("shop", "orders"), 4, 1_000);
        let incarnation = Incarnation {
            ordinal: 2,
            identity: "uuid".into(),
        };
        let stored: HashMap<String, Place> = stored
            .iter()
            .map(|(name, place)| ((*name).to_owned(), place.clone()))
            .collect();
        let cursors = stored
            .iter()
            .map(|(name, place)| (name.clone(), place.to_cursor()));
        buffer.begin(incarnation, cursors.collect());
        let mut batch = Batch::new(&stored);
        batch.room = buffer.room();
        (buffer, batch)
    }

    fn record(payload: &str) -> Record<'_> {
        Record {
            payload: Some(payload.as_bytes()),
            ..Record::default()
        }
    }

    fn intervals(taken: &Taken) -> Vec<(String, Option<String>, String)> {
        taken
            .intervals
            .iter()
            .map(|interval| {
                (
                    interval.partition().partition.clone(),
                    interval.from().map(Cursor::to_text),
                    interval.to().to_text(),
                )
            })
            .collect()
    }

    #[test]
    fn counted_records_go_on_from_the_stored_count() {
        let stored = Place::Token {
            read: 7,
            at: "a".into(),
        };
        let (mut buffer, mut batch) = buffer(&[("c", stored.clone())]);
        let slot = batch.partition("c");
        batch.push(slot, record("x"));
        batch.push(slot, record("y"));
        assert_eq!(batch.unplaced(), Some("c"));
        batch.moved(slot, "b");
        assert_eq!(batch.unplaced(), None);
        buffer.merge(&mut batch);
        let taken = buffer.take().unwrap();
        assert_eq!(taken.records.offsets, [7, 8]);
        assert_eq!(taken.partitions[0].incarnation.ordinal, 2);
        let to = Place::Token {
            read: 9,
            at: "b".into(),
        };
        let wanted = (
            "c".to_owned(),
            Some(stored.to_cursor().to_text()),
            to.to_cursor().to_text(),
        );
        assert_eq!(intervals(&taken), [wanted]);
        assert!(buffer.take().is_none());
    }

    #[test]
    fn a_place_moves_without_rows_but_not_onto_itself() {
        let (mut buffer, mut batch) = buffer(&[("3", Place::Offset(5))]);
        let slot = batch.partition_in_order("3", 3, Some(1));
        batch.moved_to(slot, 5);
        buffer.merge(&mut batch);
        assert!(buffer.take().is_none(), "it stands there already");
        batch.moved_to(slot, 9);
        buffer.merge(&mut batch);
        let taken = buffer.take().unwrap();
        assert_eq!(
            intervals(&taken),
            [("3".into(), Some("5".into()), "9".into())]
        );
        assert!(taken.partitions.is_empty(), "no records");
    }

    #[test]
    fn pulls_of_many_batches_hold_only_the_partitions_they_name() {
        let (mut buffer, mut batch) = buffer(&[]);
        for name in ["a", "b", "c"] {
            let slot = batch.partition(name);
            batch.push_at(slot, 0, record(name));
            buffer.merge(&mut batch);
        }
        let taken = buffer.take().unwrap();
        assert_eq!(taken.partitions.len(), 3);
        assert_eq!(taken.records.payloads.get(2), Some(&b"c"[..]));
        let slot = batch.partition("c");
        batch.push_at(slot, 1, record("more"));
        buffer.merge(&mut batch);
        let taken = buffer.take().unwrap();
        assert_eq!(taken.records.partitions, [0]);
        assert_eq!(taken.partitions[0].id.partition, "c");
        assert_eq!(
            intervals(&taken),
            [("c".into(), Some("1".into()), "2".into())]
        );
    }

    #[test]
    fn rows_and_bytes_close_a_pull() {
        let (mut buffer, mut batch) = buffer(&[]);
        let slot = batch.partition("a");
        for offset in 0..4 {
            assert!(!batch.is_full());
            batch.push_at(slot, offset, record("x"));
        }
        assert!(batch.is_full());
        buffer.merge(&mut batch);
        assert!(buffer.is_full());
        buffer.take().unwrap();
        batch.room = buffer.room();
        batch.push_at(slot, 4, record(&"x".repeat(2_000)));
        assert!(batch.is_full(), "one large record passes alone");
    }
}
