//! JSON numbers as BSON numbers, without changing one.
//!
//! Integers and floats only: servers with MongoDB's protocol that have no Decimal128 end the
//! connection when they meet one.

use mongodb::bson::spec::ElementType;

use crate::sink::bson::Writer;

/// A BSON number with the same value as a JSON number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int32(i32),
    Int64(i64),
    /// A float whose shortest notation is that number.
    Double(f64),
}

impl Number {
    /// The smallest BSON type that holds the number `text`, which is valid JSON.
    ///
    /// `None` where no type holds it: negative zero, which servers take for zero, and what a float
    /// would round.
    pub(super) fn exact(text: &str) -> Option<Self> {
        if let Ok(integer) = text.parse::<i64>() {
            if integer == 0 && text.starts_with('-') {
                return None;
            }
            return Some(i32::try_from(integer).map_or(Self::Int64(integer), Self::Int32));
        }
        let digits = Digits::of(text)?;
        if digits.significant.is_empty() {
            return (!digits.negative).then_some(Self::Double(0.0));
        }
        let float: f64 = text.parse().ok()?;
        let exact =
            float.is_finite() && Digits::of(&format!("{float:e}")).as_ref() == Some(&digits);
        exact.then_some(Self::Double(float))
    }

    /// Appends the value of an element and returns its type, which stands before its name.
    pub(super) fn append(self, writer: &mut Writer) -> ElementType {
        let bytes = &mut writer.bytes;
        match self {
            Self::Int32(value) => {
                bytes.extend_from_slice(&value.to_le_bytes());
                ElementType::Int32
            }
            Self::Int64(value) => {
                bytes.extend_from_slice(&value.to_le_bytes());
                ElementType::Int64
            }
            Self::Double(value) => {
                bytes.extend_from_slice(&value.to_le_bytes());
                ElementType::Double
            }
        }
    }
}

/// A number as sign, digits without zeros at either end, and exponent: equal when the values are.
#[derive(Debug, PartialEq, Eq)]
struct Digits {
    negative: bool,
    significant: String,
    /// The value is `significant` times ten to this power.
    exponent: i64,
}

impl Digits {
    /// Reads a JSON number; `None` where its exponent is beyond reason.
    fn of(text: &str) -> Option<Self> {
        let negative = text.starts_with('-');
        let unsigned = text.trim_start_matches('-');
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_matches('0');
        let behind = all.len() - all.trim_end_matches('0').len();
        let exponent = if significant.is_empty() {
            0
        } else {
            i64::from(exponent) - fraction.len() as i64 + behind as i64
        };
        Some(Self {
            negative,
            significant: significant.to_owned(),
            exponent,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_number_gets_the_smallest_type_that_holds_it() {
        for (text, number) in [
            ("0", Some(Number::Int32(0))),
            ("-2147483648", Some(Number::Int32(i32::MIN))),
            ("2147483648", Some(Number::Int64(2_147_483_648))),
            ("9223372036854775807", Some(Number::Int64(i64::MAX))),
            ("12.5", Some(Number::Double(12.5))),
            ("0.10", Some(Number::Double(0.1))),
            ("1e3", Some(Number::Double(1_000.0))),
            ("0.0", Some(Number::Double(0.0))),
            ("9223372036854775808", None),
            ("12345678901234567.8", None),
            ("1e400", None),
            ("-0", None),
            ("-0.0", None),
            ("1e7000", None),
            ("1e99999999999", None),
            ("12345678901234567890123456789012345", None),
        ] {
            assert_eq!(Number::exact(text), number, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_digit_is_lost(text in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?") {
            let wanted = Digits::of(&text).unwrap();
            let shown = match Number::exact(&text) {
                None => return Ok(()),
                Some(Number::Int32(value)) => value.to_string(),
                Some(Number::Int64(value)) => value.to_string(),
                Some(Number::Double(value)) => format!("{value:e}"),
            };
            prop_assert_eq!(Digits::of(&shown).unwrap(), wanted, "{} became {}", text, shown);
        }
    }
}
