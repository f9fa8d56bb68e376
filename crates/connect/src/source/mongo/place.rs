//! Places as text: a BSON document in base64, so that every type of `_id` and token comes back as it
//! was.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, doc};

/// Where a change stream goes on.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Resume {
    /// Behind a token of the server.
    Token(Document),
    /// At a time of the server's clock, where it gave no token yet.
    At(Timestamp),
}

/// One part of a snapshot that is not read to its end: `_id` from behind `after` up to and with
/// `until`, of the types of `kind` only where that is said.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Range {
    /// A name that `$type` takes.
    pub(super) kind: Option<String>,
    pub(super) after: Option<Bson>,
    pub(super) until: Option<Bson>,
}

/// A place in a snapshot or in the change stream behind it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChangesPlace {
    pub(super) resume: Resume,
    /// What is left of the snapshot; none: it is read.
    pub(super) ranges: Vec<Range>,
}

impl ChangesPlace {
    pub(super) fn to_text(&self) -> String {
        let resume = match &self.resume {
            Resume::Token(token) => doc! { "token": token },
            Resume::At(time) => doc! { "at": time },
        };
        let ranges = self.ranges.iter().map(|range| {
            let mut fields = Document::new();
            let kind = range.kind.clone().map(Bson::from);
            for (name, value) in [
                ("kind", kind),
                ("after", range.after.clone()),
                ("until", range.until.clone()),
            ] {
                if let Some(value) = value {
                    fields.insert(name, value);
                }
            }
            Bson::from(fields)
        });
        let ranges: Vec<Bson> = ranges.collect();
        to_text(&doc! { "resume": resume, "ranges": ranges })
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let document = from_text(text)?;
        let resume = document.get_document("resume").ok()?;
        let resume = match (resume.get_document("token"), resume.get("at")) {
            (Ok(token), _) => Resume::Token(token.clone()),
            (_, Some(Bson::Timestamp(time))) => Resume::At(*time),
            _ => return None,
        };
        let ranges = document.get_array("ranges").ok()?.iter().map(|range| {
            let range = range.as_document()?;
            Some(Range {
                kind: range.get_str("kind").ok().map(str::to_owned),
                after: range.get("after").cloned(),
                until: range.get("until").cloned(),
            })
        });
        Some(Self {
            resume,
            ranges: ranges.collect::<Option<_>>()?,
        })
    }
}

/// A document as text.
pub(super) fn to_text(document: &Document) -> String {
    // values that came from a server are written again: names without zero bytes
    let raw = RawDocumentBuf::try_from(document).unwrap_or_default();
    STANDARD_NO_PAD.encode(raw.as_bytes())
}

/// Reads what [`to_text`] wrote.
pub(super) fn from_text(text: &str) -> Option<Document> {
    let bytes = STANDARD_NO_PAD.decode(text).ok()?;
    let raw = RawDocument::from_bytes(&bytes).ok()?;
    Document::try_from(raw).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use mongodb::bson::oid::ObjectId;

    #[test]
    fn places_come_back_as_they_were() {
        let time = Timestamp {
            time: 1_700_000_000,
            increment: 7,
        };
        for resume in [
            Resume::Token(doc! { "_data": "8265", "more": [1_i64, "\"'"] }),
            Resume::At(time),
        ] {
            let ids = [
                Bson::ObjectId(ObjectId::from_bytes([7; 12])),
                Bson::Int64(1 << 60),
                Bson::Document(doc! { "a": 1, "b": f64::MAX }),
            ];
            let ranges = ids.into_iter().map(|id| Range {
                kind: Some("number".into()),
                after: Some(id.clone()),
                until: Some(id),
            });
            let place = ChangesPlace {
                resume,
                ranges: ranges.chain([Range::default()]).collect(),
            };
            assert_eq!(ChangesPlace::from_text(&place.to_text()), Some(place));
        }
        assert_eq!(ChangesPlace::from_text("no place"), None);
    }
}
