//! One column of a result.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder,
    FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder,
    Int64Builder, IntervalMonthDayNanoBuilder, ListArray, NullBufferBuilder, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use tokio_postgres::types::{Kind, Type};

use super::numeric::Digits;
use super::{ValueProblem, field};

const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// What Postgres adds to a numeric's `precision << 16 | scale` (`VARHDRSZ`).
const TYPMOD_OFFSET: i32 = 4;

/// How a column's values are sent and what they become.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum ColumnKind {
    Boolean,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Decimal128(u8, i8),
    Decimal256(u8, i8),
    Text,
    /// Text after a version byte.
    Jsonb,
    Bytes,
    Uuid,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    List(Box<ColumnKind>),
    /// A type that has no Arrow form here: the query casts it to text.
    CastToText,
}

impl ColumnKind {
    /// The kind of a column of this type; `modifier` is Postgres's `atttypmod`.
    pub(in super::super) fn of(data_type: &Type, modifier: i32) -> Self {
        if let Kind::Array(item) = data_type.kind() {
            return match Self::of(item, modifier) {
                Self::CastToText => Self::CastToText,
                item => Self::List(Box::new(item)),
            };
        }
        match *data_type {
            Type::BOOL => Self::Boolean,
            Type::INT2 => Self::Int16,
            Type::INT4 => Self::Int32,
            Type::INT8 => Self::Int64,
            Type::FLOAT4 => Self::Float32,
            Type::FLOAT8 => Self::Float64,
            Type::NUMERIC => numeric(modifier),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON => Self::Text,
            Type::JSONB => Self::Jsonb,
            Type::BYTEA => Self::Bytes,
            Type::UUID => Self::Uuid,
            Type::DATE => Self::Date,
            Type::TIME => Self::Time,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::TimestampTz,
            Type::INTERVAL => Self::Interval,
            _ => Self::CastToText,
        }
    }

    /// The Arrow type, that of the declared type of the same name.
    pub(in super::super) fn arrow(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal128(digits, scale) => DataType::Decimal128(*digits, *scale),
            Self::Decimal256(digits, scale) => DataType::Decimal256(*digits, *scale),
            Self::Text | Self::Jsonb | Self::CastToText => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::List(item) => DataType::List(Arc::new(Field::new_list_field(item.arrow(), true))),
        }
    }
}

fn numeric(modifier: i32) -> ColumnKind {
    let packed = modifier - TYPMOD_OFFSET;
    let digits = u8::try_from(packed >> 16).unwrap_or(u8::MAX);
    // Since version 15 the scale is 11 bits with a sign; a negative one rounds to tens.
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    match i8::try_from(scale) {
        Ok(scale)
            if modifier >= TYPMOD_OFFSET && scale >= 0 && digits <= 76 && scale as u8 <= digits =>
        {
            if digits <= 38 {
                ColumnKind::Decimal128(digits, scale)
            } else {
                ColumnKind::Decimal256(digits, scale)
            }
        }
        _ => ColumnKind::Decimal256(76, 38),
    }
}

/// Collects the values of one column.
pub(super) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal128(Decimal128Builder, i8),
    Decimal256(Decimal256Builder, i8),
    Text(StringBuilder),
    Jsonb(StringBuilder),
    Bytes(BinaryBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    List(ListCollector),
}

/// Collects lists: their ends, which are null, and their items.
pub(super) struct ListCollector {
    item: DataType,
    items: Box<ColumnBuilder>,
    lengths: Vec<usize>,
    nulls: NullBufferBuilder,
}

impl ColumnBuilder {
    pub(super) fn new(kind: &ColumnKind) -> Self {
        match kind {
            ColumnKind::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnKind::Int16 => Self::Int16(Int16Builder::new()),
            ColumnKind::Int32 => Self::Int32(Int32Builder::new()),
            ColumnKind::Int64 => Self::Int64(Int64Builder::new()),
            ColumnKind::Float32 => Self::Float32(Float32Builder::new()),
            ColumnKind::Float64 => Self::Float64(Float64Builder::new()),
            ColumnKind::Decimal128(_, scale) => Self::Decimal128(
                Decimal128Builder::new().with_data_type(kind.arrow()),
                *scale,
            ),
            ColumnKind::Decimal256(_, scale) => Self::Decimal256(
                Decimal256Builder::new().with_data_type(kind.arrow()),
                *scale,
            ),
            ColumnKind::Text | ColumnKind::CastToText => Self::Text(StringBuilder::new()),
            ColumnKind::Jsonb => Self::Jsonb(StringBuilder::new()),
            ColumnKind::Bytes => Self::Bytes(BinaryBuilder::new()),
            ColumnKind::Uuid => Self::Uuid(FixedSizeBinaryBuilder::new(16)),
            ColumnKind::Date => Self::Date(Date32Builder::new()),
            ColumnKind::Time => Self::Time(Time64MicrosecondBuilder::new()),
            ColumnKind::Timestamp | ColumnKind::TimestampTz => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(kind.arrow()))
            }
            ColumnKind::Interval => Self::Interval(IntervalMonthDayNanoBuilder::new()),
            ColumnKind::List(item) => Self::List(ListCollector {
                item: item.arrow(),
                items: Box::new(Self::new(item)),
                lengths: Vec::new(),
                nulls: NullBufferBuilder::new(0),
            }),
        }
    }

    /// Appends one value, `None` for null.
    pub(super) fn append(&mut self, value: Option<&[u8]>) -> Result<(), ValueProblem> {
        match self {
            Self::Boolean(values) => values.append_option(value.map(boolean).transpose()?),
            Self::Int16(values) => {
                values.append_option(value.map(bytes).transpose()?.map(i16::from_be_bytes))
            }
            Self::Int32(values) => {
                values.append_option(value.map(bytes).transpose()?.map(i32::from_be_bytes))
            }
            Self::Int64(values) => {
                values.append_option(value.map(bytes).transpose()?.map(i64::from_be_bytes))
            }
            Self::Float32(values) => {
                values.append_option(value.map(bytes).transpose()?.map(f32::from_be_bytes))
            }
            Self::Float64(values) => {
                values.append_option(value.map(bytes).transpose()?.map(f64::from_be_bytes))
            }
            Self::Decimal128(values, scale) => values.append_option(
                value
                    .map(|value| {
                        Digits::read(value)?
                            .to_i128(*scale)
                            .ok_or(ValueProblem::TooManyDigits)
                    })
                    .transpose()?,
            ),
            Self::Decimal256(values, scale) => {
                values.append_option(
                    value
                        .map(|value| Digits::read(value)?.to_i256(*scale))
                        .transpose()?,
                );
            }
            Self::Text(values) => values.append_option(value.map(text).transpose()?),
            Self::Jsonb(values) => {
                let document =
                    value.map(|value| text(value.get(1..).ok_or(ValueProblem::Malformed)?));
                values.append_option(document.transpose()?);
            }
            Self::Bytes(values) => values.append_option(value),
            Self::Uuid(values) => match value {
                Some(value) => values
                    .append_value(value)
                    .map_err(|_| ValueProblem::Malformed)?,
                None => values.append_null(),
            },
            Self::Date(values) => values.append_option(value.map(date).transpose()?),
            Self::Time(values) => {
                values.append_option(value.map(bytes).transpose()?.map(i64::from_be_bytes))
            }
            Self::Timestamp(values) => values.append_option(value.map(timestamp).transpose()?),
            Self::Interval(values) => values.append_option(value.map(interval).transpose()?),
            Self::List(lists) => lists.append(value)?,
        }
        Ok(())
    }

    /// The values so far; the builder is empty afterwards.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Int16(values) => Arc::new(values.finish()),
            Self::Int32(values) => Arc::new(values.finish()),
            Self::Int64(values) => Arc::new(values.finish()),
            Self::Float32(values) => Arc::new(values.finish()),
            Self::Float64(values) => Arc::new(values.finish()),
            Self::Decimal128(values, _) => Arc::new(values.finish()),
            Self::Decimal256(values, _) => Arc::new(values.finish()),
            Self::Text(values) | Self::Jsonb(values) => Arc::new(values.finish()),
            Self::Bytes(values) => Arc::new(values.finish()),
            Self::Uuid(values) => Arc::new(values.finish()),
            Self::Date(values) => Arc::new(values.finish()),
            Self::Time(values) => Arc::new(values.finish()),
            Self::Timestamp(values) => Arc::new(values.finish()),
            Self::Interval(values) => Arc::new(values.finish()),
            Self::List(lists) => Arc::new(lists.finish()),
        }
    }
}

impl ListCollector {
    fn append(&mut self, value: Option<&[u8]>) -> Result<(), ValueProblem> {
        let Some(value) = value else {
            self.lengths.push(0);
            self.nulls.append_null();
            return Ok(());
        };
        let mut rest = value.get(12..).ok_or(ValueProblem::Malformed)?;
        let mut length = 0;
        match bytes(&value[..4]).map(i32::from_be_bytes)? {
            0 => {}
            1 => {
                length = usize::try_from(i32::from_be_bytes(bytes(
                    rest.get(..4).unwrap_or_default(),
                )?))
                .map_err(|_| ValueProblem::Malformed)?;
                rest = rest.get(8..).ok_or(ValueProblem::Malformed)?;
            }
            _ => return Err(ValueProblem::Dimensions),
        }
        for _ in 0..length {
            let (item, after) = field(rest).ok_or(ValueProblem::Malformed)?;
            self.items.append(item)?;
            rest = after;
        }
        self.lengths.push(length);
        self.nulls.append_non_null();
        Ok(())
    }

    fn finish(&mut self) -> ListArray {
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        let item = Arc::new(Field::new_list_field(self.item.clone(), true));
        ListArray::new(item, offsets, self.items.finish(), self.nulls.finish())
    }
}

fn bytes<const N: usize>(value: &[u8]) -> Result<[u8; N], ValueProblem> {
    value.try_into().map_err(|_| ValueProblem::Malformed)
}

fn boolean(value: &[u8]) -> Result<bool, ValueProblem> {
    bytes::<1>(value).map(|[bit]| bit != 0)
}

fn text(value: &[u8]) -> Result<&str, ValueProblem> {
    std::str::from_utf8(value).map_err(|_| ValueProblem::Malformed)
}

/// Days since 1970; the ends of Postgres's range are the infinities.
fn date(value: &[u8]) -> Result<i32, ValueProblem> {
    match i32::from_be_bytes(bytes(value)?) {
        i32::MIN | i32::MAX => Err(ValueProblem::Infinite),
        days => days.checked_add(EPOCH_DAYS).ok_or(ValueProblem::OutOfRange),
    }
}

/// Microseconds since 1970; the ends of Postgres's range are the infinities.
fn timestamp(value: &[u8]) -> Result<i64, ValueProblem> {
    match i64::from_be_bytes(bytes(value)?) {
        i64::MIN | i64::MAX => Err(ValueProblem::Infinite),
        micros => micros
            .checked_add(EPOCH_MICROS)
            .ok_or(ValueProblem::OutOfRange),
    }
}

fn interval(value: &[u8]) -> Result<IntervalMonthDayNano, ValueProblem> {
    let value: [u8; 16] = bytes(value)?;
    let micros = i64::from_be_bytes(bytes(&value[..8])?);
    let days = i32::from_be_bytes(bytes(&value[8..12])?);
    let months = i32::from_be_bytes(bytes(&value[12..])?);
    // Since version 17 all three at an end of their range are an infinity.
    if matches!((months, days), (i32::MIN, i32::MIN) | (i32::MAX, i32::MAX)) {
        return Err(ValueProblem::Infinite);
    }
    let nanos = micros.checked_mul(1_000).ok_or(ValueProblem::OutOfRange)?;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

#[cfg(test)]
mod tests {
    use super::super::UNLIMITED_NUMERIC;
    use super::*;

    #[test]
    fn numerics_keep_their_limits() {
        let modifier = |digits: i32, scale: i32| ((digits << 16) | (scale & 0x7ff)) + 4;
        assert_eq!(numeric(modifier(18, 2)), ColumnKind::Decimal128(18, 2));
        assert_eq!(numeric(modifier(40, 0)), ColumnKind::Decimal256(40, 0));
        assert_eq!(numeric(modifier(5, -2)).arrow(), UNLIMITED_NUMERIC);
        assert_eq!(numeric(modifier(500, 2)).arrow(), UNLIMITED_NUMERIC);
        assert_eq!(numeric(-1).arrow(), UNLIMITED_NUMERIC);
    }

    #[test]
    fn infinities_are_not_dates() {
        assert_eq!(date(&i32::MAX.to_be_bytes()), Err(ValueProblem::Infinite));
        assert_eq!(
            timestamp(&i64::MIN.to_be_bytes()),
            Err(ValueProblem::Infinite)
        );
        assert_eq!(date(&0i32.to_be_bytes()), Ok(EPOCH_DAYS));
    }
}
