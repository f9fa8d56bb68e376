//! How fast documents become columns, on one core: `cargo bench -p factmill-connect --bench bson`.
//!
//! `factmill` is the decoder, by a contract of 17 values an event; `bson::Document` is the driver's
//! way: each document is built from its bytes, and the same fields are looked up in it and pushed
//! into plain Arrow builders, without any check of a contract.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

mod pulled;

use std::hint::black_box;

use arrow::array::{ArrayRef, StringBuilder, TimestampMicrosecondBuilder};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use factmill_connect::decode::decoder;
use factmill_core::position::SourceName;
use factmill_core::records::{Pulled, Records};
use factmill_core::source_schema::{ColumnOrigin, Format, SourceColumn, SourceSchema};
use factmill_core::types::DeclaredType;
use mongodb::bson::{Bson, DateTime, Document, RawDocumentBuf, doc};

const EVENTS: i64 = 20_000;

/// Path and declared type of each value.
const COLUMNS: [(&str, &str); 17] = [
    ("transaction_id", "uuid"),
    ("timestamp", "timestamptz"),
    ("account_id", "text"),
    ("customer.customer_id", "text"),
    ("customer.name", "text"),
    ("customer.city", "text"),
    ("customer.email", "text"),
    ("amount", "numeric(18,2)"),
    ("currency", "text"),
    ("transaction_type", "text"),
    ("merchant.merchant_id", "text"),
    ("merchant.name", "text"),
    ("merchant.category", "text"),
    ("channel", "text"),
    ("status", "text"),
    ("number", "bigint"),
    ("weight", "double precision"),
];

fn contract() -> SourceSchema {
    let columns = COLUMNS.iter().map(|(path, declared)| SourceColumn {
        name: path.replace('.', "_"),
        data_type: DeclaredType::parse(declared).expect("the types are known"),
        origin: ColumnOrigin::Field(path.split('.').map(str::to_owned).collect()),
        not_null: false,
        accepted_values: Vec::new(),
    });
    SourceSchema {
        columns: columns.collect(),
        event_time: Some("timestamp".to_owned()),
        time_zone: "UTC".to_owned(),
        key: Vec::new(),
    }
}

fn event(number: i64) -> Document {
    doc! {
        "transaction_id": format!("00000000-0000-4000-8000-{number:012}"),
        "timestamp": DateTime::from_millis(1_704_067_200_000 + number * 5_000),
        "account_id": format!("FR76{number:020}"),
        "customer": {
            "customer_id": format!("C{number}"), "name": "Zoé Martin", "city": "Lyon",
            "email": "zoe.martin@example.fr",
        },
        "amount": "1250.55",
        "currency": "EUR",
        "transaction_type": "card_payment",
        "merchant": { "merchant_id": "M17", "name": "Boulangerie du Coin", "category": "food" },
        "channel": "mobile",
        "status": "completed",
        "number": number,
        "weight": number as f64 / 7.0,
    }
}

fn pulled() -> Pulled {
    let mut records = Records::default();
    for number in 0..EVENTS {
        let raw = RawDocumentBuf::try_from(&event(number)).expect("it is a document");
        records.payloads.push(Some(raw.as_bytes()));
        records.keys.push(None);
        records.headers.push([]);
        records.partitions.push(0);
        records.offsets.push(number);
        records.timestamps.push(None);
    }
    let source = SourceName::new("banking", "transactions");
    pulled::pulled(&source, "banking.transactions", records)
}

fn look_up<'d>(document: &'d Document, path: &str) -> Option<&'d Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((first, rest)) => look_up(document.get_document(first).ok()?, rest),
    }
}

/// Every value as text but the time: the least that a decoder over `Document` does.
fn by_documents(pulled: &Pulled) -> Vec<ArrayRef> {
    let mut times = TimestampMicrosecondBuilder::new();
    let mut texts: Vec<StringBuilder> = COLUMNS.iter().map(|_| StringBuilder::new()).collect();
    for index in 0..pulled.records.len() {
        let payload = pulled
            .records
            .payloads
            .get(index)
            .expect("no event is empty");
        let document = Document::from_reader(payload).expect("the events are good");
        for ((path, _), column) in COLUMNS.iter().zip(&mut texts) {
            match look_up(&document, path) {
                Some(Bson::String(text)) => column.append_value(text),
                Some(Bson::DateTime(time)) => {
                    times.append_value(time.timestamp_millis() * 1_000);
                    column.append_null();
                }
                Some(Bson::Int64(_) | Bson::Double(_)) => column.append_value(""),
                _ => column.append_null(),
            }
        }
    }
    let columns = texts.iter_mut().map(|column| column.finish());
    let mut columns: Vec<ArrayRef> = columns
        .map(|column| std::sync::Arc::new(column) as ArrayRef)
        .collect();
    columns.push(std::sync::Arc::new(times.finish()));
    columns
}

fn decode(criterion: &mut Criterion) {
    let source = SourceName::new("banking", "transactions");
    let pulled = pulled();
    let decoder = decoder(Format::Bson, &contract()).expect("the contract holds together");
    let check = decoder.decode(&source, &pulled);
    assert_eq!(check.rows.num_rows(), EVENTS as usize, "no event is bad");

    let mut group = criterion.benchmark_group("bson");
    group.throughput(Throughput::Bytes(pulled.records.byte_len() as u64));
    group.bench_function("factmill", |bencher| {
        bencher.iter(|| black_box(decoder.decode(&source, &pulled)));
    });
    group.bench_function("bson::Document", |bencher| {
        bencher.iter(|| black_box(by_documents(&pulled)));
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
