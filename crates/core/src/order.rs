//! The total order of records: event time (nulls first), topic, incarnation, partition, offset,
//! index within the record.
//!
//! It decides which row of a key is newest, the same in batch and stream. [`OrderKey::encode`]
//! writes it as bytes whose `memcmp` order is the record order, so Postgres compares `bytea` and
//! Arrow compares `Binary`, and both mean the same.

use std::borrow::Cow;

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

/// The record that a row came from, read back from the bytes of its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPlace<'a> {
    /// Topic, collection or file.
    pub topic: Cow<'a, str>,
    /// Ordinal of the source's incarnation.
    pub incarnation: i32,
    /// Partition number.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
}

impl<'a> RecordPlace<'a> {
    /// Reads what [`OrderKey::encode`] wrote; `None` where the bytes are no such key.
    pub fn decode(key: &'a [u8]) -> Option<Self> {
        let after_time = match key.split_first()? {
            (0, rest) => rest,
            (1, rest) => rest.get(8..)?,
            _ => return None,
        };
        let (topic, numbers) = split_topic(after_time)?;
        let (incarnation, numbers) = numbers.split_first_chunk::<4>()?;
        let (partition, numbers) = numbers.split_first_chunk::<4>()?;
        let (offset, _) = numbers.split_first_chunk::<8>()?;
        Some(Self {
            topic,
            incarnation: unflip32(*incarnation),
            partition: unflip32(*partition),
            offset: (u64::from_be_bytes(*offset) ^ SIGN) as i64,
        })
    }
}

/// The topic, with `00 FF` as `00` again, and what stands behind its end.
fn split_topic(bytes: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let mut at = 0;
    let mut has_zero = false;
    loop {
        at += bytes[at..].iter().position(|byte| *byte == 0)?;
        match bytes.get(at + 1)? {
            0 => break,
            _ => has_zero = true,
        }
        at += 2;
    }
    let (topic, rest) = (&bytes[..at], &bytes[at + 2..]);
    let topic = if has_zero {
        // UTF-8 has no `FF`: each one came with a zero
        let text = topic.iter().copied().filter(|byte| *byte != 0xFF);
        Cow::Owned(String::from_utf8(text.collect()).ok()?)
    } else {
        Cow::Borrowed(std::str::from_utf8(topic).ok()?)
    };
    Some((topic, rest))
}

fn unflip32(bytes: [u8; 4]) -> i32 {
    (u32::from_be_bytes(bytes) ^ (1 << 31)) as i32
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

        #[test]
        fn the_record_is_read_back_from_the_bytes(
            time in proptest::option::of(any::<i64>()),
            topic in "[a-b\u{0}é]{0,5}",
            incarnation in any::<i32>(),
            partition in any::<i32>(),
            offset in any::<i64>(),
        ) {
            let key = encoded(&OrderKey { event_time: time, topic: &topic, incarnation, partition, offset, index: 3 });
            let place = RecordPlace { topic: topic.into(), incarnation, partition, offset };
            prop_assert_eq!(RecordPlace::decode(&key), Some(place));
            prop_assert_eq!(RecordPlace::decode(&key[..key.len() - 5]), None);
        }
    }
}
