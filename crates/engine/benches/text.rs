//! How many texts a second each text function takes, on one core: `cargo bench -p factmill-engine --bench text`.
//!
//! The texts are the 220 sentences of reviews in ten languages of the tests, and for what is meant for
//! payments their fixture of descriptions, each repeated to a batch of 8,192 rows.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray};
use datafusion::arrow::datatypes::Field;
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use factmill_engine::functions::of_models;

const ROWS: usize = 8_192;

fn fixture(file: &str) -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(file);
    let text = std::fs::read_to_string(path).expect("the fixture is readable");
    serde_json::from_str(&text).expect("the fixture is JSON")
}

/// The texts under a key of each element, over and over.
fn column(elements: &serde_json::Value, key: impl serde_json::value::Index) -> ArrayRef {
    let elements = elements.as_array().expect("the fixture is a list");
    let texts = elements.iter().map(|element| element[&key].as_str());
    let texts: Vec<_> = texts.collect();
    Arc::new(
        texts
            .into_iter()
            .cycle()
            .take(ROWS)
            .collect::<StringArray>(),
    )
}

fn literal(text: &str) -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::from(text))
}

fn call(function: &ScalarUDF, args: &[ColumnarValue]) -> ColumnarValue {
    let types: Vec<_> = args.iter().map(ColumnarValue::data_type).collect();
    let fields = types
        .iter()
        .map(|data_type| Arc::new(Field::new("a", data_type.clone(), true)));
    let returns = function.return_type(&types).expect("the types fit");
    function
        .invoke_with_args(ScalarFunctionArgs {
            args: args.to_vec(),
            arg_fields: fields.collect(),
            number_rows: ROWS,
            return_field: Arc::new(Field::new("r", returns, true)),
            config_options: Arc::new(ConfigOptions::default()),
        })
        .expect("the function runs")
}

fn functions(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(
        dir.path().join("scaler.json"),
        r#"{"data_min": 0, "data_max": 100}"#,
    )
    .expect("the scaler is written");
    let functions = of_models(dir.path());
    let reviews = &fixture("languages.json")["sentences"];
    let languages = ColumnarValue::Array(column(reviews, "language"));
    let reviews = ColumnarValue::Array(column(reviews, "text"));
    let payments = ColumnarValue::Array(column(&fixture("cleaning.json"), 0));
    let english = ColumnarValue::Array(column(&fixture("vader.json")["more"], 0));
    let amounts = (0..ROWS).map(|row| row as f64).collect::<Float64Array>();
    let amounts = ColumnarValue::Array(Arc::new(amounts));

    let mut group = criterion.benchmark_group("text");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, of, args) in [
        ("clean_text", "payments", vec![payments]),
        ("clean_text", "reviews", vec![reviews.clone()]),
        ("tokens", "reviews", vec![reviews.clone()]),
        (
            "remove_stop_words",
            "reviews",
            vec![reviews.clone(), languages.clone()],
        ),
        ("detect_language", "reviews", vec![reviews.clone()]),
        ("sentiment", "reviews", vec![reviews.clone()]),
        (
            "sentiment",
            "reviews, language given",
            vec![reviews, languages],
        ),
        ("sentiment", "english", vec![english.clone(), literal("en")]),
        ("sentiment_label", "english", vec![english, literal("en")]),
        (
            "min_max_scale",
            "amounts",
            vec![amounts, literal("scaler.json")],
        ),
    ] {
        let function = functions
            .iter()
            .find(|function| function.name() == name)
            .expect("the function is there");
        group.bench_function(format!("{name}/{of}"), |bencher| {
            bencher.iter(|| black_box(call(function, &args)));
        });
    }
    group.finish();
}

criterion_group!(benches, functions);
criterion_main!(benches);
