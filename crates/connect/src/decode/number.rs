//! Numbers from their digits, exactly: no float stands between the text and a `numeric` or an
//! integer.

use arrow::datatypes::i256;

/// Why a number does not fit its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is not written as a number.
    NotANumber,
    /// Digits behind the point would be lost.
    LostDigits,
    /// It is beyond the type's range.
    OutOfRange,
}

/// A decimal number taken apart: `± integral . fraction × 10^exponent`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal<'a> {
    negative: bool,
    integral: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// Exponents beyond this decide nothing more: no type reaches it, and sums with it do not overflow.
const FAR: i64 = 1 << 40;

impl<'a> Decimal<'a> {
    /// Reads what Postgres reads as a `numeric`, but for `NaN`, `Infinity` and white space: an
    /// optional sign, digits with an optional point among or beside them, an optional exponent.
    #[inline]
    pub(super) fn read(text: &'a str) -> Result<Self, Misfit> {
        let bytes = text.as_bytes();
        let (negative, rest) = match bytes {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (integral, rest) = split_digits(rest);
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => split_digits(rest),
            rest => (&[][..], rest),
        };
        if integral.is_empty() && fraction.is_empty() {
            return Err(Misfit::NotANumber);
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return Err(Misfit::NotANumber),
        };
        Ok(Self {
            negative,
            integral,
            fraction,
            exponent,
        })
    }

    /// The integer `value × 10^scale`, for a `numeric(digits, scale)` of at most 38 digits.
    #[inline]
    pub(super) fn unscaled(&self, digits: u8, scale: u8) -> Result<i128, Misfit> {
        let scale = usize::from(scale);
        if self.exponent == 0 && self.fraction.len() <= scale && self.integral.len() + scale <= 18 {
            let mut magnitude = 0_i64;
            for digit in self.integral.iter().chain(self.fraction) {
                magnitude = magnitude * 10 + i64::from(digit - b'0');
            }
            magnitude *= 10_i64.pow((scale - self.fraction.len()) as u32);
            let fits = i128::from(magnitude) < 10_i128.pow(u32::from(digits));
            let signed = if self.negative { -magnitude } else { magnitude };
            return if fits {
                Ok(i128::from(signed))
            } else {
                Err(Misfit::OutOfRange)
            };
        }
        self.exact(digits, scale as u8)
    }

    /// The same for up to 76 digits.
    pub(super) fn unscaled_wide(&self, digits: u8, scale: u8) -> Result<i256, Misfit> {
        self.exact(digits, scale)
    }

    /// Whether all digits are zero.
    pub(super) fn is_zero(&self) -> bool {
        self.integral
            .iter()
            .chain(self.fraction)
            .all(|&digit| digit == b'0')
    }

    /// Leading and trailing zeros decide nothing; what is left must stand within the type's digits.
    fn exact<W: Wide>(&self, digits: u8, scale: u8) -> Result<W, Misfit> {
        let written = || self.integral.iter().chain(self.fraction);
        let length = self.integral.len() + self.fraction.len();
        let leading = written().take_while(|&&digit| digit == b'0').count();
        if leading == length {
            return Ok(W::ZERO);
        }
        let trailing = written().rev().take_while(|&&digit| digit == b'0').count();
        let significant = (length - leading - trailing) as i64;
        let shift = self.exponent - self.fraction.len() as i64 + trailing as i64 + i64::from(scale);
        if shift < 0 {
            return Err(Misfit::LostDigits);
        }
        if significant + shift > i64::from(digits) {
            return Err(Misfit::OutOfRange);
        }
        let kept = written()
            .skip(leading)
            .take(significant as usize)
            .map(|digit| digit - b'0');
        let magnitude = kept.chain((0..shift).map(|_| 0)).fold(W::ZERO, W::then);
        Ok(if self.negative {
            magnitude.negated()
        } else {
            magnitude
        })
    }

    /// A whole number of 64 bits; `1.0` and `1e2` are whole.
    pub(super) fn whole(&self) -> Result<i64, Misfit> {
        i64::try_from(self.unscaled(19, 0)?).map_err(|_| Misfit::OutOfRange)
    }
}

/// Integers wide enough for the digits that were counted before.
trait Wide {
    const ZERO: Self;
    fn then(self, digit: u8) -> Self;
    fn negated(self) -> Self;
}

impl Wide for i128 {
    const ZERO: Self = 0;

    fn then(self, digit: u8) -> Self {
        self * 10 + Self::from(digit)
    }

    fn negated(self) -> Self {
        -self
    }
}

impl Wide for i256 {
    const ZERO: Self = i256::ZERO;

    fn then(self, digit: u8) -> Self {
        self.wrapping_mul(Self::from_i128(10))
            .wrapping_add(Self::from_i128(i128::from(digit)))
    }

    fn negated(self) -> Self {
        self.wrapping_neg()
    }
}

fn split_digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(
        bytes
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count(),
    )
}

fn exponent(bytes: &[u8]) -> Result<i64, Misfit> {
    let (negative, rest) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (digits, rest) = split_digits(rest);
    if digits.is_empty() || !rest.is_empty() {
        return Err(Misfit::NotANumber);
    }
    let magnitude = digits.iter().fold(0_i64, |sum, digit| {
        (sum * 10 + i64::from(digit - b'0')).min(FAR)
    });
    Ok(if negative { -magnitude } else { magnitude })
}

/// A JSON number as an integer of 64 bits.
#[inline]
pub(super) fn whole(number: &str) -> Result<i64, Misfit> {
    if number.len() <= 18
        && let Ok(whole) = number.parse()
    {
        return Ok(whole);
    }
    Decimal::read(number)?.whole()
}

/// A JSON number as a 64-bit float, rounded to the nearest; out of range where it would become
/// infinite, or zero without being zero, as in Postgres.
pub(super) fn double(number: &str) -> Result<f64, Misfit> {
    let decimal = Decimal::read(number)?;
    let value: f64 = number.parse().map_err(|_| Misfit::NotANumber)?;
    let vanished = value == 0.0 && !decimal.is_zero();
    if value.is_finite() && !vanished {
        Ok(value)
    } else {
        Err(Misfit::OutOfRange)
    }
}

/// The same as a 32-bit float.
pub(super) fn real(number: &str) -> Result<f32, Misfit> {
    let decimal = Decimal::read(number)?;
    let value: f32 = number.parse().map_err(|_| Misfit::NotANumber)?;
    let vanished = value == 0.0 && !decimal.is_zero();
    if value.is_finite() && !vanished {
        Ok(value)
    } else {
        Err(Misfit::OutOfRange)
    }
}

/// Whether Postgres's `numeric`, and so `jsonb`, holds a JSON number: at most 131,072 digits before
/// the point and 16,383 after it.
pub(super) fn postgres_holds(number: &str) -> bool {
    let Ok(decimal) = Decimal::read(number) else {
        return false;
    };
    let before = decimal.integral.len() as i64 + decimal.exponent;
    let after = decimal.fraction.len() as i64 - decimal.exponent;
    before <= 131_072 && after <= 16_383
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use proptest::prelude::*;

    fn money(text: &str) -> Result<i128, Misfit> {
        Decimal::read(text)?.unscaled(18, 2)
    }

    #[test]
    fn money_is_exact_or_refused() {
        for (text, cents) in [
            ("0", 0),
            ("-0.00", 0),
            ("12.5", 1250),
            ("12.50", 1250),
            ("12.500000", 1250),
            ("1e2", 10_000),
            ("1.25E+1", 1250),
            ("12500e-3", 1250),
            (".5", 50),
            ("5.", 500),
            ("+7", 700),
            ("9999999999999999.99", 999_999_999_999_999_999),
            ("-9999999999999999.99", -999_999_999_999_999_999),
            ("0000000000000000000000000012.5", 1250),
            ("0e999999999999999999999", 0),
            ("0.0000000000000000000000001e25", 100),
        ] {
            assert_eq!(money(text), Ok(cents), "{text}");
        }
        for (text, misfit) in [
            ("12.505", Misfit::LostDigits),
            ("1e-3", Misfit::LostDigits),
            ("1e-99999999999999999999", Misfit::LostDigits),
            ("10000000000000000", Misfit::OutOfRange),
            ("12345678901234567890", Misfit::OutOfRange),
            ("1e16", Misfit::OutOfRange),
            ("1e99999999999999999999", Misfit::OutOfRange),
            ("", Misfit::NotANumber),
            ("-", Misfit::NotANumber),
            (".", Misfit::NotANumber),
            ("1,5", Misfit::NotANumber),
            ("1e", Misfit::NotANumber),
            ("NaN", Misfit::NotANumber),
            (" 1", Misfit::NotANumber),
            ("1.2.3", Misfit::NotANumber),
        ] {
            assert_eq!(money(text), Err(misfit), "{text}");
        }
    }

    #[test]
    fn a_short_number_still_meets_its_precision() {
        assert_eq!(Decimal::read("99.9").unwrap().unscaled(3, 1), Ok(999));
        assert_eq!(
            Decimal::read("100").unwrap().unscaled(3, 1),
            Err(Misfit::OutOfRange)
        );
    }

    #[test]
    fn wide_numbers_keep_all_digits() {
        let digits = "1234567890123456789012345678901234567890123456789012345678901234567890123456";
        let wide = Decimal::read(digits).unwrap().unscaled_wide(76, 0).unwrap();
        assert_eq!(wide.to_string(), digits);
        let low = Decimal::read("-1e-38")
            .unwrap()
            .unscaled_wide(76, 38)
            .unwrap();
        assert_eq!(low.to_string(), "-1");
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(whole("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(whole("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(whole("9223372036854775808"), Err(Misfit::OutOfRange));
        assert_eq!(whole("1.0"), Ok(1));
        assert_eq!(whole("1.5e1"), Ok(15));
        assert_eq!(whole("1.5"), Err(Misfit::LostDigits));
        assert_eq!(whole("-0"), Ok(0));
    }

    #[test]
    fn floats_neither_overflow_nor_vanish() {
        assert_eq!(double("1e308"), Ok(1e308));
        assert_eq!(double("1e309"), Err(Misfit::OutOfRange));
        assert_eq!(double("1e-400"), Err(Misfit::OutOfRange));
        assert_eq!(double("0e-400"), Ok(0.0));
        assert_eq!(real("1e39"), Err(Misfit::OutOfRange));
        assert_eq!(real("16777217"), Ok(16_777_216.0));
    }

    proptest! {
        #[test]
        fn both_ways_of_reading_agree(whole in any::<i32>(), cents in 0u32..100, zeros in 0usize..25) {
            let text = format!("{whole}.{cents:02}{}", "0".repeat(zeros));
            let sign = if text.starts_with('-') { -1 } else { 1 };
            let wanted = i128::from(whole) * 100 + sign * i128::from(cents);
            let decimal = Decimal::read(&text).unwrap();
            prop_assert_eq!(decimal.unscaled(18, 2), Ok(wanted));
            prop_assert_eq!(decimal.unscaled_wide(40, 2).unwrap().to_string(), wanted.to_string());
        }
    }
}
