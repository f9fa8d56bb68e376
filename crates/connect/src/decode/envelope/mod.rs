//! Debezium's envelope around changes of a table: `{"before":…,"after":…,"op":"u",…}`.
//!
//! A created, updated or read row (`c`, `u`, `r`) is decoded from `after`; a deleted one (`d`) says
//! that its key is deleted, as an empty payload does. The converter's outer object with `schema` and
//! `payload` is looked through. Anything else is a dead letter: `truncate` (`t`) empties a table,
//! which no key tells, and `message` (`m`) is no row. Flattened records (Debezium's
//! `ExtractNewRecordState`) are plain JSON or Avro.
//!
//! Let the connector write exact values: `decimal.handling.mode=string`, and for JSON
//! `time.precision.mode=isostring`; its default forms are numbers and bytes that say nothing of
//! their unit.

use std::ops::Range;

use async_trait::async_trait;
use factmill_core::dead_letter::Reason;
use factmill_core::records::Pulled;
use factmill_core::source::BoxedError;

use super::column::kind_name;
use super::contract::whole_record;
use super::fault::Rejection;
use super::record::Transcode;
use super::scan::{Broken, Scanner};

/// Looks into the envelope that another format says in JSON.
pub(super) struct Envelope<T>(pub(super) T);

#[async_trait]
impl<T: Transcode> Transcode for Envelope<T> {
    fn document<'p>(
        &self,
        payload: &'p [u8],
        buffer: &'p mut Vec<u8>,
    ) -> Result<Option<&'p [u8]>, Rejection> {
        match self.0.document(payload, buffer)? {
            Some(json) => row(json),
            None => Ok(None),
        }
    }

    fn key<'p>(&self, key: &'p [u8], buffer: &'p mut Vec<u8>) -> Result<&'p [u8], Rejection> {
        let key = self.0.key(key, buffer)?;
        Ok(unwrapped(key))
    }

    async fn prepare(&self, pulled: &Pulled) -> Result<(), BoxedError> {
        self.0.prepare(pulled).await
    }
}

/// The key inside the converter's outer object with `schema` and `payload`, where there is one.
fn unwrapped(key: &[u8]) -> &[u8] {
    let Ok(text) = std::str::from_utf8(key) else {
        return key;
    };
    match Members::read(text) {
        Ok(Members {
            payload: Some(payload),
            ..
        }) if text[payload.clone()].starts_with('{') => text[payload].as_bytes(),
        // what is wrong with it, its decoder says
        _ => key,
    }
}

/// The row after the change; `None` where it is deleted.
fn row(envelope: &[u8]) -> Result<Option<&[u8]>, Rejection> {
    let text = std::str::from_utf8(envelope).map_err(|error| {
        whole_record(
            Reason::InvalidUtf8,
            format!("the payload is no UTF-8: {error}"),
        )
    })?;
    let malformed = |detail: &str| Err(whole_record(Reason::Malformed, detail.to_owned()));
    let mut members = Members::read(text)?;
    let mut text = text;
    if let (None, Some(payload)) = (&members.op, &members.payload) {
        text = &text[payload.clone()];
        if text == "null" {
            return Ok(None);
        }
        members = Members::read(text)?;
    }
    let Some(op) = members.op else {
        return malformed("no Debezium envelope: it has no `op`; flattened records are plain json");
    };
    match &text[op] {
        "\"c\"" | "\"u\"" | "\"r\"" => match members.after {
            Some(after) if text[after.clone()].starts_with('{') => Ok(Some(text[after].as_bytes())),
            Some(after) => {
                let found = kind_name(text.as_bytes()[after.start]);
                malformed(&format!("expected an object in `after`, found {found}"))
            }
            None => malformed("the envelope has no `after`"),
        },
        "\"d\"" => Ok(None),
        "\"t\"" => malformed(
            "the table was truncated, which deletes rows without naming keys; reset the job",
        ),
        other => malformed(&format!("`op` {other} is none of c, u, r, d")),
    }
}

/// Where the members of an envelope stand.
#[derive(Default)]
struct Members {
    op: Option<Range<usize>>,
    after: Option<Range<usize>>,
    payload: Option<Range<usize>>,
}

impl Members {
    fn read(text: &str) -> Result<Self, Rejection> {
        let mut scratch = String::new();
        let mut scanner = Scanner::new(text, &mut scratch);
        let kind = scanner.peek();
        if kind != b'{' {
            let detail = format!("expected a Debezium envelope, found {}", kind_name(kind));
            return Err(whole_record(Reason::WrongType, detail));
        }
        Ok(Self::of(&mut scanner)?)
    }

    fn of(scanner: &mut Scanner<'_>) -> Result<Self, Broken> {
        let mut found = Self::default();
        scanner.open()?;
        if scanner.closes(b'}') {
            return Ok(found);
        }
        loop {
            let name = scanner.name()?;
            let member = match scanner.value(name) {
                "op" => Some(&mut found.op),
                "after" => Some(&mut found.after),
                "payload" => Some(&mut found.payload),
                _ => None,
            };
            scanner.peek();
            let start = scanner.at();
            scanner.skip()?;
            if let Some(member) = member {
                *member = Some(start..scanner.at());
            }
            if !scanner.more(b'}')? {
                break;
            }
        }
        scanner.end()?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(envelope: &str) -> Result<Option<&str>, Reason> {
        match row(envelope.as_bytes()) {
            Ok(row) => Ok(row.and_then(|row| std::str::from_utf8(row).ok())),
            Err(rejection) => Err(rejection.reason),
        }
    }

    #[test]
    fn a_change_is_its_row_or_a_deletion() {
        for op in ["c", "u", "r"] {
            let envelope =
                format!(r#"{{"before":null,"after":{{"id": 1}},"op":"{op}","ts_ms":1}}"#);
            assert_eq!(said(&envelope), Ok(Some(r#"{"id": 1}"#)));
        }
        assert_eq!(
            said(r#"{"op":"d","before":{"id":1},"after":null}"#),
            Ok(None)
        );
        assert_eq!(
            said(r#"{"schema":{"op":1},"payload":{"after":{"a":2},"op":"c"}}"#),
            Ok(Some(r#"{"a":2}"#))
        );
        assert_eq!(said(r#"{"schema":null,"payload":null}"#), Ok(None));
    }

    #[test]
    fn what_is_no_change_of_a_row_is_refused() {
        for (envelope, reason) in [
            (r#"{"id":1}"#, Reason::Malformed),
            (r#"{"op":"t","after":null}"#, Reason::Malformed),
            (r#"{"op":"u","after":null}"#, Reason::Malformed),
            (r#"{"op":"u"}"#, Reason::Malformed),
            (r#"{"op":"u","after":{}"#, Reason::Malformed),
            (r#"{"op":"u","after":{}} x"#, Reason::Malformed),
            ("[]", Reason::WrongType),
        ] {
            assert_eq!(said(envelope), Err(reason), "{envelope}");
        }
    }
}
