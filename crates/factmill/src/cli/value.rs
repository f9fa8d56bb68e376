//! Values of flags that are more than a word or a number.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use factmill_project::yaml::Period;

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

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// A duration in words: `250ms`, `30s`, `5m`.
///
/// # Errors
/// A message that names the form.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let period = Period::parse(text).ok_or("expected a duration such as 250ms, 30s, 5m or 1.5h")?;
    Ok(period.duration())
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
    fn a_setting_keeps_what_stands_after_the_first_sign() {
        let setting: Setting = "producer.url=http://x/?a=b"
            .parse()
            .unwrap_or_else(|e| unreachable!("{e}"));
        assert_eq!(
            (setting.key.as_str(), setting.value.as_str()),
            ("producer.url", "http://x/?a=b")
        );
        assert!("raw_store.enabled".parse::<Setting>().is_err());
        assert!("=x".parse::<Setting>().is_err());
    }
}
