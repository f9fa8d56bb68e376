//! What the catalog knows about the values of a column: counts and bounds of its leaves.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{
    max, max_binary, max_boolean, max_fixed_size_binary, max_string, min, min_binary, min_boolean,
    min_fixed_size_binary, min_string,
};
use arrow::datatypes::{
    ArrowNumericType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use serde::Serialize;

use super::column::LakeColumn;
use super::file::ByteBounds;
use super::text;

/// Characters that a bound of a text keeps; bytes of a bound of bytes.
const BOUND: usize = 128;

/// How `factmill.lake_before` compares the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Number,
    Float,
    Boolean,
    Date,
    Timestamp,
    Timestamptz,
    /// By bytes: texts, UUIDs, times of day, bytes in hexadecimal.
    Text,
}

/// Counts and bounds of one column without children. The bounds hold, and are not always reached.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LeafStatistics {
    pub(super) id: i64,
    pub(super) kind: Kind,
    /// Values that are not null; of a list's element, elements.
    pub(super) values: usize,
    pub(super) nulls: usize,
    /// `None` without values.
    pub(super) min: Option<String>,
    pub(super) max: Option<String>,
    /// Whether one is NaN, for floats.
    pub(super) nan: Option<bool>,
}

/// The statistics of all leaves of some columns, in the order of [`LakeColumn::leaves`].
///
/// `known` are bounds of the leaves by their bytes, where a Parquet writer has compared them already:
/// comparing texts once more would cost more than anything else here. They are looked up for texts
/// and bytes only.
pub(super) fn of_columns(
    columns: &[LakeColumn],
    arrays: &[ArrayRef],
    known: &[ByteBounds],
) -> Vec<LeafStatistics> {
    let mut leaves = Leaves {
        known,
        found: Vec::new(),
    };
    for (column, array) in columns.iter().zip(arrays) {
        leaves.take_column(column, array);
    }
    leaves.found
}

struct Leaves<'a> {
    known: &'a [ByteBounds],
    found: Vec<LeafStatistics>,
}

impl Leaves<'_> {
    fn take_column(&mut self, column: &LakeColumn, array: &ArrayRef) {
        match array.data_type() {
            DataType::Struct(_) => {
                let parent = array.as_struct();
                for (child, values) in column.children.iter().zip(parent.columns()) {
                    self.take_column(child, &below(parent.nulls(), values));
                }
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let (start, end) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
                let elements = list.values().slice(start as usize, (end - start) as usize);
                self.take_column(&column.children[0], &elements);
            }
            _ => {
                let known = self.known.get(self.found.len()).and_then(Option::as_ref);
                self.found.push(of_leaf(column.id, array, known));
            }
        }
    }
}

/// The field of a struct, null where the struct is.
fn below(parent: Option<&NullBuffer>, values: &ArrayRef) -> ArrayRef {
    let nulls = NullBuffer::union(parent, values.nulls());
    let data = values.to_data().into_builder().nulls(nulls);
    // the same buffers with at least as many nulls as before stay a valid array
    data.build().map_or_else(|_| values.clone(), make_array)
}

fn of_leaf(id: i64, array: &ArrayRef, known: Option<&(Vec<u8>, Vec<u8>)>) -> LeafStatistics {
    let nulls = array.null_count();
    let known = known.map(|(min, max)| (min.as_slice(), max.as_slice()));
    let (kind, bounds, nan) = match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            let bounds = min_boolean(values).zip(max_boolean(values));
            (
                Kind::Boolean,
                bounds.map(|(min, max)| (min.to_string(), max.to_string())),
                None,
            )
        }
        DataType::Int16 => (Kind::Number, ordered::<Int16Type>(array), None),
        DataType::Int32 => (Kind::Number, ordered::<Int32Type>(array), None),
        DataType::Int64 => (Kind::Number, ordered::<Int64Type>(array), None),
        DataType::Decimal128(..) => (Kind::Number, ordered::<Decimal128Type>(array), None),
        DataType::Float32 => {
            let (bounds, nan) = floats::<Float32Type>(array);
            (Kind::Float, bounds, Some(nan))
        }
        DataType::Float64 => {
            let (bounds, nan) = floats::<Float64Type>(array);
            (Kind::Float, bounds, Some(nan))
        }
        DataType::Date32 => (Kind::Date, ordered::<Date32Type>(array), None),
        DataType::Time64(_) => (Kind::Text, ordered::<Time64MicrosecondType>(array), None),
        DataType::Timestamp(_, None) => (
            Kind::Timestamp,
            ordered::<TimestampMicrosecondType>(array),
            None,
        ),
        DataType::Timestamp(..) => (
            Kind::Timestamptz,
            ordered::<TimestampMicrosecondType>(array),
            None,
        ),
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            let bounds =
                known.or_else(|| min_fixed_size_binary(values).zip(max_fixed_size_binary(values)));
            (
                Kind::Text,
                bounds.map(|(min, max)| (uuid_text(min), uuid_text(max))),
                None,
            )
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            let known =
                known.and_then(|(min, max)| str::from_utf8(min).ok().zip(str::from_utf8(max).ok()));
            let bounds = known.or_else(|| min_string(values).zip(max_string(values)));
            (
                Kind::Text,
                bounds.map(|(min, max)| (below_text(min), above_text(max))),
                None,
            )
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            let bounds = known.or_else(|| min_binary(values).zip(max_binary(values)));
            (
                Kind::Text,
                bounds.map(|(min, max)| (below_bytes(min), above_bytes(max))),
                None,
            )
        }
        other => unreachable!("the lake stores no column of type {other}"),
    };
    let (min, max) = bounds.unzip();
    LeafStatistics {
        id,
        kind,
        values: array.len() - nulls,
        nulls,
        min,
        max,
        nan,
    }
}

type Bounds = Option<(String, String)>;

fn ordered<T: ArrowNumericType>(array: &ArrayRef) -> Bounds {
    let values = array.as_primitive::<T>();
    let bound = |value, beyond: &str| {
        let one =
            PrimitiveArray::<T>::from_value(value, 1).with_data_type(array.data_type().clone());
        let mut bound = String::new();
        // only days and instants may lack a text, and an infinite one bounds them
        text::write_value(&mut bound, &one, 0).map_or_else(|_| beyond.to_owned(), |()| bound)
    };
    Some((
        bound(min(values)?, "-infinity"),
        bound(max(values)?, "infinity"),
    ))
}

/// The bounds without NaN, which DuckDB sorts above all values and others nowhere, and whether there
/// is one.
fn floats<T: ArrowNumericType<Native: Into<f64>>>(array: &ArrayRef) -> (Bounds, bool) {
    let mut nan = false;
    let mut bounds: Option<(f64, f64)> = None;
    for value in array.as_primitive::<T>().iter().flatten() {
        let value: f64 = value.into();
        if value.is_nan() {
            nan = true;
        } else {
            bounds = Some(bounds.map_or((value, value), |(low, high)| {
                (low.min(value), high.max(value))
            }));
        }
    }
    (
        bounds.map(|(low, high)| (format!("{low:?}"), format!("{high:?}"))),
        nan,
    )
}

fn uuid_text(bytes: &[u8]) -> String {
    uuid::Uuid::from_slice(bytes).map_or_else(|_| below_bytes(bytes), |uuid| uuid.to_string())
}

/// A text that is at or below `text` and short.
fn below_text(text: &str) -> String {
    text.chars()
        .take(BOUND)
        .take_while(|character| *character != '\0')
        .collect()
}

/// A text that is at or above `text` and short: cut after [`BOUND`] characters, or before a NUL, with
/// the last one replaced by the next, as UTF-8 sorts like its code points.
fn above_text(text: &str) -> String {
    let mut bound = below_text(text);
    if bound.len() == text.len() {
        return bound;
    }
    while let Some(last) = bound.pop() {
        let next = if last == '\u{D7FF}' {
            Some('\u{E000}')
        } else {
            char::from_u32(last as u32 + 1)
        };
        if let Some(next) = next {
            bound.push(next);
            return bound;
        }
    }
    // it begins with a NUL, or all is the last code point
    text.replace('\0', "\u{1}")
}

fn below_bytes(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(BOUND)
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

fn above_bytes(bytes: &[u8]) -> String {
    if bytes.len() <= BOUND {
        return below_bytes(bytes);
    }
    let kept = &bytes[..BOUND];
    match kept.iter().rposition(|byte| *byte < u8::MAX) {
        Some(last) => {
            let mut bound = kept[..=last].to_vec();
            bound[last] += 1;
            below_bytes(&bound)
        }
        None => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::sync::Arc;

    use arrow::array::{
        Date32Array, Float64Array, Int64Array, ListArray, StringArray, StructArray,
    };
    use arrow::datatypes::{Field, Int32Type};
    use arrow::record_batch::RecordBatch;
    use proptest::prelude::*;

    use super::super::file;
    use super::*;

    fn statistics(array: impl Array + 'static) -> Vec<LeafStatistics> {
        let array: ArrayRef = Arc::new(array);
        let field = Field::new("c", array.data_type().clone(), true);
        of_columns(&[LakeColumn::new(&field, &mut 1).unwrap()], &[array], &[])
    }

    fn bounds(statistics: &LeafStatistics) -> (Option<&str>, Option<&str>) {
        (statistics.min.as_deref(), statistics.max.as_deref())
    }

    #[test]
    fn numbers_are_bounded_as_numbers_and_counted_without_nulls() {
        let found = &statistics(Int64Array::from(vec![Some(10), None, Some(9)]))[0];
        assert_eq!(bounds(found), (Some("9"), Some("10")));
        assert_eq!((found.values, found.nulls), (2, 1));
        let found = &statistics(Int64Array::from(vec![None, None]))[0];
        assert_eq!(bounds(found), (None, None));
    }

    #[test]
    fn nan_is_told_and_bounds_nothing() {
        let found = &statistics(Float64Array::from(vec![f64::NAN, 1e300, f64::NEG_INFINITY]))[0];
        assert_eq!(
            (bounds(found), found.nan),
            ((Some("-inf"), Some("1e300")), Some(true))
        );
        assert_eq!(
            statistics(Float64Array::from(vec![0.5]))[0].nan,
            Some(false)
        );
    }

    #[test]
    fn a_day_without_a_text_is_bounded_by_infinity() {
        let found = &statistics(Date32Array::from(vec![0, i32::MAX]))[0];
        assert_eq!(bounds(found), (Some("1970-01-01"), Some("infinity")));
    }

    #[test]
    fn a_field_is_null_where_its_struct_is() {
        let field = Arc::new(Field::new("x", DataType::Int64, true));
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 99]));
        let parent = StructArray::new(
            vec![field].into(),
            vec![values],
            Some(vec![true, false].into()),
        );
        let found = &statistics(parent)[0];
        assert_eq!((found.id, found.values, found.nulls), (2, 1, 1));
        assert_eq!(bounds(found), (Some("1"), Some("1")));
    }

    #[test]
    fn elements_outside_a_sliced_list_do_not_count() {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(100)]),
            None,
            Some(vec![Some(1), None, Some(2)]),
        ]);
        let found = &statistics(lists.slice(1, 2))[0];
        assert_eq!((found.values, found.nulls), (2, 1));
        assert_eq!(bounds(found), (Some("1"), Some("2")));
    }

    /// What is found with the help of the file's own bounds.
    fn of_file(texts: Vec<Option<String>>) -> LeafStatistics {
        let array: ArrayRef = Arc::new(StringArray::from(texts));
        let column = LakeColumn::new(&Field::new("c", DataType::Utf8, true), &mut 1).unwrap();
        let columns = [column];
        let rows = RecordBatch::try_new(file::stored_schema(&columns), vec![array]).unwrap();
        let written = file::encode(&columns, &rows).unwrap();
        let has_values = rows.column(0).null_count() < rows.num_rows();
        assert_eq!(written.bounds[0].is_some(), has_values);
        of_columns(&columns, rows.columns(), &written.bounds).remove(0)
    }

    #[test]
    fn a_file_of_two_groups_is_bounded_over_both() {
        let mut texts = vec![Some("m".to_owned()); 130_000];
        texts[0] = Some("z".to_owned());
        texts[129_999] = Some("a".to_owned());
        assert_eq!(bounds(&of_file(texts.clone())), (Some("a"), Some("z")));
        texts[122_880..].fill(None);
        assert_eq!(bounds(&of_file(texts)), (Some("m"), Some("z")));
    }

    proptest! {
        #[test]
        fn bounds_of_a_file_hold(texts in proptest::collection::vec(proptest::option::of("\\PC{0,90}|[\u{10FFFE}-\u{10FFFF}]{60,70}"), 1..20)) {
            let found = of_file(texts.clone());
            for text in texts.iter().flatten() {
                let (min, max) = bounds(&found);
                prop_assert!(min.unwrap() <= text.as_str() && text.as_str() <= max.unwrap());
            }
        }

        #[test]
        fn bounds_of_texts_hold(text in "\\PC{0,200}|[\u{10FFFE}-\u{10FFFF}]{120,140}|[\u{D7FE}-\u{E001}]{128,130}") {
            let found = &statistics(StringArray::from(vec![text.as_str()]))[0];
            let (min, max) = bounds(found);
            prop_assert!(min.unwrap() <= text.as_str() && text.as_str() <= max.unwrap());
        }

        #[test]
        fn bounds_of_bytes_hold(bytes in proptest::collection::vec(prop_oneof![Just(255u8), any::<u8>()], 0..300)) {
            let text: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            prop_assert!(below_bytes(&bytes) <= text && text <= above_bytes(&bytes));
        }
    }
}
