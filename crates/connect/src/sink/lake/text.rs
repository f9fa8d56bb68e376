//! DuckDB's text of values: how inlined rows keep dates, instants and nested values, and how
//! statistics keep bounds.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, GenericStringBuilder, StringArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DecimalType, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, Datelike, NaiveDate, Timelike};

/// A value that has no text that every reader of the lake understands: a year outside 1 to 9999, a
/// NUL in a text, a UUID within a struct or a list (`datafusion-ducklake` takes its text for bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoText;

const EPOCH_DAY_FROM_CE: i32 = 719_163;

/// The texts of a whole column, null for null.
pub(super) fn texts(array: &ArrayRef) -> Result<StringArray, NoText> {
    let mut builder = GenericStringBuilder::<i32>::with_capacity(array.len(), array.len() * 32);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
        } else {
            text.clear();
            write_value(&mut text, array.as_ref(), row)?;
            builder.append_value(&text);
        }
    }
    Ok(builder.finish())
}

/// Appends the text of a value that is not null. Texts and bytes are quoted, as within a struct or
/// a list.
pub(super) fn write_value(out: &mut String, array: &dyn Array, row: usize) -> Result<(), NoText> {
    // writing to a String never fails
    let _ = match array.data_type() {
        DataType::Boolean => write!(out, "{}", array.as_boolean().value(row)),
        DataType::Int16 => write!(out, "{}", array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => write!(out, "{:?}", array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => write!(out, "{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(digits, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            out.write_str(&Decimal128Type::format_decimal(value, *digits, *scale))
        }
        DataType::Date32 => return write_date(out, array.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => {
            write_time(
                out,
                array.as_primitive::<Time64MicrosecondType>().value(row),
            );
            Ok(())
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            write_timestamp(
                out,
                array.as_primitive::<TimestampMicrosecondType>().value(row),
            )?;
            out.write_str(if zone.is_some() { "+00" } else { "" })
        }
        DataType::Utf8 => return write_quoted(out, array.as_string::<i32>().value(row)),
        DataType::Binary => {
            out.push('\'');
            for byte in array.as_binary::<i32>().value(row) {
                let _ = write!(out, "\\\\x{byte:02X}");
            }
            out.push('\'');
            Ok(())
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                if item > 0 {
                    out.push_str(", ");
                }
                write_nullable(out, items.as_ref(), item)?;
            }
            out.push(']');
            Ok(())
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            out.push('{');
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_quoted(out, field.name())?;
                out.push_str(": ");
                write_nullable(out, columns.column(index).as_ref(), row)?;
            }
            out.push('}');
            Ok(())
        }
        _ => return Err(NoText),
    };
    Ok(())
}

fn write_nullable(out: &mut String, array: &dyn Array, row: usize) -> Result<(), NoText> {
    if array.is_null(row) {
        out.push_str("NULL");
        return Ok(());
    }
    write_value(out, array, row)
}

/// Quoted with backslashes: the spelling that both DuckDB and DataFusion read back.
fn write_quoted(out: &mut String, text: &str) -> Result<(), NoText> {
    out.push('\'');
    for character in text.chars() {
        match character {
            '\0' => return Err(NoText),
            '\\' | '\'' => out.push('\\'),
            _ => {}
        }
        out.push(character);
    }
    out.push('\'');
    Ok(())
}

fn write_day(out: &mut String, day: NaiveDate) -> Result<(), NoText> {
    if !(1..=9999).contains(&day.year()) {
        return Err(NoText);
    }
    let _ = write!(out, "{:04}-{:02}-{:02}", day.year(), day.month(), day.day());
    Ok(())
}

fn write_date(out: &mut String, days: i32) -> Result<(), NoText> {
    let day = days
        .checked_add(EPOCH_DAY_FROM_CE)
        .and_then(NaiveDate::from_num_days_from_ce_opt);
    write_day(out, day.ok_or(NoText)?)
}

fn write_timestamp(out: &mut String, micros: i64) -> Result<(), NoText> {
    let instant = DateTime::from_timestamp_micros(micros).ok_or(NoText)?;
    write_day(out, instant.date_naive())?;
    out.push(' ');
    let seconds = i64::from(instant.num_seconds_from_midnight());
    write_time(
        out,
        seconds * 1_000_000 + i64::from(instant.timestamp_subsec_micros()),
    );
    Ok(())
}

/// Microseconds since midnight, without trailing zeros.
fn write_time(out: &mut String, micros: i64) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let _ = write!(
        out,
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::sync::Arc;

    use arrow::array::{Date32Array, StringArray, StructArray, TimestampMicrosecondArray};
    use arrow::datatypes::Field;

    use super::*;

    fn text(array: impl Array + 'static) -> Result<String, NoText> {
        let array: ArrayRef = Arc::new(array);
        texts(&array).map(|texts| texts.value(0).to_owned())
    }

    #[test]
    fn instants_have_no_trailing_zeros_and_their_zone() {
        let instant = |micros| TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC");
        assert_eq!(
            text(instant(1_704_067_200_500_000)).unwrap(),
            "2024-01-01 00:00:00.5+00"
        );
        assert_eq!(text(instant(-1)).unwrap(), "1969-12-31 23:59:59.999999+00");
        assert_eq!(
            text(TimestampMicrosecondArray::from(vec![0])).unwrap(),
            "1970-01-01 00:00:00"
        );
    }

    #[test]
    fn a_year_outside_four_digits_has_no_text() {
        assert_eq!(text(Date32Array::from(vec![0])).unwrap(), "1970-01-01");
        assert_eq!(
            text(Date32Array::from(vec![2_932_896])).unwrap(),
            "9999-12-31"
        );
        assert_eq!(text(Date32Array::from(vec![2_932_897])), Err(NoText));
        assert_eq!(text(Date32Array::from(vec![i32::MAX])), Err(NoText));
        assert_eq!(
            text(TimestampMicrosecondArray::from(vec![i64::MIN])),
            Err(NoText)
        );
    }

    #[test]
    fn nested_texts_are_quoted_and_a_nul_has_no_text() {
        let nested = |value: Option<&str>| {
            let field = Arc::new(Field::new("it's", DataType::Utf8, true));
            let values: ArrayRef = Arc::new(StringArray::from(vec![value]));
            StructArray::from(vec![(field, values)])
        };
        assert_eq!(text(nested(Some(r"a'\b"))).unwrap(), r"{'it\'s': 'a\'\\b'}");
        assert_eq!(text(nested(Some("NULL"))).unwrap(), r"{'it\'s': 'NULL'}");
        assert_eq!(text(nested(None)).unwrap(), r"{'it\'s': NULL}");
        assert_eq!(text(nested(Some("a\0"))), Err(NoText));
    }
}
