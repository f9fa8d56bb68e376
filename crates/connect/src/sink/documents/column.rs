//! Columns as fields of documents.
//!
//! | declared | BSON |
//! |---|---|
//! | `smallint`, `integer`, `bigint` | int32, int32, int64 |
//! | `real`, `double precision` | double |
//! | `numeric(p,s)` | Decimal128; text on a server without it |
//! | `text`, `varchar(n)`, `char(n)` | string |
//! | `boolean` | bool |
//! | `date`, `timestamp`, `timestamptz` | date, UTC, to the millisecond |
//! | `time`, `interval` | string, ISO 8601 |
//! | `bytea`, `uuid` | binary, of subtype 0 and 4 |
//! | `json` | a document where it is an object that BSON can say unchanged, else string |
//! | lists, structs | array, document |

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, FixedSizeBinaryArray, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMillisecondType,
};
use arrow::error::ArrowError;
use factmill_core::types::DeclaredType;
use mongodb::bson::spec::{BinarySubtype, ElementType};

use crate::sink::bson::Writer;
use crate::sink::raw_store::json;
use crate::sink::write_command::LARGEST_DOCUMENT;

/// The name of an element: a field's, or an item's number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name<'a> {
    Field(&'a str),
    Item(u32),
}

impl Name<'_> {
    fn write(self, writer: &mut Writer, kind: ElementType) {
        match self {
            Self::Field(name) => writer.name(kind, name),
            Self::Item(index) => writer.item_name(kind, index),
        }
    }
}

/// A named column.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) values: Column,
}

impl Field {
    /// Appends the field of one row.
    pub(super) fn write(&self, writer: &mut Writer, row: usize) {
        self.values.write(writer, Name::Field(&self.name), row);
    }
}

/// The values of a column, ready to be written.
#[derive(Debug)]
pub(super) struct Column {
    nulls: Option<NullBuffer>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Boolean(BooleanArray),
    Int32(arrow::buffer::ScalarBuffer<i32>),
    Int64(arrow::buffer::ScalarBuffer<i64>),
    Double(arrow::buffer::ScalarBuffer<f64>),
    /// Digits, and how many of them stand after the point.
    Decimal(arrow::buffer::ScalarBuffer<i128>, u8),
    /// Milliseconds since 1970 UTC.
    Date(arrow::buffer::ScalarBuffer<i64>),
    Text(StringArray),
    Json(StringArray),
    Binary(BinaryArray),
    Uuid(FixedSizeBinaryArray),
    List(OffsetBuffer<i32>, Box<Column>),
    Struct(Vec<Field>),
}

impl Column {
    /// `has_decimals` tells whether the server knows Decimal128.
    ///
    /// # Errors
    /// When the values are not of the declared type.
    pub(super) fn new(
        array: &ArrayRef,
        declared: &DeclaredType,
        has_decimals: bool,
    ) -> Result<Self, ArrowError> {
        let text = |array: &ArrayRef| -> Result<StringArray, ArrowError> {
            Ok(cast(array, &DataType::Utf8)?.as_string().clone())
        };
        let values = match declared {
            DeclaredType::Boolean => {
                Values::Boolean(cast(array, &DataType::Boolean)?.as_boolean().clone())
            }
            DeclaredType::SmallInt | DeclaredType::Integer => {
                Values::Int32(primitive::<Int32Type>(array, &DataType::Int32)?)
            }
            DeclaredType::BigInt => Values::Int64(primitive::<Int64Type>(array, &DataType::Int64)?),
            DeclaredType::Real | DeclaredType::Double => {
                Values::Double(primitive::<Float64Type>(array, &DataType::Float64)?)
            }
            DeclaredType::Numeric(Some(digits)) if has_decimals => {
                let decimal = DataType::Decimal128(digits.digits(), digits.scale() as i8);
                let values = primitive::<Decimal128Type>(array, &decimal)?;
                Values::Decimal(values, digits.scale())
            }
            DeclaredType::Date | DeclaredType::Timestamp | DeclaredType::TimestampTz => {
                let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
                let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
                Values::Date(match array.data_type() {
                    DataType::Timestamp(TimeUnit::Microsecond, _) => {
                        // a cast would round times before 1970 up
                        let micros = primitive::<arrow::datatypes::TimestampMicrosecondType>(
                            &cast(array, &micros)?,
                            &micros,
                        )?;
                        micros
                            .iter()
                            .map(|micros| micros.div_euclid(1_000))
                            .collect()
                    }
                    _ => primitive::<TimestampMillisecondType>(array, &millis)?,
                })
            }
            DeclaredType::Json => Values::Json(text(array)?),
            DeclaredType::Bytea => {
                Values::Binary(cast(array, &DataType::Binary)?.as_binary().clone())
            }
            DeclaredType::Uuid => {
                let uuids = cast(array, &DataType::FixedSizeBinary(16))?;
                Values::Uuid(uuids.as_fixed_size_binary().clone())
            }
            DeclaredType::List(item) => {
                let lists = array.as_list_opt::<i32>().ok_or_else(|| other(array))?;
                let items = Self::new(lists.values(), item, has_decimals)?;
                Values::List(lists.offsets().clone(), Box::new(items))
            }
            DeclaredType::Struct(fields) => {
                let structs = array.as_struct_opt().ok_or_else(|| other(array))?;
                if structs.num_columns() != fields.len() {
                    return Err(other(array));
                }
                let fields = fields.iter().zip(structs.columns());
                let fields = fields.map(|(field, values)| {
                    Ok(Field {
                        name: field.name.clone(),
                        values: Self::new(values, &field.data_type, has_decimals)?,
                    })
                });
                Values::Struct(fields.collect::<Result<_, ArrowError>>()?)
            }
            DeclaredType::Numeric(_)
            | DeclaredType::Text
            | DeclaredType::Varchar(_)
            | DeclaredType::Char(_)
            | DeclaredType::Time
            | DeclaredType::Interval => Values::Text(text(array)?),
        };
        Ok(Self {
            nulls: array.logical_nulls(),
            values,
        })
    }

    /// Appends the element of one row.
    pub(super) fn write(&self, writer: &mut Writer, name: Name<'_>, row: usize) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            name.write(writer, ElementType::Null);
            return;
        }
        match &self.values {
            Values::Boolean(values) => {
                name.write(writer, ElementType::Boolean);
                writer.bytes.push(u8::from(values.value(row)));
            }
            Values::Int32(values) => {
                name.write(writer, ElementType::Int32);
                writer.bytes.extend_from_slice(&values[row].to_le_bytes());
            }
            Values::Int64(values) => {
                name.write(writer, ElementType::Int64);
                writer.bytes.extend_from_slice(&values[row].to_le_bytes());
            }
            Values::Double(values) => {
                name.write(writer, ElementType::Double);
                writer.bytes.extend_from_slice(&values[row].to_le_bytes());
            }
            Values::Decimal(values, scale) => {
                name.write(writer, ElementType::Decimal128);
                let bytes = decimal(values[row], *scale).to_le_bytes();
                writer.bytes.extend_from_slice(&bytes);
            }
            Values::Date(values) => {
                name.write(writer, ElementType::DateTime);
                writer.bytes.extend_from_slice(&values[row].to_le_bytes());
            }
            Values::Text(values) => {
                name.write(writer, ElementType::String);
                writer.string_value(values.value(row));
            }
            Values::Json(values) => write_json(writer, name, values.value(row)),
            Values::Binary(values) => {
                name.write(writer, ElementType::Binary);
                writer.binary_value(BinarySubtype::Generic, values.value(row));
            }
            Values::Uuid(values) => {
                name.write(writer, ElementType::Binary);
                writer.binary_value(BinarySubtype::Uuid, values.value(row));
            }
            Values::List(offsets, items) => {
                name.write(writer, ElementType::Array);
                let open = writer.begin();
                for (index, at) in (offsets[row]..offsets[row + 1]).enumerate() {
                    items.write(writer, Name::Item(index as u32), at as usize);
                }
                writer.end(open);
            }
            Values::Struct(fields) => {
                name.write(writer, ElementType::EmbeddedDocument);
                let open = writer.begin();
                for field in fields {
                    field.write(writer, row);
                }
                writer.end(open);
            }
        }
    }
}

/// An object as a document where that says the same, anything else as its text.
fn write_json(writer: &mut Writer, name: Name<'_>, text: &str) {
    let undo = writer.bytes.len();
    if let Name::Field(field) = name
        && json::append(writer, field, text.as_bytes(), LARGEST_DOCUMENT).is_ok()
    {
        return;
    }
    writer.bytes.truncate(undo);
    name.write(writer, ElementType::String);
    writer.string_value(text);
}

fn primitive<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    data_type: &DataType,
) -> Result<arrow::buffer::ScalarBuffer<T::Native>, ArrowError> {
    Ok(cast(array, data_type)?.as_primitive::<T>().values().clone())
}

fn other(array: &ArrayRef) -> ArrowError {
    ArrowError::InvalidArgumentError(format!("{} is not declared", array.data_type()))
}

/// A number as Decimal128: sign, exponent and digits as a binary integer, IEEE 754-2008 3.5.2. The
/// digits are at most 34, fewer than 113 bits, so the exponent stands right behind the sign.
fn decimal(digits: i128, scale: u8) -> u128 {
    const BIAS: u128 = 6_176;
    let sign = u128::from(digits.is_negative()) << 127;
    let exponent = (BIAS - u128::from(scale)) << 113;
    sign | exponent | digits.unsigned_abs()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Decimal128Array, ListArray, TimestampMicrosecondArray};
    use mongodb::bson::{Bson, DateTime, Decimal128, Document, RawDocument, doc};
    use std::sync::Arc;

    fn written(array: ArrayRef, declared: &str, row: usize) -> Bson {
        let declared = DeclaredType::parse(declared).unwrap();
        let field = Field {
            name: "value".into(),
            values: Column::new(&array, &declared, true).unwrap(),
        };
        let mut writer = Writer::default();
        let open = writer.begin();
        field.write(&mut writer, row);
        writer.end(open);
        let raw = RawDocument::from_bytes(&writer.bytes).unwrap();
        let mut document = Document::try_from(raw).unwrap();
        document.remove("value").unwrap()
    }

    #[test]
    fn decimals_keep_sign_digits_and_scale() {
        let largest = 10_i128.pow(34) - 1;
        let values = Decimal128Array::from(vec![1250, -5, 0, largest, -largest])
            .with_precision_and_scale(34, 2)
            .unwrap();
        let values: ArrayRef = Arc::new(values);
        for (row, text) in [
            "12.50",
            "-0.05",
            "0.00",
            "99999999999999999999999999999999.99",
            "-99999999999999999999999999999999.99",
        ]
        .into_iter()
        .enumerate()
        {
            let expected: Decimal128 = text.parse().unwrap();
            let value = written(values.clone(), "numeric(34,2)", row);
            assert_eq!(value, Bson::Decimal128(expected), "{text}");
        }
    }

    #[test]
    fn times_are_dates_to_the_millisecond() {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![
            Some(1_700_000_000_123_999),
            Some(-1),
            None,
        ]));
        let date = |millis| Bson::DateTime(DateTime::from_millis(millis));
        let zoned = cast(
            &times,
            &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        )
        .unwrap();
        for (times, declared) in [(times, "timestamp"), (zoned, "timestamptz")] {
            let written = |row| written(times.clone(), declared, row);
            assert_eq!(written(0), date(1_700_000_000_123));
            assert_eq!(written(1), date(-1));
            assert_eq!(written(2), Bson::Null);
        }
        let days: ArrayRef = Arc::new(Date32Array::from(vec![-1]));
        assert_eq!(written(days, "date", 0), date(-86_400_000));
    }

    #[test]
    fn json_is_a_document_where_it_can_be_one() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![
            r#"{"a":{"b":[1,"x"]}}"#,
            "[1]",
            r#"{"$set":1}"#,
        ]));
        let written = |row| written(texts.clone(), "json", row);
        assert_eq!(written(0), Bson::Document(doc! { "a": { "b": [1, "x"] } }));
        assert_eq!(written(1), Bson::String("[1]".into()));
        assert_eq!(written(2), Bson::String(r#"{"$set":1}"#.into()));
    }

    #[test]
    fn lists_and_structs_nest() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), None, Some(3)]),
            None,
            Some(vec![]),
        ]);
        let lists: ArrayRef = Arc::new(lists);
        let field = arrow::datatypes::Field::new("l", lists.data_type().clone(), true);
        let structs: ArrayRef = Arc::new(arrow::array::StructArray::from(vec![(
            Arc::new(field),
            lists,
        )]));
        let written = |row| written(structs.clone(), "struct(l bigint[])", row);
        let expected = doc! { "l": [1_i64, Bson::Null, 3_i64] };
        assert_eq!(written(0), Bson::Document(expected));
        assert_eq!(written(1), Bson::Document(doc! { "l": Bson::Null }));
        assert_eq!(written(2), Bson::Document(doc! { "l": [] }));
    }
}
