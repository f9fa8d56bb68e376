//! The document of one record, and batches of them.

use std::fmt::Write as _;
use std::ops::Range;

use factmill_core::records::Pulled;
use mongodb::bson::spec::ElementType;

use super::bson::{Open, Writer};
use super::error::RawStoreError;
use super::json;

/// Most bytes of a document that every server takes: MongoDB's 16 MiB, less what the command around
/// it needs.
const LARGEST_DOCUMENT: usize = (16 << 20) - (16 << 10);

/// A batch is sent once it has this many bytes; with a document that is larger alone it is as large
/// as that one. A command is a document too, so the limit of documents holds for it.
const BATCH_BYTES: usize = 8 << 20;

/// Most documents of a batch; servers take 100,000.
const BATCH_DOCUMENTS: usize = 10_000;

/// What a document needs besides payload, key, headers and id.
const FRAME: usize = 4_096;

/// The insert command of one batch, written as the documents come.
#[derive(Debug)]
pub(super) struct Batch {
    writer: Writer,
    command: Open,
    documents: Open,
    /// Where each document stands in the command.
    ranges: Vec<Range<usize>>,
}

impl Batch {
    /// An empty batch into a collection.
    pub(super) fn new(collection: &str) -> Self {
        let mut writer = Writer::default();
        let command = writer.begin();
        // the command's name comes first
        writer.string("insert", collection);
        // a duplicate must not keep the documents behind it out
        writer.boolean("ordered", false);
        let concern = writer.begin_element(ElementType::EmbeddedDocument, "writeConcern");
        writer.string("w", "majority");
        writer.end(concern);
        let documents = writer.begin_element(ElementType::Array, "documents");
        Self {
            writer,
            command,
            documents,
            ranges: Vec::new(),
        }
    }

    /// Whether it should be sent before the record at `index` is added.
    pub(super) fn is_full_for(&self, pulled: &Pulled, index: usize) -> bool {
        let records = &pulled.records;
        // a guess: numbers grow in BSON, names of items too, but not without bound
        let next = records.payloads.get(index).map_or(0, <[u8]>::len);
        !self.ranges.is_empty()
            && (self.ranges.len() >= BATCH_DOCUMENTS
                || self.writer.bytes.len() + next >= BATCH_BYTES)
    }

    /// Adds the document of a record.
    ///
    /// # Errors
    /// [`RawStoreError::TooLarge`].
    pub(super) fn push(&mut self, pulled: &Pulled, index: usize) -> Result<(), RawStoreError> {
        let writer = &mut self.writer;
        let undo = writer.bytes.len();
        writer.bytes.push(ElementType::EmbeddedDocument as u8);
        json::push_decimal(&mut writer.bytes, self.ranges.len() as u32);
        writer.bytes.push(0);
        let start = writer.bytes.len();
        record(writer, pulled, index);
        let bytes = writer.bytes.len() - start;
        if bytes > LARGEST_DOCUMENT {
            writer.bytes.truncate(undo);
            return Err(RawStoreError::TooLarge {
                id: id(pulled, index),
                bytes,
                limit: LARGEST_DOCUMENT,
            });
        }
        self.ranges.push(start..writer.bytes.len());
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The command, and where each document stands in it.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<Range<usize>>) {
        self.writer.end(self.documents);
        self.writer.end(self.command);
        (self.writer.bytes, self.ranges)
    }
}

/// `topic:partition:offset`, from the second incarnation on `topic@<incarnation>:partition:offset`.
pub(super) fn id(pulled: &Pulled, index: usize) -> String {
    let partition = &pulled.partitions[pulled.records.partitions[index] as usize];
    let mut id = pulled.topic.clone();
    let offset = pulled.records.offsets[index];
    let (number, ordinal) = (partition.number, partition.incarnation.ordinal);
    // writing to a string cannot fail
    let _ = match ordinal {
        1 => write!(id, ":{number}:{offset}"),
        _ => write!(id, "@{ordinal}:{number}:{offset}"),
    };
    id
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
        let mut batch = Batch::new("transactions");
        for index in 0..pulled.records.len() {
            batch.push(pulled, index).unwrap();
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
        let mut batch = Batch::new("transactions");
        let error = batch.push(&pulled(1, &[Some(&huge)]), 0).unwrap_err();
        assert!(error.to_string().contains("bank_data:3:40"), "{error}");
        assert!(batch.is_empty());
    }

    #[test]
    fn a_batch_is_full_before_its_command_grows_too_large() {
        let large = vec![b'x'; 5 << 20];
        let pulled = pulled(1, &[Some(&large), Some(&large)]);
        let mut batch = Batch::new("transactions");
        assert!(!batch.is_full_for(&pulled, 0), "one document always fits");
        batch.push(&pulled, 0).unwrap();
        assert!(batch.is_full_for(&pulled, 1));
    }
}
