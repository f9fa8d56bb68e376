//! The newest row of each key.

use std::cmp::Ordering;
use std::hash::BuildHasher;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, BooleanBufferBuilder, UInt32Array,
};
use datafusion::arrow::compute::{filter_record_batch, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::row::{OwnedRow, RowConverter, Rows as KeyRows, SortField};
use futures::StreamExt;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::error::{ModelError, Work};
use crate::rows::Rows;

/// Keeps of each key the row whose order of records is greatest, and sorts by key: the key columns
/// one after the other, numbers by value, text and uuid by bytes, the same in every process.
///
/// `keys` and `order` are column indices; the key columns hold no nulls. Sorting by key lets
/// Postgres fill its index from left to right and keeps two processes from locking rows crosswise.
pub(crate) fn newest_by_key(
    rows: &RecordBatch,
    keys: &[usize],
    order: usize,
) -> Result<RecordBatch, ArrowError> {
    let order = rows.column(order).as_binary::<i32>();
    let columns: Vec<ArrayRef> = keys.iter().map(|key| rows.column(*key).clone()).collect();
    let keys = Keys::new(&columns)?;
    let mut sorted = candidates(&keys, order, rows.num_rows());
    sorted.sort_unstable_by(|&(left_prefix, left), &(right_prefix, right)| {
        left_prefix
            .cmp(&right_prefix)
            .then_with(|| keys.compare_rest(left as usize, right as usize))
            .then_with(|| left.cmp(&right))
    });
    // Among rows of one key, the sort kept the order in which they came: of those with equal orders,
    // which only a join makes, the first one stays.
    sorted.dedup_by(|&mut (later_prefix, later), (first_prefix, newest)| {
        let same = later_prefix == *first_prefix
            && keys.compare_rest(later as usize, *newest as usize).is_eq();
        if same && order.value(later as usize) > order.value(*newest as usize) {
            *newest = later;
        }
        same
    });
    let indices = UInt32Array::from_iter_values(sorted.into_iter().map(|(_, row)| row));
    take_record_batch(rows, &indices)
}

/// How many rows tell whether keys come again and again.
const SAMPLE: usize = 1024;

/// Rows that may be the newest of their keys, with the prefixes of these.
///
/// While at least half of the rows share their keys with others, as those of a dimension do, it is one row
/// of each key, found by hashing: a sort would compare every row a dozen times. The rest is left to it.
fn candidates(keys: &Keys, order: &BinaryArray, rows: usize) -> Vec<(u128, u32)> {
    let hasher = DefaultHashBuilder::default();
    let hash = |(prefix, row): (u128, u32)| hasher.hash_one((prefix, keys.rest(row as usize)));
    let mut newest: Vec<(u128, u32)> = Vec::new();
    let mut places: HashTable<usize> = HashTable::new();
    for row in 0..rows {
        let found = (keys.prefix(row), row as u32);
        if row >= SAMPLE && newest.len() > row / 2 {
            newest.push(found);
            continue;
        }
        let is_same = |place: &usize| {
            let (prefix, other) = newest[*place];
            prefix == found.0 && keys.compare_rest(other as usize, row).is_eq()
        };
        match places.find(hash(found), is_same) {
            Some(&place) => {
                let known = &mut newest[place].1;
                if order.value(row) > order.value(*known as usize) {
                    *known = found.1;
                }
            }
            None => {
                places.insert_unique(hash(found), newest.len(), |place| hash(newest[*place]));
                newest.push(found);
            }
        }
    }
    newest
}

/// How many bytes of a key are compared as one number.
const PREFIX: usize = 16;

/// Keys whose first sixteen bytes decide most comparisons.
enum Keys<'a> {
    /// Sixteen bytes are the whole key.
    Short(Vec<u128>),
    /// One text column.
    Text(&'a [u8], &'a [i32]),
    /// Anything else, in Arrow's comparable row format.
    Rows(KeyRows),
}

impl<'a> Keys<'a> {
    fn new(columns: &'a [ArrayRef]) -> Result<Self, ArrowError> {
        if let [column] = columns {
            match column.data_type() {
                DataType::FixedSizeBinary(16) => {
                    let values = column.as_fixed_size_binary();
                    return Ok(Self::Short(
                        (0..values.len())
                            .map(|row| first_sixteen(values.value(row)))
                            .collect(),
                    ));
                }
                DataType::Int16 => return Ok(whole(column.as_primitive::<Int16Type>().values())),
                DataType::Int32 => return Ok(whole(column.as_primitive::<Int32Type>().values())),
                DataType::Int64 => return Ok(whole(column.as_primitive::<Int64Type>().values())),
                DataType::Utf8 => {
                    let values = column.as_string::<i32>();
                    return Ok(Self::Text(values.value_data(), values.value_offsets()));
                }
                _ => {}
            }
        }
        let fields = columns
            .iter()
            .map(|column| SortField::new(column.data_type().clone()))
            .collect();
        Ok(Self::Rows(
            RowConverter::new(fields)?.convert_columns(columns)?,
        ))
    }

    fn prefix(&self, row: usize) -> u128 {
        match self {
            Self::Short(keys) => keys[row],
            Self::Text(..) | Self::Rows(_) => first_sixteen(self.bytes(row)),
        }
    }

    /// Compares two keys whose prefixes are equal.
    fn compare_rest(&self, left: usize, right: usize) -> Ordering {
        match self {
            Self::Short(_) => Ordering::Equal,
            Self::Text(..) | Self::Rows(_) => self
                .rest(left)
                .cmp(self.rest(right))
                .then_with(|| self.bytes(left).len().cmp(&self.bytes(right).len())),
        }
    }

    /// What the prefix does not hold.
    fn rest(&self, row: usize) -> &[u8] {
        let bytes = self.bytes(row);
        &bytes[bytes.len().min(PREFIX)..]
    }

    fn bytes(&self, row: usize) -> &[u8] {
        match self {
            Self::Short(_) => &[],
            Self::Text(values, offsets) => {
                &values[offsets[row] as usize..offsets[row + 1] as usize]
            }
            Self::Rows(rows) => rows.row(row).data(),
        }
    }
}

/// Whole numbers, moved up so that negative ones come first.
fn whole<T: Copy + Into<i128>>(values: &[T]) -> Keys<'static> {
    Keys::Short(
        values
            .iter()
            .map(|value| ((*value).into() as u128) ^ (1 << 127))
            .collect(),
    )
}

/// The first sixteen bytes as a number that compares as they do; short ones are padded with zeros.
fn first_sixteen(bytes: &[u8]) -> u128 {
    let mut first = [0; PREFIX];
    let length = bytes.len().min(PREFIX);
    first[..length].copy_from_slice(&bytes[..length]);
    u128::from_be_bytes(first)
}

/// Keeps the first row of each key of rows that are sorted by key, newest first.
pub(crate) fn newest_of_sorted(rows: Rows, work: Work, key: Vec<usize>) -> Rows {
    let Rows { schema, batches } = rows;
    let mut last: Option<OwnedRow> = None;
    let batches = batches.map(move |batch| {
        let batch = batch?;
        check_keys(&batch, &key, &work)?;
        let failed = |error: ArrowError| ModelError::running(&work, error.into());
        let columns: Vec<ArrayRef> = key
            .iter()
            .map(|index| batch.column(*index).clone())
            .collect();
        let fields = columns
            .iter()
            .map(|column| SortField::new(column.data_type().clone()))
            .collect();
        let converter = RowConverter::new(fields).map_err(failed)?;
        let keys = converter.convert_columns(&columns).map_err(failed)?;
        let mut first_of_key = BooleanBufferBuilder::new(batch.num_rows());
        for row in 0..batch.num_rows() {
            let same = match row.checked_sub(1) {
                Some(before) => keys.row(before) == keys.row(row),
                // A key may go on from the batch before.
                None => last
                    .as_ref()
                    .is_some_and(|last| last.row().data() == keys.row(row).data()),
            };
            first_of_key.append(!same);
        }
        if let Some(end) = batch.num_rows().checked_sub(1) {
            last = Some(keys.row(end).owned());
        }
        filter_record_batch(&batch, &BooleanArray::new(first_of_key.finish(), None)).map_err(failed)
    });
    Rows {
        schema,
        batches: batches.boxed(),
    }
}

/// A key column without a value in some row is the model's error.
pub(crate) fn check_keys(rows: &RecordBatch, key: &[usize], work: &Work) -> Result<(), ModelError> {
    let empty = key
        .iter()
        .find(|index| rows.column(**index).logical_null_count() > 0);
    match empty {
        Some(index) => Err(ModelError::NullKey {
            model: work.clone(),
            column: rows.schema().field(*index).name().clone(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use datafusion::arrow::array::{
        BinaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, StringArray,
    };
    use futures::TryStreamExt;
    use proptest::prelude::*;

    use super::*;

    /// Rows of a number, a text, a uuid, an order and the row's number.
    fn batch(rows: &[(i64, String, u8, u8)]) -> RecordBatch {
        let uuids = rows.iter().map(|row| [row.2; 16]);
        RecordBatch::try_from_iter([
            (
                "number",
                Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()) as ArrayRef,
            ),
            (
                "text",
                Arc::new(
                    rows.iter()
                        .map(|row| Some(row.1.as_str()))
                        .collect::<StringArray>(),
                ),
            ),
            (
                "uuid",
                Arc::new(FixedSizeBinaryArray::try_from_iter(uuids).unwrap()),
            ),
            (
                "row",
                Arc::new((0..rows.len() as i32).collect::<Int32Array>()),
            ),
            (
                "order",
                Arc::new(
                    rows.iter()
                        .map(|row| Some([row.3]))
                        .collect::<BinaryArray>(),
                ),
            ),
        ])
        .unwrap()
    }

    fn kept(batch: &RecordBatch) -> Vec<i32> {
        batch
            .column(3)
            .as_primitive::<Int32Type>()
            .values()
            .to_vec()
    }

    /// The rows that should stay: of each key the greatest order, of equal orders the first.
    fn expected<K: Ord>(
        rows: &[(i64, String, u8, u8)],
        key: impl Fn(&(i64, String, u8, u8)) -> K,
    ) -> Vec<i32> {
        let mut newest: BTreeMap<K, (u8, i32)> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            let new = (row.3, index as i32);
            let entry = newest.entry(key(row)).or_insert(new);
            if new.0 > entry.0 {
                *entry = new;
            }
        }
        newest.into_values().map(|(_, index)| index).collect()
    }

    #[test]
    fn many_rows_are_kept_likewise_whether_keys_come_again_or_not() {
        for keys in [10, SAMPLE, 2 * SAMPLE, 5 * SAMPLE] {
            let row = |index: usize| {
                let key = (index * 7919 % keys) as i64;
                let text = format!("a prefix of sixteen bytes and more {key}");
                (key, text, (key % 251) as u8, (index * 31 % 5) as u8)
            };
            let rows: Vec<_> = (0..4 * SAMPLE).map(row).collect();
            let batch = batch(&rows);
            assert_eq!(
                kept(&newest_by_key(&batch, &[0], 4).unwrap()),
                expected(&rows, |row| row.0)
            );
            assert_eq!(
                kept(&newest_by_key(&batch, &[1], 4).unwrap()),
                expected(&rows, |row| row.1.clone())
            );
            assert_eq!(
                kept(&newest_by_key(&batch, &[2], 4).unwrap()),
                expected(&rows, |row| row.2)
            );
        }
    }

    proptest! {
        #[test]
        fn keeps_the_newest_row_of_each_key_sorted(
            rows in prop::collection::vec((-3_i64..3, "[a-b]{0,1}[\u{0}-\u{2}é]{0,20}", 0_u8..4, 0_u8..4), 1..60)
        ) {
            let batch = batch(&rows);
            prop_assert_eq!(kept(&newest_by_key(&batch, &[0], 4).unwrap()), expected(&rows, |row| row.0));
            prop_assert_eq!(kept(&newest_by_key(&batch, &[1], 4).unwrap()), expected(&rows, |row| row.1.clone()));
            prop_assert_eq!(kept(&newest_by_key(&batch, &[2], 4).unwrap()), expected(&rows, |row| row.2));
            prop_assert_eq!(
                kept(&newest_by_key(&batch, &[1, 0], 4).unwrap()),
                expected(&rows, |row| (row.1.clone(), row.0))
            );
        }
    }

    #[tokio::test]
    async fn a_key_that_goes_on_in_the_next_batch_stays_one_row() {
        let row = |number: i64, order| (number, String::new(), 0, order);
        let batches = [
            batch(&[row(1, 9), row(1, 8), row(2, 9)]),
            batch(&[row(2, 7), row(2, 6)]),
            batch(&[row(2, 5), row(3, 1)]),
        ];
        let rows = Rows {
            schema: batches[0].schema(),
            batches: futures::stream::iter(batches.map(Ok)).boxed(),
        };
        let kept: Vec<_> = newest_of_sorted(rows, Work::Query, vec![0])
            .batches
            .try_collect()
            .await
            .unwrap();
        let numbers: Vec<_> = kept
            .iter()
            .flat_map(|batch| {
                batch
                    .column(0)
                    .as_primitive::<Int64Type>()
                    .values()
                    .to_vec()
            })
            .collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
