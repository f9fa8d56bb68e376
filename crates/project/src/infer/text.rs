//! What texts look like. Only what decoding reads counts as a number or a time, so that a guess makes
//! no dead letters of its own sample.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};
use factmill_core::types::{DeclaredType, Precision};

use super::names;
use super::value::Value;

/// The type of texts, all of them there, and why.
pub(super) fn of(name: &str, texts: &[&str]) -> (DeclaredType, String) {
    let all = texts.len();
    let every = |is: fn(&str) -> bool| texts.iter().all(|text| is(text));
    if every(is_uuid) {
        return (DeclaredType::Uuid, format!("{all} of {all} are UUIDs"));
    }
    if every(is_day) {
        return (DeclaredType::Date, format!("{all} of {all} are days"));
    }
    let times: Option<Vec<Written>> = texts.iter().map(|text| time(text)).collect();
    if let Some(times) = times {
        let with_offset = times.iter().filter(|time| time.has_offset).count();
        let zone = match with_offset {
            0 => ", without offset: taken for UTC".to_owned(),
            _ if with_offset == all => String::new(),
            _ => format!(", {} without offset: taken for UTC", all - with_offset),
        };
        return (
            DeclaredType::TimestampTz,
            format!("{all} of {all} are times{zone}"),
        );
    }
    if every(|text| time(text).is_some() || is_too_fine(text)) {
        let reason =
            format!("{all} of {all} are times, some finer than microseconds: kept as text");
        return (DeclaredType::Text, reason);
    }
    if every(is_decimal) {
        let most = texts
            .iter()
            .filter_map(|text| scale(text))
            .max()
            .unwrap_or_default();
        let money = names::is_money(name);
        if most <= 2 && money {
            let declared = DeclaredType::Numeric(Precision::new(18, 2).ok());
            let reason = format!(
                "{all} of {all} are decimals in texts with at most two places, and the name is one of money"
            );
            return (declared, reason);
        }
        if (1..=18).contains(&most) {
            let declared = DeclaredType::Numeric(Precision::new(38, 18).ok());
            return (
                declared,
                format!("{all} of {all} are decimals in texts, up to {most} places"),
            );
        }
    }
    let longest = texts
        .iter()
        .map(|text| text.chars().count())
        .max()
        .unwrap_or_default();
    (
        DeclaredType::Text,
        format!("{all} of {all} are texts, up to {longest} characters"),
    )
}

/// What a value looks like by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text of no other kind.
    Text,
    /// A text that is a UUID.
    Uuid,
    /// A text that is a time.
    Time,
    /// A text that is a day.
    Day,
    /// A number, also one that CSV writes.
    Number,
    /// What is no text, by its variant.
    Other(std::mem::Discriminant<Value>),
}

/// What a value looks like.
pub(super) fn kind(value: &Value) -> Kind {
    match value {
        Value::Written(text) if is_number(text) => Kind::Number,
        Value::Number(_) | Value::Decimal(_) => Kind::Number,
        Value::Text(text) | Value::Written(text) if is_uuid(text) => Kind::Uuid,
        Value::Text(text) | Value::Written(text) if time(text).is_some() => Kind::Time,
        Value::Text(text) | Value::Written(text) if is_day(text) => Kind::Day,
        Value::Text(_) | Value::Written(_) => Kind::Text,
        other => Kind::Other(std::mem::discriminant(other)),
    }
}

fn is_uuid(text: &str) -> bool {
    let hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match hyphen(at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && day(text).is_some()
}

fn day(text: &str) -> Option<NaiveDate> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let date = NaiveDate::parse_from_str(text.get(..10)?, "%Y-%m-%d").ok()?;
    (shaped && (1..=9999).contains(&date.year())).then_some(date)
}

/// A date and time as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Microseconds since 1970, UTC where there was no offset.
    pub(super) micros: i64,
    has_offset: bool,
}

/// Reads a date with a time of day, `T` or a space between them.
pub(super) fn time(text: &str) -> Option<Written> {
    let found = instant(text)?;
    (found.nanosecond() % 1_000 == 0).then_some(())?;
    Some(Written {
        micros: found.and_utc().timestamp_micros(),
        has_offset: has_offset(text),
    })
}

fn is_too_fine(text: &str) -> bool {
    instant(text).is_some_and(|found| found.nanosecond() % 1_000 != 0)
}

fn has_offset(text: &str) -> bool {
    let clock = text.get(11..).unwrap_or_default();
    clock.contains(['Z', 'z', '+', '-'])
}

fn instant(text: &str) -> Option<NaiveDateTime> {
    day(text)?;
    let separated = matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '));
    let clock = text.as_bytes().get(11..19)?;
    let shaped = clock.iter().enumerate().all(|(at, byte)| match at {
        2 | 5 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
    // chrono reads more digits than there are nanoseconds, and a space before an offset
    if !separated || !shaped || text.len() > 35 || text[11..].contains(' ') {
        return None;
    }
    let found = match has_offset(text) {
        true => DateTime::parse_from_rfc3339(text).ok()?.naive_utc(),
        false => {
            let text = text.replacen(['t', ' '], "T", 1);
            NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f").ok()?
        }
    };
    // chrono's leap second
    (found.nanosecond() < 1_000_000_000).then_some(found)
}

/// The instant that the midnight of a day is, microseconds since 1970.
pub(super) fn midnight(text: &str) -> Option<i64> {
    is_day(text)
        .then(|| day(text))??
        .and_hms_opt(0, 0, 0)
        .map(|at| at.and_utc().timestamp_micros())
}

/// Digits with at most a sign and a point: a number that a person wrote, `+` and zeros before it none.
pub(super) fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, places) = digits.split_once('.').unwrap_or((digits, "0"));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    numeric(whole)
        && numeric(places)
        && (whole == "0" || !whole.starts_with('0'))
        && text.len() <= 40
}

/// A number of CSV.
pub(super) fn is_number(text: &str) -> bool {
    is_decimal(text)
        || (text.contains(['e', 'E'])
            && !text.starts_with('0')
            && text.parse::<f64>().is_ok_and(f64::is_finite))
}

/// How many digits stand behind the point; `None` of a number with an exponent that is no decimal.
pub(super) fn scale(text: &str) -> Option<usize> {
    if is_decimal(text) {
        let places = text.split_once('.').map_or("", |(_, places)| places);
        return Some(places.trim_end_matches('0').len());
    }
    let number: f64 = text.parse().ok()?;
    let spelled = number.to_string();
    (number.is_finite() && is_decimal(&spelled)).then(|| scale(&spelled))?
}

/// The whole number of 64 bits that a text is.
pub(super) fn whole(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    (scale(text)? == 0).then_some(())?;
    text.split_once('.')?.0.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn only_what_decoding_reads_is_a_time() {
        for good in [
            "2024-01-31T13:30:00Z",
            "2024-01-31 13:30:00.5",
            "2024-01-31t13:30:00.123456+01:00",
        ] {
            assert!(time(good).is_some(), "{good}");
        }
        for bad in [
            "2024-02-30T00:00:00Z",
            "2024-01-31T13:30:60Z",
            "2024-01-31T13:30:00.123456789Z",
            "2024-01-31",
            "20240131T133000Z",
            "2024-01-31T1:2:3Z",
            "2024-01-31T13:30:00 +01:00",
            "31.01.2024 13:30",
            "",
            "é024-01-31T00:00:00Z",
        ] {
            assert!(time(bad).is_none(), "{bad}");
        }
        assert_eq!(time("1970-01-01T01:00:00+01:00").unwrap().micros, 0);
        assert_eq!(midnight("1970-01-02"), Some(86_400_000_000));
    }

    #[test]
    fn zip_codes_are_no_numbers() {
        assert!(is_decimal("12.50") && is_decimal("-0.5") && is_decimal("7"));
        assert!(
            !is_decimal("01234") && !is_decimal("+49") && !is_decimal("1e5") && !is_decimal(".")
        );
        assert_eq!(of("price", &["12.50", "3"]).0.to_string(), "numeric(18,2)");
        assert_eq!(of("zip", &["12345", "99999"]).0, DeclaredType::Text);
    }

    #[test]
    fn places_are_counted_without_zeros_at_the_end() {
        assert_eq!(scale("12.50"), Some(1));
        assert_eq!(scale("1e-3"), Some(3));
        assert_eq!(scale("7"), Some(0));
        assert_eq!(scale("1e300"), None);
        assert_eq!(whole("7.0"), Some(7));
        assert_eq!(whole("99999999999999999999"), None);
    }
}
