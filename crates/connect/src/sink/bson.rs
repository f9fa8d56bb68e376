//! BSON written straight into one buffer: a batch of documents without an allocation for each.
//!
//! Layout as in bsonspec.org, version 1.1: a document is its length (four bytes, little endian, all
//! of it), elements of type byte, name, zero byte and value, and a zero byte.

use mongodb::bson::spec::{BinarySubtype, ElementType};

/// A document or array that was begun and not ended: where its length stands.
#[derive(Debug)]
#[must_use = "a document is ended by `end`"]
pub(super) struct Open(usize);

/// Appends BSON to a buffer.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    /// Begins a document that is no element: the outermost one.
    pub(super) fn begin(&mut self) -> Open {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        Open(at)
    }

    /// Begins an element that is a document or, with names `0`, `1` …, an array.
    pub(super) fn begin_element(&mut self, kind: ElementType, name: &str) -> Open {
        self.name(kind, name);
        self.begin()
    }

    /// Ends a document or array.
    pub(super) fn end(&mut self, open: Open) {
        self.bytes.push(0);
        let length = (self.bytes.len() - open.0) as u32;
        self.bytes[open.0..open.0 + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Bytes of a document that was begun, so far.
    pub(super) fn length_of(&self, open: &Open) -> usize {
        self.bytes.len() - open.0
    }

    pub(super) fn null(&mut self, name: &str) {
        self.name(ElementType::Null, name);
    }

    pub(super) fn boolean(&mut self, name: &str, value: bool) {
        self.name(ElementType::Boolean, name);
        self.bytes.push(u8::from(value));
    }

    pub(super) fn int32(&mut self, name: &str, value: i32) {
        self.name(ElementType::Int32, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn int64(&mut self, name: &str, value: i64) {
        self.name(ElementType::Int64, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A time, milliseconds since 1970 UTC.
    pub(super) fn datetime(&mut self, name: &str, millis: i64) {
        self.name(ElementType::DateTime, name);
        self.bytes.extend_from_slice(&millis.to_le_bytes());
    }

    pub(super) fn string(&mut self, name: &str, value: &str) {
        self.name(ElementType::String, name);
        self.string_value(value);
    }

    pub(super) fn binary(&mut self, name: &str, value: &[u8]) {
        self.name(ElementType::Binary, name);
        self.binary_value(BinarySubtype::Generic, value);
    }

    /// The value of a binary element, after its name.
    pub(super) fn binary_value(&mut self, subtype: BinarySubtype, value: &[u8]) {
        self.bytes
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.bytes.push(subtype.into());
        self.bytes.extend_from_slice(value);
    }

    /// Text where the bytes are UTF-8, binary where they are not, null where there are none.
    pub(super) fn text_or_binary(&mut self, name: &str, value: Option<&[u8]>) {
        match value.map(|value| (value, std::str::from_utf8(value))) {
            None => self.null(name),
            Some((_, Ok(text))) => self.string(name, text),
            Some((bytes, Err(_))) => self.binary(name, bytes),
        }
    }

    /// The value of a string element, after its name.
    pub(super) fn string_value(&mut self, value: &str) {
        self.bytes
            .extend_from_slice(&(value.len() as u32 + 1).to_le_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    /// Type and name of an array's item.
    pub(super) fn item_name(&mut self, kind: ElementType, index: u32) {
        self.bytes.push(kind as u8);
        push_decimal(&mut self.bytes, index);
        self.bytes.push(0);
    }

    /// Type and name of an element. The name must not hold a zero byte.
    pub(super) fn name(&mut self, kind: ElementType, name: &str) {
        self.bytes.push(kind as u8);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
    }
}

/// Appends a number in decimal, the name of an array's item.
pub(super) fn push_decimal(bytes: &mut Vec<u8>, number: u32) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    bytes.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;
    use mongodb::bson::{Bson, DateTime, RawDocument, doc};

    #[test]
    fn what_is_written_is_read_by_the_driver() {
        let mut writer = Writer::default();
        let all = writer.begin();
        writer.null("null");
        writer.boolean("yes", true);
        writer.int32("small", -7);
        writer.int64("large", i64::MIN);
        writer.datetime("time", 1_700_000_000_123);
        writer.string("text", "a\0é");
        writer.text_or_binary("bytes", Some(b"\xff"));
        writer.text_or_binary("none", None);
        let array = writer.begin_element(ElementType::Array, "array");
        writer.string("0", "");
        writer.end(array);
        writer.end(all);
        let read = RawDocument::from_bytes(&writer.bytes).unwrap();
        let expected = doc! {
            "null": Bson::Null,
            "yes": true,
            "small": -7,
            "large": i64::MIN,
            "time": DateTime::from_millis(1_700_000_000_123),
            "text": "a\0é",
            "bytes": mongodb::bson::Binary {
                subtype: mongodb::bson::spec::BinarySubtype::Generic,
                bytes: vec![0xff],
            },
            "none": Bson::Null,
            "array": [""],
        };
        assert_eq!(mongodb::bson::Document::try_from(read).unwrap(), expected);
    }
}
