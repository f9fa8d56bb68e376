//! From a file to columns: rows, and dead letters that name their line.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::util::display::array_value_to_string;
use factmill_connect::decode::{Decoded, decoder};
use factmill_core::dead_letter::Reason;
use factmill_core::source_schema::{ColumnOrigin, Format, SourceColumn, SourceSchema};
use factmill_core::types::DeclaredType;

use super::*;

fn schema(columns: &[(&str, &str)]) -> SourceSchema {
    let columns = columns.iter().map(|(path, declared)| SourceColumn {
        name: path.replace('.', "_"),
        data_type: DeclaredType::parse(declared).unwrap(),
        origin: match path.strip_prefix('@') {
            Some(header) => ColumnOrigin::Header(header.to_owned()),
            None => ColumnOrigin::Field(path.split('.').map(str::to_owned).collect()),
        },
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

async fn decoded(read: FilesRead, format: Format, schema: &SourceSchema) -> Decoded {
    let positions = positions();
    let mut source = open(read, &positions, 1000);
    let pull = next(&mut source).await.unwrap();
    decoder(format, schema)
        .unwrap()
        .decode(&pull.source, &pull.pulled)
}

fn values(batch: &RecordBatch, row: usize, columns: usize) -> Vec<String> {
    let value = |at: usize| array_value_to_string(batch.column(at), row).unwrap();
    (0..columns).map(value).collect()
}

#[tokio::test]
async fn csv_fields_are_read_by_their_declared_types() {
    let folder = TempDir::new().unwrap();
    let text = "id,name,amount,at,paid,extra,customer.city\r\n\
                7,\"Chlo\u{e9}, \"\"C\"\"\",12.50,2024-01-31T13:30:00Z,true,x,Paris\r\n\
                8,,,,,,\r\n\
                nine,a,1.005,yesterday,yes,,\r\n\
                10,a,1,,true,x,y,z\r\n";
    put(&folder, "a.csv", text);
    let schema = schema(&[
        ("id", "bigint"),
        ("name", "text"),
        ("amount", "numeric(8,2)"),
        ("at", "timestamptz"),
        ("paid", "boolean"),
        ("customer.city", "text"),
        ("gone", "text"),
        ("@file", "text"),
        ("@line", "integer"),
    ]);
    let decoded = decoded(bounded(&folder, CSV), Format::Csv, &schema).await;
    assert_eq!(
        values(&decoded.rows, 0, 9),
        [
            "7",
            "Chlo\u{e9}, \"C\"",
            "12.50",
            "2024-01-31T13:30:00Z",
            "true",
            "Paris",
            "",
            "a.csv",
            "2"
        ]
    );
    assert_eq!(values(&decoded.rows, 1, 7), ["8", "", "", "", "", "", ""]);
    assert_eq!(decoded.rows.column(1).null_count(), 1);
    let letters: Vec<_> = decoded
        .dead_letters
        .iter()
        .map(|letter| {
            (
                letter.reason,
                letter.field.as_deref(),
                letter.headers[1].clone(),
            )
        })
        .collect();
    let line = |number: &str| ("line".to_owned(), Some(number.as_bytes().to_vec()));
    assert_eq!(
        letters,
        [
            (Reason::WrongType, Some("id"), line("4")),
            (Reason::Malformed, None, line("5"))
        ]
    );
    assert_eq!(
        decoded.dead_letters[0].payload.as_deref(),
        Some(&b"nine,a,1.005,yesterday,yes,,"[..])
    );
    assert_eq!(
        decoded.undeclared.into_iter().collect::<Vec<_>>(),
        [("extra".to_owned(), 2)]
    );
}

#[tokio::test]
async fn a_row_that_is_too_long_or_unclosed_costs_only_itself() {
    let folder = TempDir::new().unwrap();
    let long = "x".repeat(100);
    put(
        &folder,
        "a.csv",
        format!("id,name\n1,{long}\n2,\"open\n3,b\n"),
    );
    let mut read = bounded(&folder, CSV);
    read.max_record_bytes = 50;
    let schema = schema(&[("id", "integer"), ("name", "text")]);
    let decoded = decoded(read, Format::Csv, &schema).await;
    assert_eq!(decoded.rows.num_rows(), 1);
    assert_eq!(values(&decoded.rows, 0, 2), ["3", "b"]);
    let reasons: Vec<_> = decoded
        .dead_letters
        .iter()
        .map(|letter| letter.reason)
        .collect();
    assert_eq!(reasons, [Reason::Malformed, Reason::Malformed]);
}

#[tokio::test]
async fn parquet_values_come_through_exactly() {
    let folder = TempDir::new().unwrap();
    let tags =
        ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None, None]);
    let place = StructArray::from(vec![(
        Arc::new(Field::new("city", DataType::Utf8, true)),
        Arc::new(StringArray::from(vec![
            Some("Paris \"x\"\n"),
            None,
            Some(""),
        ])) as ArrayRef,
    )]);
    let amount = Decimal128Array::from(vec![Some(1_250), Some(-5), None]);
    let batch = RecordBatch::try_from_iter([
        (
            "id",
            Arc::new(Int64Array::from(vec![i64::MAX, 2, 3])) as ArrayRef,
        ),
        (
            "amount",
            Arc::new(amount.with_precision_and_scale(18, 2).unwrap()),
        ),
        (
            "ratio",
            Arc::new(Float64Array::from(vec![0.1, 1e300, f64::NAN])),
        ),
        (
            "raw",
            Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b"ab", b""])),
        ),
        ("day", Arc::new(Date32Array::from(vec![0, 1, 2]))),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("UTC")),
        ),
        (
            "paid",
            Arc::new(BooleanArray::from(vec![true, false, true])),
        ),
        ("tags", Arc::new(tags)),
        ("place", Arc::new(place)),
    ])
    .unwrap();
    write_parquet(&folder.path().join("a.parquet"), &batch);
    let schema = schema(&[
        ("id", "bigint"),
        ("amount", "numeric(18,2)"),
        ("ratio", "double precision"),
        ("raw", "bytea"),
        ("day", "date"),
        ("at", "timestamptz"),
        ("paid", "boolean"),
        ("tags", "bigint[]"),
        ("place.city", "text"),
        ("@line", "integer"),
    ]);
    let decoded = decoded(bounded(&folder, FileFormat::Parquet), Format::Json, &schema).await;
    assert_eq!(
        values(&decoded.rows, 0, 10),
        [
            "9223372036854775807",
            "12.50",
            "0.1",
            "00ff",
            "1970-01-01",
            "1970-01-01T00:00:00.000001Z",
            "true",
            "[1, ]",
            "Paris \"x\"\n",
            "1",
        ]
    );
    assert_eq!(values(&decoded.rows, 1, 4), ["2", "-0.05", "1e300", "6162"]);
    assert_eq!(decoded.dead_letters.len(), 1, "NaN is no number of JSON");
    assert_eq!(decoded.dead_letters[0].field.as_deref(), Some("ratio"));
}

#[tokio::test]
async fn parquet_goes_on_at_its_row() {
    let folder = TempDir::new().unwrap();
    let numbers = |range: std::ops::Range<i64>| {
        let ids = Arc::new(Int64Array::from_iter_values(range)) as ArrayRef;
        RecordBatch::try_from_iter([("n", ids)]).unwrap()
    };
    write_parquet(&folder.path().join("a.parquet"), &numbers(0..9_000));
    write_parquet(&folder.path().join("b.parquet"), &numbers(9_000..9_010));
    let positions = positions();
    let mut count = 0;
    for _ in 0..4 {
        let read = bounded(&folder, FileFormat::Parquet);
        let mut source = open(read, &positions, 3_000);
        let pull = next(&mut source).await.unwrap();
        positions.commit(&pull.intervals).unwrap();
        for at in 0..pull.pulled.records.len() {
            let wanted = format!("{{\"n\":{count}}}");
            assert_eq!(
                pull.pulled.records.payloads.get(at),
                Some(wanted.as_bytes())
            );
            count += 1;
        }
    }
    assert_eq!(count, 9_010);
}
