//! Rows like those of `banking.fct_transactions`, with the order column.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Decimal128Array, FixedSizeBinaryArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use factmill_core::order::OrderKey;
use factmill_core::table::{Column, Maintenance, ORDER_COLUMN, Table, TableName};
use factmill_core::types::DeclaredType;

const COLUMNS: [(&str, &str); 11] = [
    ("transaction_id", "uuid"),
    ("ts", "timestamptz"),
    ("account_id", "text"),
    ("customer_id", "text"),
    ("merchant_id", "text"),
    ("amount", "numeric(18,2)"),
    ("currency", "text"),
    ("transaction_type", "text"),
    ("day_type", "text"),
    ("channel", "text"),
    ("status", "text"),
];

/// The table, keyed by `transaction_id`.
pub(crate) fn table(name: &str) -> Table {
    Table {
        name: TableName {
            schema: "banking".into(),
            name: name.into(),
        },
        model: name.into(),
        columns: COLUMNS
            .iter()
            .map(|(name, data_type)| Column {
                name: (*name).into(),
                data_type: DeclaredType::parse(data_type).unwrap(),
                not_null: false,
                description: None,
            })
            .collect(),
        maintenance: Maintenance::Upsert {
            unique_key: vec!["transaction_id".into()],
            deletes: false,
        },
        description: None,
    }
}

/// Names and types as the encoder takes them.
#[allow(
    dead_code,
    reason = "one of the two benches that share this file uses it"
)]
pub(crate) fn columns(table: &Table) -> Vec<(String, DeclaredType)> {
    let user = table
        .columns
        .iter()
        .map(|column| (column.name.clone(), column.data_type.clone()));
    user.chain([(ORDER_COLUMN.to_owned(), DeclaredType::Bytea)])
        .collect()
}

/// `count` rows with random ids, in the order of their offsets from `first`.
///
/// The same `seed` and offsets give the same ids.
pub(crate) fn rows(first: i64, count: usize, seed: u64) -> RecordBatch {
    let offsets = first..first + count as i64;
    let id = |offset: i64| {
        uuid::Uuid::new_v5(&uuid::Uuid::from_u64_pair(seed, 0), &offset.to_be_bytes())
    };
    let word = |words: &[&str]| -> ArrayRef {
        let values = offsets
            .clone()
            .map(|offset| words[offset as usize % words.len()]);
        Arc::new(StringArray::from_iter_values(values))
    };
    let numbered = |prefix: &str, modulus: i64| -> ArrayRef {
        let values = offsets
            .clone()
            .map(|offset| format!("{prefix}-{:07}", offset % modulus));
        Arc::new(StringArray::from_iter_values(values))
    };
    let micros = |offset: i64| 1_704_067_200_000_000 + offset * 5_000_000;
    let ids: Vec<u8> = offsets
        .clone()
        .flat_map(|offset| *id(offset).as_bytes())
        .collect();
    let orders = offsets.clone().map(|offset| {
        let mut order = Vec::new();
        OrderKey {
            event_time: Some(micros(offset)),
            topic: "bank_data",
            incarnation: 1,
            partition: (offset % 4) as i32,
            offset,
            index: 0,
        }
        .encode(&mut order);
        order
    });
    let amounts = offsets
        .clone()
        .map(|offset| i128::from(offset * 7_919 % 1_000_000 - 300_000));
    let merchants = offsets
        .clone()
        .map(|offset| (offset % 3 != 0).then(|| format!("mrc-{:05}", offset % 5_000)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(FixedSizeBinaryArray::new(16, ids.into(), None)),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(offsets.clone().map(micros))
                .with_timezone("UTC"),
        ),
        numbered("acc", 20_000),
        numbered("cus", 10_000),
        Arc::new(merchants.collect::<StringArray>()),
        Arc::new(
            Decimal128Array::from_iter_values(amounts)
                .with_precision_and_scale(18, 2)
                .unwrap(),
        ),
        word(&["EUR"]),
        word(&[
            "card_payment",
            "transfer",
            "deposit",
            "withdrawal",
            "direct_debit",
        ]),
        word(&["weekday", "weekday", "weekend"]),
        word(&["web", "mobile", "branch", "atm", "api"]),
        word(&["completed", "completed", "completed", "pending", "failed"]),
        Arc::new(BinaryArray::from_iter_values(orders)),
    ];
    let names = COLUMNS.iter().map(|(name, _)| *name).chain([ORDER_COLUMN]);
    let fields: Vec<_> = names
        .zip(&columns)
        .map(|(name, column)| Field::new(name, column.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}
