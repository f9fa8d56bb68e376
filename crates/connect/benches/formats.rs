//! How fast the same events become columns from each format, on one core:
//! `cargo bench -p factmill-connect --bench formats`.
//!
//! Eight values an event by one contract. Rows a second, so that formats of other sizes compare; JSON
//! stands beside them as the yardstick. Schemas come from a registry on loopback, once.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

mod pulled;

use std::hint::black_box;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use factmill_connect::decode::{DecoderOptions, decoder_with};
use factmill_connect::registry::{Registry, RegistryConfig};
use factmill_core::position::SourceName;
use factmill_core::records::{Pulled, Records};
use factmill_core::source_schema::{ColumnOrigin, Format, SourceColumn, SourceSchema};
use factmill_core::types::DeclaredType;
use serde_json::json;

const EVENTS: i64 = 20_000;

/// Name and declared type of each value.
const COLUMNS: [(&str, &str); 8] = [
    ("transaction_id", "uuid"),
    ("at", "timestamptz"),
    ("account_id", "text"),
    ("customer", "text"),
    ("amount", "numeric(18,2)"),
    ("number", "bigint"),
    ("weight", "double precision"),
    ("status", "text"),
];

const AVRO: &str = r#"{"type":"record","name":"Event","fields":[
    {"name":"transaction_id","type":"string"},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"account_id","type":"string"},
    {"name":"customer","type":"string"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}},
    {"name":"number","type":"long"},
    {"name":"weight","type":"double"},
    {"name":"status","type":"string"}]}"#;

const PROTOBUF: &str = r#"syntax = "proto3";
message Event {
  string transaction_id = 1;
  string at = 2;
  string account_id = 3;
  string customer = 4;
  string amount = 5;
  int64 number = 6;
  double weight = 7;
  string status = 8;
}"#;

/// The values of one event.
struct Event {
    id: String,
    millis: i64,
    account: String,
    cents: i64,
    number: i64,
    weight: f64,
}

/// How an event is written.
type Payload = fn(&Event) -> Vec<u8>;

const CUSTOMER: &str = "Zoé Martin";
const STATUS: &str = "completed";

impl Event {
    fn new(number: i64) -> Self {
        Self {
            id: format!("00000000-0000-4000-8000-{number:012}"),
            millis: 1_704_067_200_000 + number * 5_000,
            account: format!("FR76{number:020}"),
            cents: 125_055 + number,
            number,
            weight: number as f64 / 8.0,
        }
    }

    fn amount(&self) -> String {
        format!("{}.{:02}", self.cents / 100, self.cents % 100)
    }

    fn at(&self) -> String {
        let at = chrono::DateTime::from_timestamp_millis(self.millis).expect("a day of this age");
        at.to_rfc3339()
    }

    fn json(&self) -> Vec<u8> {
        let event = json!({
            "transaction_id": self.id, "at": self.at(), "account_id": self.account,
            "customer": CUSTOMER, "amount": self.amount(), "number": self.number,
            "weight": self.weight, "status": STATUS,
        });
        event.to_string().into_bytes()
    }

    fn csv(&self) -> Vec<u8> {
        let (id, at, account, amount) = (&self.id, self.at(), &self.account, self.amount());
        let (number, weight) = (self.number, self.weight);
        format!("{id},{at},{account},{CUSTOMER},{amount},{number},{weight},{STATUS}").into_bytes()
    }

    fn avro(&self) -> Vec<u8> {
        let zigzag = |value: i64| ((value << 1) ^ (value >> 63)) as u64;
        let mut bytes = vec![0, 0, 0, 0, 1];
        let text = |bytes: &mut Vec<u8>, text: &[u8]| {
            varint(bytes, zigzag(text.len() as i64));
            bytes.extend(text);
        };
        text(&mut bytes, self.id.as_bytes());
        varint(&mut bytes, zigzag(self.millis));
        text(&mut bytes, self.account.as_bytes());
        text(&mut bytes, CUSTOMER.as_bytes());
        text(&mut bytes, &self.cents.to_be_bytes());
        varint(&mut bytes, zigzag(self.number));
        bytes.extend(self.weight.to_le_bytes());
        text(&mut bytes, STATUS.as_bytes());
        bytes
    }

    fn protobuf(&self) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, 2, 0];
        let text = |bytes: &mut Vec<u8>, field: u8, text: &str| {
            bytes.push(field << 3 | 2);
            varint(bytes, text.len() as u64);
            bytes.extend(text.as_bytes());
        };
        text(&mut bytes, 1, &self.id);
        text(&mut bytes, 2, &self.at());
        text(&mut bytes, 3, &self.account);
        text(&mut bytes, 4, CUSTOMER);
        text(&mut bytes, 5, &self.amount());
        bytes.push(6 << 3);
        varint(&mut bytes, self.number as u64);
        bytes.push(7 << 3 | 1);
        bytes.extend(self.weight.to_le_bytes());
        text(&mut bytes, 8, STATUS);
        bytes
    }
}

fn varint(bytes: &mut Vec<u8>, mut left: u64) {
    while left > 0x7F {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

fn contract() -> SourceSchema {
    let columns = COLUMNS.iter().map(|(name, declared)| SourceColumn {
        name: (*name).to_owned(),
        data_type: DeclaredType::parse(declared).expect("the types are known"),
        origin: ColumnOrigin::Field(vec![(*name).to_owned()]),
        not_null: false,
        accepted_values: Vec::new(),
    });
    SourceSchema {
        columns: columns.collect(),
        event_time: Some("at".to_owned()),
        time_zone: "UTC".to_owned(),
        key: Vec::new(),
    }
}

fn pulled(source: &SourceName, payload: Payload) -> Pulled {
    let names = COLUMNS.map(|(name, _)| name).join(",");
    let mut records = Records::default();
    for number in 0..EVENTS {
        records.payloads.push(Some(&payload(&Event::new(number))));
        records.keys.push(None);
        records.headers.push([("columns", Some(names.as_bytes()))]);
        records.partitions.push(0);
        records.offsets.push(number);
        records.timestamps.push(None);
    }
    pulled::pulled(source, "events", records)
}

/// A registry that has schema 1 and schema 2.
async fn registry() -> Registry {
    // another part of the process may have set it already
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answer = async |Path(id): Path<u32>| match id {
        1 => json!({ "schema": AVRO }).to_string(),
        _ => json!({ "schema": PROTOBUF, "schemaType": "PROTOBUF" }).to_string(),
    };
    let router = Router::new().route("/schemas/ids/{id}", axum::routing::get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async { axum::serve(listener, router).await });
    Registry::new(&RegistryConfig::new(url)).expect("the URL is one")
}

fn decode(criterion: &mut Criterion) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let options = DecoderOptions {
        registry: Some(Arc::new(runtime.block_on(registry()))),
        ..DecoderOptions::default()
    };
    let source = SourceName::new("shop", "events");
    let mut group = criterion.benchmark_group("formats");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let formats: [(&str, Format, Payload); 4] = [
        ("json", Format::Json, Event::json),
        ("csv", Format::Csv, Event::csv),
        ("avro", Format::Avro, Event::avro),
        ("protobuf", Format::Protobuf, Event::protobuf),
    ];
    for (name, format, payload) in formats {
        let pulled = pulled(&source, payload);
        let decoder = decoder_with(format, &contract(), &options);
        let decoder = decoder.expect("the contract holds together");
        let prepared = runtime.block_on(decoder.prepare(&pulled));
        prepared.expect("the registry answers");
        let check = decoder.decode(&source, &pulled);
        assert_eq!(
            check.rows.num_rows() as i64,
            EVENTS,
            "{:?}",
            check.dead_letters.first()
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(decoder.decode(&source, &pulled)));
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
