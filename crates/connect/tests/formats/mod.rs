//! Kafka values beyond JSON: Avro and Protobuf by a schema registry, Debezium's changes.
//!
//! The registry of most tests is a small server of the test that speaks the two requests which a
//! reader makes ([`registry::Registered`]); `apicurio` holds the client to a real one.

mod apicurio;
mod avro;
mod debezium;
mod keyed;
mod protobuf;
mod registry;

use arrow::util::display::array_value_to_string;
use factmill_connect::decode::{Decoded, DecoderOptions, decoder_with};
use factmill_core::dead_letter::Reason;
use factmill_core::position::{Incarnation, PartitionId, SourceName};
use factmill_core::records::{Pulled, PulledPartition, Records};
use factmill_core::source::BoxedError;
use factmill_core::source_schema::{ColumnOrigin, Format, SourceColumn, SourceSchema};
use factmill_core::types::DeclaredType;

fn source() -> SourceName {
    SourceName::new("shop", "orders")
}

fn schema(columns: &[(&str, &str)]) -> SourceSchema {
    let columns = columns.iter().map(|(path, declared)| SourceColumn {
        name: path.replace('.', "_"),
        data_type: DeclaredType::parse(declared).unwrap(),
        origin: ColumnOrigin::Field(path.split('.').map(str::to_owned).collect()),
        not_null: false,
        accepted_values: Vec::new(),
    });
    SourceSchema {
        columns: columns.collect(),
        event_time: None,
        time_zone: "UTC".into(),
        key: Vec::new(),
    }
}

fn pulled(payloads: &[Option<Vec<u8>>]) -> Pulled {
    let records = payloads
        .iter()
        .map(|payload| (b"key".to_vec(), payload.clone()));
    pulled_with_keys(&records.collect::<Vec<_>>())
}

/// A pull of records with a key each.
fn pulled_with_keys(sent: &[(Vec<u8>, Option<Vec<u8>>)]) -> Pulled {
    let mut records = Records::default();
    for (offset, (key, payload)) in (0..).zip(sent) {
        records.payloads.push(payload.as_deref());
        records.keys.push(Some(key));
        records.headers.push([]);
        records.partitions.push(0);
        records.offsets.push(offset);
        records.timestamps.push(None);
    }
    Pulled {
        topic: "orders".into(),
        partitions: vec![PulledPartition {
            id: PartitionId {
                source: source(),
                partition: "0".into(),
            },
            number: 0,
            incarnation: Incarnation {
                ordinal: 1,
                identity: "cluster/topic".into(),
            },
        }],
        records,
    }
}

/// Prepares and decodes, as the epoch loop does.
async fn decode(
    format: Format,
    schema: &SourceSchema,
    options: &DecoderOptions,
    payloads: &[Vec<u8>],
) -> Result<Decoded, BoxedError> {
    let payloads: Vec<_> = payloads.iter().cloned().map(Some).collect();
    let pulled = pulled(&payloads);
    let decoder = decoder_with(format, schema, options).unwrap();
    decoder.prepare(&pulled).await?;
    Ok(decoder.decode(&source(), &pulled))
}

fn row(decoded: &Decoded, row: usize) -> Vec<String> {
    let columns = decoded.rows.columns();
    let declared = &columns[..columns.len() - 4];
    let texts = declared
        .iter()
        .map(|column| array_value_to_string(column, row).unwrap());
    texts.collect()
}

/// Offset, reason and detail of the dead letters.
fn letters(decoded: &Decoded) -> Vec<(i64, Reason, &str)> {
    let letters = decoded.dead_letters.iter();
    letters
        .map(|letter| (letter.offset, letter.reason, letter.detail.as_str()))
        .collect()
}

/// A message behind a schema id.
fn framed(id: u32, message: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), message].concat()
}

#[test]
fn formats_of_a_registry_need_one() {
    for format in [Format::Avro, Format::Protobuf, Format::DebeziumAvro] {
        let refused = decoder_with(format, &schema(&[]), &DecoderOptions::default());
        assert!(
            refused
                .err()
                .unwrap()
                .to_string()
                .contains("schema registry")
        );
    }
}
