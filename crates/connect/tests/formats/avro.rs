//! Avro: against Arrow's own writer, by the table of the module's page, and broken.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow_avro::schema::{FingerprintStrategy, SCHEMA_METADATA_KEY};
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroSoeFormat;

use super::registry::Registered;
use super::*;

/// What Arrow's writer makes of each row, behind a schema id, and the schema that it wrote by.
fn written(id: u32, batch: &RecordBatch) -> (String, Vec<Vec<u8>>) {
    let avro = arrow_avro::schema::AvroSchema::try_from(batch.schema().as_ref()).unwrap();
    let metadata = HashMap::from([(SCHEMA_METADATA_KEY.to_owned(), avro.json_string.clone())]);
    let schema = Schema::new_with_metadata(batch.schema().fields().clone(), metadata);
    let mut encoder = WriterBuilder::new(schema.clone())
        .with_fingerprint_strategy(FingerprintStrategy::Id(id))
        .build_encoder::<AvroSoeFormat>()
        .unwrap();
    let batch = batch.clone().with_schema(Arc::new(schema)).unwrap();
    encoder.encode(&batch).unwrap();
    let rows = encoder.flush();
    (
        avro.json_string,
        rows.iter().map(|row| row.to_vec()).collect(),
    )
}

#[tokio::test]
async fn what_arrow_writes_is_read() {
    let tags = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let place = StructArray::from(vec![(
        Arc::new(Field::new("city", DataType::Utf8, true)),
        Arc::new(StringArray::from(vec![Some("é \"x\"\u{1}"), None])) as ArrayRef,
    )]);
    let amount = Decimal128Array::from(vec![Some(-5), None]);
    let nullable = RecordBatch::try_from_iter_with_nullable([
        (
            "small",
            Arc::new(Int32Array::from(vec![i32::MIN, 1])) as ArrayRef,
            false,
        ),
        (
            "big",
            Arc::new(Int64Array::from(vec![Some(i64::MAX), None])),
            true,
        ),
        (
            "ratio",
            Arc::new(Float64Array::from(vec![0.1, -1e-300])),
            false,
        ),
        (
            "share",
            Arc::new(Float32Array::from(vec![0.1, 16_777_216.0])),
            false,
        ),
        (
            "name",
            Arc::new(StringArray::from(vec![Some("Chloé"), None])),
            true,
        ),
        (
            "raw",
            Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b""])),
            false,
        ),
        (
            "paid",
            Arc::new(BooleanArray::from(vec![true, false])),
            false,
        ),
        (
            "amount",
            Arc::new(amount.with_precision_and_scale(20, 2).unwrap()),
            true,
        ),
        ("day", Arc::new(Date32Array::from(vec![-1, 19_000])), false),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![-1, 1]).with_timezone("+00:00")),
            false,
        ),
        (
            "seen",
            Arc::new(TimestampMillisecondArray::from(vec![1, 2])),
            false,
        ),
        ("tags", Arc::new(tags), true),
        ("place", Arc::new(place), true),
    ])
    .unwrap();
    let (avro, payloads) = written(7, &nullable);
    let registered = Registered::start().await;
    registered.avro(7, &avro);
    let columns = schema(&[
        ("small", "integer"),
        ("big", "bigint"),
        ("ratio", "double precision"),
        ("share", "real"),
        ("name", "text"),
        ("raw", "bytea"),
        ("paid", "boolean"),
        ("amount", "numeric(20,2)"),
        ("day", "date"),
        ("at", "timestamptz"),
        ("seen", "timestamp"),
        ("tags", "integer[]"),
        ("place.city", "text"),
    ]);
    let decoded = decode(Format::Avro, &columns, &registered.options(), &payloads)
        .await
        .unwrap();
    assert_eq!(letters(&decoded), []);
    assert_eq!(
        row(&decoded, 0),
        [
            "-2147483648",
            "9223372036854775807",
            "0.1",
            "0.1",
            "Chloé",
            "00ff",
            "true",
            "-0.05",
            "1969-12-31",
            "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00.001",
            "[1, ]",
            "é \"x\"\u{1}",
        ]
    );
    assert_eq!(
        row(&decoded, 1)[..10],
        [
            "1",
            "",
            "-1e-300",
            "16777216.0",
            "",
            "",
            "false",
            "",
            "2022-01-08",
            "1970-01-01T00:00:00.000001Z"
        ]
    );
}

#[tokio::test]
async fn logical_types_enums_maps_and_unions_are_said_as_documented() {
    let registered = Registered::start().await;
    registered.avro(
        1,
        r#"{"type":"record","name":"shop.R","fields":[
            {"name":"status","type":{"type":"enum","name":"S","symbols":["NEW","DONE"]}},
            {"name":"prices","type":{"type":"map","values":"long"}},
            {"name":"either","type":["null","string","int"]},
            {"name":"time","type":{"type":"int","logicalType":"time-millis"}},
            {"name":"nanos","type":{"type":"long","logicalType":"timestamp-nanos"}},
            {"name":"took","type":{"type":"fixed","name":"D","size":12,"logicalType":"duration"}},
            {"name":"exact","type":{"type":"fixed","name":"F","size":3,"logicalType":"decimal","precision":6,"scale":3}},
            {"name":"id","type":{"type":"string","logicalType":"uuid"}},
            {"name":"changed","type":["null",{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}]},
            {"name":"more","type":"string"}]}"#,
    );
    let mut message = vec![2];
    // a block that says its size, then an empty one
    message.extend([1, 10, 2, b'a', 8, 0]);
    message.extend([4, 6]);
    message.extend([0xD0, 0x0F]);
    // 1 microsecond: 1000 nanoseconds
    message.extend([0xD0, 0x0F]);
    message.extend([1, 0, 0, 0, 2, 0, 0, 0, 0xBC, 0x0B, 0, 0]);
    message.extend([0xFF, 0xFF, 0xFE]);
    message.push(72);
    message.extend(b"5d1a8d0e-8a4b-4c6e-9f43-0a3f7a1c2b3d");
    message.extend([2, 2]);
    message.extend([2, b'x']);
    let columns = schema(&[
        ("status", "text"),
        ("prices", "json"),
        ("either", "integer"),
        ("time", "time"),
        ("nanos", "timestamptz"),
        ("took", "interval"),
        ("exact", "numeric(6,3)"),
        ("id", "uuid"),
        ("changed", "timestamp"),
    ]);
    let payloads = [framed(1, &message)];
    let decoded = decode(Format::Avro, &columns, &registered.options(), &payloads)
        .await
        .unwrap();
    assert_eq!(letters(&decoded), []);
    let found = row(&decoded, 0);
    assert_eq!(
        found[..5],
        [
            "DONE",
            "{\"a\":4}",
            "3",
            "00:00:01",
            "1970-01-01T00:00:00.000001Z"
        ]
    );
    assert!(found[5].starts_with("1 mons 2 days"), "{}", found[5]);
    assert_eq!(
        found[6..],
        [
            "-0.002",
            "5d1a8d0e8a4b4c6e9f430a3f7a1c2b3d",
            "1970-01-01T00:00:00.000001"
        ]
    );
    assert_eq!(
        decoded.undeclared.into_iter().collect::<Vec<_>>(),
        [("more".to_owned(), 1)]
    );
}

#[tokio::test]
async fn a_producer_that_changes_its_schema_is_followed() {
    let registered = Registered::start().await;
    let options = registered.options();
    let record = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    registered.avro(
        1,
        &record(r#"{"name":"id","type":"int"},{"name":"name","type":"string"}"#),
    );
    let columns = schema(&[("id", "bigint"), ("name", "text")]);
    let decoder = decoder_with(Format::Avro, &columns, &options).unwrap();
    let first = pulled(&[Some(framed(1, &[2, 2, b'a']))]);
    decoder.prepare(&first).await.unwrap();
    assert_eq!(row(&decoder.decode(&source(), &first), 0), ["1", "a"]);

    // widened and reordered, a field gone, a field of another type
    registered.avro(
        2,
        &record(r#"{"name":"more","type":"boolean"},{"name":"id","type":"long"}"#),
    );
    registered.avro(
        3,
        &record(r#"{"name":"id","type":"string"},{"name":"name","type":"string"}"#),
    );
    let second = pulled(&[
        Some(framed(2, &[1, 4])),
        Some(framed(3, &[2, b'x', 2, b'b'])),
        Some(framed(1, &[6, 2, b'c'])),
    ]);
    decoder.prepare(&second).await.unwrap();
    let decoded = decoder.decode(&source(), &second);
    assert_eq!(row(&decoded, 0), ["2", ""]);
    assert_eq!(row(&decoded, 1), ["3", "c"]);
    assert_eq!(decoded.dead_letters.len(), 1);
    assert_eq!(decoded.dead_letters[0].reason, Reason::WrongType);
    assert_eq!(decoded.dead_letters[0].field.as_deref(), Some("id"));
}

#[tokio::test]
async fn broken_messages_are_dead_letters_one_by_one() {
    let registered = Registered::start().await;
    registered.avro(
        1,
        r#"{"type":"record","name":"R","fields":[
            {"name":"n","type":"long"},
            {"name":"s","type":"string"},
            {"name":"empty","type":{"type":"array","items":"null"}},
            {"name":"below","type":["null","R"]}]}"#,
    );
    let endless = [vec![2, 0], vec![0xFF; 8], vec![0x7F]].concat();
    let deep = [2, 0, 0, 2].repeat(100_000);
    let messages: [(&[u8], Reason); 8] = [
        (&[2, 2, b'a', 0, 0, 9], Reason::Malformed),
        (&[2, 200], Reason::Malformed),
        (&[2, 1, b'a', 0, 0], Reason::Malformed),
        (&[0xFF; 11], Reason::Malformed),
        (&[2, 0, 0, 8], Reason::Malformed),
        (&[2, 2, 0xFF, 0, 0], Reason::InvalidUtf8),
        (&endless, Reason::Malformed),
        (&deep, Reason::TooDeep),
    ];
    let good = framed(1, &[2, 2, b'a', 4, 0, 2, 4, 0, 0, 0]);
    let mut payloads = vec![good.clone()];
    payloads.extend(messages.iter().map(|(message, _)| framed(1, message)));
    payloads.push(good);
    let columns = schema(&[("n", "bigint"), ("s", "text")]);
    let decoded = decode(Format::Avro, &columns, &registered.options(), &payloads)
        .await
        .unwrap();
    let reasons: Vec<_> = letters(&decoded)
        .iter()
        .map(|(_, reason, _)| *reason)
        .collect();
    assert_eq!(
        reasons,
        messages.map(|(_, reason)| reason),
        "{:?}",
        letters(&decoded)
    );
    assert_eq!(
        [row(&decoded, 0), row(&decoded, 1)],
        [["1", "a"], ["1", "a"]]
    );
    let offsets: Vec<_> = letters(&decoded)
        .iter()
        .map(|(offset, ..)| *offset)
        .collect();
    assert_eq!(offsets, (1..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_few_bytes_that_promise_billions_of_nulls_are_bounded() {
    let registered = Registered::start().await;
    registered.avro(
        1,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"null"}}]}"#,
    );
    let message = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
    let payloads = [framed(1, &message)];
    let columns = schema(&[("a", "json")]);
    let decoded = decode(Format::Avro, &columns, &registered.options(), &payloads)
        .await
        .unwrap();
    assert_eq!(decoded.dead_letters[0].reason, Reason::DoesNotFit);
}
