//! Days, times and instants from their ISO 8601 / RFC 3339 text, exact to the microsecond.

use chrono::{DateTime, MappedLocalTime, NaiveDate, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// Why a text is not a time that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadTime {
    /// It is not written as one.
    Syntax,
    /// It is written as one, but there is no such day or hour.
    NoSuchTime,
    /// It has more digits than microseconds.
    LostDigits,
    /// The clock of the source's zone skipped it.
    InGap,
}

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Days from 0001-01-01 (day 1 of the common era) to 1970-01-01.
const EPOCH_FROM_CE: i32 = 719_163;

/// `YYYY-MM-DD` as days since 1970; years 0001 to 9999.
pub(super) fn date(text: &str) -> Result<i32, BadTime> {
    match text.as_bytes() {
        bytes if bytes.len() == 10 => day(bytes),
        _ => Err(BadTime::Syntax),
    }
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.ffffff` as microseconds since midnight.
pub(super) fn time(text: &str) -> Result<i64, BadTime> {
    match clock(text.as_bytes())? {
        (micros, []) => Ok(micros),
        _ => Err(BadTime::Syntax),
    }
}

/// A date and time as written: local microseconds since 1970, and the offset if one was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    local: i64,
    offset: Option<i64>,
}

/// `YYYY-MM-DD`, then `T` or a space and a time, then perhaps `Z`, `±HH`, `±HHMM` or `±HH:MM`.
/// A day alone is its midnight.
#[inline]
pub(super) fn timestamp(text: &str) -> Result<Written, BadTime> {
    let bytes = text.as_bytes();
    let Some((date, rest)) = bytes.split_at_checked(10) else {
        return Err(BadTime::Syntax);
    };
    let midnight = i64::from(day(date)?) * DAY;
    let (time, rest) = match rest {
        [] => (0, rest),
        [b'T' | b't' | b' ', rest @ ..] => clock(rest)?,
        _ => return Err(BadTime::Syntax),
    };
    Ok(Written {
        local: midnight + time,
        offset: offset(rest)?,
    })
}

impl Written {
    /// The instant, microseconds since 1970 UTC; `zone` tells it where no offset was written.
    ///
    /// Of two instants with the same local time, at the end of summer time, the later one is meant,
    /// as in Postgres.
    #[inline]
    pub(super) fn instant(self, zone: Tz) -> Result<i64, BadTime> {
        match self.offset {
            Some(offset) => Ok(self.local - offset),
            None if zone == Tz::UTC => Ok(self.local),
            None => {
                let local = utc(self.local).naive_utc();
                let offset = match zone.offset_from_local_datetime(&local) {
                    MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(_, offset) => {
                        offset
                    }
                    MappedLocalTime::None => return Err(BadTime::InGap),
                };
                Ok(self.local - i64::from(offset.fix().local_minus_utc()) * SECOND)
            }
        }
    }

    /// The local time in `zone`, microseconds since 1970: what was written, or what the zone's
    /// clocks showed at the instant that an offset names.
    #[inline]
    pub(super) fn local(self, zone: Tz) -> i64 {
        match self.offset {
            None => self.local,
            Some(offset) => local_time(self.local - offset, zone),
        }
    }
}

/// What the clocks of `zone` showed at an instant, both in microseconds since 1970.
pub(super) fn local_time(instant: i64, zone: Tz) -> i64 {
    if zone == Tz::UTC {
        return instant;
    }
    let offset = zone
        .offset_from_utc_datetime(&utc(instant).naive_utc())
        .fix();
    instant + i64::from(offset.local_minus_utc()) * SECOND
}

/// Instants beyond chrono's years, which only a record's own time could reach, take the offset of
/// 1970.
fn utc(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

#[inline]
fn day(bytes: &[u8]) -> Result<i32, BadTime> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = bytes else {
        return Err(BadTime::Syntax);
    };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    match NaiveDate::from_ymd_opt(year, month as u32, day as u32) {
        Some(date) if year > 0 => Ok(chrono::Datelike::num_days_from_ce(&date) - EPOCH_FROM_CE),
        _ => Err(BadTime::NoSuchTime),
    }
}

/// A time of day in microseconds, and what follows it.
#[inline]
fn clock(bytes: &[u8]) -> Result<(i64, &[u8]), BadTime> {
    let &[h1, h2, b':', m1, m2, ref rest @ ..] = bytes else {
        return Err(BadTime::Syntax);
    };
    let (hour, minute) = (two(h1, h2)?, two(m1, m2)?);
    let (second, fraction, rest) = match rest {
        [b':', s1, s2, b'.', rest @ ..] => {
            let (fraction, rest) = fraction(rest)?;
            (two(*s1, *s2)?, fraction, rest)
        }
        [b':', s1, s2, rest @ ..] => (two(*s1, *s2)?, 0, rest),
        rest => (0, 0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return Err(BadTime::NoSuchTime);
    }
    let micros =
        i64::from(hour) * HOUR + i64::from(minute) * MINUTE + i64::from(second) * SECOND + fraction;
    Ok((micros, rest))
}

/// Digits behind the second's point as microseconds; further digits must be zero.
#[inline]
fn fraction(bytes: &[u8]) -> Result<(i64, &[u8]), BadTime> {
    let length = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = bytes.split_at(length);
    if digits.is_empty() {
        return Err(BadTime::Syntax);
    }
    if digits.iter().skip(6).any(|&digit| digit != b'0') {
        return Err(BadTime::LostDigits);
    }
    let padded = digits
        .iter()
        .copied()
        .chain(std::iter::repeat(b'0'))
        .take(6);
    Ok((
        padded.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')),
        rest,
    ))
}

/// Microseconds east of UTC, if an offset is written.
#[inline]
fn offset(bytes: &[u8]) -> Result<Option<i64>, BadTime> {
    let (sign, hours, minutes) = match *bytes {
        [] => return Ok(None),
        [b'Z' | b'z'] => return Ok(Some(0)),
        [sign, h1, h2] => (sign, two(h1, h2)?, 0),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, two(h1, h2)?, two(m1, m2)?),
        _ => return Err(BadTime::Syntax),
    };
    if hours > 15 || minutes > 59 {
        return Err(BadTime::NoSuchTime);
    }
    let east = i64::from(hours) * HOUR + i64::from(minutes) * MINUTE;
    match sign {
        b'+' => Ok(Some(east)),
        b'-' => Ok(Some(-east)),
        _ => Err(BadTime::Syntax),
    }
}

#[inline]
fn two(tens: u8, ones: u8) -> Result<i32, BadTime> {
    if tens.is_ascii_digit() && ones.is_ascii_digit() {
        Ok(i32::from(tens - b'0') * 10 + i32::from(ones - b'0'))
    } else {
        Err(BadTime::Syntax)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use proptest::prelude::*;

    fn instant(text: &str, zone: Tz) -> Result<i64, BadTime> {
        timestamp(text)?.instant(zone)
    }

    fn rfc3339(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    }

    #[test]
    fn reads_the_ways_of_writing_an_instant() {
        let noon = rfc3339("2024-01-31T12:00:00Z");
        for text in [
            "2024-01-31T12:00:00Z",
            "2024-01-31 12:00:00z",
            "2024-01-31T13:00:00.000000+01:00",
            "2024-01-31 13:00:00+01",
            "2024-01-31T06:30:00-0530",
            "2024-01-31T12:00",
            "2024-01-31t12:00:00.000000000Z",
        ] {
            assert_eq!(instant(text, Tz::UTC), Ok(noon), "{text}");
        }
        assert_eq!(
            instant("2024-01-31T12:00:00.5Z", Tz::UTC),
            Ok(noon + 500_000)
        );
        assert_eq!(instant("2024-01-31", Tz::UTC), Ok(noon - 12 * HOUR));
        assert_eq!(
            instant("0001-01-01T00:00:00Z", Tz::UTC),
            Ok(rfc3339("0001-01-01T00:00:00Z"))
        );
    }

    #[test]
    fn refuses_what_is_no_time() {
        for (text, bad) in [
            ("", BadTime::Syntax),
            ("yesterday", BadTime::Syntax),
            ("20240131T120000Z", BadTime::Syntax),
            ("2024-01-31T", BadTime::Syntax),
            ("2024-01-31T12:00:00Zulu", BadTime::Syntax),
            ("2024-01-31T12:00:00.Z", BadTime::Syntax),
            ("2024-01-31T12:00:00é", BadTime::Syntax),
            ("2024-01-3\u{661}", BadTime::Syntax),
            ("2024-02-30T12:00:00Z", BadTime::NoSuchTime),
            ("2023-02-29", BadTime::NoSuchTime),
            ("0000-01-01", BadTime::NoSuchTime),
            ("2024-13-01", BadTime::NoSuchTime),
            ("2024-01-31T24:00:00Z", BadTime::NoSuchTime),
            ("2024-01-31T23:59:60Z", BadTime::NoSuchTime),
            ("2024-01-31T12:00:00+16:00", BadTime::NoSuchTime),
            ("2024-01-31T12:00:00.1234567Z", BadTime::LostDigits),
        ] {
            assert_eq!(instant(text, Tz::UTC), Err(bad), "{text}");
        }
    }

    #[test]
    fn without_offset_the_zone_of_the_source_tells() {
        let paris = Tz::Europe__Paris;
        assert_eq!(
            instant("2024-07-14 12:00:00", paris),
            Ok(rfc3339("2024-07-14T10:00:00Z"))
        );
        assert_eq!(
            instant("2024-07-14 12:00:00Z", paris),
            Ok(rfc3339("2024-07-14T12:00:00Z"))
        );
        assert_eq!(instant("2024-03-31 02:30:00", paris), Err(BadTime::InGap));
        assert_eq!(
            instant("2024-10-27 02:30:00", paris),
            Ok(rfc3339("2024-10-27T01:30:00Z")),
            "the later of the two"
        );
    }

    #[test]
    fn a_local_timestamp_follows_the_clocks_of_the_zone() {
        let local = |text, zone| timestamp(text).unwrap().local(zone);
        let paris = Tz::Europe__Paris;
        assert_eq!(
            local("2024-07-14 12:00:00", paris),
            rfc3339("2024-07-14T12:00:00Z")
        );
        assert_eq!(
            local("2024-07-14T12:00:00Z", paris),
            rfc3339("2024-07-14T14:00:00Z")
        );
        assert_eq!(
            local("2024-07-14T12:00:00+02:00", Tz::UTC),
            rfc3339("2024-07-14T10:00:00Z")
        );
    }

    #[test]
    fn days_and_times_stand_alone() {
        assert_eq!(date("1970-01-02"), Ok(1));
        assert_eq!(date("2024-01-31T00:00:00"), Err(BadTime::Syntax));
        assert_eq!(time("23:59:59.999999"), Ok(DAY - 1));
        assert_eq!(time("7:00"), Err(BadTime::Syntax));
        assert_eq!(time("12:00:00Z"), Err(BadTime::Syntax));
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(micros in -62_135_596_800_000_000_i64..253_402_300_799_999_999, minutes in -900i32..=900) {
            let zone = chrono::FixedOffset::east_opt(minutes * 60).unwrap();
            let there = utc(micros).with_timezone(&zone);
            prop_assume!((1..=9999).contains(&chrono::Datelike::year(&there)));
            let text = there.to_rfc3339_opts(chrono::SecondsFormat::Micros, false);
            prop_assert_eq!(instant(&text, Tz::UTC), Ok(micros), "{}", text);
        }
    }
}
