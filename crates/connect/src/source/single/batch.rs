//! What a reader appends to: records, and how far each partition has come.

use std::collections::HashMap;

use factmill_core::records::Records;

use super::reader::Place;

/// A record as it came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// What it says; null deletes its key.
    pub payload: Option<&'a [u8]>,
    /// The source's time, microseconds since 1970 UTC.
    pub timestamp: Option<i64>,
    /// Its headers, in their order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// A partition within a [`Batch`]; valid until the next [`super::Reader::seek`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(u32);

/// Records in the order they were read, and places.
///
/// A partition is numbered in one of two ways, never both: by its own offsets
/// ([`Batch::push_at`]; the place moves with each record), or by the adapter, which counts its
/// records ([`Batch::push`]; the reader then says the place behind them, [`Batch::moved`], before
/// its `read` returns).
#[derive(Debug)]
pub struct Batch {
    pub(super) partitions: Vec<Partition>,
    pub(super) records: Records,
    pub(super) room: Room,
    /// Records counted before, by partition.
    counted: HashMap<String, i64>,
}

/// How much more a pull may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) name: String,
    pub(super) number: i32,
    /// The ordinal that the order of records uses; `None`: that of the source's incarnation.
    pub(super) ordinal: Option<i32>,
    /// Records counted by the adapter.
    pub(super) read: i64,
    /// Where it has come to in this batch.
    pub(super) reached: Option<Place>,
    /// Records were counted behind `reached`.
    pub(super) unplaced: bool,
}

impl Batch {
    /// An empty batch behind the stored places.
    pub(super) fn new(stored: &HashMap<String, Place>) -> Self {
        let counted = stored.iter().filter_map(|(name, place)| match place {
            Place::Token { read, .. } => Some((name.clone(), *read)),
            Place::Offset(_) => None,
        });
        Self {
            partitions: Vec::new(),
            records: Records::default(),
            room: Room { rows: 0, bytes: 0 },
            counted: counted.collect(),
        }
    }

    /// The partition `name`, number 0 in the order of records: for a source of one partition.
    pub fn partition(&mut self, name: &str) -> Slot {
        self.partition_in_order(name, 0, None)
    }

    /// The partition `name` with its place in the order of records. Partitions of one source that
    /// have records must differ in number or ordinal. Where `ordinal` is none, it is that of the
    /// source's incarnation.
    pub fn partition_in_order(&mut self, name: &str, number: i32, ordinal: Option<i32>) -> Slot {
        let known = self.partitions.iter().position(|known| known.name == name);
        let index = known.unwrap_or_else(|| {
            self.partitions.push(Partition {
                name: name.to_owned(),
                number,
                ordinal,
                read: self.counted.get(name).copied().unwrap_or(0),
                reached: None,
                unplaced: false,
            });
            self.partitions.len() - 1
        });
        Slot(index as u32)
    }

    /// Appends a record that the adapter counts: its offset is the number of those before it in this
    /// incarnation.
    pub fn push(&mut self, slot: Slot, record: Record<'_>) {
        let partition = &mut self.partitions[slot.0 as usize];
        let offset = partition.read;
        partition.read += 1;
        partition.unplaced = true;
        self.append(slot, offset, record);
    }

    /// Everything of the partition that was pushed so far lies before the place `at`.
    pub fn moved(&mut self, slot: Slot, at: impl Into<String>) {
        let partition = &mut self.partitions[slot.0 as usize];
        partition.unplaced = false;
        partition.reached = Some(Place::Token {
            read: partition.read,
            at: at.into(),
        });
    }

    /// Appends a record that has an offset of its own, above those before it.
    pub fn push_at(&mut self, slot: Slot, offset: i64, record: Record<'_>) {
        self.moved_to(slot, offset + 1);
        self.append(slot, offset, record);
    }

    /// The next offset of the partition is `next`, with or without records.
    pub fn moved_to(&mut self, slot: Slot, next: i64) {
        self.partitions[slot.0 as usize].reached = Some(Place::Offset(next));
    }

    /// Whether the pull can grow no more: return from `read` then.
    pub fn is_full(&self) -> bool {
        self.records.len() >= self.room.rows || self.records.byte_len() >= self.room.bytes
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Appends a record in one piece, so that a dropped `read` leaves none in part.
    fn append(&mut self, slot: Slot, offset: i64, record: Record<'_>) {
        self.records.payloads.push(record.payload);
        self.records.keys.push(record.key);
        self.records.headers.push(record.headers.iter().copied());
        self.records.partitions.push(slot.0);
        self.records.offsets.push(offset);
        self.records.timestamps.push(record.timestamp);
    }

    /// A partition whose records have no place yet: a mistake of the reader.
    pub(super) fn unplaced(&self) -> Option<&str> {
        let unplaced = self.partitions.iter().find(|partition| partition.unplaced);
        unplaced.map(|partition| partition.name.as_str())
    }
}
