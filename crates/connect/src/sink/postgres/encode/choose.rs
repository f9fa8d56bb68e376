//! Which encoder a column gets: by its declared and its Arrow type.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use factmill_core::types::DeclaredType;
use tokio_postgres::types::Type;

use super::column::{ColumnEncoder, Ticks};
use super::json::JsonColumn;
use super::numeric::Places;

impl ColumnEncoder {
    /// `None` when the Arrow type does not hold values of the declared one.
    ///
    /// Narrower numbers, dictionaries and other layouts of the same values are cast once for the
    /// whole column; nothing that could change a value is.
    pub(super) fn new(array: &ArrayRef, declared: &DeclaredType) -> Option<Self> {
        use DeclaredType as T;
        let found = array.data_type();
        if *found == DataType::Null {
            return Some(Self::AllNull);
        }
        if let DataType::Dictionary(_, values) = found {
            // A view shares the dictionary's bytes.
            let flat = match values.as_ref() {
                DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
                other => other.clone(),
            };
            return Self::new(&cast(array, &flat).ok()?, declared);
        }
        match declared {
            T::SmallInt => integer(array, &DataType::Int16)
                .map(|ints| Self::Int16(ints.as_primitive::<Int16Type>().clone())),
            T::Integer => integer(array, &DataType::Int32)
                .map(|ints| Self::Int32(ints.as_primitive::<Int32Type>().clone())),
            T::BigInt => integer(array, &DataType::Int64)
                .map(|ints| Self::Int64(ints.as_primitive::<Int64Type>().clone())),
            T::Real => match found {
                DataType::Float32 => {
                    Some(Self::Float32(array.as_primitive::<Float32Type>().clone()))
                }
                _ => None,
            },
            T::Double => match found {
                DataType::Float64 => {
                    Some(Self::Float64(array.as_primitive::<Float64Type>().clone()))
                }
                DataType::Float32 => {
                    let wide = cast(array, &DataType::Float64).ok()?;
                    Some(Self::Float64(wide.as_primitive::<Float64Type>().clone()))
                }
                _ => None,
            },
            T::Numeric(precision) => decimal(array, precision.map(|precision| precision.scale())),
            T::Text | T::Varchar(_) | T::Char(_) => text(array),
            T::Json => match found {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                    let views = cast(array, &DataType::Utf8View).ok()?;
                    Some(Self::Json(views.as_string_view().clone()))
                }
                _ => JsonColumn::new(array, Some(declared)).map(Self::Document),
            },
            T::Struct(_) => match found {
                DataType::Struct(_) => JsonColumn::new(array, Some(declared)).map(Self::Document),
                _ => None,
            },
            T::Boolean => array
                .as_boolean_opt()
                .map(|bits| Self::Boolean(bits.clone())),
            T::Date => match found {
                DataType::Date32 => Some(Self::Date(array.as_primitive::<Date32Type>().clone())),
                _ => None,
            },
            T::Time => time(array),
            T::Timestamp => match found {
                DataType::Timestamp(_, None) => ticks(array),
                _ => None,
            },
            T::TimestampTz => match found {
                DataType::Timestamp(_, Some(_)) => ticks(array),
                _ => None,
            },
            T::Interval => match found {
                DataType::Interval(_) => {
                    let unit = DataType::Interval(IntervalUnit::MonthDayNano);
                    let intervals = cast(array, &unit).ok()?;
                    Some(Self::Interval(
                        intervals.as_primitive::<IntervalMonthDayNanoType>().clone(),
                    ))
                }
                _ => None,
            },
            T::Bytea => binary(array),
            T::Uuid => match found {
                DataType::FixedSizeBinary(16) => {
                    Some(Self::FixedBinary(array.as_fixed_size_binary().clone()))
                }
                _ => None,
            },
            T::List(item) => match element_oid(item) {
                Some(element) => list(array, item, element),
                None => JsonColumn::new(array, Some(declared)).map(Self::Document),
            },
        }
    }
}

/// The element type of a Postgres array; `None` for what becomes `jsonb` instead.
fn element_oid(item: &DeclaredType) -> Option<u32> {
    use DeclaredType as T;
    let element = match item {
        T::SmallInt => Type::INT2,
        T::Integer => Type::INT4,
        T::BigInt => Type::INT8,
        T::Real => Type::FLOAT4,
        T::Double => Type::FLOAT8,
        T::Numeric(_) => Type::NUMERIC,
        T::Text => Type::TEXT,
        T::Varchar(_) => Type::VARCHAR,
        T::Char(_) => Type::BPCHAR,
        T::Boolean => Type::BOOL,
        T::Date => Type::DATE,
        T::Time => Type::TIME,
        T::Interval => Type::INTERVAL,
        T::Timestamp => Type::TIMESTAMP,
        T::TimestampTz => Type::TIMESTAMPTZ,
        T::Bytea => Type::BYTEA,
        T::Uuid => Type::UUID,
        T::Json | T::List(_) | T::Struct(_) => return None,
    };
    Some(element.oid())
}

/// Integers as `target`, when every value of their type fits.
fn integer(array: &ArrayRef, target: &DataType) -> Option<ArrayRef> {
    let bits = |data_type: &DataType| {
        Some(match data_type {
            DataType::Int8 => 8,
            DataType::UInt8 => 9,
            DataType::Int16 => 16,
            DataType::UInt16 => 17,
            DataType::Int32 => 32,
            DataType::UInt32 => 33,
            DataType::Int64 => 64,
            _ => return None,
        })
    };
    if array.data_type() == target {
        return Some(Arc::clone(array));
    }
    if bits(array.data_type())? > bits(target)? {
        return None;
    }
    cast(array, target).ok()
}

/// Decimals, unless they have more places than the column: Postgres would round them in silence.
fn decimal(array: &ArrayRef, declared_scale: Option<u8>) -> Option<ColumnEncoder> {
    let places = match declared_scale {
        Some(_) => Places::Declared,
        None => Places::Needed,
    };
    let fits = |scale: i8| {
        let scale = u8::try_from(scale).ok()?;
        (scale <= declared_scale.unwrap_or(u8::MAX)).then_some(scale)
    };
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let scale = fits(*scale)?;
            Some(ColumnEncoder::Decimal128(
                array.as_primitive::<Decimal128Type>().clone(),
                scale,
                places,
            ))
        }
        DataType::Decimal256(_, scale) => {
            let scale = fits(*scale)?;
            Some(ColumnEncoder::Decimal256(
                array.as_primitive::<Decimal256Type>().clone(),
                scale,
                places,
            ))
        }
        DataType::Decimal32(digits, scale) | DataType::Decimal64(digits, scale) => decimal(
            &cast(array, &DataType::Decimal128(*digits, *scale)).ok()?,
            declared_scale,
        ),
        _ => {
            let whole = integer(array, &DataType::Int64)?;
            decimal(
                &cast(&whole, &DataType::Decimal128(19, 0)).ok()?,
                declared_scale,
            )
        }
    }
}

fn text(array: &ArrayRef) -> Option<ColumnEncoder> {
    Some(match array.data_type() {
        DataType::Utf8 => ColumnEncoder::Utf8(array.as_string().clone()),
        DataType::LargeUtf8 => ColumnEncoder::LargeUtf8(array.as_string().clone()),
        DataType::Utf8View => ColumnEncoder::Utf8View(array.as_string_view().clone()),
        _ => return None,
    })
}

fn binary(array: &ArrayRef) -> Option<ColumnEncoder> {
    Some(match array.data_type() {
        DataType::Binary => ColumnEncoder::Binary(array.as_binary().clone()),
        DataType::LargeBinary => ColumnEncoder::LargeBinary(array.as_binary().clone()),
        DataType::BinaryView => ColumnEncoder::BinaryView(array.as_binary_view().clone()),
        DataType::FixedSizeBinary(_) => {
            ColumnEncoder::FixedBinary(array.as_fixed_size_binary().clone())
        }
        _ => return None,
    })
}

fn time(array: &ArrayRef) -> Option<ColumnEncoder> {
    match array.data_type() {
        DataType::Time64(TimeUnit::Microsecond) | DataType::Time32(_) => {
            let micros = cast(array, &DataType::Time64(TimeUnit::Microsecond)).ok()?;
            Some(ColumnEncoder::Time(
                micros.as_primitive::<Time64MicrosecondType>().clone(),
            ))
        }
        _ => None,
    }
}

fn ticks(array: &ArrayRef) -> Option<ColumnEncoder> {
    let DataType::Timestamp(unit, _) = array.data_type() else {
        return None;
    };
    Some(ColumnEncoder::Timestamp(match unit {
        TimeUnit::Microsecond => {
            Ticks::Micros(array.as_primitive::<TimestampMicrosecondType>().clone())
        }
        TimeUnit::Millisecond => Ticks::Coarse(
            array
                .as_primitive::<TimestampMillisecondType>()
                .reinterpret_cast(),
            1_000,
        ),
        TimeUnit::Second => Ticks::Coarse(
            array
                .as_primitive::<TimestampSecondType>()
                .reinterpret_cast(),
            1_000_000,
        ),
        TimeUnit::Nanosecond => Ticks::Nanos(
            array
                .as_primitive::<TimestampNanosecondType>()
                .reinterpret_cast(),
        ),
    }))
}

fn list(array: &ArrayRef, item: &DeclaredType, element: u32) -> Option<ColumnEncoder> {
    let lists: ListArray = match array.data_type() {
        DataType::List(_) => array.as_list().clone(),
        DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            let flat = DataType::List(Arc::new(Field::new_list_field(
                field.data_type().clone(),
                true,
            )));
            cast(array, &flat).ok()?.as_list().clone()
        }
        _ => return None,
    };
    let items = Box::new(ColumnEncoder::new(lists.values(), item)?);
    Some(ColumnEncoder::Array {
        lists,
        items,
        element,
    })
}
