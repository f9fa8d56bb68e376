//! Any value as relaxed extended JSON, version 2 of MongoDB's specification.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use mongodb::bson::Decimal128;

use super::super::scan::MAX_DEPTH;
use super::Stop;
use super::walk::{Broken, Element, Elements, kind, text};

/// Why a value is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// A `jsonb` holds no NUL character.
    Nul,
    NotUtf8,
    Stop(Stop),
}

impl From<Broken> for Unwritten {
    fn from(broken: Broken) -> Self {
        Self::Stop(Stop::Broken(broken))
    }
}

/// Appends a value; on error part of it may be appended.
pub(super) fn write(element: &Element<'_>, out: &mut Vec<u8>) -> Result<(), Unwritten> {
    // the payload's own document is open
    value(element, out, 1)
}

fn value(element: &Element<'_>, out: &mut Vec<u8>, depth: u32) -> Result<(), Unwritten> {
    match element.kind {
        kind::NULL => out.extend_from_slice(b"null"),
        kind::BOOLEAN => {
            let word: &[u8] = if element.value == [0] {
                b"false"
            } else {
                b"true"
            };
            out.extend_from_slice(word);
        }
        kind::INT32 | kind::INT64 => print(out, format_args!("{}", element.integer())),
        kind::DOUBLE if element.double().is_finite() => {
            print(out, format_args!("{:?}", element.double()));
        }
        kind::DOUBLE => {
            let word = match element.double() {
                value if value.is_nan() => "NaN",
                value if value > 0.0 => "Infinity",
                _ => "-Infinity",
            };
            print(out, format_args!("{{\"$numberDouble\":\"{word}\"}}"));
        }
        kind::DECIMAL128 => {
            let bytes = element.value.try_into().unwrap_or_default();
            let decimal = Decimal128::from_bytes(bytes);
            print(out, format_args!("{{\"$numberDecimal\":\"{decimal}\"}}"));
        }
        kind::STRING => string(text(element.value), out)?,
        kind::DOCUMENT => document(element.value, out, depth)?,
        kind::ARRAY => array(element.value, out, depth)?,
        kind::OBJECT_ID => object_id(element.value, out),
        kind::DATE => date(element.integer(), out),
        kind::BINARY => {
            let (subtype, bytes) = element.binary();
            let encoded = STANDARD.encode(bytes);
            print(
                out,
                format_args!(
                    "{{\"$binary\":{{\"base64\":\"{encoded}\",\"subType\":\"{subtype:02x}\"}}}}"
                ),
            );
        }
        kind::TIMESTAMP => {
            let bits = element.integer() as u64;
            let (time, increment) = (bits >> 32, bits as u32);
            print(
                out,
                format_args!("{{\"$timestamp\":{{\"t\":{time},\"i\":{increment}}}}}"),
            );
        }
        kind::REGEX => regex(element.value, out)?,
        kind::CODE => wrapped(b"{\"$code\":", text(element.value), out)?,
        kind::SYMBOL => wrapped(b"{\"$symbol\":", text(element.value), out)?,
        kind::CODE_WITH_SCOPE => code_with_scope(element.value, out, depth)?,
        kind::DB_POINTER => db_pointer(element.value, out)?,
        kind::MIN_KEY => out.extend_from_slice(b"{\"$minKey\":1}"),
        kind::MAX_KEY => out.extend_from_slice(b"{\"$maxKey\":1}"),
        _ => out.extend_from_slice(b"{\"$undefined\":true}"),
    }
    Ok(())
}

fn print(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // writing to memory cannot fail
    let _ = out.write_fmt(arguments);
}

fn string(text: Option<&str>, out: &mut Vec<u8>) -> Result<(), Unwritten> {
    let text = text.ok_or(Unwritten::NotUtf8)?;
    if text.as_bytes().contains(&0) {
        return Err(Unwritten::Nul);
    }
    // a text is always written
    let _ = serde_json::to_writer(out, text);
    Ok(())
}

/// `{"$name":"…"}`, the first part given.
fn wrapped(opening: &[u8], text: Option<&str>, out: &mut Vec<u8>) -> Result<(), Unwritten> {
    out.extend_from_slice(opening);
    string(text, out)?;
    out.push(b'}');
    Ok(())
}

fn document(bytes: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<(), Unwritten> {
    let mut elements = deeper(bytes, depth)?;
    let mut opening = b'{';
    while let Some(element) = elements.next()? {
        out.push(opening);
        opening = b',';
        string(std::str::from_utf8(element.name).ok(), out)?;
        out.push(b':');
        value(&element, out, depth + 1)?;
    }
    if opening == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

fn array(bytes: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<(), Unwritten> {
    let mut elements = deeper(bytes, depth)?;
    let mut opening = b'[';
    while let Some(element) = elements.next()? {
        out.push(opening);
        opening = b',';
        value(&element, out, depth + 1)?;
    }
    if opening == b'[' {
        out.push(b'[');
    }
    out.push(b']');
    Ok(())
}

fn deeper(bytes: &[u8], depth: u32) -> Result<Elements<'_>, Unwritten> {
    if depth >= MAX_DEPTH {
        return Err(Unwritten::Stop(Stop::TooDeep));
    }
    Ok(Elements::of(bytes)?)
}

fn object_id(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"$oid\":\"");
    for byte in bytes {
        print(out, format_args!("{byte:02x}"));
    }
    out.extend_from_slice(b"\"}");
}

/// Years from 1970 to 9999 as text, others as a number.
fn date(millis: i64, out: &mut Vec<u8>) {
    const LAST: i64 = 253_402_300_799_999;
    match DateTime::from_timestamp_millis(millis) {
        Some(date) if (0..=LAST).contains(&millis) => {
            let date = date.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            print(out, format_args!("{{\"$date\":\"{date}\"}}"));
        }
        _ => print(
            out,
            format_args!("{{\"$date\":{{\"$numberLong\":\"{millis}\"}}}}"),
        ),
    }
}

fn regex(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritten> {
    let mut texts = bytes.split(|&byte| byte == 0);
    let mut next = || texts.next().and_then(|text| std::str::from_utf8(text).ok());
    let (pattern, options) = (next(), next());
    out.extend_from_slice(b"{\"$regularExpression\":{\"pattern\":");
    string(pattern, out)?;
    out.extend_from_slice(b",\"options\":");
    string(options, out)?;
    out.extend_from_slice(b"}}");
    Ok(())
}

/// Its length, a text, and a document.
fn code_with_scope(bytes: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<(), Unwritten> {
    let broken = Broken {
        at: 0,
        expected: "code and its scope",
    };
    let rest = bytes.get(4..).unwrap_or_default();
    let length = rest
        .first_chunk::<4>()
        .map(|bytes| i32::from_le_bytes(*bytes));
    let length = length.and_then(|length| usize::try_from(length).ok());
    let (code, scope) = length
        .and_then(|length| rest.split_at_checked(length.checked_add(4)?))
        .ok_or(broken)?;
    if code.last() != Some(&0) || code.len() < 5 {
        return Err(broken.into());
    }
    out.extend_from_slice(b"{\"$code\":");
    string(text(code), out)?;
    out.extend_from_slice(b",\"$scope\":");
    document(scope, out, depth)?;
    out.push(b'}');
    Ok(())
}

fn db_pointer(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritten> {
    let (namespace, id) = bytes.split_at(bytes.len() - 12);
    out.extend_from_slice(b"{\"$dbPointer\":{\"$ref\":");
    string(text(namespace), out)?;
    out.extend_from_slice(b",\"$id\":");
    object_id(id, out);
    out.extend_from_slice(b"}}");
    Ok(())
}
