//! Every type there and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    IntervalMonthDayNanoArray, ListArray, StringArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, IntervalMonthDayNano, i256};
use factmill_connect::sink::postgres::WarehouseError;
use factmill_core::table::{Maintenance, TableName};
use factmill_core::table_reader::{Relations, TableReader};
use futures::StreamExt;

use super::{Fixture, batch, change, table};

/// 9999-12-31 23:59:59.999999, and the earliest that Postgres knows, 4714-11-24 BC; microseconds since 1970.
const LATEST: i64 = 253_402_300_799_999_999;
const EARLIEST: i64 = -210_866_803_200_000_000;

fn uuids(values: &[Option<[u8; 16]>]) -> ArrayRef {
    Arc::new(
        FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.iter().copied(), 16).unwrap(),
    )
}

fn list(items: ArrayRef, lengths: [usize; 4], nulls: [bool; 4]) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    let nulls = NullBuffer::from(nulls.to_vec());
    Arc::new(ListArray::new(
        item,
        OffsetBuffer::from_lengths(lengths),
        items,
        Some(nulls),
    ))
}

fn decimals(values: [Option<i128>; 4], digits: u8, scale: i8) -> ArrayRef {
    Arc::new(
        Decimal128Array::from(values.to_vec())
            .with_precision_and_scale(digits, scale)
            .unwrap(),
    )
}

/// Four rows of each type: an ordinary value, one extreme, the other, null.
fn every_type() -> Vec<(&'static str, &'static str, ArrayRef)> {
    let wide = |digits: usize| i256::from_string(&"9".repeat(digits)).unwrap();
    let widest = [
        Some(i256::from_i128(-1)),
        Some(wide(76)),
        Some(wide(76).wrapping_neg()),
        None,
    ];
    let integers = Int32Array::from(vec![Some(1), None, Some(i32::MIN), Some(7)]);
    vec![
        (
            "smallint",
            "smallint",
            Arc::new(Int16Array::from(vec![
                Some(-1),
                Some(i16::MIN),
                Some(i16::MAX),
                None,
            ])),
        ),
        (
            "integer",
            "integer",
            Arc::new(Int32Array::from(vec![
                Some(-1),
                Some(i32::MIN),
                Some(i32::MAX),
                None,
            ])),
        ),
        (
            "bigint",
            "bigint",
            Arc::new(Int64Array::from(vec![
                Some(-1),
                Some(i64::MIN),
                Some(i64::MAX),
                None,
            ])),
        ),
        (
            "real",
            "real",
            Arc::new(Float32Array::from(vec![
                Some(1.5),
                Some(f32::MIN_POSITIVE),
                Some(f32::NEG_INFINITY),
                None,
            ])),
        ),
        (
            "double",
            "double",
            Arc::new(Float64Array::from(vec![
                Some(0.1),
                Some(f64::MAX),
                Some(f64::INFINITY),
                None,
            ])),
        ),
        (
            "money",
            "numeric(18,2)",
            decimals(
                [Some(-123_456), Some(10i128.pow(18) - 1), Some(0), None],
                18,
                2,
            ),
        ),
        (
            "small",
            "numeric(5,5)",
            decimals([Some(1), Some(-99_999), Some(10_000), None], 5, 5),
        ),
        (
            "whole",
            "numeric(38,0)",
            decimals(
                [
                    Some(1),
                    Some(10i128.pow(38) - 1),
                    Some(-(10i128.pow(38)) + 1),
                    None,
                ],
                38,
                0,
            ),
        ),
        (
            "wide",
            "numeric(76,10)",
            Arc::new(
                Decimal256Array::from(widest.to_vec())
                    .with_precision_and_scale(76, 10)
                    .unwrap(),
            ),
        ),
        (
            "free",
            "numeric",
            Arc::new(
                Decimal256Array::from(widest.to_vec())
                    .with_precision_and_scale(76, 38)
                    .unwrap(),
            ),
        ),
        (
            "text",
            "text",
            Arc::new(StringArray::from(vec![
                Some("'; drop table x; --\\"),
                Some(""),
                Some("ünï\u{1F600}\t\n"),
                None,
            ])),
        ),
        (
            "varchar",
            "varchar(3)",
            Arc::new(StringArray::from(vec![
                Some("é€x"),
                Some(""),
                Some("a"),
                None,
            ])),
        ),
        (
            "char",
            "char(2)",
            Arc::new(StringArray::from(vec![
                Some("ab"),
                Some("é€"),
                Some("zz"),
                None,
            ])),
        ),
        (
            "boolean",
            "boolean",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                Some(true),
                None,
            ])),
        ),
        (
            "date",
            "date",
            Arc::new(Date32Array::from(vec![
                Some(0),
                Some(-2_440_588),
                Some(2_932_896),
                None,
            ])),
        ),
        (
            "time",
            "time",
            Arc::new(Time64MicrosecondArray::from(vec![
                Some(1),
                Some(0),
                Some(86_399_999_999),
                None,
            ])),
        ),
        (
            "interval",
            "interval",
            Arc::new(IntervalMonthDayNanoArray::from(vec![
                Some(IntervalMonthDayNano::new(14, -3, 4_005_006_000)),
                Some(IntervalMonthDayNano::new(
                    i32::MAX - 1,
                    i32::MAX,
                    i64::MAX / 1_000 * 1_000,
                )),
                Some(IntervalMonthDayNano::new(-12, 1, -1_000)),
                None,
            ])),
        ),
        (
            "timestamp",
            "timestamp",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(1),
                Some(EARLIEST),
                Some(LATEST),
                None,
            ])),
        ),
        (
            "timestamptz",
            "timestamptz",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1), Some(EARLIEST), Some(LATEST), None])
                    .with_timezone("UTC"),
            ),
        ),
        (
            "bytea",
            "bytea",
            Arc::new(BinaryArray::from_opt_vec(vec![
                Some(&[0, 255]),
                Some(b""),
                Some(b"\\x00"),
                None,
            ])),
        ),
        (
            "uuid",
            "uuid",
            uuids(&[Some([7; 16]), Some([0; 16]), Some([255; 16]), None]),
        ),
        (
            "integers",
            "integer[]",
            list(Arc::new(integers), [3, 0, 1, 0], [true, true, true, false]),
        ),
        (
            "texts",
            "text[]",
            list(
                Arc::new(StringArray::from(vec![
                    Some("a,\"b\"{}"),
                    None,
                    Some("NULL"),
                ])),
                [2, 1, 0, 0],
                [true, true, true, false],
            ),
        ),
        (
            "amounts",
            "numeric(18,2)[]",
            list(
                decimals([Some(1), None, Some(-10i128.pow(18) + 1), Some(0)], 18, 2),
                [1, 2, 1, 0],
                [true, true, true, false],
            ),
        ),
    ]
}

#[tokio::test]
async fn every_type_comes_back_as_it_went() {
    let fixture = Fixture::new().await;
    let types = every_type();
    let columns: Vec<_> = types
        .iter()
        .map(|(name, declared, _)| (*name, *declared))
        .collect();
    let (tables, generations) = fixture
        .prepare(vec![table("types", &columns, Maintenance::Append)])
        .await;
    let written: Vec<_> = types
        .iter()
        .map(|(name, _, array)| (*name, Arc::clone(array)))
        .collect();
    let written = batch(&written);
    let mut epoch = fixture.epoch(&tables, &generations, 0, 10);
    epoch.changes = vec![change(0, written.clone())];
    fixture.warehouse.commit(&epoch).await.unwrap();

    let read = fixture.rows(&tables[0].name).await;
    let read = concat_batches(&read[0].schema(), &read).unwrap();
    for (index, column) in read.schema().fields().iter().enumerate() {
        assert_eq!(
            read.column(index),
            written.column(index),
            "column {}",
            column.name()
        );
        assert_eq!(
            *column.data_type(),
            tables[0].columns[index].data_type.arrow(),
            "column {}",
            column.name()
        );
    }
    // What Postgres itself makes of some of them.
    let first = "from banking.types where smallint = -1";
    for (value, expected) in [
        ("money", "-1234.56"),
        ("small", "0.00001"),
        ("free", "-0.00000000000000000000000000000000000001"),
        ("\"interval\"", "1 year 2 mons -3 days +00:00:04.005006"),
        ("integers", "{1,NULL,-2147483648}"),
        ("texts", "{\"a,\\\"b\\\"{}\",NULL}"),
        ("uuid", "07070707-0707-0707-0707-070707070707"),
        ("\"timestamp\"", "1970-01-01 00:00:00.000001"),
    ] {
        assert_eq!(
            fixture.value(&format!("select {value} {first}")).await,
            expected
        );
    }
    assert_eq!(
        fixture
            .value("select min(\"timestamp\") from banking.types")
            .await,
        "4714-11-24 00:00:00 BC"
    );
}

#[tokio::test]
async fn nested_columns_become_documents() {
    let fixture = Fixture::new().await;
    let columns = [
        ("j", "json"),
        ("s", "struct(name text, amount numeric(18,2))"),
        ("l", "struct(name text)[]"),
    ];
    let (tables, generations) = fixture
        .prepare(vec![table("nested", &columns, Maintenance::Append)])
        .await;
    let name: ArrayRef = Arc::new(StringArray::from(vec![Some("o'\"\\é\n")]));
    let amount: ArrayRef = Arc::new(
        Decimal128Array::from(vec![123])
            .with_precision_and_scale(18, 2)
            .unwrap(),
    );
    let structs = StructArray::new(
        Fields::from(vec![
            Field::new("name", DataType::Utf8, true),
            Field::new("amount", DataType::Decimal128(18, 2), true),
        ]),
        vec![Arc::clone(&name), amount],
        None,
    );
    let items = StructArray::new(
        Fields::from(vec![Field::new("name", DataType::Utf8, true)]),
        vec![name],
        None,
    );
    let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    let lists = ListArray::new(item, OffsetBuffer::from_lengths([1]), Arc::new(items), None);
    let mut epoch = fixture.epoch(&tables, &generations, 0, 10);
    epoch.changes = vec![change(
        0,
        batch(&[
            (
                "j",
                Arc::new(StringArray::from(vec!["[1, {\"a\": null}]"])) as ArrayRef,
            ),
            ("s", Arc::new(structs)),
            ("l", Arc::new(lists)),
        ]),
    )];
    fixture.warehouse.commit(&epoch).await.unwrap();
    assert_eq!(
        fixture.value("select s->>'name' from banking.nested").await,
        "o'\"\\é\n"
    );
    assert_eq!(
        fixture
            .value("select (s->>'amount')::numeric from banking.nested")
            .await,
        "1.23"
    );
    assert_eq!(
        fixture
            .value("select l->0->>'name' from banking.nested")
            .await,
        "o'\"\\é\n"
    );
    let read = fixture.rows(&tables[0].name).await;
    let documents = read[0]
        .column(0)
        .as_any()
        .downcast_ref::<StringArray>()
        .unwrap();
    assert_eq!(documents.value(0), "[1, {\"a\": null}]");
}

#[tokio::test]
async fn queries_are_read_whatever_their_types_and_names() {
    let fixture = Fixture::new().await;
    let reader = fixture
        .warehouse
        .reader("select 1 as a, 2::bigint as a, 'x'::char as \"a\"\"b\", '10.0.0.0/8'::cidr, 'NaN'::float8, null as n, oid from pg_class limit 1;")
        .await
        .unwrap();
    let batches: Vec<_> = reader.scan(None).await.unwrap().collect().await;
    let batch = batches.into_iter().next().unwrap().unwrap();
    let names: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names, ["a", "a", "a\"b", "cidr", "float8", "n", "oid"]);
    assert_eq!(
        batch
            .column(3)
            .as_any()
            .downcast_ref::<StringArray>()
            .unwrap()
            .value(0),
        "10.0.0.0/8"
    );
    assert!(batch.column(5).is_null(0));

    let projected: Vec<_> = reader.scan(Some(&[3, 0])).await.unwrap().collect().await;
    let projected = projected.into_iter().next().unwrap().unwrap();
    assert_eq!(projected.num_columns(), 2);
    let counted: Vec<_> = reader.scan(Some(&[])).await.unwrap().collect().await;
    assert_eq!(counted.into_iter().next().unwrap().unwrap().num_rows(), 1);

    let error = fixture
        .warehouse
        .reader("select nothing_here")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nothing_here"), "{error}");
}

#[tokio::test]
async fn values_without_an_arrow_form_are_errors() {
    let fixture = Fixture::new().await;
    for (query, part) in [
        ("select 'NaN'::numeric as x", "NaN"),
        ("select 1e70::numeric as x", "more digits"),
        ("select 'infinity'::date as x", "infinite"),
        ("select '-infinity'::timestamp as x", "infinite"),
        ("select array[[1],[2]] as x", "several dimensions"),
    ] {
        let reader = fixture.warehouse.reader(query).await.unwrap();
        let found: Vec<_> = reader.scan(None).await.unwrap().collect().await;
        let Some(Err(WarehouseError::Decode(error))) = found.into_iter().next() else {
            panic!("expected an error of {query}");
        };
        let message = error.to_string();
        assert!(
            message.contains(part) && message.contains("column `x`"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_large_result_comes_in_batches_and_may_be_dropped() {
    let fixture = Fixture::new().await;
    let query = "select g as n, repeat('x', 1000) as filler from generate_series(1, 50000) g";
    let reader = fixture.warehouse.reader(query).await.unwrap();
    let batches: Vec<_> = reader
        .scan(None)
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert!(batches.len() > 6, "{}", batches.len());
    let mut next = 1;
    for batch in &batches {
        let numbers = batch
            .column(0)
            .as_any()
            .downcast_ref::<Int32Array>()
            .unwrap();
        for number in numbers.values() {
            assert_eq!(*number, next);
            next += 1;
        }
    }
    assert_eq!(next, 50_001);

    let endless = fixture
        .warehouse
        .reader("select generate_series(1, 10000000000) as g")
        .await
        .unwrap();
    let mut stream = endless.scan(None).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let scanning = "select count(*) from pg_stat_activity where datname = current_database() and query like 'copy (select c0%' and state = 'active'";
    // The server notices at its next write to the closed connection.
    let client = fixture.database.connect().await.unwrap();
    let ended = async {
        while client
            .query_one(scanning, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), ended)
        .await
        .unwrap();
}

#[tokio::test]
async fn tables_and_views_are_listed_without_what_is_ours() {
    let fixture = Fixture::new().await;
    fixture.prepare(vec![super::keyed()]).await;
    fixture
        .run("create view banking.seen as select id from banking.keyed")
        .await;
    let listed = fixture.warehouse.list_tables().await.unwrap();
    let find = |name: &str| {
        listed
            .iter()
            .find(|table| table.name.schema == "banking" && table.name.name == name)
            .unwrap()
    };
    let keyed = find("keyed");
    assert_eq!(
        keyed
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect::<Vec<_>>(),
        ["id", "value"]
    );
    assert_eq!(keyed.columns[0].data_type, "text");
    assert!(keyed.columns[0].not_null && !keyed.is_view && find("seen").is_view);
    assert_eq!(keyed.description.as_deref(), Some("a table's meaning"));

    let relations: &dyn Relations = &fixture.warehouse;
    let name = |name: &str| TableName {
        schema: "banking".into(),
        name: name.into(),
    };
    let table: Arc<dyn TableReader> = relations.table(&name("keyed")).await.unwrap().unwrap();
    assert_eq!(table.schema().fields().len(), 2);
    assert!(relations.table(&name("missing")).await.unwrap().is_none());
}
