//! The functions in models: types, files, and where errors point.

use std::path::Path;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Float64Type;
use factmill_core::diagnostic::Diagnostics;
use factmill_project::Materialized;

use crate::batch::BatchPlan;
use crate::fixture::{SOURCE, model, project};
use crate::session::Memory;
use crate::stream::StreamPlan;

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |file, json| std::fs::write(dir.path().join(file), json).unwrap();
    write("scaler.json", r#"{"data_min": -10, "data_max": 30.5}"#);
    write("flat.json", r#"{"data_min": 3, "data_max": 3}"#);
    write("half.json", r#"{"data_min": 3}"#);
    write("broken.json", "{");
    write(
        "sentiment.json",
        r#"{"languages": {"fr": {"bias": 0.0, "weights": {"bon": 2.0, "déçu": -3.0}}}}"#,
    );
    dir
}

/// Compiles a model of one column over the fixture's source.
async fn compile(expression: &str, dir: &Path) -> Result<BatchPlan, Diagnostics> {
    let sql = format!("select\n  {expression} as value,\n  account_id\nfrom {SOURCE}");
    let features = model("features", Materialized::Table, &[], &sql);
    let (mut project, _) = project(vec![features]);
    project.dir = dir.to_owned();
    BatchPlan::compile(&project, &project.models, &Memory::batch(), 1).await
}

async fn column_type(expression: &str, dir: &Path) -> String {
    let plan = compile(expression, dir).await.unwrap();
    plan.tables()[0].columns[0].data_type.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_have_declared_types() {
    let dir = folder();
    let dir = dir.path();
    for (expression, declared) in [
        ("clean_text(account_id)", "text"),
        ("tokens(account_id)", "text[]"),
        ("array_length(tokens(account_id))", "bigint"),
        ("detect_language(account_id)", "text"),
        ("remove_stop_words(account_id, 'fr')", "text"),
        (
            "remove_stop_words(account_id, detect_language(account_id))",
            "text",
        ),
        ("sentiment(account_id)", "double precision"),
        ("sentiment(account_id, 'en')", "double precision"),
        (
            "sentiment(account_id, transaction_type, 'sentiment.json')",
            "double precision",
        ),
        (
            "sentiment_label(account_id, 'fr', 'sentiment.json')",
            "text",
        ),
        ("min_max_scale(amount, 'scaler.json')", "double precision"),
        ("min_max_scale(null, 'scaler.json')", "double precision"),
        ("sentiment(null)", "double precision"),
    ] {
        assert_eq!(column_type(expression, dir).await, declared, "{expression}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_call_is_pointed_at() {
    let dir = folder();
    for (expression, said) in [
        (
            "min_max_scale(amount, 'none.json')",
            "file `none.json` cannot be read: ",
        ),
        (
            "min_max_scale(amount, '../scaler.json')",
            "without `..` and not absolute",
        ),
        (
            "min_max_scale(amount, '/scaler.json')",
            "without `..` and not absolute",
        ),
        (
            "min_max_scale(amount, 'broken.json')",
            "file `broken.json`: EOF while parsing",
        ),
        (
            "min_max_scale(amount, 'half.json')",
            "missing field `data_max`",
        ),
        (
            "min_max_scale(amount, 'flat.json')",
            "data_min 3 is not less than data_max 3",
        ),
        ("min_max_scale(amount, account_id)", "must be a literal"),
        ("min_max_scale(account_id, 'scaler.json')", "takes a number"),
        ("min_max_scale(amount)", "takes a number"),
        (
            "sentiment(account_id, 'English')",
            "`English` is not a language",
        ),
        (
            "sentiment(account_id, 'fr', 'scaler.json')",
            "a model looks like",
        ),
        (
            "sentiment(account_id, 'fr', account_id)",
            "must be a literal",
        ),
        (
            "remove_stop_words(account_id, 'eng')",
            "`eng` is not a language",
        ),
        ("clean_text(amount)", "clean_text"),
    ] {
        let wrong = compile(expression, dir.path())
            .await
            .unwrap_err()
            .to_string();
        assert!(wrong.contains(said), "{expression}: {wrong}");
        assert!(
            wrong.contains("models/features.sql:2:3"),
            "{expression}: {wrong}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_call_them() {
    let dir = folder();
    let expressions = [
        "clean_text(account_id) as cleaned",
        "tokens(account_id) as tokens",
        "detect_language(account_id) as language",
        "sentiment(account_id, 'fr', 'sentiment.json') as sentiment",
        "min_max_scale(amount, 'scaler.json') as scaled",
    ];
    let sql = format!("select {} from {SOURCE}", expressions.join(", "));
    let (mut project, job) = project(vec![model(
        "features",
        Materialized::Incremental,
        &[],
        &sql,
    )]);
    project.dir = dir.path().to_owned();
    let stream = StreamPlan::compile_models(&project, &job, &project.models, &Memory::stream())
        .await
        .unwrap();
    // What was read when the plan was made is not read again.
    std::fs::remove_file(dir.path().join("scaler.json")).unwrap();
    let events = [("bon", 3050), ("déçu", -2000)].map(|(account, amount)| crate::fixture::Event {
        id: 1,
        time: 0,
        account: account.into(),
        city: String::new(),
        amount,
        partition: 0,
        offset: 0,
    });
    let changes = stream
        .transform(vec![(
            crate::fixture::source_name(),
            crate::fixture::rows(&events),
        )])
        .await
        .unwrap();
    let rows = &changes[0].rows;
    let double = |name: &str| {
        let column = rows.column_by_name(name).unwrap();
        column.as_primitive::<Float64Type>().values().to_vec()
    };
    assert_eq!(double("scaled"), [1.0, (-20.0 + 10.0) / 40.5]);
    assert_eq!(double("sentiment"), [1.0_f64.tanh(), (-1.5_f64).tanh()]);
}
