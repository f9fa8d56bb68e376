//! Intervals from text: ISO 8601 (`P1Y2M3DT4H5M6.5S`) and Postgres's own
//! (`1 year 2 mons 3 days 04:05:06.5`).

use arrow::datatypes::IntervalMonthDayNano;

use super::number::{Decimal, Misfit};

const SECOND: i64 = 1_000_000;

/// Reads an interval; fractions only of seconds, exact to the microsecond, as Postgres keeps them.
pub(super) fn interval(text: &str) -> Result<IntervalMonthDayNano, Misfit> {
    let mut sum = Sum::default();
    match text.strip_prefix('P') {
        Some(iso) => sum.iso(iso)?,
        None => sum.verbose(text)?,
    }
    let nanos = sum.micros.checked_mul(1000).ok_or(Misfit::OutOfRange)?;
    let narrow = |number| i32::try_from(number).map_err(|_| Misfit::OutOfRange);
    Ok(IntervalMonthDayNano::new(
        narrow(sum.months)?,
        narrow(sum.days)?,
        nanos,
    ))
}

#[derive(Default)]
struct Sum {
    months: i64,
    days: i64,
    micros: i64,
}

impl Sum {
    fn add(&mut self, number: &str, unit: Unit) -> Result<(), Misfit> {
        let (sum, size) = match unit {
            Unit::Months(size) => (&mut self.months, size),
            Unit::Days(size) => (&mut self.days, size),
            Unit::Micros(size) => (&mut self.micros, size),
        };
        let added = match unit {
            Unit::Micros(SECOND) => i64::try_from(Decimal::read(number)?.unscaled(19, 6)?)
                .map_err(|_| Misfit::OutOfRange)?,
            _ => Decimal::read(number)?
                .whole()?
                .checked_mul(size)
                .ok_or(Misfit::OutOfRange)?,
        };
        *sum = sum.checked_add(added).ok_or(Misfit::OutOfRange)?;
        Ok(())
    }

    /// What follows the `P`.
    fn iso(&mut self, mut rest: &str) -> Result<(), Misfit> {
        let mut in_time = false;
        let mut parts = 0;
        while !rest.is_empty() {
            if !in_time && let Some(time) = rest.strip_prefix('T') {
                in_time = true;
                rest = time;
            }
            let end = rest
                .find(|c: char| c.is_ascii_uppercase())
                .ok_or(Misfit::NotANumber)?;
            let unit = match (in_time, rest.as_bytes()[end]) {
                (false, b'Y') => Unit::Months(12),
                (false, b'M') => Unit::Months(1),
                (false, b'W') => Unit::Days(7),
                (false, b'D') => Unit::Days(1),
                (true, b'H') => Unit::Micros(3600 * SECOND),
                (true, b'M') => Unit::Micros(60 * SECOND),
                (true, b'S') => Unit::Micros(SECOND),
                _ => return Err(Misfit::NotANumber),
            };
            self.add(&rest[..end], unit)?;
            rest = &rest[end + 1..];
            parts += 1;
        }
        if parts == 0 {
            Err(Misfit::NotANumber)
        } else {
            Ok(())
        }
    }

    /// Pairs of number and unit, and a time as its last part or alone.
    fn verbose(&mut self, text: &str) -> Result<(), Misfit> {
        let mut words = text.split_ascii_whitespace().peekable();
        if words.peek().is_none() {
            return Err(Misfit::NotANumber);
        }
        while let Some(word) = words.next() {
            if word.contains(':') {
                return if words.next().is_none() {
                    self.clock(word)
                } else {
                    Err(Misfit::NotANumber)
                };
            }
            let unit = words.next().and_then(unit).ok_or(Misfit::NotANumber)?;
            self.add(word, unit)?;
        }
        Ok(())
    }

    /// `[-]H:MM` or `[-]H:MM:SS.ffffff`.
    fn clock(&mut self, word: &str) -> Result<(), Misfit> {
        let (sign, digits) = match word.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", word.strip_prefix('+').unwrap_or(word)),
        };
        let units = [
            Unit::Micros(3600 * SECOND),
            Unit::Micros(60 * SECOND),
            Unit::Micros(SECOND),
        ];
        let parts: Vec<&str> = digits.split(':').collect();
        if parts.len() > units.len() {
            return Err(Misfit::NotANumber);
        }
        for (index, (part, unit)) in parts.into_iter().zip(units).enumerate() {
            if !part.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(Misfit::NotANumber);
            }
            if index > 0 && Decimal::read(part)?.unscaled(19, 6)? >= 60 * i128::from(SECOND) {
                return Err(Misfit::OutOfRange);
            }
            self.add(&format!("{sign}{part}"), unit)?;
        }
        Ok(())
    }
}

/// A unit with its size in months, days or microseconds.
#[derive(Clone, Copy)]
enum Unit {
    Months(i64),
    Days(i64),
    Micros(i64),
}

fn unit(word: &str) -> Option<Unit> {
    Some(match word {
        "year" | "years" => Unit::Months(12),
        "mon" | "mons" | "month" | "months" => Unit::Months(1),
        "week" | "weeks" => Unit::Days(7),
        "day" | "days" => Unit::Days(1),
        "hour" | "hours" => Unit::Micros(3600 * SECOND),
        "min" | "mins" | "minute" | "minutes" => Unit::Micros(60 * SECOND),
        "sec" | "secs" | "second" | "seconds" => Unit::Micros(SECOND),
        "millisecond" | "milliseconds" => Unit::Micros(1000),
        "microsecond" | "microseconds" => Unit::Micros(1),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_iso_and_postgres() {
        let value =
            |months, days, micros: i64| Ok(IntervalMonthDayNano::new(months, days, micros * 1000));
        for (text, wanted) in [
            ("P1Y2M3DT4H5M6.5S", value(14, 3, 14_706_500_000)),
            (
                "1 year 2 mons 3 days 04:05:06.5",
                value(14, 3, 14_706_500_000),
            ),
            ("P2W", value(0, 14, 0)),
            ("PT-0.000001S", value(0, 0, -1)),
            ("-00:00:01.5", value(0, 0, -1_500_000)),
            ("-1 days +02:03:00", value(0, -1, 7_380_000_000)),
            ("90 seconds", value(0, 0, 90_000_000)),
        ] {
            assert_eq!(interval(text), wanted, "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "P",
            "PT",
            "P1",
            "P1H",
            "PT1D",
            "1",
            "day",
            "1 dayz",
            "1:2:3:4",
            "01:00 1 day",
            "1:-5",
            "pT1S",
        ] {
            assert_eq!(interval(text), Err(Misfit::NotANumber), "{text:?}");
        }
        assert_eq!(interval("PT0.0000001S"), Err(Misfit::LostDigits));
        assert_eq!(interval("99999999999 days"), Err(Misfit::OutOfRange));
        assert_eq!(interval("00:60"), Err(Misfit::OutOfRange));
    }
}
