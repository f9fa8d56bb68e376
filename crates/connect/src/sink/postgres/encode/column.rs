//! One column's values in Postgres's binary form, each after its length.

use arrow::array::{
    Array, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array,
    Decimal256Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, IntervalMonthDayNanoArray, LargeBinaryArray, LargeStringArray, ListArray,
    StringArray, StringViewArray, Time64MicrosecondArray,
};
use bytes::{BufMut, BytesMut};

use super::ValueProblem;
use super::json::JsonColumn;
use super::numeric::{self, Places};

/// Days from 1970-01-01 to 2000-01-01, where Postgres counts from.
const EPOCH_DAYS: i32 = 10_957;
/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const NULL: [u8; 4] = (-1i32).to_be_bytes();
/// The version that `jsonb_recv` reads before the text.
const JSONB_VERSION: u8 = 1;
/// Postgres's `MaxAllocSize`.
const MAX_FIELD_BYTES: usize = 0x3fff_ffff;

/// How a `timestamp` column counts.
pub(super) enum Ticks {
    Micros(arrow::array::TimestampMicrosecondArray),
    /// Milliseconds or seconds, with microseconds in one of them.
    Coarse(Int64Array, i64),
    Nanos(Int64Array),
}

/// An encoder chosen by the declared and the Arrow type.
pub(super) enum ColumnEncoder {
    Int16(Int16Array),
    Int32(Int32Array),
    Int64(Int64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    Decimal128(Decimal128Array, u8, Places),
    Decimal256(Decimal256Array, u8, Places),
    Utf8(StringArray),
    LargeUtf8(LargeStringArray),
    Utf8View(StringViewArray),
    /// JSON documents as text.
    Json(StringViewArray),
    /// Structs and lists written as JSON.
    Document(JsonColumn),
    Boolean(BooleanArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(Ticks),
    Interval(IntervalMonthDayNanoArray),
    Binary(BinaryArray),
    LargeBinary(LargeBinaryArray),
    BinaryView(BinaryViewArray),
    FixedBinary(FixedSizeBinaryArray),
    Array {
        lists: ListArray,
        items: Box<ColumnEncoder>,
        element: u32,
    },
    AllNull,
}

impl ColumnEncoder {
    /// Appends length and bytes of one value.
    #[inline]
    pub(super) fn encode(&self, row: usize, out: &mut BytesMut) -> Result<(), ValueProblem> {
        if self.is_null(row) {
            out.extend_from_slice(&NULL);
            return Ok(());
        }
        match self {
            Self::Int16(values) => put2(values.value(row).to_be_bytes(), out),
            Self::Int32(values) => put4(values.value(row).to_be_bytes(), out),
            Self::Int64(values) => put8(values.value(row).to_be_bytes(), out),
            Self::Float32(values) => put4(values.value(row).to_be_bytes(), out),
            Self::Float64(values) => put8(values.value(row).to_be_bytes(), out),
            Self::Decimal128(values, scale, places) => {
                numeric::put_i128(values.value(row), *scale, *places, out)
            }
            Self::Decimal256(values, scale, places) => {
                numeric::put_i256(values.value(row), *scale, *places, out)
            }
            Self::Utf8(values) => put_bytes(values.value(row).as_bytes(), out)?,
            Self::LargeUtf8(values) => put_bytes(values.value(row).as_bytes(), out)?,
            Self::Utf8View(values) => put_bytes(values.value(row).as_bytes(), out)?,
            Self::Json(values) => measured(out, |out| {
                out.put_u8(JSONB_VERSION);
                out.extend_from_slice(values.value(row).as_bytes());
                Ok(())
            })?,
            Self::Document(values) => measured(out, |out| {
                out.put_u8(JSONB_VERSION);
                values.put(row, out)
            })?,
            Self::Boolean(values) => {
                out.extend_from_slice(&[0, 0, 0, 1, u8::from(values.value(row))])
            }
            Self::Date(values) => put4(postgres_date(values.value(row))?.to_be_bytes(), out),
            Self::Time(values) => put8(values.value(row).to_be_bytes(), out),
            Self::Timestamp(ticks) => {
                put8(postgres_timestamp(ticks.micros(row)?)?.to_be_bytes(), out)
            }
            Self::Interval(values) => {
                let value = values.value(row);
                let micros = whole_micros(value.nanoseconds)?;
                let mut bytes = [0u8; 20];
                bytes[0..4].copy_from_slice(&16u32.to_be_bytes());
                bytes[4..12].copy_from_slice(&micros.to_be_bytes());
                bytes[12..16].copy_from_slice(&value.days.to_be_bytes());
                bytes[16..20].copy_from_slice(&value.months.to_be_bytes());
                out.extend_from_slice(&bytes);
            }
            Self::Binary(values) => put_bytes(values.value(row), out)?,
            Self::LargeBinary(values) => put_bytes(values.value(row), out)?,
            Self::BinaryView(values) => put_bytes(values.value(row), out)?,
            Self::FixedBinary(values) => put_bytes(values.value(row), out)?,
            Self::Array {
                lists,
                items,
                element,
            } => put_array(lists, items, *element, row, out)?,
            Self::AllNull => out.extend_from_slice(&NULL),
        }
        Ok(())
    }

    #[inline]
    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Int16(values) => values.is_null(row),
            Self::Int32(values) => values.is_null(row),
            Self::Int64(values) => values.is_null(row),
            Self::Float32(values) => values.is_null(row),
            Self::Float64(values) => values.is_null(row),
            Self::Decimal128(values, ..) => values.is_null(row),
            Self::Decimal256(values, ..) => values.is_null(row),
            Self::Utf8(values) => values.is_null(row),
            Self::LargeUtf8(values) => values.is_null(row),
            Self::Utf8View(values) | Self::Json(values) => values.is_null(row),
            Self::Document(values) => values.is_null(row),
            Self::Boolean(values) => values.is_null(row),
            Self::Date(values) => values.is_null(row),
            Self::Time(values) => values.is_null(row),
            Self::Timestamp(Ticks::Micros(values)) => values.is_null(row),
            Self::Timestamp(Ticks::Coarse(values, _) | Ticks::Nanos(values)) => values.is_null(row),
            Self::Interval(values) => values.is_null(row),
            Self::Binary(values) => values.is_null(row),
            Self::LargeBinary(values) => values.is_null(row),
            Self::BinaryView(values) => values.is_null(row),
            Self::FixedBinary(values) => values.is_null(row),
            Self::Array { lists, .. } => lists.is_null(row),
            Self::AllNull => true,
        }
    }
}

impl Ticks {
    #[inline]
    fn micros(&self, row: usize) -> Result<i64, ValueProblem> {
        match self {
            Self::Micros(values) => Ok(values.value(row)),
            Self::Coarse(values, factor) => values
                .value(row)
                .checked_mul(*factor)
                .ok_or(ValueProblem::OutOfRange),
            Self::Nanos(values) => whole_micros(values.value(row)),
        }
    }
}

/// Days since 2000-01-01; the ends of the range mean infinity to Postgres.
fn postgres_date(days: i32) -> Result<i32, ValueProblem> {
    days.checked_sub(EPOCH_DAYS)
        .filter(|days| *days > i32::MIN && *days < i32::MAX)
        .ok_or(ValueProblem::OutOfRange)
}

/// Microseconds since 2000-01-01; the ends of the range mean infinity to Postgres.
#[inline]
fn postgres_timestamp(micros: i64) -> Result<i64, ValueProblem> {
    micros
        .checked_sub(EPOCH_MICROS)
        .filter(|micros| *micros > i64::MIN && *micros < i64::MAX)
        .ok_or(ValueProblem::OutOfRange)
}

fn whole_micros(nanos: i64) -> Result<i64, ValueProblem> {
    if nanos % 1_000 != 0 {
        return Err(ValueProblem::FinerThanMicroseconds);
    }
    Ok(nanos / 1_000)
}

#[inline]
fn put2(value: [u8; 2], out: &mut BytesMut) {
    out.extend_from_slice(&[0, 0, 0, 2, value[0], value[1]]);
}

#[inline]
fn put4(value: [u8; 4], out: &mut BytesMut) {
    out.extend_from_slice(&[0, 0, 0, 4, value[0], value[1], value[2], value[3]]);
}

#[inline]
fn put8(value: [u8; 8], out: &mut BytesMut) {
    let mut bytes = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[4..].copy_from_slice(&value);
    out.extend_from_slice(&bytes);
}

#[inline]
fn put_bytes(value: &[u8], out: &mut BytesMut) -> Result<(), ValueProblem> {
    if value.len() > MAX_FIELD_BYTES {
        return Err(ValueProblem::TooLarge);
    }
    out.reserve(4 + value.len());
    out.put_u32(value.len() as u32);
    out.extend_from_slice(value);
    Ok(())
}

/// Appends what `write` appends, after its length.
fn measured(
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> Result<(), ValueProblem>,
) -> Result<(), ValueProblem> {
    let start = out.len();
    out.put_u32(0);
    write(out)?;
    let length = out.len() - start - 4;
    if length > MAX_FIELD_BYTES {
        return Err(ValueProblem::TooLarge);
    }
    out[start..start + 4].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(())
}

/// A one-dimensional array: dimensions, whether nulls occur, element type, size, lower bound, items.
fn put_array(
    lists: &ListArray,
    items: &ColumnEncoder,
    element: u32,
    row: usize,
    out: &mut BytesMut,
) -> Result<(), ValueProblem> {
    let offsets = lists.value_offsets();
    let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
    measured(out, |out| {
        let with_nulls = (from..to).any(|at| items.is_null(at));
        out.put_i32(i32::from(from < to));
        out.put_i32(i32::from(with_nulls));
        out.put_u32(element);
        if from < to {
            out.put_i32((to - from) as i32);
            out.put_i32(1);
        }
        for at in from..to {
            items.encode(at, out)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::sync::Arc;

    use super::*;
    use arrow::array::ArrayRef;
    use arrow::array::{DictionaryArray, Int8Array, TimestampNanosecondArray, UInt64Array};
    use arrow::datatypes::{Int32Type, IntervalMonthDayNano};
    use factmill_core::types::DeclaredType;

    fn bytes(
        array: impl Array + 'static,
        declared: &str,
        row: usize,
    ) -> Result<Vec<u8>, ValueProblem> {
        let array: ArrayRef = Arc::new(array);
        let declared = DeclaredType::parse(declared).unwrap();
        let mut out = BytesMut::new();
        ColumnEncoder::new(&array, &declared)
            .unwrap()
            .encode(row, &mut out)?;
        Ok(out.to_vec())
    }

    // Expected bytes as Postgres's own `*_send` functions give them.
    #[test]
    fn scalars_are_those_of_the_send_functions() {
        assert_eq!(
            bytes(Int16Array::from(vec![-2]), "smallint", 0).unwrap(),
            [0, 0, 0, 2, 0xff, 0xfe]
        );
        assert_eq!(
            bytes(Int8Array::from(vec![-2]), "integer", 0).unwrap(),
            [0, 0, 0, 4, 0xff, 0xff, 0xff, 0xfe]
        );
        assert_eq!(
            bytes(Int32Array::from(vec![None]), "integer", 0).unwrap(),
            NULL
        );
        assert_eq!(
            bytes(Float64Array::from(vec![1.0]), "double", 0).unwrap(),
            [0, 0, 0, 8, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            bytes(StringArray::from(vec!["é"]), "text", 0).unwrap(),
            [0, 0, 0, 2, 0xc3, 0xa9]
        );
        assert_eq!(
            bytes(BooleanArray::from(vec![true]), "boolean", 0).unwrap(),
            [0, 0, 0, 1, 1]
        );
        assert_eq!(
            bytes(Date32Array::from(vec![EPOCH_DAYS + 1]), "date", 0).unwrap(),
            [0, 0, 0, 4, 0, 0, 0, 1]
        );
        let noon = arrow::array::TimestampMicrosecondArray::from(vec![EPOCH_MICROS - 1]);
        assert_eq!(
            bytes(noon, "timestamp", 0).unwrap(),
            [0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 255]
        );
        let interval =
            IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 2, 3_000)]);
        assert_eq!(
            bytes(interval, "interval", 0).unwrap(),
            [0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1]
        );
        assert_eq!(
            bytes(StringArray::from(vec!["{}"]), "json", 0).unwrap(),
            [0, 0, 0, 3, 1, b'{', b'}']
        );
    }

    #[test]
    fn arrays_carry_their_dimensions() {
        let mut lists = arrow::array::ListBuilder::new(arrow::array::Int32Builder::new());
        lists.append_value([Some(7), None]);
        lists.append_value([]);
        let lists = lists.finish();
        assert_eq!(
            bytes(lists.clone(), "integer[]", 0).unwrap(),
            [
                [0, 0, 0, 32].as_slice(),
                &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1],
                &[0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255],
            ]
            .concat()
        );
        assert_eq!(
            bytes(lists, "integer[]", 1).unwrap(),
            [0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23]
        );
    }

    #[test]
    fn dictionaries_are_read_through() {
        let words: DictionaryArray<Int32Type> = ["b", "a", "b"].into_iter().collect();
        assert_eq!(bytes(words, "varchar(3)", 2).unwrap(), [0, 0, 0, 1, b'b']);
    }

    #[test]
    fn nothing_is_rounded_or_cut() {
        let fine = TimestampNanosecondArray::from(vec![1_500]);
        assert_eq!(
            bytes(fine, "timestamp", 0),
            Err(ValueProblem::FinerThanMicroseconds)
        );
        let far = arrow::array::TimestampSecondArray::from(vec![i64::MAX]);
        assert_eq!(bytes(far, "timestamp", 0), Err(ValueProblem::OutOfRange));
        assert_eq!(
            bytes(Date32Array::from(vec![i32::MIN]), "date", 0),
            Err(ValueProblem::OutOfRange)
        );
        let fits = |array: ArrayRef, declared: &str| {
            ColumnEncoder::new(&array, &DeclaredType::parse(declared).unwrap()).is_some()
        };
        let cents = Decimal128Array::from(vec![1])
            .with_precision_and_scale(18, 4)
            .unwrap();
        assert!(
            !fits(Arc::new(cents), "numeric(18,2)"),
            "Postgres would round"
        );
        assert!(!fits(Arc::new(Int64Array::from(vec![1])), "integer"));
        assert!(!fits(Arc::new(UInt64Array::from(vec![1])), "bigint"));
        assert!(!fits(Arc::new(StringArray::from(vec!["1"])), "integer"));
    }
}
