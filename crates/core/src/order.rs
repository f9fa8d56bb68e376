//! The total order of records: event time (nulls first), topic, incarnation, partition, offset,
//! index within the record.
//!
//! It decides which row of a key is newest, the same in batch and stream. [`OrderKey::encode`]
//! writes it as bytes whose `memcmp` order is the record order, so Postgres compares `bytea` and
//! Arrow compares `Binary`, and both mean the same.

/// The place of one row in the order of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderKey<'a> {
    /// Declared event time, microseconds since 1970 UTC; `None` sorts first.
    pub event_time: Option<i64>,
    /// Topic, collection or file.
    pub topic: &'a str,
    /// Ordinal of the source's incarnation.
    pub incarnation: i32,
    /// Partition number.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Index of the row within its record, 0 unless the record was unnested.
    pub index: i32,
}

const SIGN: u64 = 1 << 63;

impl OrderKey<'_> {
    /// Appends the order-preserving bytes: `0` for no event time, or `1` and eight bytes; the
    /// topic's UTF-8 with `00` as `00 FF`, ended by `00 00`; then incarnation, partition, offset
    /// and index, big-endian with the sign flipped.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.event_time {
            None => out.push(0),
            Some(time) => {
                out.push(1);
                out.extend_from_slice(&((time as u64) ^ SIGN).to_be_bytes());
            }
        }
        for &byte in self.topic.as_bytes() {
            out.push(byte);
            if byte == 0 {
                out.push(0xFF);
            }
        }
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&flip32(self.incarnation));
        out.extend_from_slice(&flip32(self.partition));
        out.extend_from_slice(&((self.offset as u64) ^ SIGN).to_be_bytes());
        out.extend_from_slice(&flip32(self.index));
    }
}

fn flip32(value: i32) -> [u8; 4] {
    ((value as u32) ^ (1 << 31)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(key: &OrderKey<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode(&mut out);
        out
    }

    proptest! {
        #[test]
        fn bytes_compare_as_the_fields_do(
            a in (proptest::option::of(any::<i64>()), "[a-b\u{0}é]{0,3}", 0i32..3, 0i32..3, any::<i64>(), 0i32..3),
            b in (proptest::option::of(any::<i64>()), "[a-b\u{0}é]{0,3}", 0i32..3, 0i32..3, any::<i64>(), 0i32..3),
        ) {
            let left = OrderKey { event_time: a.0, topic: &a.1, incarnation: a.2, partition: a.3, offset: a.4, index: a.5 };
            let right = OrderKey { event_time: b.0, topic: &b.1, incarnation: b.2, partition: b.3, offset: b.4, index: b.5 };
            prop_assert_eq!(left.cmp(&right), encoded(&left).cmp(&encoded(&right)));
        }
    }
}
