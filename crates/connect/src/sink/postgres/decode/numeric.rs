//! `numeric` to decimals of a fixed scale; see [`super::super::encode`] for the wire form.

use arrow::datatypes::i256;

use super::ValueProblem;

const NEGATIVE: u16 = 0x4000;
const POSITIVE: u16 = 0;

/// The digits of a `numeric` value, cut from the wire.
pub(super) struct Digits<'a> {
    words: &'a [u8],
    weight: i16,
    negative: bool,
}

impl<'a> Digits<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ValueProblem> {
        let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let (Some(count), Some(weight), Some(sign)) = (word(0), word(2), word(4)) else {
            return Err(ValueProblem::Malformed);
        };
        if sign != POSITIVE && sign != NEGATIVE {
            return Err(ValueProblem::NotANumber);
        }
        let words = bytes
            .get(8..8 + 2 * usize::from(count))
            .ok_or(ValueProblem::Malformed)?;
        Ok(Self {
            words,
            weight: weight as i16,
            negative: sign == NEGATIVE,
        })
    }

    fn iter(&self) -> impl Iterator<Item = u16> {
        self.words
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// Decimal places that the last digit reaches beyond `scale`, negative when it stays before.
    fn beyond(&self, scale: i8) -> i32 {
        let last = i32::from(self.weight) + 1 - (self.words.len() / 2) as i32;
        -4 * last - i32::from(scale)
    }

    /// The value times `10^scale`, when 128 bits hold it and no digit is lost.
    pub(super) fn to_i128(&self, scale: i8) -> Option<i128> {
        let mut value = 0i128;
        for digit in self.iter() {
            value = value.checked_mul(10_000)?.checked_add(i128::from(digit))?;
        }
        let beyond = self.beyond(scale);
        let value = if value == 0 {
            0
        } else if beyond <= 0 {
            value.checked_mul(10i128.checked_pow(beyond.unsigned_abs())?)?
        } else {
            let power = 10i128.checked_pow(beyond.unsigned_abs())?;
            if value % power != 0 {
                return None;
            }
            value / power
        };
        Some(if self.negative { -value } else { value })
    }

    /// The value times `10^scale`, when 76 digits hold it and none is lost.
    pub(super) fn to_i256(&self, scale: i8) -> Result<i256, ValueProblem> {
        if let Some(value) = self.to_i128(scale) {
            return Ok(i256::from_i128(value));
        }
        self.wide(scale)
            .filter(|value| *value < ten_to(76).unwrap_or(i256::MAX))
            .map(|value| {
                if self.negative {
                    value.wrapping_neg()
                } else {
                    value
                }
            })
            .ok_or(ValueProblem::TooManyDigits)
    }

    fn wide(&self, scale: i8) -> Option<i256> {
        let beyond = self.beyond(scale);
        let ten_thousand = i256::from_i128(10_000);
        let mut value = i256::ZERO;
        let count = self.words.len() / 2;
        for (index, digit) in self.iter().enumerate() {
            // Only the last digit may reach beyond the scale: it alone is cut.
            if index + 1 == count && beyond > 0 && beyond < 4 {
                let cut = 10u16.pow(beyond.unsigned_abs());
                if digit % cut != 0 {
                    return None;
                }
                value = value.checked_mul(i256::from_i128(i128::from(10_000 / cut)))?;
                return value.checked_add(i256::from_i128(i128::from(digit / cut)));
            }
            value = value
                .checked_mul(ten_thousand)?
                .checked_add(i256::from_i128(i128::from(digit)))?;
        }
        if beyond > 0 {
            return None;
        }
        value.checked_mul(ten_to(beyond.unsigned_abs())?)
    }
}

fn ten_to(power: u32) -> Option<i256> {
    (power <= 76).then(|| i256::from_i128(10).checked_pow(power))?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn wire(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        let head = [digits.len() as u16, weight as u16, sign, 0];
        head.iter()
            .chain(digits)
            .flat_map(|word| word.to_be_bytes())
            .collect()
    }

    fn value(weight: i16, sign: u16, digits: &[u16], scale: i8) -> Result<i256, ValueProblem> {
        Digits::read(&wire(weight, sign, digits))?.to_i256(scale)
    }

    #[test]
    fn digits_come_to_their_scale() {
        let is = |number: i128| Ok(i256::from_i128(number));
        assert_eq!(value(0, 0, &[], 2), is(0));
        assert_eq!(value(1, 0, &[12, 3456, 7800], 2), is(12_345_678));
        assert_eq!(value(-1, NEGATIVE, &[500], 2), is(-5));
        assert_eq!(value(2, 0, &[1], 0), is(100_000_000));
        assert_eq!(value(-10, 0, &[100], 38), is(1));
    }

    #[test]
    fn lost_digits_and_no_numbers_are_errors() {
        assert_eq!(value(-1, 0, &[555], 2), Err(ValueProblem::TooManyDigits));
        assert_eq!(value(-2, 0, &[1], 2), Err(ValueProblem::TooManyDigits));
        assert_eq!(value(20, 0, &[1], 0), Err(ValueProblem::TooManyDigits));
        assert_eq!(value(0, 0xc000, &[], 0), Err(ValueProblem::NotANumber));
        let widest = value(9, 0, &[&[99][..], &[9999; 18], &[9900]].concat(), 38).unwrap();
        assert_eq!(widest.to_string(), "9".repeat(76));
    }
}
