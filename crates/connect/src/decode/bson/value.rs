//! Scalars into columns of one declared type.

use std::io::Write as _;

use factmill_core::types::DeclaredType;

use super::super::leaf::{Leaf, Refusal, Token, excerpt};
use super::super::number::Misfit as NumberMisfit;
use super::super::time::BadTime;
use super::walk::{Element, kind};

/// Why a column does not take a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    Refused(Refusal),
    NotUtf8,
}

impl From<Refusal> for Misfit {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Milliseconds since 1970 of the first and last instant of the years 1 to 9999.
const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

const DAY_MILLIS: i64 = 86_400_000;

/// Appends a value that is not null, or nothing when it is refused.
#[inline]
pub(super) fn push(leaf: &mut Leaf, element: &Element<'_>) -> Result<(), Misfit> {
    match element.kind {
        kind::STRING | kind::SYMBOL => {
            let text = element.text().ok_or(Misfit::NotUtf8)?;
            leaf.push(Token::Text(text))?;
        }
        kind::INT32 | kind::INT64 => push_integer(leaf, element.integer())?,
        kind::DOUBLE => push_double(leaf, element.double())?,
        kind::DECIMAL128 => push_decimal(leaf, element.value)?,
        kind::BOOLEAN => leaf.push(Token::Boolean(element.value != [0]))?,
        kind::DATE => push_date(leaf, element.integer())?,
        kind::OBJECT_ID => push_object_id(leaf, element.value)?,
        kind::BINARY => push_binary(leaf, element)?,
        kind::TIMESTAMP if *leaf.declared() == DeclaredType::BigInt => {
            leaf.push_whole(element.integer())?;
        }
        _ => return Err(Refusal::Kind.into()),
    }
    Ok(())
}

fn push_integer(leaf: &mut Leaf, whole: i64) -> Result<(), Refusal> {
    if leaf.is_integer() {
        return leaf.push_whole(whole);
    }
    let mut digits = Digits::default();
    digits.push_signed(whole < 0, u128::from(whole.unsigned_abs()));
    leaf.push(Token::Number(digits.as_str()))
}

fn push_double(leaf: &mut Leaf, value: f64) -> Result<(), Refusal> {
    if leaf.is_float() {
        return leaf.push_double(value);
    }
    if !value.is_finite() {
        // it is a number, but none that the type holds
        return Err(match leaf.declared() {
            DeclaredType::Numeric(_) => NumberMisfit::OutOfRange.into(),
            _ if leaf.is_integer() => NumberMisfit::OutOfRange.into(),
            _ => Refusal::Kind,
        });
    }
    let mut digits = Digits::default();
    // the shortest digits that give this number again
    let written = write!(digits, "{value:e}");
    debug_assert!(written.is_ok(), "a double has at most 24 characters");
    leaf.push(Token::Number(digits.as_str()))
}

fn push_decimal(leaf: &mut Leaf, bytes: &[u8]) -> Result<(), Refusal> {
    let takes =
        leaf.is_integer() || leaf.is_float() || matches!(leaf.declared(), DeclaredType::Numeric(_));
    if !takes {
        return Err(Refusal::Kind);
    }
    let mut digits = Digits::default();
    if !digits.push_decimal128(bytes) {
        return Err(NumberMisfit::OutOfRange.into());
    }
    leaf.push(Token::Number(digits.as_str()))
}

fn push_date(leaf: &mut Leaf, millis: i64) -> Result<(), Refusal> {
    let takes = matches!(
        leaf.declared(),
        DeclaredType::Timestamp | DeclaredType::TimestampTz | DeclaredType::Date
    );
    if !takes {
        return Err(Refusal::Kind);
    }
    if !YEARS.contains(&millis) {
        return Err(BadTime::NoSuchTime.into());
    }
    if *leaf.declared() != DeclaredType::Date {
        return leaf.push_instant(millis * 1_000);
    }
    if millis.rem_euclid(DAY_MILLIS) != 0 {
        return Err(Refusal::TimeOfDay);
    }
    // within the years 1 to 9999
    leaf.push_day(millis.div_euclid(DAY_MILLIS) as i32)
}

fn push_object_id(leaf: &mut Leaf, bytes: &[u8]) -> Result<(), Refusal> {
    match leaf.declared() {
        DeclaredType::Bytea => {
            leaf.push_bytes(bytes);
            Ok(())
        }
        DeclaredType::Text | DeclaredType::Varchar(_) | DeclaredType::Char(_) => {
            let mut digits = Digits::default();
            digits.push_hex(bytes);
            leaf.push(Token::Text(digits.as_str()))
        }
        _ => Err(Refusal::Kind),
    }
}

fn push_binary(leaf: &mut Leaf, element: &Element<'_>) -> Result<(), Refusal> {
    let (subtype, bytes) = element.binary();
    if leaf.push_bytes(bytes) {
        return Ok(());
    }
    match (subtype, <[u8; 16]>::try_from(bytes)) {
        (3 | 4, Ok(uuid)) => leaf.push_uuid(uuid),
        _ => Err(Refusal::Kind),
    }
}

/// A short text on the stack.
#[derive(Debug, Clone)]
struct Digits {
    bytes: [u8; 48],
    len: usize,
}

impl Default for Digits {
    fn default() -> Self {
        Self {
            bytes: [0; 48],
            len: 0,
        }
    }
}

impl Digits {
    fn as_str(&self) -> &str {
        // only digits, signs and `e` are pushed
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn push_signed(&mut self, negative: bool, magnitude: u128) {
        if negative {
            self.push(b'-');
        }
        let mut reversed = [0; 39];
        let mut count = 0;
        let mut rest = magnitude;
        // 128-bit division is slow, and few numbers need it
        while rest > u128::from(u64::MAX) {
            reversed[count] = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
        }
        let mut rest = rest as u64;
        loop {
            reversed[count] = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        reversed[..count]
            .iter()
            .rev()
            .for_each(|&digit| self.push(digit));
    }

    /// An IEEE 754-2008 decimal128 in its binary encoding, little endian; false for NaN and
    /// infinities.
    fn push_decimal128(&mut self, bytes: &[u8]) -> bool {
        const EXPONENT_BIAS: i32 = 6_176;
        const LARGEST: u128 = 10_u128.pow(34) - 1;
        let bits = bytes.try_into().map_or(0, u128::from_le_bytes);
        let negative = bits >> 127 == 1;
        if bits >> 123 & 0xF == 0xF {
            return false;
        }
        // this form stands for coefficients that are too large to be valid, which count as zero
        let large = bits >> 125 & 0b11 == 0b11;
        let (exponent, coefficient) = if large {
            ((bits >> 111) as i32 & 0x3FFF, 0)
        } else {
            ((bits >> 113) as i32 & 0x3FFF, bits & ((1 << 113) - 1))
        };
        let coefficient = if coefficient > LARGEST {
            0
        } else {
            coefficient
        };
        self.push_signed(negative, coefficient);
        self.push(b'e');
        let exponent = exponent - EXPONENT_BIAS;
        self.push_signed(exponent < 0, u128::from(exponent.unsigned_abs()));
        true
    }

    fn push_hex(&mut self, bytes: &[u8]) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        for byte in bytes {
            self.push(HEX[usize::from(byte >> 4)]);
            self.push(HEX[usize::from(byte & 15)]);
        }
    }
}

impl std::io::Write for Digits {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.bytes.len() - self.len;
        let taken = bytes.len().min(room);
        self.bytes[self.len..self.len + taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A value, for a person.
#[cold]
pub(super) fn found(element: &Element<'_>) -> String {
    match element.kind {
        kind::STRING | kind::SYMBOL => {
            format!("the text {:?}", excerpt(element.text().unwrap_or_default()))
        }
        kind::INT32 | kind::INT64 => format!("the number {}", element.integer()),
        kind::DOUBLE => format!("the number {:?}", element.double()),
        kind::DECIMAL128 => {
            let mut digits = Digits::default();
            match digits.push_decimal128(element.value) {
                true => format!("the number {}", digits.as_str()),
                false => "a Decimal128 that is no finite number".to_owned(),
            }
        }
        kind::BOOLEAN => format!("the boolean {}", element.value != [0]),
        kind::DATE => match chrono::DateTime::from_timestamp_millis(element.integer()) {
            Some(date) => format!("the date {}", date.to_rfc3339()),
            None => format!("the date {} ms after 1970", element.integer()),
        },
        kind::OBJECT_ID => {
            let mut digits = Digits::default();
            digits.push_hex(element.value);
            format!("the ObjectId {}", digits.as_str())
        }
        kind::BINARY => {
            let (subtype, bytes) = element.binary();
            format!("{} bytes of binary subtype {subtype}", bytes.len())
        }
        other => kind_name(other).to_owned(),
    }
}

/// What a value of a type is called.
pub(super) fn kind_name(of: u8) -> &'static str {
    match of {
        kind::DOUBLE | kind::INT32 | kind::INT64 | kind::DECIMAL128 => "a number",
        kind::STRING | kind::SYMBOL => "a text",
        kind::DOCUMENT => "a document",
        kind::ARRAY => "an array",
        kind::BINARY => "a binary",
        kind::OBJECT_ID => "an ObjectId",
        kind::BOOLEAN => "a boolean",
        kind::DATE => "a date",
        kind::REGEX => "a regular expression",
        kind::DB_POINTER => "a DBPointer",
        kind::CODE | kind::CODE_WITH_SCOPE => "code",
        kind::TIMESTAMP => "an internal timestamp",
        kind::MIN_KEY => "the min key",
        kind::MAX_KEY => "the max key",
        _ => "null",
    }
}
