//! The document of one record, and batches of them.

use std::fmt::Write as _;

use factmill_core::order::RecordPlace;
use factmill_core::records::Pulled;
use mongodb::bson::spec::ElementType;

use super::error::RawStoreError;
use super::json;
use crate::sink::bson::Writer;
use crate::sink::write_command::{Command, LARGEST_DOCUMENT, TooLarge};

/// What a document needs besides payload, key, headers and id.
const FRAME: usize = 4_096;

/// Whether a batch should be sent before the record at `index` is added.
pub(super) fn is_full(batch: &Command, pulled: &Pulled, index: usize) -> bool {
    // a guess: numbers grow in BSON, names of items too, but not without bound
    let next = pulled.records.payloads.get(index).map_or(0, <[u8]>::len);
    batch.is_full_for(next)
}

/// Adds the document of a record to a batch.
///
/// # Errors
/// [`RawStoreError::TooLarge`].
pub(super) fn push(
    batch: &mut Command,
    pulled: &Pulled,
    index: usize,
) -> Result<(), RawStoreError> {
    let pushed = batch.push(|writer| record(writer, pulled, index));
    pushed.map_err(|TooLarge(bytes)| RawStoreError::TooLarge {
        id: id(pulled, index),
        bytes,
        limit: LARGEST_DOCUMENT,
    })
}

fn id(pulled: &Pulled, index: usize) -> String {
    let partition = &pulled.partitions[pulled.records.partitions[index] as usize];
    let place = RecordPlace {
        topic: pulled.topic.as_str().into(),
        incarnation: partition.incarnation.ordinal,
        partition: partition.number,
        offset: pulled.records.offsets[index],
    };
    let mut id = String::new();
    write_raw_id(&mut id, &place);
    id
}

/// Appends the `_id` of a record's raw document: `topic:partition:offset`, from the second
/// incarnation on `topic@<incarnation>:partition:offset`.
pub(in crate::sink) fn write_raw_id(id: &mut String, place: &RecordPlace<'_>) {
    let RecordPlace {
        topic,
        incarnation,
        partition,
        offset,
    } = place;
    // writing to a string cannot fail
    let _ = match incarnation {
        1 => write!(id, "{topic}:{partition}:{offset}"),
        _ => write!(id, "{topic}@{incarnation}:{partition}:{offset}"),
    };
}

/// Writes the document of a record.
fn record(writer: &mut Writer, pulled: &Pulled, index: usize) {
    let records = &pulled.records;
    let partition = &pulled.partitions[records.partitions[index] as usize];
    let open = writer.begin();
    writer.string("_id", &id(pulled, index));
    writer.string("topic", &pulled.topic);
    writer.int32("incarnation", partition.incarnation.ordinal);
    writer.int32("partition", partition.number);
    writer.int64("offset", records.offsets[index]);
    match records.timestamps[index] {
        Some(micros) => writer.datetime("timestamp", micros.div_euclid(1_000)),
        None => writer.null("timestamp"),
    }
    writer.text_or_binary("key", records.keys.get(index));
    headers(writer, pulled, index);
    let payload = records.payloads.get(index);
    let undo = writer.bytes.len();
    let limit = LARGEST_DOCUMENT.saturating_sub(writer.length_of(&open) + FRAME);
    let document = payload.map(|payload| json::append(writer, "document", payload, limit));
    if document != Some(Ok(())) {
        writer.bytes.truncate(undo);
        match payload {
            Some(payload) => writer.binary("payload", payload),
            None => writer.null("payload"),
        }
    }
    writer.end(open);
}

/// Writes the headers as an array of `{name, value}`.
fn headers(writer: &mut Writer, pulled: &Pulled, index: usize) {
    let array = writer.begin_element(ElementType::Array, "headers");
    for (at, (name, value)) in pulled.records.headers.get(index).enumerate() {
        let item = json::item_name(at);
        let header = writer.begin_element(ElementType::EmbeddedDocument, &item);
        writer.text_or_binary("name", Some(name));
        writer.text_or_binary("value", value);
        writer.end(header);
    }
    writer.end(array);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;
    use crate::sink::write_command::Verb;
    use factmill_core::position::{Incarnation, PartitionId, SourceName};
    use factmill_core::records::{PulledPartition, Records};
    use mongodb::bson::{Bson, DateTime, Document, RawDocument, doc};

    fn pulled(ordinal: i32, payloads: &[Option<&[u8]>]) -> Pulled {
        let mut records = Records::default();
        for (at, payload) in payloads.iter().enumerate() {
            records.payloads.push(*payload);
            records.keys.push(Some(b"FR76"));
            records
                .headers
                .push([("source", Some(&b"web"[..])), ("raw", Some(&b"\xff"[..]))]);
            records.partitions.push(0);
            records.offsets.push(40 + at as i64);
            records.timestamps.push(Some(1_700_000_000_123_000));
        }
        Pulled {
            topic: "bank_data".into(),
            partitions: vec![PulledPartition {
                id: PartitionId {
                    source: SourceName::new("banking", "transactions"),
                    partition: "3".into(),
                },
                number: 3,
                incarnation: Incarnation {
                    ordinal,
                    identity: "c/t".into(),
                },
            }],
            records,
        }
    }

    fn documents(pulled: &Pulled) -> Vec<Document> {
        let mut batch = Command::new(Verb::Insert, "transactions");
        for index in 0..pulled.records.len() {
            push(&mut batch, pulled, index).unwrap();
        }
        let (command, ranges) = batch.finish();
        let whole = RawDocument::from_bytes(&command).unwrap();
        let whole = Document::try_from(whole).unwrap();
        assert_eq!(whole.keys().next().map(String::as_str), Some("insert"));
        let inside: Vec<Document> = whole
            .get_array("documents")
            .unwrap()
            .iter()
            .map(|document| document.as_document().unwrap().clone())
            .collect();
        for (range, document) in ranges.into_iter().zip(&inside) {
            let alone = RawDocument::from_bytes(&command[range]).unwrap();
            assert_eq!(&Document::try_from(alone).unwrap(), document);
        }
        inside
    }

    fn binary(bytes: &[u8]) -> Bson {
        Bson::Binary(mongodb::bson::Binary {
            subtype: mongodb::bson::spec::BinarySubtype::Generic,
            bytes: bytes.to_vec(),
        })
    }

    #[test]
    fn a_json_object_is_a_document_and_anything_else_stays_bytes() {
        let pulled = pulled(
            1,
            &[
                Some(br#"{"amount":"12.50"}"#),
                Some(b"{broken"),
                None,
                Some(b""),
            ],
        );
        let documents = documents(&pulled);
        let expected = doc! {
            "_id": "bank_data:3:40",
            "topic": "bank_data",
            "incarnation": 1,
            "partition": 3,
            "offset": 40_i64,
            "timestamp": DateTime::from_millis(1_700_000_000_123),
            "key": "FR76",
            "headers": [
                { "name": "source", "value": "web" },
                { "name": "raw", "value": binary(b"\xff") },
            ],
            "document": { "amount": "12.50" },
        };
        assert_eq!(documents[0], expected);
        assert_eq!(documents[1].get("payload"), Some(&binary(b"{broken")));
        assert_eq!(documents[2].get("payload"), Some(&Bson::Null));
        assert_eq!(documents[3].get("payload"), Some(&binary(b"")));
        assert!(
            documents[1..]
                .iter()
                .all(|document| !document.contains_key("document"))
        );
    }

    #[test]
    fn later_incarnations_have_ids_of_their_own() {
        assert_eq!(id(&pulled(1, &[None]), 0), "bank_data:3:40");
        assert_eq!(id(&pulled(2, &[None]), 0), "bank_data@2:3:40");
    }

    #[test]
    fn five_megabytes_pass_and_what_no_document_holds_is_named() {
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(5 << 20));
        assert!(documents(&pulled(1, &[Some(large.as_bytes())]))[0].contains_key("document"));
        // six times as large in BSON: kept as bytes
        let ones = format!("{{\"a\":[{}1]}}", "1,".repeat(2 << 20));
        assert!(documents(&pulled(1, &[Some(ones.as_bytes())]))[0].contains_key("payload"));

        let huge = vec![b'x'; 17 << 20];
        let mut batch = Command::new(Verb::Insert, "transactions");
        let error = push(&mut batch, &pulled(1, &[Some(&huge)]), 0).unwrap_err();
        assert!(error.to_string().contains("bank_data:3:40"), "{error}");
        assert!(batch.is_empty());
    }

    #[test]
    fn a_batch_is_full_before_its_command_grows_too_large() {
        let large = vec![b'x'; 5 << 20];
        let pulled = pulled(1, &[Some(&large), Some(&large)]);
        let mut batch = Command::new(Verb::Insert, "transactions");
        assert!(!is_full(&batch, &pulled, 0), "one document always fits");
        push(&mut batch, &pulled, 0).unwrap();
        assert!(is_full(&batch, &pulled, 1));
    }
}
