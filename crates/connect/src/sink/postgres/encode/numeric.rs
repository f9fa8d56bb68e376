//! `numeric`: digits of base 10,000, the most significant first.
//!
//! The wire form is `ndigits, weight, sign, dscale` as 16-bit numbers, then the digits;
//! `weight` is the exponent of the first digit, `dscale` how many decimal places to show.

use arrow::datatypes::i256;
use bytes::BytesMut;

const NEGATIVE: u16 = 0x4000;
const POWERS: [u16; 4] = [1, 10, 100, 1000];
/// 76 decimal digits, cut at the decimal point: 20 groups, one more where the cut falls inside.
const MAX_GROUPS: usize = 21;

/// How decimal places that are zero are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Places {
    /// As many as the column's scale: `numeric(18,2)`.
    Declared,
    /// As many as are needed: `numeric` without limits.
    Needed,
}

/// Appends length and value of `value · 10^-scale`.
#[inline]
pub(super) fn put_i128(value: i128, scale: u8, places: Places, out: &mut BytesMut) {
    let mut groups = Groups::default();
    let mut rest = value.unsigned_abs();
    let cut = scale % 4;
    if cut > 0 {
        let power = u128::from(POWERS[usize::from(cut)]);
        groups.push((rest % power) as u16 * POWERS[usize::from(4 - cut)]);
        rest /= power;
    }
    while rest > u128::from(u64::MAX) {
        groups.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    // Nearly every value ends here at once: 64-bit division is several times faster.
    groups.push_u64(rest as u64);
    groups.write(value < 0, scale, places, out);
}

/// Appends length and value of `value · 10^-scale`.
pub(super) fn put_i256(value: i256, scale: u8, places: Places, out: &mut BytesMut) {
    if let Some(small) = value.to_i128() {
        return put_i128(small, scale, places, out);
    }
    let mut groups = Groups::default();
    // At most 76 digits, far from the least i256, so the magnitude exists.
    let mut rest = value.wrapping_abs();
    let cut = scale % 4;
    if cut > 0 {
        let power = i256::from_i128(i128::from(POWERS[usize::from(cut)]));
        groups.push(rest.wrapping_rem(power).as_i128() as u16 * POWERS[usize::from(4 - cut)]);
        rest = rest.wrapping_div(power);
    }
    let four_groups = i256::from_i128(10i128.pow(16));
    while rest > i256::ZERO {
        let mut low = rest.wrapping_rem(four_groups).as_i128() as u64;
        rest = rest.wrapping_div(four_groups);
        if rest == i256::ZERO {
            groups.push_u64(low);
            break;
        }
        for _ in 0..4 {
            groups.push((low % 10_000) as u16);
            low /= 10_000;
        }
    }
    groups.write(value < i256::ZERO, scale, places, out);
}

/// Digits of base 10,000, the least significant first; those before the decimal point begin at
/// index `scale.div_ceil(4)`.
#[derive(Default)]
struct Groups {
    digits: [u16; MAX_GROUPS],
    len: usize,
}

impl Groups {
    #[inline]
    fn push(&mut self, digit: u16) {
        self.digits[self.len] = digit;
        self.len += 1;
    }

    #[inline]
    fn push_u64(&mut self, mut rest: u64) {
        while rest > 0 {
            self.push((rest % 10_000) as u16);
            rest /= 10_000;
        }
    }

    #[inline]
    fn write(mut self, negative: bool, scale: u8, places: Places, out: &mut BytesMut) {
        while self.len > 0 && self.digits[self.len - 1] == 0 {
            self.len -= 1;
        }
        let lowest = self.digits[..self.len]
            .iter()
            .position(|digit| *digit != 0)
            .unwrap_or(self.len);
        let fractional = usize::from(scale.div_ceil(4));
        let shown = match places {
            Places::Declared => u16::from(scale),
            Places::Needed => self.needed_places(lowest, fractional),
        };
        let count = self.len - lowest;
        let weight = if count == 0 {
            0
        } else {
            self.len as i16 - 1 - fractional as i16
        };
        let sign = if negative && count > 0 { NEGATIVE } else { 0 };

        let mut bytes = [0u8; 12 + 2 * MAX_GROUPS];
        let size = 8 + 2 * count;
        bytes[0..4].copy_from_slice(&(size as u32).to_be_bytes());
        bytes[4..6].copy_from_slice(&(count as u16).to_be_bytes());
        bytes[6..8].copy_from_slice(&weight.to_be_bytes());
        bytes[8..10].copy_from_slice(&sign.to_be_bytes());
        bytes[10..12].copy_from_slice(&shown.to_be_bytes());
        for (place, digit) in bytes[12..]
            .chunks_exact_mut(2)
            .zip(self.digits[lowest..self.len].iter().rev())
        {
            place.copy_from_slice(&digit.to_be_bytes());
        }
        out.extend_from_slice(&bytes[..4 + size]);
    }

    fn needed_places(&self, lowest: usize, fractional: usize) -> u16 {
        if lowest >= fractional || lowest == self.len {
            return 0;
        }
        let digit = self.digits[lowest];
        let zeros = (1..4)
            .take_while(|&zeros| digit.is_multiple_of(POWERS[zeros]))
            .count();
        (4 * (fractional - lowest) - zeros) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ndigits, weight, sign, dscale, digits.
    fn words(value: i128, scale: u8, places: Places) -> Vec<u16> {
        let mut narrow = BytesMut::new();
        put_i128(value, scale, places, &mut narrow);
        let mut wide = BytesMut::new();
        put_i256(i256::from_i128(value), scale, places, &mut wide);
        assert_eq!(narrow, wide);
        read(&narrow)
    }

    fn read(bytes: &[u8]) -> Vec<u16> {
        let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        assert_eq!(length, bytes.len() - 4);
        bytes[4..]
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect()
    }

    // Expected words as `select numeric_send(…)` of Postgres gives them.
    #[test]
    fn words_are_those_of_numeric_send() {
        use Places::{Declared, Needed};
        assert_eq!(words(0, 2, Declared), [0, 0, 0, 2]);
        assert_eq!(words(1, 0, Declared), [1, 0, 0, 0, 1]);
        assert_eq!(words(12_345_678, 2, Declared), [3, 1, 0, 2, 12, 3456, 7800]);
        assert_eq!(words(-5, 2, Declared), [1, 0xffff, NEGATIVE, 2, 500]);
        assert_eq!(words(1, 5, Declared), [1, 0xfffe, 0, 5, 1000]);
        assert_eq!(words(100_000_000, 0, Declared), [1, 2, 0, 0, 1]);
        assert_eq!(words(1_500, 3, Needed), [2, 0, 0, 1, 1, 5000]);
        assert_eq!(words(2_000, 3, Needed), [1, 0, 0, 0, 2]);
        assert_eq!(words(0, 38, Needed), [0, 0, 0, 0]);
        assert_eq!(words(1, 38, Needed), [1, (-10i16) as u16, 0, 38, 100]);
    }

    #[test]
    fn wide_values_keep_every_digit() {
        let value = i256::from_string(&"9".repeat(76)).unwrap_or_default();
        let mut out = BytesMut::new();
        put_i256(value, 38, Places::Declared, &mut out);
        let mut expected = vec![20, 9, 0, 38, 99];
        expected.extend([9999; 18]);
        expected.push(9900);
        assert_eq!(read(&out), expected);
        let mut out = BytesMut::new();
        put_i256(value.wrapping_neg(), 0, Places::Declared, &mut out);
        assert_eq!(
            read(&out),
            [&[19, 18, NEGATIVE, 0][..], &[9999; 19]].concat()
        );
    }
}
