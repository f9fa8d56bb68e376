//! What another client reads of what we write.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float64Array, Int64Array,
    ListArray, RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use serde_json::json;

use super::rows::{self, rows, schema};
use super::{Fixture, one};

#[tokio::test(flavor = "multi_thread")]
async fn every_type_reads_the_same_inlined_and_from_files() {
    let mut fixture = Fixture::new(1000).await;
    let inlined = fixture.table("inlined", schema()).await.unwrap();
    let files = fixture.table("files", schema()).await.unwrap();
    let staged = fixture
        .write(&[(&inlined, rows(0, 500)), (&inlined, rows(500, 500))])
        .await;
    assert!(
        staged
            .iter()
            .all(factmill_connect::sink::lake::Staged::is_inlined)
    );
    super::commit(&fixture.lake, &mut fixture.client, &staged)
        .await
        .unwrap();
    let no_inlining = fixture.lake.clone().inline_rows(0);
    fixture.lake = no_inlining;
    fixture.epoch(&[(&files, rows(0, 1000))]).await;

    let judge = fixture.judge().await;
    let counts = "select (select count(*) from lake.banking.inlined), (select count(*) from lake.banking.files), \
                  (select count(*) from (from lake.banking.inlined except all from lake.banking.files)), \
                  (select count(distinct rowid) from lake.banking.inlined)";
    assert_eq!(
        one(&judge, counts).await,
        [json!(1000), json!(1000), json!(0), json!(1000)]
    );
    for table in ["inlined", "files"] {
        let row = |n: i64| format!("from lake.banking.{table} where n = {n}");
        assert_eq!(
            json!(one(&judge, &row(7)).await),
            rows::seventh(),
            "{table}"
        );
        let nested = format!("select items {}", row(8));
        assert_eq!(one(&judge, &nested).await[0], json!([]), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_epoch_is_read_as_it_was() {
    let mut fixture = Fixture::new(100).await;
    let table = fixture.table("t", schema()).await.unwrap();
    let mut expected = Vec::new();
    for (first, count) in [(0, 3), (3, 1000), (1003, 0), (1003, 40), (1043, 200)] {
        let snapshot = fixture.epoch(&[(&table, rows(first, count))]).await;
        expected.push((snapshot, first + count));
    }
    let numbers: Vec<i64> = expected
        .iter()
        .map(|(snapshot, _)| snapshot - expected[0].0)
        .collect();
    assert_eq!(
        numbers,
        [0, 1, 2, 3, 4],
        "each epoch is one snapshot, also without rows"
    );

    let judge = fixture.judge().await;
    for (snapshot, rows) in expected {
        let counts =
            format!("select count(*), max(n) + 1 from lake.banking.t at (version => {snapshot})");
        assert_eq!(one(&judge, &counts).await, [json!(rows), json!(rows)]);
    }
    let before = format!(
        "select count(*) from lake.banking.t at (version => {})",
        numbers[0] + 1
    );
    assert_eq!(one(&judge, &before).await, [json!(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_read_only_the_files_that_may_match() {
    let mut fixture = Fixture::new(100).await;
    let table = fixture.table("t", schema()).await.unwrap();
    for first in [0, 1000, 2000, 3000] {
        fixture.epoch(&[(&table, rows(first, 1000))]).await;
    }
    fixture.epoch(&[(&table, rows(4000, 50))]).await;
    let judge = fixture.judge().await;
    for (filter, matching, files) in [
        ("n = 1500", 1, 1),
        ("n between 1999 and 2000", 2, 2),
        ("n > 3990", 59, 1),
        (
            "ts >= timestamptz '2024-01-01 01:06:39+00' and ts < timestamptz '2024-01-01 01:06:42+00'",
            2,
            1,
        ),
        ("amount = -0.94", 1, 1),
        ("day = date '2022-01-08' + 1002", 1, 1),
        ("d > 571", 34, 1),
        ("txt = 't2 it''s \"q\" \\ {,} [NULL] é'", 1, 1),
        ("local < timestamp '2024-01-01 00:00:02'", 1, 1),
    ] {
        let counted = one(
            &judge,
            &format!("select count(*) from lake.banking.t where {filter}"),
        )
        .await;
        let scanned = one(
            &judge,
            &format!("select count(*) from (from lake.banking.t) where {filter}"),
        )
        .await;
        assert_eq!(counted, scanned);
        assert_eq!(counted, [json!(matching)], "{filter}");
        let plan = judge
            .query(&format!(
                "explain analyze from lake.banking.t where {filter}"
            ))
            .await
            .unwrap();
        let plan = plan[0][1].as_str().unwrap().to_owned();
        let read = plan
            .split("Total Files Read:")
            .nth(1)
            .map_or("0", |rest| rest.trim_start());
        let read: String = read.chars().take_while(char::is_ascii_digit).collect();
        assert_eq!(read, files.to_string(), "{filter}: {plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn extreme_values_survive_and_are_found() {
    let mut fixture = Fixture::new(1000).await;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX, 0]))),
        (
            "f",
            Arc::new(Float64Array::from(vec![
                f64::NAN,
                f64::NEG_INFINITY,
                -1e300,
            ])),
        ),
        (
            "dec",
            Arc::new(
                Decimal128Array::from(vec![10i128.pow(38) - 1, 1 - 10i128.pow(38), 0])
                    .with_precision_and_scale(38, 0)
                    .unwrap(),
            ),
        ),
        (
            "txt",
            Arc::new(StringArray::from(vec![
                Some(""),
                None,
                Some("\u{10FFFF}".repeat(200).as_str()),
            ])),
        ),
    ];
    let in_text = RecordBatch::try_from_iter_with_nullable(
        columns
            .iter()
            .map(|(name, array)| (*name, array.clone(), true)),
    );
    let in_text = in_text.unwrap();
    let days: ArrayRef = Arc::new(Date32Array::from(vec![-719_528 - 400, 3_000_000, 0]));
    let far = RecordBatch::try_from_iter_with_nullable([("day", days, true)]).unwrap();

    let table = fixture.table("extremes", in_text.schema()).await.unwrap();
    let far_table = fixture.table("far", far.schema()).await.unwrap();
    let ids = FixedSizeBinaryArray::try_from_iter([[7u8; 16]].iter()).unwrap();
    let item = Arc::new(Field::new_list_field(DataType::FixedSizeBinary(16), true));
    let ids: ArrayRef = Arc::new(ListArray::new(
        item,
        OffsetBuffer::from_lengths([1]),
        Arc::new(ids),
        None,
    ));
    let ids = RecordBatch::try_from_iter_with_nullable([("ids", ids, true)]).unwrap();
    let ids_table = fixture.table("ids", ids.schema()).await.unwrap();
    let staged = fixture
        .write(&[
            (&table, in_text.clone()),
            (&far_table, far),
            (&ids_table, ids),
        ])
        .await;
    assert!(staged[0].is_inlined());
    assert!(
        !staged[1].is_inlined(),
        "years without a common text go into a file, however few"
    );
    assert!(!staged[2].is_inlined(), "UUIDs in a list too");
    super::commit(&fixture.lake, &mut fixture.client, &staged)
        .await
        .unwrap();
    fixture.lake = fixture.lake.clone().inline_rows(0);
    fixture.epoch(&[(&table, in_text)]).await;

    let judge = fixture.judge().await;
    for (filter, matching) in [
        ("n = -9223372036854775808", 2),
        ("n > 9223372036854775806", 2),
        ("f = 'nan'::double", 2),
        ("f > 1e308", 2),
        ("f = '-inf'::double", 2),
        ("f < -1e299 and f > -1e301", 2),
        ("dec = 99999999999999999999999999999999999999", 2),
        ("dec < -99999999999999999999999999999999999998", 2),
        ("txt = ''", 2),
        ("txt is null", 2),
        ("length(txt) = 200 and txt > 'z'", 2),
    ] {
        let counted = one(
            &judge,
            &format!("select count(*) from lake.banking.extremes where {filter}"),
        )
        .await;
        assert_eq!(counted, [json!(matching)], "{filter}");
    }
    let listed = one(&judge, "select ids from lake.banking.ids").await;
    assert_eq!(listed, [json!(["07070707-0707-0707-0707-070707070707"])]);
    let days = "select count(*) filter (day > date '9999-12-31'), count(*) filter (day < date '0001-01-01') \
                from lake.banking.far";
    assert_eq!(one(&judge, days).await, [json!(1), json!(1)]);
    let found = one(
        &judge,
        "select count(*) from lake.banking.far where day > date '9999-12-31'",
    )
    .await;
    assert_eq!(found, [json!(1)]);
}
