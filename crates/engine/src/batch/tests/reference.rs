//! Sources that are tables of Postgres.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, Int32Array, StringArray};
use factmill_project::{Materialized, Model, Project, Reference};
use futures::TryStreamExt;

use super::*;
use crate::fixture::{model, project};
use crate::reference::{Databases, check};

/// The banking source's columns, kept in a table.
fn referring(models: Vec<Model>) -> (Project, factmill_project::Job) {
    let (mut project, mut job) = project(models);
    project.sources[0].schema.columns.truncate(3);
    for (column, data_type) in project.sources[0]
        .schema
        .columns
        .iter_mut()
        .zip(["bigint", "text", "text"])
    {
        column.data_type = factmill_core::types::DeclaredType::parse(data_type).unwrap();
    }
    project.sources[0].schema.event_time = None;
    project.sources[0].reference = Some(Reference {
        database: None,
        table: kept(),
        refresh: Duration::from_secs(1),
        watermark: None,
    });
    job.sources.clear();
    project.jobs = vec![job.clone()];
    (project, job)
}

fn kept() -> TableName {
    TableName {
        schema: "crm".into(),
        name: "it's \"kept\"".into(),
    }
}

fn table(third: &str) -> Loaded {
    let columns: [(&str, ArrayRef); 3] = [
        (third, Arc::new(StringArray::from(vec![Some("A"), None]))),
        ("transaction_id", Arc::new(Int32Array::from(vec![1, 2]))),
        ("timestamp", Arc::new(StringArray::from(vec!["x", "y"]))),
    ];
    Loaded([(kept(), vec![RecordBatch::try_from_iter(columns).unwrap()])].into())
}

fn whole() -> Model {
    let sql = format!(
        "select transaction_id + 1 as next, account_id from {}",
        crate::fixture::SOURCE
    );
    model("whole", Materialized::Table, &[], &sql)
}

#[tokio::test]
async fn a_rebuild_reads_the_declared_columns_with_their_declared_types() {
    let (project, job) = referring(vec![whole()]);
    let plan = StreamPlan::compile_models(&project, &job, &project.models, &Memory::stream())
        .await
        .unwrap();
    let [rebuild] = plan.rebuilds() else {
        panic!("one rebuild")
    };
    assert!(!rebuild.reads_lake);
    assert_eq!(rebuild.references, [project.sources[0].name.clone()]);
    assert_eq!(plan.references().count(), 1);
    let inputs = Inputs {
        lake: None,
        databases: Databases::only(Arc::new(table("account_id"))),
    };
    check(plan.references(), &inputs.databases)
        .await
        .unwrap()
        .unwrap();
    let found = plan.rebuild(rebuild, &inputs).await.unwrap();
    let found: Vec<_> = found.batches.try_collect().await.unwrap();
    assert_eq!(texts(&found), ["2|A", "3|"]);
}

#[tokio::test]
async fn what_differs_from_the_table_is_named() {
    let (project, job) = referring(vec![whole()]);
    let plan = StreamPlan::compile_models(&project, &job, &project.models, &Memory::stream())
        .await
        .unwrap();
    let told = async |table: Loaded| {
        let checked = check(plan.references(), &Databases::only(Arc::new(table)))
            .await
            .unwrap();
        checked.unwrap_err().to_string()
    };
    let other = told(table("account_i")).await;
    assert!(
        other.contains("column `account_id`, which table crm.it's \"kept\" does not have"),
        "{other}"
    );
    assert!(other.contains("did you mean `account_i`?"), "{other}");
    let none = told(Loaded::default()).await;
    assert!(none.contains("is not in the warehouse"), "{none}");

    let (mut project, job) = referring(vec![whole()]);
    project.sources[0].schema.columns[0].data_type = factmill_core::types::DeclaredType::SmallInt;
    let plan = StreamPlan::compile_models(&project, &job, &project.models, &Memory::stream())
        .await
        .unwrap();
    let kept = Databases::only(Arc::new(table("account_id")));
    let narrow = check(plan.references(), &kept).await.unwrap();
    let narrow = narrow.unwrap_err().to_string();
    assert!(
        narrow.contains("is declared smallint, and is integer"),
        "{narrow}"
    );
}

#[tokio::test]
async fn an_incremental_model_cannot_read_what_changes() {
    let mut incremental = whole();
    incremental.materialized = Materialized::Incremental;
    let (project, job) = referring(vec![incremental]);
    let plan = StreamPlan::compile_models(&project, &job, &project.models, &Memory::stream()).await;
    let told = plan.unwrap_err().to_string();
    assert!(told.contains("whose rows change"), "{told}");
    assert!(
        told.contains("rebuilt when rows of the reference change"),
        "{told}"
    );
}
