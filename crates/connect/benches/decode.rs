//! How fast banking's events become columns, on one core: `cargo bench -p factmill-connect --bench decode`.
//!
//! `factmill` is the decoder, by the contract of the banking project (17 values an event, exact
//! amounts, dead letters); `arrow-json` is Arrow's own reader on the same bytes into the same
//! types, but for amounts and ids, which it can only take as text: a yardstick, not a replacement.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

mod pulled;

use std::hint::black_box;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::json::ReaderBuilder;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use factmill_connect::decode::decoder;
use factmill_core::position::SourceName;
use factmill_core::records::{Pulled, Records};
use factmill_core::source_schema::{ColumnOrigin, Format, SourceColumn, SourceSchema};
use factmill_core::types::DeclaredType;
use factmill_produce::Event;
use factmill_produce::banking::{BankingEvents, BankingSettings, Spread};

const EVENTS: u64 = 20_000;

fn contract() -> SourceSchema {
    let columns = [
        ("transaction_id", "uuid"),
        ("timestamp", "timestamptz"),
        ("account_id", "text"),
        (
            "customer",
            "struct(customer_id text, name text, city text, email text)",
        ),
        ("amount", "numeric(18,2)"),
        ("currency", "text"),
        ("transaction_type", "text"),
        (
            "merchant",
            "struct(merchant_id text, name text, category text)",
        ),
        ("channel", "text"),
        ("status", "text"),
    ];
    let required = ["transaction_id", "timestamp", "account_id", "amount"];
    let columns = columns.into_iter().map(|(name, declared)| SourceColumn {
        name: name.to_owned(),
        data_type: DeclaredType::parse(declared).expect("the types are known"),
        origin: ColumnOrigin::Field(vec![name.to_owned()]),
        not_null: required.contains(&name),
        accepted_values: Vec::new(),
    });
    SourceSchema {
        columns: columns.collect(),
        event_time: Some("timestamp".to_owned()),
        time_zone: "UTC".to_owned(),
        key: Vec::new(),
    }
}

fn pulled(source: &SourceName, bad_percent: f64) -> Pulled {
    let settings = BankingSettings {
        seed: 1,
        spread: Spread::Steps,
        bad_percent,
    };
    let events = BankingEvents::new(settings).expect("it is a percentage");
    let mut records = Records::default();
    let mut event = Event::default();
    for index in 0..EVENTS {
        event.clear();
        events.write(index, &mut event);
        records.payloads.push(event.payload());
        records.keys.push(event.key());
        records.headers.push([]);
        records.partitions.push(0);
        records.offsets.push(index as i64);
        records.timestamps.push(None);
    }
    pulled::pulled(source, "bank_data", records)
}

/// The contract's types as far as Arrow's reader takes what events hold.
fn lenient_schema(contract: &SourceSchema) -> Arc<Schema> {
    let fields = contract.columns.iter().map(|column| {
        let data_type = match column.data_type.arrow() {
            DataType::FixedSizeBinary(_) => DataType::Utf8,
            DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, None),
            other => other,
        };
        Field::new(&column.name, data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn decode(c: &mut Criterion) {
    let source = SourceName::new("banking", "transactions");
    let contract = contract();
    let good = pulled(&source, 0.0);
    for (unit, throughput) in [
        ("rows", Throughput::Elements(EVENTS)),
        (
            "bytes",
            Throughput::Bytes(good.records.payloads.byte_len() as u64),
        ),
    ] {
        let mut group = c.benchmark_group(format!("banking events, {unit}"));
        group.throughput(throughput);
        for (name, pulled) in [
            ("factmill", &good),
            ("factmill, 1 % bad", &pulled(&source, 1.0)),
        ] {
            let decoder = decoder(Format::Json, &contract).expect("the contract holds together");
            group.bench_function(name, |bencher| {
                bencher.iter(|| black_box(decoder.decode(&source, pulled)))
            });
        }
        group.bench_function("arrow-json", |bencher| {
            bencher.iter(|| {
                let builder =
                    ReaderBuilder::new(lenient_schema(&contract)).with_batch_size(EVENTS as usize);
                let mut reader = builder
                    .build_decoder()
                    .expect("the schema is one that it reads");
                for index in 0..good.records.len() {
                    let payload = good.records.payloads.get(index).expect("no event is empty");
                    reader.decode(payload).expect("the events are good");
                }
                black_box(reader.flush().expect("the events are good"))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
