//! Records inside a JSON document, as the bytes that stand there.

use std::ops::Range;

use crate::decode::scan::{Broken, Scanner};

/// A JSON pointer (RFC 6901): the names that lead to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    written: String,
    segments: Vec<String>,
}

impl Pointer {
    /// The empty pointer: the whole document.
    pub(super) fn whole() -> Self {
        Self {
            written: String::new(),
            segments: Vec::new(),
        }
    }

    /// Reads `/data/items`; `None` where the text is no pointer.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::whole());
        }
        let segments = text.strip_prefix('/')?.split('/');
        Some(Self {
            written: text.to_owned(),
            segments: segments
                .map(|segment| segment.replace("~1", "/").replace("~0", "~"))
                .collect(),
        })
    }

    /// As it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.written
    }

    /// Where its value stands in `text`, the last one of several names alike; `None` where there is
    /// none.
    pub(super) fn find(&self, text: &str) -> Result<Option<Range<usize>>, Broken> {
        let mut found = whole_value(text)?;
        for segment in &self.segments {
            let inside = match text.as_bytes()[found.start] {
                b'{' => member(&text[found.clone()], segment)?,
                b'[' => element(&text[found.clone()], segment)?,
                _ => None,
            };
            let Some(inside) = inside else {
                return Ok(None);
            };
            found = found.start + inside.start..found.start + inside.end;
        }
        Ok(Some(found))
    }

    /// The text or number at the pointer, as a parameter would carry it.
    pub(super) fn text(&self, text: &str) -> Result<Option<String>, Broken> {
        let Some(found) = self.find(text)? else {
            return Ok(None);
        };
        let value = &text[found];
        let mut scratch = String::new();
        let mut scanner = Scanner::new(value, &mut scratch);
        Ok(match scanner.peek() {
            b'"' => {
                scanner.eat(b'"');
                let string = scanner.string()?;
                Some(scanner.value(string).to_owned())
            }
            b'-' | b'0'..=b'9' => Some(value.to_owned()),
            _ => None,
        })
    }
}

/// The document's value without the white space around it; it is the whole of `text`.
fn whole_value(text: &str) -> Result<Range<usize>, Broken> {
    let mut scratch = String::new();
    let mut scanner = Scanner::new(text, &mut scratch);
    scanner.peek();
    let start = scanner.at();
    scanner.skip()?;
    let end = scanner.at();
    scanner.end()?;
    Ok(start..end)
}

fn member(object: &str, wanted: &str) -> Result<Option<Range<usize>>, Broken> {
    let mut scratch = String::new();
    let mut scanner = Scanner::new(object, &mut scratch);
    let mut found = None;
    scanner.peek();
    scanner.open()?;
    if scanner.closes(b'}') {
        return Ok(None);
    }
    loop {
        let name = scanner.name()?;
        let matches = scanner.value(name) == wanted;
        scanner.peek();
        let start = scanner.at();
        scanner.skip()?;
        if matches {
            found = Some(start..scanner.at());
        }
        if !scanner.more(b'}')? {
            return Ok(found);
        }
    }
}

fn element(array: &str, wanted: &str) -> Result<Option<Range<usize>>, Broken> {
    let Ok(index) = wanted.parse::<usize>() else {
        return Ok(None);
    };
    Ok(elements(array)?.into_iter().nth(index))
}

/// Where each element of an array stands in its text.
pub(super) fn elements(array: &str) -> Result<Vec<Range<usize>>, Broken> {
    let mut scratch = String::new();
    let mut scanner = Scanner::new(array, &mut scratch);
    let mut found = Vec::new();
    scanner.expect(b'[', "`[`")?;
    scanner.rewind(scanner.at() - 1);
    scanner.open()?;
    if scanner.closes(b']') {
        return Ok(found);
    }
    loop {
        scanner.peek();
        let start = scanner.at();
        scanner.skip()?;
        found.push(start..scanner.at());
        if !scanner.more(b']')? {
            return Ok(found);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    fn at<'t>(pointer: &str, text: &'t str) -> Option<&'t str> {
        let found = Pointer::parse(pointer).unwrap().find(text).unwrap();
        found.map(|range| &text[range])
    }

    #[test]
    fn a_pointer_leads_to_the_bytes_that_stand_there() {
        let text = r#" {"data": {"a/b": [1, {"x~": 7.50}], "": null}, "n":1, "n": 2} "#;
        assert_eq!(at("", text), Some(text.trim()));
        assert_eq!(at("/data/a~1b/1/x~0", text), Some("7.50"));
        assert_eq!(at("/data/", text), Some("null"));
        assert_eq!(at("/n", text), Some("2"), "the last of two names counts");
        for nowhere in ["/x", "/n/x", "/data/a~1b/2", "/data/a~1b/x"] {
            assert_eq!(at(nowhere, text), None, "{nowhere}");
        }
        assert_eq!(Pointer::parse("data"), None);
    }

    #[test]
    fn a_cursor_is_a_text_or_a_number() {
        let text = r#"{"a":"x\u0041","b":12,"c":null,"d":{}}"#;
        let cursor = |pointer: &str| Pointer::parse(pointer).unwrap().text(text).unwrap();
        assert_eq!(cursor("/a").as_deref(), Some("xA"));
        assert_eq!(cursor("/b").as_deref(), Some("12"));
        assert_eq!(cursor("/c"), None);
        assert_eq!(cursor("/d"), None);
    }

    #[test]
    fn elements_keep_their_bytes() {
        let text = r#"[ {"a": 1.0} , null,[2]]"#;
        let found: Vec<_> = elements(text)
            .unwrap()
            .into_iter()
            .map(|range| &text[range])
            .collect();
        assert_eq!(found, [r#"{"a": 1.0}"#, "null", "[2]"]);
        assert!(elements("[]").unwrap().is_empty());
        assert!(elements("{}").is_err());
        assert!(elements("[1,").is_err());
    }
}
