//! Columns of scalars: a value at a time in, rows taken back off the end, an Arrow array out.

use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType, i256,
};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chrono_tz::Tz;
use factmill_core::dead_letter::Reason;
use factmill_core::types::DeclaredType;

use super::buffers::{Strings, Values};
use super::interval::interval;
use super::number::{self, Decimal, Misfit};
use super::time::{self, BadTime};

/// A scalar as it stands in the document.
#[derive(Debug, Clone, Copy)]
pub(super) enum Token<'t> {
    Boolean(bool),
    Number(&'t str),
    Text(&'t str),
}

/// Why a column does not take a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A JSON type that the declared type is not written in.
    Kind,
    Number(Misfit),
    Time(BadTime),
    /// Text that is not written as the declared type is.
    Syntax,
    /// Postgres holds no NUL in text.
    Nul,
    /// More characters than declared.
    TooLong,
    /// An instant that is no midnight, for a day.
    TimeOfDay,
}

impl From<Misfit> for Refusal {
    fn from(misfit: Misfit) -> Self {
        Self::Number(misfit)
    }
}

impl From<BadTime> for Refusal {
    fn from(bad: BadTime) -> Self {
        Self::Time(bad)
    }
}

impl Refusal {
    /// The dead letter's reason: `wrong_type` where the value is not written as the type is at all.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Kind
            | Self::Syntax
            | Self::Number(Misfit::NotANumber)
            | Self::Time(BadTime::Syntax) => Reason::WrongType,
            Self::Number(_) | Self::Time(_) | Self::Nul | Self::TooLong | Self::TimeOfDay => {
                Reason::DoesNotFit
            }
        }
    }

    /// What was found and what was expected.
    pub(super) fn detail(self, declared: &DeclaredType, found: Token<'_>) -> String {
        let found = match found {
            Token::Boolean(value) => format!("the boolean {value}"),
            Token::Number(number) => format!("the number {}", excerpt(number)),
            Token::Text(text) => format!("the text {:?}", excerpt(text)),
        };
        self.detail_of(declared, &found)
    }

    /// The same for what was `found`, in words.
    pub(super) fn detail_of(self, declared: &DeclaredType, found: &str) -> String {
        match self {
            Self::Kind
            | Self::Syntax
            | Self::Number(Misfit::NotANumber)
            | Self::Time(BadTime::Syntax) => {
                format!("expected {declared}, found {found}")
            }
            Self::Number(Misfit::OutOfRange) => {
                format!("{found} is beyond the range of {declared}")
            }
            Self::Number(Misfit::LostDigits) => {
                format!("{found} has more decimal places than {declared} keeps")
            }
            Self::Time(BadTime::LostDigits) => {
                format!("{found} is finer than the microseconds of {declared}")
            }
            Self::Time(BadTime::NoSuchTime) => format!("{found} names no day or time that exists"),
            Self::Time(BadTime::InGap) => {
                format!("the clocks of the source's zone skipped {found}")
            }
            Self::Nul => format!("{found} holds a NUL character, which {declared} cannot hold"),
            Self::TooLong => format!("{found} is longer than {declared}"),
            Self::TimeOfDay => {
                format!("{found} is no midnight in UTC, and {declared} holds no time of day")
            }
        }
    }
}

/// The start of a text that may be long.
pub(super) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A column of scalars of one declared type.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    declared: DeclaredType,
    store: Store,
}

#[derive(Debug, Clone)]
enum Store {
    Boolean(Values<bool>),
    SmallInt(Values<i16>),
    Integer(Values<i32>),
    BigInt(Values<i64>),
    Real(Values<f32>),
    Double(Values<f64>),
    Numeric(Values<i128>, u8, u8),
    WideNumeric(Values<i256>, u8, u8),
    Date(Values<i32>),
    Time(Values<i64>),
    Interval(Values<IntervalMonthDayNano>),
    Timestamp(Values<i64>, Tz),
    TimestampTz(Values<i64>, Tz),
    Uuid(Values<[u8; 16]>),
    Bytea(Strings),
    Text(Strings),
    Limited(Strings, usize),
}

/// Runs one expression on whichever values the store holds.
macro_rules! each {
    ($store:expr, $values:ident => $body:expr) => {
        match $store {
            Store::Boolean($values) => $body,
            Store::SmallInt($values) => $body,
            Store::Integer($values) => $body,
            Store::BigInt($values) => $body,
            Store::Real($values) => $body,
            Store::Double($values) => $body,
            Store::Numeric($values, ..) => $body,
            Store::WideNumeric($values, ..) => $body,
            Store::Date($values) => $body,
            Store::Time($values) => $body,
            Store::Interval($values) => $body,
            Store::Timestamp($values, _) => $body,
            Store::TimestampTz($values, _) => $body,
            Store::Uuid($values) => $body,
            Store::Bytea($values) => $body,
            Store::Text($values) => $body,
            Store::Limited($values, _) => $body,
        }
    };
}

impl Leaf {
    /// An empty column; `None` for lists, structs and json, which are no scalars.
    pub(super) fn new(declared: &DeclaredType, zone: Tz) -> Option<Self> {
        let store = match declared {
            DeclaredType::Boolean => Store::Boolean(Values::default()),
            DeclaredType::SmallInt => Store::SmallInt(Values::default()),
            DeclaredType::Integer => Store::Integer(Values::default()),
            DeclaredType::BigInt => Store::BigInt(Values::default()),
            DeclaredType::Real => Store::Real(Values::default()),
            DeclaredType::Double => Store::Double(Values::default()),
            DeclaredType::Numeric(_) => match declared.arrow() {
                DataType::Decimal128(digits, scale) => {
                    Store::Numeric(Values::default(), digits, scale as u8)
                }
                DataType::Decimal256(digits, scale) => {
                    Store::WideNumeric(Values::default(), digits, scale as u8)
                }
                _ => return None,
            },
            DeclaredType::Date => Store::Date(Values::default()),
            DeclaredType::Time => Store::Time(Values::default()),
            DeclaredType::Interval => Store::Interval(Values::default()),
            DeclaredType::Timestamp => Store::Timestamp(Values::default(), zone),
            DeclaredType::TimestampTz => Store::TimestampTz(Values::default(), zone),
            DeclaredType::Uuid => Store::Uuid(Values::default()),
            DeclaredType::Bytea => Store::Bytea(Strings::default()),
            DeclaredType::Text => Store::Text(Strings::default()),
            DeclaredType::Varchar(length) | DeclaredType::Char(length) => {
                Store::Limited(Strings::default(), *length as usize)
            }
            DeclaredType::Json | DeclaredType::List(_) | DeclaredType::Struct(_) => return None,
        };
        Some(Self {
            declared: declared.clone(),
            store,
        })
    }

    pub(super) fn declared(&self) -> &DeclaredType {
        &self.declared
    }

    /// Appends a value, or nothing when it is refused.
    #[inline]
    pub(super) fn push(&mut self, token: Token<'_>) -> Result<(), Refusal> {
        match (&mut self.store, token) {
            (Store::Text(strings), Token::Text(text)) => {
                if text.as_bytes().contains(&0) {
                    return Err(Refusal::Nul);
                }
                strings.push(text.as_bytes());
            }
            (Store::Limited(strings, length), Token::Text(text)) => {
                if text.as_bytes().contains(&0) {
                    return Err(Refusal::Nul);
                }
                if text.len() > *length && text.chars().count() > *length {
                    return Err(Refusal::TooLong);
                }
                strings.push(text.as_bytes());
            }
            (Store::Numeric(values, digits, scale), Token::Number(text) | Token::Text(text)) => {
                values.push(Decimal::read(text)?.unscaled(*digits, *scale)?);
            }
            (
                Store::WideNumeric(values, digits, scale),
                Token::Number(text) | Token::Text(text),
            ) => {
                values.push(Decimal::read(text)?.unscaled_wide(*digits, *scale)?);
            }
            (Store::TimestampTz(values, zone), Token::Text(text)) => {
                values.push(time::timestamp(text)?.instant(*zone)?)
            }
            (Store::Timestamp(values, zone), Token::Text(text)) => {
                values.push(time::timestamp(text)?.local(*zone))
            }
            (Store::Date(values), Token::Text(text)) => values.push(time::date(text)?),
            (Store::Time(values), Token::Text(text)) => values.push(time::time(text)?),
            (Store::Interval(values), Token::Text(text)) => values.push(interval(text)?),
            (Store::Uuid(values), Token::Text(text)) => {
                let uuid = uuid::Uuid::try_parse(text).map_err(|_| Refusal::Syntax)?;
                values.push(uuid.into_bytes());
            }
            (Store::Bytea(strings), Token::Text(text)) => push_bytea(strings, text)?,
            (Store::Boolean(values), Token::Boolean(value)) => values.push(value),
            (Store::Real(values), Token::Number(number)) => values.push(number::real(number)?),
            (Store::Double(values), Token::Number(number)) => values.push(number::double(number)?),
            (Store::SmallInt(_) | Store::Integer(_) | Store::BigInt(_), Token::Number(number)) => {
                return self.push_whole(number::whole(number)?);
            }
            _ => return Err(Refusal::Kind),
        }
        Ok(())
    }

    /// Appends a whole number to a column of integers.
    pub(super) fn push_whole(&mut self, whole: i64) -> Result<(), Refusal> {
        let out_of_range = |_| Misfit::OutOfRange;
        match &mut self.store {
            Store::SmallInt(values) => values.push(i16::try_from(whole).map_err(out_of_range)?),
            Store::Integer(values) => values.push(i32::try_from(whole).map_err(out_of_range)?),
            Store::BigInt(values) => values.push(whole),
            _ => return Err(Refusal::Kind),
        }
        Ok(())
    }

    /// Whether [`Leaf::push_whole`] is for this column.
    #[inline]
    pub(super) fn is_integer(&self) -> bool {
        matches!(
            self.store,
            Store::SmallInt(_) | Store::Integer(_) | Store::BigInt(_)
        )
    }

    /// Whether [`Leaf::push_double`] is for this column.
    #[inline]
    pub(super) fn is_float(&self) -> bool {
        matches!(self.store, Store::Real(_) | Store::Double(_))
    }

    /// Appends a float to a column of floats, in `real` rounded to the nearest; out of range where
    /// it would become infinite, or zero without being zero.
    pub(super) fn push_double(&mut self, value: f64) -> Result<(), Refusal> {
        match &mut self.store {
            Store::Double(values) => values.push(value),
            Store::Real(values) => {
                let narrow = value as f32;
                let vanished = narrow == 0.0 && value != 0.0;
                if vanished || (narrow.is_infinite() && value.is_finite()) {
                    return Err(Misfit::OutOfRange.into());
                }
                values.push(narrow);
            }
            _ => return Err(Refusal::Kind),
        }
        Ok(())
    }

    /// Appends a day, counted from 1970, to a column of days.
    pub(super) fn push_day(&mut self, day: i32) -> Result<(), Refusal> {
        match &mut self.store {
            Store::Date(values) => values.push(day),
            _ => return Err(Refusal::Kind),
        }
        Ok(())
    }

    /// Appends the bytes of a UUID to a column of them.
    pub(super) fn push_uuid(&mut self, uuid: [u8; 16]) -> Result<(), Refusal> {
        match &mut self.store {
            Store::Uuid(values) => values.push(uuid),
            _ => return Err(Refusal::Kind),
        }
        Ok(())
    }

    /// Appends an instant, microseconds since 1970 UTC, to a column of timestamps.
    pub(super) fn push_instant(&mut self, instant: i64) -> Result<(), Refusal> {
        match &mut self.store {
            Store::TimestampTz(values, _) => values.push(instant),
            Store::Timestamp(values, zone) => values.push(time::local_time(instant, *zone)),
            _ => return Err(Refusal::Kind),
        }
        Ok(())
    }

    /// Appends bytes as they are to a column of `bytea`; false for any other column.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> bool {
        match &mut self.store {
            Store::Bytea(strings) => {
                strings.push(bytes);
                true
            }
            _ => false,
        }
    }

    /// The token that plain text is for this column: `12` is a number for an integer, text for text.
    pub(super) fn token<'t>(&self, text: &'t str) -> Token<'t> {
        match (&self.store, text) {
            (Store::Boolean(_), "true") => Token::Boolean(true),
            (Store::Boolean(_), "false") => Token::Boolean(false),
            (
                Store::SmallInt(_)
                | Store::Integer(_)
                | Store::BigInt(_)
                | Store::Real(_)
                | Store::Double(_),
                text,
            ) => Token::Number(text),
            (_, text) => Token::Text(text),
        }
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        each!(&mut self.store, values => values.reserve(rows));
    }

    pub(super) fn push_null(&mut self) {
        each!(&mut self.store, values => values.push_null());
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        each!(&self.store, values => values.len())
    }

    pub(super) fn is_null(&self, index: usize) -> bool {
        each!(&self.store, values => values.is_null(index))
    }

    pub(super) fn truncate(&mut self, len: usize) {
        each!(&mut self.store, values => values.truncate(len));
    }

    /// Whether the last value is one of those of `others`, a column of the same type.
    pub(super) fn last_among(&self, others: &Self) -> bool {
        match (&self.store, &others.store) {
            (Store::Text(own), Store::Text(others))
            | (Store::Limited(own, _), Store::Limited(others, _))
            | (Store::Bytea(own), Store::Bytea(others)) => own.last_among(others),
            (Store::Boolean(own), Store::Boolean(others)) => own.last_among(others),
            (Store::SmallInt(own), Store::SmallInt(others)) => own.last_among(others),
            (Store::Integer(own), Store::Integer(others))
            | (Store::Date(own), Store::Date(others)) => own.last_among(others),
            (Store::BigInt(own), Store::BigInt(others))
            | (Store::Time(own), Store::Time(others))
            | (Store::Timestamp(own, _), Store::Timestamp(others, _))
            | (Store::TimestampTz(own, _), Store::TimestampTz(others, _)) => own.last_among(others),
            (Store::Real(own), Store::Real(others)) => own.last_among(others),
            (Store::Double(own), Store::Double(others)) => own.last_among(others),
            (Store::Numeric(own, ..), Store::Numeric(others, ..)) => own.last_among(others),
            (Store::WideNumeric(own, ..), Store::WideNumeric(others, ..)) => own.last_among(others),
            (Store::Interval(own), Store::Interval(others)) => own.last_among(others),
            (Store::Uuid(own), Store::Uuid(others)) => own.last_among(others),
            _ => false,
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        let data_type = self.declared.arrow();
        match self.store {
            Store::Boolean(values) => values.boolean(),
            Store::SmallInt(values) => values.primitive::<Int16Type>(&data_type),
            Store::Integer(values) => values.primitive::<Int32Type>(&data_type),
            Store::BigInt(values) => values.primitive::<Int64Type>(&data_type),
            Store::Real(values) => values.primitive::<Float32Type>(&data_type),
            Store::Double(values) => values.primitive::<Float64Type>(&data_type),
            Store::Numeric(values, ..) => values.primitive::<Decimal128Type>(&data_type),
            Store::WideNumeric(values, ..) => values.primitive::<Decimal256Type>(&data_type),
            Store::Date(values) => values.primitive::<Date32Type>(&data_type),
            Store::Time(values) => values.primitive::<Time64MicrosecondType>(&data_type),
            Store::Interval(values) => values.primitive::<IntervalMonthDayNanoType>(&data_type),
            Store::Timestamp(values, _) | Store::TimestampTz(values, _) => {
                values.primitive::<TimestampMicrosecondType>(&data_type)
            }
            Store::Uuid(values) => values.fixed_binary(),
            Store::Bytea(strings) => strings.binary(),
            Store::Text(strings) | Store::Limited(strings, _) => strings.utf8(),
        }
    }
}

/// Standard alphabet; the padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Postgres's hexadecimal form after `\x`, else base64.
fn push_bytea(strings: &mut Strings, text: &str) -> Result<(), Refusal> {
    let decoded = strings.push_written(|bytes| match text.strip_prefix("\\x") {
        Some(digits) => push_hex(bytes, digits.as_bytes()),
        None => BASE64.decode_vec(text, bytes).is_ok(),
    });
    if decoded {
        Ok(())
    } else {
        Err(Refusal::Syntax)
    }
}

fn push_hex(bytes: &mut Vec<u8>, digits: &[u8]) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, odd) = digits.as_chunks::<2>();
    for &[high, low] in pairs {
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            return false;
        };
        bytes.push((high << 4 | low) as u8);
    }
    odd.is_empty()
}
