//! Records as they were pulled: one arena of bytes for many records, no allocation per record.

use crate::position::{Incarnation, PartitionId};

/// Byte strings laid end to end, some of them null.
#[derive(Debug, Default)]
pub struct ByteColumn {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    nulls: Vec<bool>,
}

impl ByteColumn {
    /// Appends one value.
    pub fn push(&mut self, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.bytes.extend_from_slice(value);
        }
        self.ends.push(self.bytes.len());
        self.nulls.push(value.is_none());
    }

    /// The value at `index`; `None` where it is null.
    ///
    /// # Panics
    /// When `index` is not below the number of values.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if self.nulls[index] {
            return None;
        }
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start..self.ends[index]])
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes held by the values.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The headers of records: mostly none, so a record without headers costs one number.
#[derive(Debug, Default)]
pub struct HeaderColumn {
    ends: Vec<usize>,
    names: ByteColumn,
    values: ByteColumn,
}

impl HeaderColumn {
    /// Appends the headers of one record, in their order.
    pub fn push<'a>(&mut self, headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) {
        self.push_raw(
            headers
                .into_iter()
                .map(|(name, value)| (name.as_bytes(), value)),
        );
    }

    /// Appends the headers of one record as a server sent them, whose names need not be UTF-8.
    pub fn push_raw<'a>(
        &mut self,
        headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) {
        for (name, value) in headers {
            self.names.push(Some(name));
            self.values.push(value);
        }
        self.ends.push(self.names.len());
    }

    /// The headers of the record at `index`, in their order.
    ///
    /// # Panics
    /// When `index` is not below the number of records.
    pub fn get(&self, index: usize) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        (start..self.ends[index]).map(|at| {
            let name = self.names.get(at).unwrap_or_default();
            (name, self.values.get(at))
        })
    }

    fn byte_len(&self) -> usize {
        self.names.byte_len() + self.values.byte_len()
    }
}

/// Records of one source in the order they were pulled; within a partition in offset order.
#[derive(Debug, Default)]
pub struct Records {
    /// What the records say; null is a tombstone.
    pub payloads: ByteColumn,
    /// Their keys.
    pub keys: ByteColumn,
    /// Their headers.
    pub headers: HeaderColumn,
    /// Index into [`Pulled::partitions`], by record.
    pub partitions: Vec<u32>,
    /// Offset in the partition, by record.
    pub offsets: Vec<i64>,
    /// The source's time, microseconds since 1970 UTC; `None` where it has none.
    pub timestamps: Vec<Option<i64>>,
}

impl Records {
    /// How many records.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Bytes of payloads, keys and headers: what the bounded queues count.
    pub fn byte_len(&self) -> usize {
        self.payloads.byte_len() + self.keys.byte_len() + self.headers.byte_len()
    }
}

/// A partition within one pull.
#[derive(Debug, Clone)]
pub struct PulledPartition {
    /// Which partition.
    pub id: PartitionId,
    /// The number that the order of records uses: Kafka's partition, else 0.
    pub number: i32,
    /// The incarnation read.
    pub incarnation: Incarnation,
}

/// What one pull of one source brought.
#[derive(Debug)]
pub struct Pulled {
    /// Topic, collection or file set that the records come from.
    pub topic: String,
    /// The partitions that the records belong to.
    pub partitions: Vec<PulledPartition>,
    /// The records.
    pub records: Records,
}

impl Pulled {
    /// The index of a record by its partition's number and its offset.
    pub fn index_of(&self, number: i32, offset: i64) -> Option<usize> {
        let records = &self.records;
        (0..records.len()).find(|&index| {
            let partition = &self.partitions[records.partitions[index] as usize];
            records.offsets[index] == offset && partition.number == number
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_differ() {
        let mut column = ByteColumn::default();
        column.push(Some(b"ab"));
        column.push(None);
        column.push(Some(b""));
        column.push(Some(b"c"));
        let values: Vec<_> = (0..column.len()).map(|index| column.get(index)).collect();
        assert_eq!(values, [Some(&b"ab"[..]), None, Some(b""), Some(b"c")]);
        assert_eq!(column.byte_len(), 3);
    }

    #[test]
    fn headers_keep_their_order_and_repeat() {
        let mut headers = HeaderColumn::default();
        headers.push([("a", Some(&b"1"[..])), ("a", None)]);
        headers.push([]);
        assert_eq!(
            headers.get(0).collect::<Vec<_>>(),
            [(&b"a"[..], Some(&b"1"[..])), (b"a", None)]
        );
        assert_eq!(headers.get(1).count(), 0);
    }
}
