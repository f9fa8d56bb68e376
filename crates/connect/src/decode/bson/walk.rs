//! Elements of BSON documents, straight from their bytes: no document is built, nothing is copied.
//!
//! Layout as in bsonspec.org, version 1.1. A document's length and the bounds of each element are
//! checked when it is reached; what is inside a value only by whoever looks inside.

/// Type bytes of elements.
pub(crate) mod kind {
    pub(crate) const DOUBLE: u8 = 0x01;
    pub(crate) const STRING: u8 = 0x02;
    pub(crate) const DOCUMENT: u8 = 0x03;
    pub(crate) const ARRAY: u8 = 0x04;
    pub(crate) const BINARY: u8 = 0x05;
    pub(crate) const UNDEFINED: u8 = 0x06;
    pub(crate) const OBJECT_ID: u8 = 0x07;
    pub(crate) const BOOLEAN: u8 = 0x08;
    pub(crate) const DATE: u8 = 0x09;
    pub(crate) const NULL: u8 = 0x0A;
    pub(crate) const REGEX: u8 = 0x0B;
    pub(crate) const DB_POINTER: u8 = 0x0C;
    pub(crate) const CODE: u8 = 0x0D;
    pub(crate) const SYMBOL: u8 = 0x0E;
    pub(crate) const CODE_WITH_SCOPE: u8 = 0x0F;
    pub(crate) const INT32: u8 = 0x10;
    pub(crate) const TIMESTAMP: u8 = 0x11;
    pub(crate) const INT64: u8 = 0x12;
    pub(crate) const DECIMAL128: u8 = 0x13;
    pub(crate) const MAX_KEY: u8 = 0x7F;
    pub(crate) const MIN_KEY: u8 = 0xFF;
}

/// Where bytes stop being BSON: `at` counts from the start of the document looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub(crate) struct Broken {
    pub(crate) at: usize,
    pub(crate) expected: &'static str,
}

/// One element of a document or array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    /// One of [`kind`].
    pub(crate) kind: u8,
    /// Its name without the zero byte; UTF-8 is not checked.
    pub(crate) name: &'a [u8],
    /// The bytes of its value, as long as its type says.
    pub(crate) value: &'a [u8],
    /// Type, name and value as they stand.
    pub(crate) whole: &'a [u8],
}

/// Goes through the elements of one document or array.
#[derive(Debug, Clone)]
pub(crate) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Elements<'a> {
    /// The elements of a document that is exactly these bytes.
    #[inline]
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self, Broken> {
        let fits = length(bytes, 0).is_ok_and(|length| length == bytes.len());
        if !fits || bytes.len() < 5 {
            return Err(Broken {
                at: 0,
                expected: "the document's length",
            });
        }
        if bytes[bytes.len() - 1] != 0 {
            return Err(Broken {
                at: bytes.len() - 1,
                expected: "the document's end",
            });
        }
        Ok(Self { bytes, at: 4 })
    }

    /// The elements from the place on that [`Elements::at`] said.
    pub(crate) fn behind(bytes: &'a [u8], at: usize) -> Result<Self, Broken> {
        let mut elements = Self::of(bytes)?;
        elements.at = at.clamp(4, bytes.len() - 1);
        Ok(elements)
    }

    /// Where the next element begins.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next element; `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Element<'a>>, Broken> {
        let start = self.at;
        let last = self.bytes.len() - 1;
        if start == last {
            return Ok(None);
        }
        let kind = self.bytes[start];
        let name_start = start + 1;
        let name_length = memchr(&self.bytes[name_start..last]).ok_or(Broken {
            at: name_start,
            expected: "a name that ends",
        })?;
        let value_start = name_start + name_length + 1;
        let length = value_length(kind, &self.bytes[..last], value_start)?;
        let end = value_start.checked_add(length).filter(|&end| end <= last);
        let end = end.ok_or(Broken {
            at: value_start,
            expected: "a value within its document",
        })?;
        self.at = end;
        Ok(Some(Element {
            kind,
            name: &self.bytes[name_start..name_start + name_length],
            value: &self.bytes[value_start..end],
            whole: &self.bytes[start..end],
        }))
    }
}

/// The first element of a name. Where names repeat, the others are not looked at.
pub(crate) fn find<'a>(document: &'a [u8], name: &[u8]) -> Result<Option<Element<'a>>, Broken> {
    let mut elements = Elements::of(document)?;
    while let Some(element) = elements.next()? {
        if element.name == name {
            return Ok(Some(element));
        }
    }
    Ok(None)
}

impl<'a> Element<'a> {
    /// The text of a string, code or symbol; `None` where it is not UTF-8.
    #[inline]
    pub(crate) fn text(&self) -> Option<&'a str> {
        text(self.value)
    }

    /// The bytes of a document or array.
    pub(crate) fn document(&self) -> Option<&'a [u8]> {
        matches!(self.kind, kind::DOCUMENT | kind::ARRAY).then_some(self.value)
    }

    /// An `int32`, `int64`, date or timestamp as its bits.
    #[inline]
    pub(crate) fn integer(&self) -> i64 {
        match *self.value {
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => 0,
        }
    }

    #[inline]
    pub(crate) fn double(&self) -> f64 {
        f64::from_bits(self.integer() as u64)
    }

    /// Subtype and bytes of a binary; those of the old subtype 2 without their inner length.
    pub(crate) fn binary(&self) -> (u8, &'a [u8]) {
        let subtype = self.value[4];
        let bytes = &self.value[5..];
        match bytes {
            [a, b, c, d, rest @ ..]
                if subtype == 2 && u32::from_le_bytes([*a, *b, *c, *d]) as usize == rest.len() =>
            {
                (subtype, rest)
            }
            bytes => (subtype, bytes),
        }
    }
}

/// The text of a value of length, bytes and zero byte.
#[inline]
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value.get(4..value.len().checked_sub(1)?)?).ok()
}

/// Bytes of the value that begins at `at`.
#[inline]
fn value_length(kind: u8, bytes: &[u8], at: usize) -> Result<usize, Broken> {
    Ok(match kind {
        kind::DOUBLE | kind::DATE | kind::TIMESTAMP | kind::INT64 => 8,
        kind::INT32 => 4,
        kind::BOOLEAN => 1,
        kind::NULL | kind::UNDEFINED | kind::MIN_KEY | kind::MAX_KEY => 0,
        kind::OBJECT_ID => 12,
        kind::DECIMAL128 => 16,
        kind::STRING | kind::CODE | kind::SYMBOL => string_length(bytes, at)?,
        kind::DB_POINTER => string_length(bytes, at)? + 12,
        kind::DOCUMENT | kind::ARRAY | kind::CODE_WITH_SCOPE => {
            let length = length(bytes, at)?;
            if length < 5 {
                return Err(Broken {
                    at,
                    expected: "a length of 5 or more",
                });
            }
            length
        }
        kind::BINARY => length(bytes, at)? + 5,
        kind::REGEX => {
            let rest = bytes.get(at..).unwrap_or_default();
            let two_texts = memchr(rest).and_then(|pattern| {
                memchr(&rest[pattern + 1..]).map(|options| pattern + options + 2)
            });
            two_texts.ok_or(Broken {
                at,
                expected: "a pattern and its options",
            })?
        }
        _ => {
            return Err(Broken {
                at,
                expected: "a known type",
            });
        }
    })
}

fn string_length(bytes: &[u8], at: usize) -> Result<usize, Broken> {
    let length = length(bytes, at)?;
    let last = at + 3 + length;
    if length == 0 || bytes.get(last) != Some(&0) {
        return Err(Broken {
            at,
            expected: "a text that ends",
        });
    }
    Ok(4 + length)
}

/// Four bytes, little endian, that count bytes.
#[inline]
fn length(bytes: &[u8], at: usize) -> Result<usize, Broken> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    found
        .and_then(|bytes| usize::try_from(i32::from_le_bytes(*bytes)).ok())
        .ok_or(Broken {
            at,
            expected: "a length",
        })
}

/// Where the next zero byte is. Names are short: a plain loop is as good as any.
#[inline]
fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use mongodb::bson::{Bson, RawDocumentBuf, doc, oid::ObjectId};
    use proptest::prelude::*;

    fn sample() -> Vec<u8> {
        let document = doc! {
            "_id": ObjectId::from_bytes([7; 12]),
            "double": 1.5, "text": "é", "document": { "a": 1 }, "array": [true, Bson::Null],
            "regex": Bson::RegularExpression(mongodb::bson::Regex {
                pattern: "a+".try_into().unwrap(), options: "i".try_into().unwrap(),
            }),
            "code": Bson::JavaScriptCode("f()".into()), "long": i64::MIN,
            "min": Bson::MinKey, "binary": Bson::Binary(mongodb::bson::Binary {
                subtype: mongodb::bson::spec::BinarySubtype::Generic, bytes: vec![1, 2],
            }),
        };
        RawDocumentBuf::try_from(&document).unwrap().into_bytes()
    }

    #[test]
    fn elements_are_those_of_the_driver() {
        let bytes = sample();
        let raw = mongodb::bson::RawDocument::from_bytes(&bytes).unwrap();
        let mut elements = Elements::of(&bytes).unwrap();
        for element in raw.iter_elements() {
            let element = element.unwrap();
            let own = elements.next().unwrap().unwrap();
            assert_eq!(own.kind, element.element_type() as u8);
            assert_eq!(own.name, element.key().as_str().as_bytes());
        }
        assert!(elements.next().unwrap().is_none());
        assert_eq!(find(&bytes, b"text").unwrap().unwrap().text(), Some("é"));
        assert_eq!(find(&bytes, b"long").unwrap().unwrap().integer(), i64::MIN);
        assert_eq!(
            find(&bytes, b"binary").unwrap().unwrap().binary(),
            (0, &[1, 2][..])
        );
        assert!(find(&bytes, b"none").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_lead_outside_of_themselves(at in 0usize..200, byte in any::<u8>(), cut in 0usize..200) {
            let mut bytes = sample();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut % bytes.len());
            if let Ok(mut elements) = Elements::of(&bytes) {
                while let Ok(Some(element)) = elements.next() {
                    let _ = (element.text(), element.integer());
                    if element.kind == kind::BINARY {
                        let _ = element.binary();
                    }
                }
            }
        }
    }
}
