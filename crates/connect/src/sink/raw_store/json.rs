//! A JSON payload as a BSON document, where BSON can say the same.

use std::borrow::Cow;

use mongodb::bson::spec::ElementType;

use super::number::Number;
use crate::decode::scan::{Broken, Scanner};
use crate::sink::bson::{Open, Writer, push_decimal};

/// How deep objects and arrays of a payload may lie in each other. MongoDB takes 100 levels, the
/// record around the payload among them; its tools take fewer.
const DEEPEST: usize = 90;

/// The payload has no faithful BSON document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sink) struct NoDocument;

impl From<Broken> for NoDocument {
    fn from(_: Broken) -> Self {
        Self
    }
}

/// Appends the payload as the document `name`.
///
/// # Errors
/// [`NoDocument`] where it is no JSON object, or one that a document would change or a server
/// refuses: the same name twice in an object; a name that is empty, begins with `$`, or holds a dot
/// or a zero byte; a number that neither a 64-bit integer nor a float holds; more than 90 levels; more than `limit` bytes.
/// What was written then is of no use.
pub(in crate::sink) fn append(
    writer: &mut Writer,
    name: &str,
    payload: &[u8],
    limit: usize,
) -> Result<(), NoDocument> {
    let text = std::str::from_utf8(payload).map_err(|_| NoDocument)?;
    let mut scratch = String::new();
    let mut translation = Translation {
        json: Scanner::new(text, &mut scratch),
        writer,
        names: Vec::new(),
        end: 0,
    };
    translation.end = translation.writer.bytes.len().saturating_add(limit);
    if translation.json.peek() != b'{' {
        return Err(NoDocument);
    }
    translation.writer.name(ElementType::EmbeddedDocument, name);
    translation.object(1)?;
    Ok(translation.json.end()?)
}

struct Translation<'a> {
    json: Scanner<'a>,
    writer: &'a mut Writer,
    /// Names of the objects that are open, as ranges of the buffer; to find one that comes twice.
    names: Vec<(usize, usize)>,
    /// The buffer must not grow beyond.
    end: usize,
}

impl Translation<'_> {
    fn object(&mut self, depth: usize) -> Result<(), NoDocument> {
        let open = self.begin(depth)?;
        let first_name = self.names.len();
        self.json.open()?;
        let mut more = !self.json.closes(b'}');
        while more {
            let name = self.json.name()?;
            let (kind_at, name_at) = element(&mut self.writer.bytes, self.json.value(name))?;
            self.names.push((name_at, self.writer.bytes.len() - 1));
            self.value(kind_at, depth)?;
            more = self.json.more(b'}')?;
        }
        self.no_name_twice(first_name)?;
        self.writer.end(open);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), NoDocument> {
        let open = self.begin(depth)?;
        let mut index = 0_u32;
        self.json.open()?;
        let mut more = !self.json.closes(b']');
        while more {
            let kind_at = self.writer.bytes.len();
            // the type follows once the value is known
            self.writer.bytes.push(0);
            push_decimal(&mut self.writer.bytes, index);
            self.writer.bytes.push(0);
            self.value(kind_at, depth)?;
            index += 1;
            more = self.json.more(b']')?;
        }
        self.writer.end(open);
        Ok(())
    }

    /// Appends the next value and notes its type at `kind_at`.
    fn value(&mut self, kind_at: usize, depth: usize) -> Result<(), NoDocument> {
        if self.writer.bytes.len() > self.end {
            return Err(NoDocument);
        }
        let kind = match self.json.peek() {
            b'n' => {
                self.json.literal("null")?;
                ElementType::Null
            }
            byte @ (b't' | b'f') => {
                let value = byte == b't';
                self.json.literal(if value { "true" } else { "false" })?;
                self.writer.bytes.push(u8::from(value));
                ElementType::Boolean
            }
            b'"' => {
                self.json.expect(b'"', "a string")?;
                let text = self.json.string()?;
                self.writer.string_value(self.json.value(text));
                ElementType::String
            }
            b'[' => {
                self.array(depth + 1)?;
                ElementType::Array
            }
            b'{' => {
                self.object(depth + 1)?;
                ElementType::EmbeddedDocument
            }
            _ => {
                let digits = self.json.number()?;
                Number::exact(digits).ok_or(NoDocument)?.append(self.writer)
            }
        };
        self.writer.bytes[kind_at] = kind as u8;
        Ok(())
    }

    fn begin(&mut self, depth: usize) -> Result<Open, NoDocument> {
        if depth > DEEPEST {
            return Err(NoDocument);
        }
        Ok(self.writer.begin())
    }

    /// Forgets the names of the object that ends, unless one came twice.
    fn no_name_twice(&mut self, first_name: usize) -> Result<(), NoDocument> {
        let bytes = &self.writer.bytes;
        let names = &mut self.names[first_name..];
        names.sort_unstable_by_key(|&(from, to)| &bytes[from..to]);
        let twice = names
            .windows(2)
            .any(|pair| bytes[pair[0].0..pair[0].1] == bytes[pair[1].0..pair[1].1]);
        self.names.truncate(first_name);
        if twice { Err(NoDocument) } else { Ok(()) }
    }
}

/// Appends the place of a type and a name; returns where they stand.
fn element(bytes: &mut Vec<u8>, name: &str) -> Result<(usize, usize), NoDocument> {
    if name.is_empty() || name.starts_with('$') || name.contains(['.', '\0']) {
        return Err(NoDocument);
    }
    let kind_at = bytes.len();
    bytes.push(0);
    let name_at = bytes.len();
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    Ok((kind_at, name_at))
}

/// The name of an array's item, for the few arrays that are short.
pub(super) fn item_name(index: usize) -> Cow<'static, str> {
    const FIRST: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    FIRST.get(index).map_or_else(
        || Cow::Owned(index.to_string()),
        |name| Cow::Borrowed(*name),
    )
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at its first failure"
)]
mod tests {
    use super::*;
    use mongodb::bson::{Bson, Document, RawDocument, doc};

    fn document(json: &str) -> Result<Document, NoDocument> {
        let mut writer = Writer::default();
        let open = writer.begin();
        append(&mut writer, "document", json.as_bytes(), 1 << 20)?;
        writer.end(open);
        let raw = RawDocument::from_bytes(&writer.bytes).unwrap();
        let mut outer = Document::try_from(raw).unwrap();
        match outer.remove("document") {
            Some(Bson::Document(document)) => Ok(document),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn objects_arrays_and_values_keep_their_order() {
        let read = document(
            r#" {"b":1,"a":{"x":[1,2.5,"é\u0000\ud83d\ude00",null,true,[],{}]},"c":"amount 12.50"} "#,
        );
        let expected = doc! {
            "b": 1,
            "a": { "x": [1, 2.5, "é\0😀", Bson::Null, true, [], {}] },
            "c": "amount 12.50",
        };
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn items_are_named_by_their_number() {
        let array = (0..1_001).map(|at| at.to_string()).collect::<Vec<_>>();
        let read = document(&format!("{{\"a\":[{}]}}", array.join(","))).unwrap();
        assert_eq!(read.get_array("a").unwrap()[1_000], Bson::Int32(1_000));
        let mut bytes = Vec::new();
        push_decimal(&mut bytes, u32::MAX);
        assert_eq!(bytes, u32::MAX.to_string().as_bytes());
        assert_eq!((item_name(7), item_name(12)), ("7".into(), "12".into()));
    }

    #[test]
    fn what_bson_cannot_say_is_no_document() {
        for json in [
            "",
            "null",
            "[1]",
            "\"text\"",
            "{",
            "{} {}",
            "{\"a\":01}",
            "{\"a\":NaN}",
            "{\"a\":-0}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"b\":2,\"\\u0061\":3}",
            "{\"\":1}",
            "{\"$set\":1}",
            "{\"a.b\":1}",
            "{\"a\\u0000\":1}",
            "{\"a\":12345678901234567890}",
        ] {
            assert_eq!(document(json), Err(NoDocument), "{json}");
        }
        assert!(document("{\"a\":{\"x\":1},\"b\":{\"x\":1}}").is_ok());
        let invalid = b"{\"a\":\"\xff\"}";
        let mut writer = Writer::default();
        assert!(append(&mut writer, "document", invalid, 100).is_err());
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(document(&nested(DEEPEST)).is_ok());
        assert!(document(&nested(DEEPEST + 1)).is_err());
        assert!(document(&nested(1_000_000)).is_err(), "and needs no stack");

        let mut writer = Writer::default();
        let small = b"{\"a\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}";
        assert!(append(&mut writer, "document", small, 50).is_err());
    }
}
