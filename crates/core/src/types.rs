//! Declared types: what a `data_type` in YAML says, and what it is in Arrow and in Postgres.
//!
//! | declared | Arrow | Postgres |
//! |---|---|---|
//! | `smallint`, `integer`, `bigint` | Int16, Int32, Int64 | int2, int4, int8 |
//! | `real`, `double precision` | Float32, Float64 | float4, float8 |
//! | `numeric(p,s)` | Decimal128(p,s), Decimal256 above 38 digits | numeric(p,s) |
//! | `numeric` | Decimal256(76,38) | numeric |
//! | `text`, `varchar(n)`, `char(n)` | Utf8 | the same |
//! | `boolean` | Boolean | bool |
//! | `date`, `time`, `interval` | Date32, Time64(µs), Interval(MonthDayNano) | the same |
//! | `timestamp`, `timestamptz` | Timestamp(µs), Timestamp(µs, UTC) | the same |
//! | `bytea`, `uuid`, `json` | Binary, FixedSizeBinary(16), Utf8 | bytea, uuid, jsonb |
//! | `t[]` | List | array of scalars, else jsonb |
//! | `struct(name t, …)` | Struct | jsonb |

mod parse;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// A type as declared in a project's YAML.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DeclaredType {
    /// 16 bits, signed.
    SmallInt,
    /// 32 bits, signed.
    Integer,
    /// 64 bits, signed.
    BigInt,
    /// 32-bit float.
    Real,
    /// 64-bit float.
    Double,
    /// Exact decimal; `None` is `numeric` without limits.
    Numeric(Option<Precision>),
    /// Text of any length.
    Text,
    /// Text of at most this many characters.
    Varchar(u32),
    /// Text of this many characters, padded with spaces.
    Char(u32),
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// A time of day, microseconds.
    Time,
    /// Months, days and a duration.
    Interval,
    /// A local date and time, microseconds.
    Timestamp,
    /// An instant, microseconds.
    TimestampTz,
    /// Bytes.
    Bytea,
    /// A UUID.
    Uuid,
    /// A JSON document.
    Json,
    /// A list of one type.
    List(Box<DeclaredType>),
    /// Named fields.
    Struct(Vec<StructField>),
}

/// Digits of a `numeric`: 1 to 76 in all, `scale` of them after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Precision {
    digits: u8,
    scale: u8,
}

impl Precision {
    /// `numeric(digits, scale)`.
    ///
    /// # Errors
    /// When `digits` is not in 1 to 76 or `scale` is above `digits`.
    pub fn new(digits: u8, scale: u8) -> Result<Self, TypeError> {
        if !(1..=76).contains(&digits) || scale > digits {
            return Err(TypeError::Precision { digits, scale });
        }
        Ok(Self { digits, scale })
    }

    /// Digits in all.
    pub fn digits(self) -> u8 {
        self.digits
    }

    /// Digits after the point.
    pub fn scale(self) -> u8 {
        self.scale
    }
}

/// A field of a struct type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StructField {
    /// Its name.
    pub name: String,
    /// Its type; any field of a struct may be null.
    pub data_type: DeclaredType,
}

/// A `data_type` that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// No type of that name.
    #[error("unknown type `{name}`{}", suggestion(.nearest))]
    Unknown {
        /// What was written.
        name: String,
        /// The nearest known name.
        nearest: Option<&'static str>,
    },
    /// `numeric(p,s)` out of range.
    #[error(
        "numeric({digits},{scale}) is out of range: 1 to 76 digits, at most all of them after the point"
    )]
    Precision {
        /// Digits in all.
        digits: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// Not of the form of a type.
    #[error("expected {expected} at character {at} of type `{text}`")]
    Syntax {
        /// The whole text.
        text: String,
        /// Where, from 1.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// An Arrow type without a declared one.
    #[error("column type {0} has no Postgres type here; cast it to one of: {names}", names = NAMES.join(", "))]
    NoDeclared(DataType),
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(
        || format!("; known types: {}", NAMES.join(", ")),
        |name| format!("; did you mean `{name}`?"),
    )
}

/// The names that a `data_type` may begin with.
pub const NAMES: [&str; 21] = [
    "smallint",
    "integer",
    "bigint",
    "real",
    "double precision",
    "numeric",
    "text",
    "varchar",
    "char",
    "boolean",
    "date",
    "time",
    "interval",
    "timestamp",
    "timestamptz",
    "bytea",
    "uuid",
    "json",
    "jsonb",
    "struct",
    "decimal",
];

impl DeclaredType {
    /// The Arrow type of its columns.
    pub fn arrow(&self) -> DataType {
        match self {
            Self::SmallInt => DataType::Int16,
            Self::Integer => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Real => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Numeric(None) => DataType::Decimal256(76, 38),
            Self::Numeric(Some(precision)) if precision.digits > 38 => {
                DataType::Decimal256(precision.digits, precision.scale as i8)
            }
            Self::Numeric(Some(precision)) => {
                DataType::Decimal128(precision.digits, precision.scale as i8)
            }
            Self::Text | Self::Varchar(_) | Self::Char(_) | Self::Json => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Bytea => DataType::Binary,
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::List(item) => DataType::List(Arc::new(Field::new_list_field(item.arrow(), true))),
            Self::Struct(fields) => DataType::Struct(
                fields
                    .iter()
                    .map(|field| Field::new(&field.name, field.data_type.arrow(), true))
                    .collect(),
            ),
        }
    }

    /// The declared type of an Arrow column that a model computed.
    ///
    /// # Errors
    /// [`TypeError::NoDeclared`] for unsigned 64-bit integers, durations, maps, unions.
    pub fn from_arrow(data_type: &DataType) -> Result<Self, TypeError> {
        Ok(match data_type {
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => Self::SmallInt,
            DataType::UInt16 | DataType::Int32 => Self::Integer,
            DataType::UInt32 | DataType::Int64 => Self::BigInt,
            DataType::Float16 | DataType::Float32 => Self::Real,
            DataType::Float64 => Self::Double,
            DataType::Decimal32(digits, scale)
            | DataType::Decimal64(digits, scale)
            | DataType::Decimal128(digits, scale)
            | DataType::Decimal256(digits, scale)
                if *scale >= 0 =>
            {
                match (*digits, *scale) {
                    (76, 38) => Self::Numeric(None),
                    (digits, scale) => Self::Numeric(Some(Precision::new(digits, scale as u8)?)),
                }
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Boolean => Self::Boolean,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Interval(_) => Self::Interval,
            DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::TimestampTz,
            DataType::FixedSizeBinary(16) => Self::Uuid,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Bytea,
            DataType::Dictionary(_, values) => Self::from_arrow(values)?,
            DataType::List(item) | DataType::LargeList(item) => {
                Self::List(Box::new(Self::from_arrow(item.data_type())?))
            }
            DataType::Struct(fields) => Self::Struct(
                fields
                    .iter()
                    .map(|field| {
                        Ok(StructField {
                            name: field.name().clone(),
                            data_type: Self::from_arrow(field.data_type())?,
                        })
                    })
                    .collect::<Result<_, TypeError>>()?,
            ),
            other => return Err(TypeError::NoDeclared(other.clone())),
        })
    }

    /// The type in Postgres DDL.
    pub fn postgres(&self) -> String {
        match self {
            Self::Struct(_) => "jsonb".into(),
            Self::Json => "jsonb".into(),
            Self::List(item) => match item.as_ref() {
                Self::Struct(_) | Self::List(_) | Self::Json => "jsonb".into(),
                scalar => format!("{}[]", scalar.postgres()),
            },
            other => other.to_string(),
        }
    }
}

impl fmt::Display for DeclaredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmallInt => f.write_str("smallint"),
            Self::Integer => f.write_str("integer"),
            Self::BigInt => f.write_str("bigint"),
            Self::Real => f.write_str("real"),
            Self::Double => f.write_str("double precision"),
            Self::Numeric(None) => f.write_str("numeric"),
            Self::Numeric(Some(precision)) => {
                write!(f, "numeric({},{})", precision.digits, precision.scale)
            }
            Self::Text => f.write_str("text"),
            Self::Varchar(length) => write!(f, "varchar({length})"),
            Self::Char(length) => write!(f, "char({length})"),
            Self::Boolean => f.write_str("boolean"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Interval => f.write_str("interval"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::TimestampTz => f.write_str("timestamptz"),
            Self::Bytea => f.write_str("bytea"),
            Self::Uuid => f.write_str("uuid"),
            Self::Json => f.write_str("json"),
            Self::List(item) => write!(f, "{item}[]"),
            Self::Struct(fields) => {
                f.write_str("struct(")?;
                for (index, field) in fields.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(
                        f,
                        "\"{}\" {}",
                        field.name.replace('"', "\"\""),
                        field.data_type
                    )?;
                }
                f.write_str(")")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn arrow_types_come_back() {
        for text in [
            "smallint",
            "bigint",
            "numeric(18,2)",
            "numeric(40,0)",
            "numeric",
            "timestamptz",
            "uuid",
            "date[]",
            "struct(a text)",
        ] {
            let declared = DeclaredType::parse(text).unwrap();
            assert_eq!(
                DeclaredType::from_arrow(&declared.arrow()).unwrap(),
                declared
            );
        }
    }
}
