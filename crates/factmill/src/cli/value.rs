//! Values of flags that are more than a word or a number.

use std::str::FromStr;
use std::time::Duration;

/// How fast to send events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rate {
    /// As fast as the broker takes them.
    Max,
    /// So many a second; above 0.
    PerSecond(f64),
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Self::PerSecond(rate)),
            _ => Err("expected events a second above 0, or `max`".into()),
        }
    }
}

/// `KEY=VALUE`: a key of the job file, its parts joined by points, and a value in YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The key, such as `raw_store.enabled`.
    pub(crate) key: String,
    /// The value as written.
    pub(crate) value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok(Self {
                key: key.trim().to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("expected KEY=VALUE, such as `raw_store.enabled=false`".into()),
        }
    }
}

/// A duration in words: `250ms`, `30s`, `5m`, `1h30m`.
///
/// # Errors
/// A message that names the form.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a duration such as 250ms, 30s, 5m or 1h30m, found `{text}`");
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let milliseconds: u64 = match &rest[..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(milliseconds).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(wrong)?;
        rest = &rest[unit_end..];
    }
    Ok(total)
}

/// A share of a hundred, 0 to 100.
///
/// # Errors
/// A message that names the range.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("expected a percentage from 0 to 100".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        for wrong in ["", "30", "s", "3x", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_above_nothing() {
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert_eq!("0.2".parse(), Ok(Rate::PerSecond(0.2)));
        for wrong in ["0", "-1", "inf", "NaN", "fast"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_setting_keeps_what_stands_after_the_first_sign() {
        let setting: Setting = "producer.url=http://x/?a=b".parse().unwrap_or_else(|e| unreachable!("{e}"));
        assert_eq!((setting.key.as_str(), setting.value.as_str()), ("producer.url", "http://x/?a=b"));
        assert!("raw_store.enabled".parse::<Setting>().is_err());
        assert!("=x".parse::<Setting>().is_err());
    }
}
