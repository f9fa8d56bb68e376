//! Breaks a finished JSON event, for producers whose events come from elsewhere.

use serde_json::Value;

use crate::dice::Dice;
use crate::event::Event;

/// How an event is broken; each kind is one that a record's contract must catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JsonFault {
    /// A payload of no bytes.
    EmptyPayload,
    /// A null payload: a tombstone.
    NullPayload,
    /// JSON cut off in its middle.
    Truncated,
    /// A second document behind the first.
    TrailingText,
    /// An array around the object.
    NotAnObject,
    /// No JSON at all.
    NotJson,
    /// The value at a JSON pointer is gone.
    Missing(&'static str),
    /// The value at a JSON pointer is replaced by this JSON text.
    Replaced(&'static str, &'static str),
    /// The value at a JSON pointer is a text whose bytes are no UTF-8.
    InvalidUtf8(&'static str),
    /// The value at a JSON pointer is hundreds of arrays in each other.
    DeepNesting(&'static str),
}

/// Stands for bytes that no JSON text can hold, until the text is written.
const PLACEHOLDER: &str = "\u{fdd0}";
/// Four times as deep as MongoDB lets a document be.
const DEPTH: usize = 400;

impl JsonFault {
    /// Breaks the event's payload and marks the event. Where the payload lacks what is to be
    /// replaced, it becomes no JSON at all: a broken event is always broken.
    pub(crate) fn apply(self, dice: &mut Dice, event: &mut Event) {
        event.mark_bad();
        let payload = event.payload_mut();
        match self {
            Self::EmptyPayload => payload.clear(),
            Self::NullPayload => event.set_null_payload(),
            // At least the opening brace stays, at most all but the closing one.
            Self::Truncated => {
                let room = u32::try_from(payload.len().saturating_sub(1)).unwrap_or(u32::MAX);
                payload.truncate(1 + dice.below(room) as usize);
            }
            Self::TrailingText => payload.extend_from_slice(b" {}"),
            Self::NotAnObject => {
                payload.insert(0, b'[');
                payload.push(b']');
            }
            Self::NotJson => not_json(payload),
            Self::Missing(place) => edit(payload, place, |_| None),
            Self::Replaced(place, text) => {
                edit(payload, place, |_| serde_json::from_str(text).ok());
            }
            Self::InvalidUtf8(place) => {
                edit(payload, place, |_| Some(Value::from(PLACEHOLDER)));
                replace(payload, PLACEHOLDER.as_bytes(), b"Zo\xE9");
            }
            Self::DeepNesting(place) => {
                edit(payload, place, |_| Some(Value::from(PLACEHOLDER)));
                let nested = "[".repeat(DEPTH) + &"]".repeat(DEPTH);
                let quoted = format!("\"{PLACEHOLDER}\"");
                replace(payload, quoted.as_bytes(), nested.as_bytes());
            }
        }
    }
}

fn not_json(payload: &mut Vec<u8>) {
    payload.clear();
    payload.extend_from_slice("paiement refusé".as_bytes());
}

/// Puts another value at a JSON pointer, or takes it away.
fn edit(payload: &mut Vec<u8>, place: &str, new: impl FnOnce(&Value) -> Option<Value>) {
    let edited = serde_json::from_slice(payload)
        .ok()
        .and_then(|mut document: Value| {
            let (parent, name) = place.rsplit_once('/')?;
            let parent = document.pointer_mut(parent)?;
            let old = match parent {
                Value::Object(fields) => fields.get_mut(name),
                Value::Array(elements) => elements.get_mut(name.parse::<usize>().ok()?),
                _ => None,
            }?;
            match new(old) {
                Some(value) => *old = value,
                None => {
                    parent.as_object_mut()?.shift_remove(name);
                }
            }
            serde_json::to_vec(&document).ok()
        });
    match edited {
        Some(edited) => *payload = edited,
        None => not_json(payload),
    }
}

fn replace(payload: &mut Vec<u8>, what: &[u8], by: &[u8]) {
    let place = payload
        .windows(what.len())
        .position(|window| window == what);
    if let Some(at) = place {
        payload.splice(at..at + what.len(), by.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::dice::Purpose;

    fn broken(fault: JsonFault) -> Option<Vec<u8>> {
        let mut event = Event::default();
        event.clear();
        event
            .payload_mut()
            .extend_from_slice(br#"{"id":"a","list":[{"n":1},null]}"#);
        fault.apply(&mut Dice::new(1, 2, Purpose::Fault), &mut event);
        assert!(event.is_bad());
        event.payload().map(<[u8]>::to_vec)
    }

    #[test]
    fn each_fault_breaks_what_it_names() {
        let text = |fault| String::from_utf8(broken(fault).unwrap()).unwrap();
        assert_eq!(broken(JsonFault::NullPayload), None);
        assert_eq!(text(JsonFault::EmptyPayload), "");
        assert_eq!(
            text(JsonFault::Missing("/id")),
            r#"{"list":[{"n":1},null]}"#
        );
        assert_eq!(
            text(JsonFault::Replaced("/list/0/n", "[true]")),
            r#"{"id":"a","list":[{"n":[true]},null]}"#
        );
        assert_eq!(
            text(JsonFault::Replaced("/list/1/n", "1")),
            text(JsonFault::NotJson)
        );
        assert_eq!(
            broken(JsonFault::InvalidUtf8("/id")).unwrap(),
            b"{\"id\":\"Zo\xE9\",\"list\":[{\"n\":1},null]}"
        );
        assert!(text(JsonFault::DeepNesting("/id")).starts_with("{\"id\":[[[["));
        assert_eq!(
            text(JsonFault::DeepNesting("/id")).matches(']').count(),
            401
        );
        let cut = text(JsonFault::Truncated);
        assert!(cut.starts_with('{') && !cut.ends_with("]}"), "{cut}");
    }
}
