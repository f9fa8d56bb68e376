//! What becomes of whole records: values, nulls, duplicates, dead letters.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod banking;
mod contract;
mod reference;
mod values;

use arrow::array::{Array, ArrayRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use factmill_core::dead_letter::{DeadLetter, Reason};
use factmill_core::position::{Incarnation, PartitionId, SourceName};
use factmill_core::records::{Pulled, PulledPartition, Records};
use factmill_core::source_schema::{ColumnOrigin, Format, SourceColumn, SourceSchema};
use factmill_core::types::DeclaredType;

use super::{Decoded, decoder};

fn source() -> SourceName {
    SourceName::new("banking", "transactions")
}

/// A column from the path of its name: `customer.city` is column `city` from there.
fn column(path: &str, declared: &str) -> SourceColumn {
    SourceColumn {
        name: path.rsplit('.').next().unwrap().to_owned(),
        data_type: DeclaredType::parse(declared).unwrap(),
        origin: ColumnOrigin::Field(path.split('.').map(str::to_owned).collect()),
        not_null: false,
        accepted_values: Vec::new(),
    }
}

fn schema(columns: impl IntoIterator<Item = SourceColumn>) -> SourceSchema {
    SourceSchema {
        columns: columns.into_iter().collect(),
        event_time: None,
        time_zone: "UTC".into(),
        key: Vec::new(),
    }
}

/// Payloads as records 0, 1, 2 … of partition 3.
fn pulled<'p>(payloads: impl IntoIterator<Item = Option<&'p [u8]>>) -> Pulled {
    let mut records = Records::default();
    for (offset, payload) in (0..).zip(payloads) {
        records.payloads.push(payload);
        records.keys.push(Some(b"key"));
        records.headers.push([]);
        records.partitions.push(0);
        records.offsets.push(offset);
        records
            .timestamps
            .push(Some(1_700_000_000_000_000 + offset));
    }
    Pulled {
        topic: "bank_data".into(),
        partitions: vec![PulledPartition {
            id: PartitionId {
                source: source(),
                partition: "3".into(),
            },
            number: 3,
            incarnation: Incarnation {
                ordinal: 2,
                identity: "cluster/topic".into(),
            },
        }],
        records,
    }
}

fn decode(schema: &SourceSchema, pulled: &Pulled) -> Decoded {
    let decoded = decoder(Format::Json, schema)
        .unwrap()
        .decode(&source(), pulled);
    assert_eq!(decoded.rows.schema(), schema.arrow_schema());
    decoded
}

fn decode_texts(schema: &SourceSchema, payloads: &[&str]) -> Decoded {
    decode(
        schema,
        &pulled(payloads.iter().map(|payload| Some(payload.as_bytes()))),
    )
}

/// Every value of an array as Arrow prints it, `null` for nulls.
fn shown(array: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::new().with_null("null");
    let formatter = ArrayFormatter::try_new(array, &options).unwrap();
    (0..array.len())
        .map(|row| formatter.value(row).to_string())
        .collect()
}

/// What the column of one declared type becomes of `value`: its text, or the reason it is refused.
fn single(declared: &str, value: &str) -> Result<String, Reason> {
    let decoded = decode_texts(
        &schema([column("v", declared)]),
        &[&format!("{{\"v\":{value}}}")],
    );
    match decoded.dead_letters.as_slice() {
        [] => Ok(shown(decoded.rows.column(0)).remove(0)),
        [letter] => {
            assert_eq!(letter.field.as_deref(), Some("v"), "{letter:?}");
            assert_eq!(decoded.rows.num_rows(), 0);
            Err(letter.reason)
        }
        more => panic!("one record made {} dead letters", more.len()),
    }
}

/// Reason, field and offset of dead letters.
fn summary(letters: &[DeadLetter]) -> Vec<(Reason, Option<&str>, i64)> {
    letters
        .iter()
        .map(|letter| (letter.reason, letter.field.as_deref(), letter.offset))
        .collect()
}
