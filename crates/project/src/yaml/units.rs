//! Sizes and periods as people write them.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A number of bytes: `16MiB`, `64kB`, `1024`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// A span of time: `20ms`, `30s`, `5m`, `24h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

const SIZE_PATTERN: &str = r"^[0-9]+(\.[0-9]+)? ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?$";
const PERIOD_PATTERN: &str = r"^[0-9]+(\.[0-9]+)? ?(us|ms|s|m|h|d)$";

impl ByteSize {
    /// That many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Reads `16MiB`; without a unit it is bytes, `kB` is 1,000 and `KiB` is 1,024 of them.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let factor = match unit {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        scaled(number, factor).map(Self)
    }
}

impl Period {
    /// That long.
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// How long it is.
    pub fn duration(self) -> Duration {
        self.0
    }

    /// Reads `20ms`; the unit is needed.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let micros = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return None,
        };
        scaled(number, micros).map(|micros| Self(Duration::from_micros(micros)))
    }
}

fn split(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then(|| (number, unit.strip_prefix(' ').unwrap_or(unit)))
}

/// `number × factor`, exact: what is below one is not a size or a period that anybody means.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut total = u128::from(whole.parse::<u64>().ok()?) * u128::from(factor);
    if !fraction.is_empty() {
        let digits: u128 = fraction.get(..fraction.len().min(18))?.parse().ok()?;
        total += digits * u128::from(factor) / 10u128.pow(fraction.len().min(18) as u32);
    }
    u64::try_from(total).ok()
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Written::deserialize(deserializer)?.0;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is no size, or is out of range")))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Written::deserialize(deserializer)?.0;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is no period, or is out of range")))
    }
}

/// Text, or a bare number as its text.
struct Written(String);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            other => Err(D::Error::custom(format!("expected text, found {other}"))),
        }
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a size",
            "description": "A number of bytes: `16MiB`, `64kB`, `1024`.",
            "type": ["string", "integer"],
            "pattern": SIZE_PATTERN,
            "minimum": 0,
            "examples": ["16MiB", "64kB"],
        })
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a period",
            "description": "A span of time with its unit: `20ms`, `30s`, `5m`, `24h`.",
            "type": "string",
            "pattern": PERIOD_PATTERN,
            "examples": ["20ms", "30s"],
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn sizes_and_periods_read_as_they_are_written() {
        for (text, bytes) in [
            ("16MiB", 16 << 20),
            ("64kB", 64_000),
            ("1024", 1024),
            ("1.5 KiB", 1536),
        ] {
            assert_eq!(ByteSize::parse(text).unwrap().bytes(), bytes, "{text}");
        }
        for (text, micros) in [
            ("20ms", 20_000),
            ("1.5s", 1_500_000),
            ("5m", 300_000_000),
            ("0s", 0),
        ] {
            assert_eq!(
                Period::parse(text).unwrap().duration(),
                Duration::from_micros(micros),
                "{text}"
            );
        }
        for text in [
            "",
            "ms",
            "20",
            "-5s",
            "1.2.3s",
            "5 weeks",
            "99999999999999999999d",
            "٣s",
        ] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
    }
}
