//! Tables that come to be, grow, or do not fit any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use factmill_connect::sink::lake::{Lake, LakeError, LakeLocation, LakeTable};
use serde_json::json;

use super::{Fixture, one};

fn columns(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    let fields = fields
        .iter()
        .map(|(name, data_type, nullable)| Field::new(*name, data_type.clone(), *nullable));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nullable_column_is_added_and_null_before() {
    let mut fixture = Fixture::new(10).await;
    let narrow = columns(&[("n", DataType::Int64, false)]);
    let wide = columns(&[
        ("more", DataType::Utf8, true),
        ("n", DataType::Int64, false),
    ]);
    let numbers =
        |first, count| -> ArrayRef { Arc::new(Int64Array::from_iter_values(first..first + count)) };
    let table = fixture.table("t", narrow.clone()).await.unwrap();
    let same = fixture.table("t", narrow.clone()).await.unwrap();
    assert_eq!(table.schema_version(), same.schema_version());
    let first = Lake::snapshot(&fixture.client).await.unwrap();
    for count in [5, 50] {
        let rows = RecordBatch::try_new(narrow.clone(), vec![numbers(0, count)]).unwrap();
        fixture.epoch(&[(&table, rows)]).await;
    }
    let grown = fixture.table("t", wide.clone()).await.unwrap();
    assert!(grown.schema_version() > table.schema_version());
    assert_eq!(grown.id(), table.id());
    for count in [5, 50] {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
            (0..count).map(|n| format!("x{n}")),
        ));
        let rows = RecordBatch::try_new(wide.clone(), vec![texts, numbers(100, count)]).unwrap();
        fixture.epoch(&[(&grown, rows)]).await;
    }
    let judge = fixture.judge().await;
    let counted = one(
        &judge,
        "select count(*), count(more), count(*) filter (more = 'x3'), count(*) filter (more is null) from lake.banking.t",
    )
    .await;
    assert_eq!(counted, [json!(110), json!(55), json!(2), json!(55)]);
    let nulls = one(
        &judge,
        "select count(*) from lake.banking.t where more is null",
    )
    .await;
    assert_eq!(nulls, [json!(55)]);
    let before = format!(
        "select count(*) from lake.banking.t at (version => {})",
        first + 2
    );
    assert_eq!(one(&judge, &before).await, [json!(55)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_change_is_refused_by_name() {
    let mut fixture = Fixture::new(10).await;
    let kept = [("n", DataType::Int64, true), ("t", DataType::Utf8, true)];
    fixture.table("t", columns(&kept)).await.unwrap();
    for (changed, said) in [
        (
            vec![("n", DataType::Int32, true), kept[1].clone()],
            "its column `n` is int64, declared is int32",
        ),
        (
            vec![kept[0].clone()],
            "its column `t` is not declared any more",
        ),
        (
            vec![
                kept[0].clone(),
                kept[1].clone(),
                ("new", DataType::Utf8, false),
            ],
            "column `new` is new and not nullable",
        ),
    ] {
        let error = fixture.table("t", columns(&changed)).await.unwrap_err();
        assert!(matches!(error, LakeError::Misfit { .. }));
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.to_string().contains("banking.t"), "{error}");
    }
    let twins = columns(&[("a", DataType::Utf8, true), ("A", DataType::Utf8, true)]);
    let error = fixture.table("twins", twins).await.unwrap_err();
    assert!(error.to_string().contains("but for its case"), "{error}");
    let odd = columns(&[("u", DataType::UInt64, true)]);
    assert!(matches!(
        fixture.table("odd", odd).await.unwrap_err(),
        LakeError::Column { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_stay_names() {
    let mut fixture = Fixture::new(10).await;
    let names = [
        "a\"; drop table lake.ducklake_snapshot; --",
        "é 日本",
        "select",
        "it's",
        "$1 %I \\",
    ];
    let fields: Vec<_> = names
        .iter()
        .map(|name| (*name, DataType::Int64, true))
        .collect();
    let arrays: Vec<ArrayRef> = (0..names.len())
        .map(|_| Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)
        .collect();
    for (schema, name) in [("s\"; x/../..", "../t\"'; é"), ("plain", "..")] {
        let table = LakeTable {
            schema: schema.into(),
            name: name.into(),
            columns: columns(&fields),
        };
        let table = fixture
            .lake
            .ensure_table(&mut fixture.client, &table)
            .await
            .unwrap();
        let rows = RecordBatch::try_new(columns(&fields), arrays.clone()).unwrap();
        fixture.epoch(&[(&table, rows.clone())]).await;
        fixture.lake = fixture.lake.clone().inline_rows(0);
        fixture.epoch(&[(&table, rows)]).await;
        fixture.lake = fixture.lake.clone().inline_rows(10);
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let sums: Vec<String> = names
            .iter()
            .map(|name| format!("sum({})", quoted(name)))
            .collect();
        let sql = format!(
            "select {} from lake.{}.{}",
            sums.join(", "),
            quoted(schema),
            quoted(name)
        );
        assert_eq!(
            one(&fixture.judge().await, &sql).await,
            vec![json!(6); names.len()]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_cannot_be_inlined_are_kept_in_files() {
    let mut fixture = Fixture::new(10).await;
    let long = "x".repeat(64);
    for name in ["Row_Id", "ctid", long.as_str()] {
        let schema = columns(&[(name, DataType::Int64, true)]);
        let table = fixture
            .table(&format!("t_{name}"), schema.clone())
            .await
            .unwrap();
        let rows =
            RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1, 2]))]).unwrap();
        let staged = fixture.write(&[(&table, rows)]).await;
        assert!(!staged[0].is_inlined());
        super::commit(&fixture.lake, &mut fixture.client, &staged)
            .await
            .unwrap();
        let sql = format!("select sum(\"{name}\") from lake.banking.\"t_{name}\"");
        assert_eq!(one(&fixture.judge().await, &sql).await, [json!(3)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_make_one_table() {
    let fixture = Fixture::new(10).await;
    let table = LakeTable {
        schema: "banking".into(),
        name: "t".into(),
        columns: columns(&[("n", DataType::Int64, true)]),
    };
    let ensured = (0..4).map(|_| {
        let (lake, table, connect) = (
            fixture.lake.clone(),
            table.clone(),
            fixture.database.connect(),
        );
        async move {
            let mut client = connect.await.unwrap();
            lake.ensure_table(&mut client, &table).await.unwrap().id()
        }
    });
    let ids = futures::future::join_all(ensured).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(Lake::snapshot(&fixture.client).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_another_place_or_version_is_refused() {
    let fixture = Fixture::new(10).await;
    let elsewhere = LakeLocation::parse("/somewhere/else", &BTreeMap::new()).unwrap();
    let error = Lake::open(&fixture.client, elsewhere).await.unwrap_err();
    assert!(matches!(error, LakeError::Moved { .. }), "{error}");
    fixture
        .client
        .batch_execute("update lake.ducklake_metadata set value = '2.0' where key = 'version'")
        .await
        .unwrap();
    let error = Lake::open(&fixture.client, super::location(&fixture.folder))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("version `2.0`"), "{error}");
}
