//! Keyed sources: changes of keys in a stream leave what a batch over the log of changes computes.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray,
};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::SchemaProvider;
use datafusion::catalog::{CatalogProvider, MemTable, MemoryCatalogProvider, MemorySchemaProvider};
use factmill_core::position::SourceName;
use factmill_core::source_schema::{ColumnOrigin, SourceColumn, SourceSchema};
use factmill_core::table::{DELETED_COLUMN, ORDER_COLUMN};
use factmill_core::types::DeclaredType;
use factmill_project::{Job, Materialized, Model, Project};
use futures::TryStreamExt;
use proptest::prelude::*;

use super::{BatchPlan, Inputs, LakeSnapshot, Loaded, Memory, StreamPlan, row_texts, texts};
use crate::fixture::{model, project};
use crate::reference::Databases;

const CUSTOMERS: &str = r#""lake"."crm"."customers""#;

fn source() -> SourceName {
    SourceName::new("crm", "customers")
}

fn contract() -> SourceSchema {
    let column = |name: &str, data_type: &str| SourceColumn {
        name: name.into(),
        data_type: DeclaredType::parse(data_type).unwrap(),
        origin: ColumnOrigin::Field(vec![name.into()]),
        not_null: true,
        accepted_values: Vec::new(),
    };
    SourceSchema {
        columns: vec![
            column("customer_id", "text"),
            column("city", "text"),
            column("points", "bigint"),
        ],
        event_time: None,
        time_zone: "UTC".into(),
        key: vec!["customer_id".into()],
    }
}

fn keyed_project(models: Vec<Model>) -> (Project, Job) {
    let (mut project, mut job) = project(models);
    project.sources[0].name = source();
    project.sources[0].schema = contract();
    job.sources[0].source = source();
    project.jobs = vec![job.clone()];
    (project, job)
}

fn models() -> Vec<Model> {
    vec![
        model(
            "stg_customers",
            Materialized::View,
            &[],
            &format!(
                "select customer_id as id, upper(city) as city, points from {CUSTOMERS} where city <> 'x'"
            ),
        ),
        model(
            "dim_customer",
            Materialized::Incremental,
            &["id"],
            "select c.id, c.city, c.points + 1 as points, b.name as band\n\
             from \"banking\".\"stg_customers\" as c\n\
             left join (values (0, 'none'), (1, 'some')) as b(points, name) on b.points = c.points\n\
             where c.points < 3",
        ),
        model(
            "agg_city",
            Materialized::Table,
            &[],
            "select city, count(*) as n from \"banking\".\"stg_customers\" group by city",
        ),
    ]
}

/// A key, and what it is now; nothing: it is deleted.
type Change = (u8, Option<(u8, i64)>);

/// Decoded changes whose first one stands at `offset`.
fn rows(changes: &[Change], offset: usize) -> RecordBatch {
    let count = changes.len();
    let city = |value: &Option<(u8, i64)>| value.map(|(city, _)| ["a", "b", "x"][city as usize]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            changes
                .iter()
                .map(|(key, _)| Some(format!("k{key}")))
                .collect::<StringArray>(),
        ),
        Arc::new(
            changes
                .iter()
                .map(|(_, value)| city(value))
                .collect::<StringArray>(),
        ),
        Arc::new(
            changes
                .iter()
                .map(|(_, value)| value.map(|(_, points)| points))
                .collect::<Int64Array>(),
        ),
        Arc::new(StringArray::from(vec!["customers"; count])),
        Arc::new(Int32Array::from(vec![1; count])),
        Arc::new(Int32Array::from(vec![0; count])),
        Arc::new(
            (0..count)
                .map(|index| (offset + index) as i64)
                .collect::<Int64Array>(),
        ),
        Arc::new(
            changes
                .iter()
                .map(|(_, value)| Some(value.is_none()))
                .collect::<BooleanArray>(),
        ),
    ];
    RecordBatch::try_new(contract().arrow_schema(), columns).unwrap()
}

fn lake(changes: &[Change]) -> LakeSnapshot {
    let batch = rows(changes, 0);
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    let schema = MemorySchemaProvider::new();
    schema
        .register_table(source().table().into(), Arc::new(table))
        .unwrap();
    let catalog = MemoryCatalogProvider::new();
    catalog
        .register_schema(source().group(), Arc::new(schema))
        .unwrap();
    LakeSnapshot::of(Arc::new(catalog))
}

/// What the warehouse does: by key the order and, unless deleted, the row.
fn apply(stored: &mut BTreeMap<String, (Vec<u8>, Option<String>)>, change: &RecordBatch) {
    let deleted = change
        .column_by_name(DELETED_COLUMN)
        .unwrap()
        .as_boolean()
        .clone();
    let order = change
        .column_by_name(ORDER_COLUMN)
        .unwrap()
        .as_binary::<i32>()
        .clone();
    let user: Vec<_> = (0..change.num_columns() - 2).collect();
    let shown = row_texts(&change.project(&user).unwrap());
    let ids = change.column(0).as_string::<i32>();
    for (row, text) in shown.into_iter().enumerate() {
        let order = order.value(row).to_vec();
        let newer = stored
            .get(ids.value(row))
            .is_none_or(|(stored, _)| order > *stored);
        if newer {
            let kept = (!deleted.value(row)).then_some(text);
            stored.insert(ids.value(row).to_owned(), (order, kept));
        }
    }
}

async fn stream_equals_batch(changes: &[Change], epoch: usize) {
    let (project, job) = keyed_project(models());
    let stream = StreamPlan::compile_models(&project, &job, &project.models, &Memory::stream())
        .await
        .unwrap();
    let mut stored = BTreeMap::new();
    for (index, epoch_changes) in changes.chunks(epoch).enumerate() {
        let inputs = vec![(source(), rows(epoch_changes, index * epoch))];
        for change in stream.transform(inputs).await.unwrap() {
            apply(&mut stored, &change.rows);
        }
    }
    let mut streamed: Vec<String> = stored.into_values().filter_map(|(_, row)| row).collect();
    streamed.sort();

    let batch = BatchPlan::compile(&project, &project.models, &Memory::batch(), 2)
        .await
        .unwrap();
    for (index, table) in batch.tables().iter().enumerate() {
        let inputs = Inputs {
            lake: Some(lake(changes)),
            databases: Databases::only(Arc::new(Loaded::default())),
        };
        let computed: Vec<_> = batch
            .run(index, &inputs)
            .await
            .unwrap()
            .batches
            .try_collect()
            .await
            .unwrap();
        let computed = texts(&computed);
        if table.model == "dim_customer" {
            assert_eq!(streamed, computed);
        } else {
            let mut last = BTreeMap::new();
            last.extend(changes.iter().copied());
            let live = last.values().flatten().filter(|(city, _)| *city < 2);
            let counted = live.fold(BTreeMap::new(), |mut counts, (city, _)| {
                *counts.entry(["A", "B"][*city as usize]).or_insert(0) += 1;
                counts
            });
            let expected: Vec<_> = counted
                .iter()
                .map(|(city, n)| format!("{city}|{n}"))
                .collect();
            assert_eq!(computed, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn changes_of_keys_leave_what_a_batch_computes(
        changes in prop::collection::vec((0_u8..5, prop::option::weighted(0.7, (0_u8..3, 0_i64..5))), 1..40),
        epoch in 1_usize..9,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(stream_equals_batch(&changes, epoch));
    }
}

async fn refusal(models: Vec<Model>) -> String {
    let (project, job) = keyed_project(models);
    let wrong = StreamPlan::compile_models(&project, &job, &project.models, &Memory::stream())
        .await
        .unwrap_err();
    wrong
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn what_would_lose_a_change_is_refused() {
    let incremental = |key: &[&str], sql: &str| model("m", Materialized::Incremental, key, sql);
    let append = refusal(vec![incremental(
        &[],
        &format!("select city from {CUSTOMERS}"),
    )])
    .await;
    assert!(
        append.contains("has no `unique_key`") && append.contains("customer_id"),
        "{append}"
    );
    let other = format!("select customer_id, city from {CUSTOMERS}");
    let other = refusal(vec![incremental(&["city"], &other)]).await;
    assert!(other.contains("whose key is (customer_id)"), "{other}");
    let computed = format!("select upper(customer_id) as customer_id from {CUSTOMERS}");
    let computed = refusal(vec![incremental(&["customer_id"], &computed)]).await;
    assert!(
        computed.contains("whose key is (customer_id)"),
        "{computed}"
    );
    let inner = format!(
        "select c.customer_id from {CUSTOMERS} as c join (values ('a')) as v(city) on v.city = c.city"
    );
    let inner = refusal(vec![incremental(&["customer_id"], &inner)]).await;
    assert!(inner.contains("can drop rows of a keyed source"), "{inner}");
}
