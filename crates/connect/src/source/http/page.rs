//! One answer of a polled endpoint: its bytes, and where its records stand in them.

use std::ops::Range;

use super::document::{Pointer, elements};
use super::error::HttpSourceError;
use crate::decode::scan::Broken;

/// An answer whose records are known.
pub(super) struct Page {
    text: String,
    records: Vec<Range<usize>>,
}

impl Page {
    /// Finds the records of `body` at `pointer`: the elements of an array, or one object. An empty
    /// body and `null` hold none.
    pub(super) fn new(
        place: &str,
        pointer: &Pointer,
        body: Vec<u8>,
    ) -> Result<Self, HttpSourceError> {
        let broken = |broken| {
            let (at, expected) = match broken {
                Broken::Malformed { at, expected } => (at, expected),
                Broken::TooDeep { at } => (at, "at most 100 open objects and arrays"),
            };
            HttpSourceError::Malformed {
                place: place.to_owned(),
                at,
                expected,
            }
        };
        let text = String::from_utf8(body).map_err(|error| {
            broken(Broken::Malformed {
                at: error.utf8_error().valid_up_to(),
                expected: "UTF-8",
            })
        })?;
        if text.trim().is_empty() {
            return Ok(Self {
                text,
                records: Vec::new(),
            });
        }
        let found = pointer.find(&text).map_err(broken)?;
        let records = match found.clone().map(|found| text.as_bytes()[found.start]) {
            Some(b'[') => {
                let found = found.unwrap_or_default();
                let inside = elements(&text[found.clone()]).map_err(broken)?;
                let shift =
                    |range: Range<usize>| found.start + range.start..found.start + range.end;
                inside.into_iter().map(shift).collect()
            }
            Some(b'{') => Vec::from_iter(found),
            Some(b'n') => Vec::new(),
            _ => {
                return Err(HttpSourceError::NoRecords {
                    place: place.to_owned(),
                    pointer: pointer.as_str().to_owned(),
                });
            }
        };
        Ok(Self { text, records })
    }

    /// Whether it has no record.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The bytes of a record.
    pub(super) fn record(&self, index: u64) -> Option<&[u8]> {
        let range = self.records.get(usize::try_from(index).ok()?)?;
        Some(self.text[range.clone()].as_bytes())
    }

    /// The last record.
    pub(super) fn last(&self) -> Option<&str> {
        self.records.last().map(|range| &self.text[range.clone()])
    }

    /// The text or number at `pointer` in the whole answer.
    pub(super) fn text(&self, pointer: &Pointer) -> Option<String> {
        pointer.text(&self.text).ok().flatten()
    }

    /// Whether `true` stands at `pointer`.
    pub(super) fn is_true(&self, pointer: &Pointer) -> bool {
        let found = pointer.find(&self.text).ok().flatten();
        found.is_some_and(|range| &self.text[range] == "true")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    fn records(pointer: &str, body: &str) -> Result<Vec<String>, HttpSourceError> {
        let pointer = Pointer::parse(pointer).unwrap();
        let page = Page::new("http://h/", &pointer, body.as_bytes().to_vec())?;
        let texts = (0..).map_while(|index| page.record(index));
        Ok(texts
            .map(|text| String::from_utf8(text.to_vec()).unwrap())
            .collect())
    }

    #[test]
    fn records_are_the_elements_or_the_one_object() {
        assert_eq!(
            records("", r#" [{"a":1}, {"a":2}] "#).unwrap(),
            [r#"{"a":1}"#, r#"{"a":2}"#]
        );
        assert_eq!(records("", r#" {"a":1} "#).unwrap(), [r#"{"a":1}"#]);
        assert_eq!(records("/d", r#"{"d":[{"a":1}]}"#).unwrap(), [r#"{"a":1}"#]);
        for none in ["", "  ", "null", "[]"] {
            assert_eq!(records("", none).unwrap().len(), 0, "{none}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_short_is_no_page() {
        for broken in [r#"[{"a":1},"#, r#"{"a":1"#, "<html>", "[1] x"] {
            assert!(
                matches!(records("", broken), Err(HttpSourceError::Malformed { .. })),
                "{broken}"
            );
        }
        assert!(matches!(
            records("/d", "{}"),
            Err(HttpSourceError::NoRecords { .. })
        ));
        assert!(matches!(
            records("", "12"),
            Err(HttpSourceError::NoRecords { .. })
        ));
    }
}
