//! A function down a column says what the plain one says of each text.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, LargeStringArray, StringArray, StringViewArray,
};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use proptest::prelude::*;

use super::super::stop_words::Languages;
use super::super::{clean, language, remove_stop_words, sentiment, words};
use super::{call, function};

/// The texts in each of Arrow's layouts, whole and as a slice of something longer.
fn layouts(texts: &[Option<String>]) -> Vec<ArrayRef> {
    let mut longer = vec![Some("before, outside the slice".to_owned()), None];
    longer.extend_from_slice(texts);
    longer.push(Some("after".to_owned()));
    let sliced = each_layout(&longer).map(|array| array.slice(2, texts.len()));
    each_layout(texts).into_iter().chain(sliced).collect()
}

fn each_layout(texts: &[Option<String>]) -> [ArrayRef; 3] {
    let views: StringViewArray = texts.iter().map(Option::as_deref).collect();
    [
        Arc::new(StringArray::from(texts.to_vec())),
        Arc::new(LargeStringArray::from(texts.to_vec())),
        Arc::new(views),
    ]
}

fn texts(array: &ArrayRef) -> Vec<Option<String>> {
    let texts = array.as_string::<i32>();
    texts
        .iter()
        .map(|text| text.map(ToOwned::to_owned))
        .collect()
}

fn run(name: &str, column: &ArrayRef, more: &[ColumnarValue]) -> ArrayRef {
    let mut args = vec![ColumnarValue::Array(Arc::clone(column))];
    args.extend_from_slice(more);
    call(&function(name, Path::new(".")), args, column.len())
}

fn literal(text: &str) -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::from(text))
}

fn cleaned(text: &str) -> String {
    let mut cleaned = String::new();
    clean::clean(text, &mut cleaned);
    cleaned
}

fn words_of(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    words::each_word(text, &mut String::new(), |word| found.push(word.to_owned()));
    found
}

fn without_stop_words(text: &str, code: &str) -> String {
    let Some(language) = Languages::of(code) else {
        return text.to_owned();
    };
    let mut kept = String::new();
    remove_stop_words::remove(text, language, &mut String::new(), &mut kept);
    kept
}

fn each<T>(texts: &[Option<String>], mut of: impl FnMut(&str) -> T) -> Vec<Option<T>> {
    texts
        .iter()
        .map(|text| text.as_deref().map(&mut of))
        .collect()
}

fn holds(given: &[Option<String>], codes: &[Option<String>]) {
    for column in layouts(given) {
        assert_eq!(
            texts(&run("clean_text", &column, &[])),
            each(given, cleaned)
        );
        let tokens = run("tokens", &column, &[]);
        let tokens: Vec<_> = tokens
            .as_list::<i32>()
            .iter()
            .map(|list| list.map(|list| texts(&list).into_iter().flatten().collect::<Vec<_>>()))
            .collect();
        assert_eq!(tokens, each(given, words_of));
        let detected: Vec<Option<String>> = given
            .iter()
            .map(|text| language::detect(text.as_deref()?, &mut String::new()).map(Into::into))
            .collect();
        assert_eq!(texts(&run("detect_language", &column, &[])), detected);

        let english = texts(&run("remove_stop_words", &column, &[literal("en")]));
        assert_eq!(english, each(given, |text| without_stop_words(text, "en")));
        for language in layouts(codes) {
            let language = ColumnarValue::Array(language);
            let removed = texts(&run(
                "remove_stop_words",
                &column,
                std::slice::from_ref(&language),
            ));
            let expected: Vec<_> = given
                .iter()
                .zip(codes)
                .map(|(text, code)| Some(without_stop_words(text.as_deref()?, code.as_deref()?)))
                .collect();
            assert_eq!(removed, expected);
        }
        let judged: Vec<_> = given
            .iter()
            .map(|text| sentiment::Judge::new().of_any_language(text.as_deref()?))
            .collect();
        let scores = run("sentiment", &column, &[]);
        assert_eq!(
            scores.as_primitive::<Float64Type>(),
            &Float64Array::from(judged.clone())
        );
        let labels: Vec<_> = judged
            .iter()
            .map(|score| score.map(|score| sentiment::label(score).to_owned()))
            .collect();
        assert_eq!(texts(&run("sentiment_label", &column, &[])), labels);
        let languages = ColumnarValue::Array(layouts(codes).remove(2));
        let by_language: Vec<_> = given
            .iter()
            .zip(codes)
            .map(|(text, code)| {
                sentiment::Judge::new().of_language(text.as_deref()?, code.as_deref()?, None)
            })
            .collect();
        let scores = run("sentiment", &column, &[languages]);
        assert_eq!(
            scores.as_primitive::<Float64Type>(),
            &Float64Array::from(by_language)
        );
    }
}

fn any_text() -> impl Strategy<Value = Option<String>> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9'’.,!?]{0,6}",
        2 => prop::sample::select(vec!["the", "not", "good", "BAD", "never", "but", "die", "les", "Ist", "2b", "😀", ":)", "I'd"]).prop_map(Into::into),
        1 => "\\PC{0,4}",
    ];
    let space = prop::sample::select(vec![" ", "  ", "\u{1c}", "\u{a0}", "\n", ""]);
    let text = prop::collection::vec((piece, space), 0..8).prop_map(|pieces| {
        pieces
            .into_iter()
            .map(|(piece, space)| piece + space)
            .collect()
    });
    prop::option::weighted(0.9, text)
}

fn any_code() -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(
        0.9,
        prop::sample::select(vec!["en", "fr", "de", "nb", "ja", "xx", ""]).prop_map(Into::into),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_column_is_its_texts(rows in prop::collection::vec((any_text(), any_code()), 0..20)) {
        let (given, codes): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        holds(&given, &codes);
    }
}

#[test]
fn columns_of_nulls_and_of_nothing() {
    holds(&[None, None], &[None, Some("en".into())]);
    holds(&[], &[]);
}

#[test]
fn a_literal_makes_a_literal() {
    let result = function("clean_text", Path::new("."));
    let cleaned = call(&result, vec![literal("The B2B!")], 3);
    assert_eq!(texts(&cleaned), vec![Some("b 2b".to_owned()); 3]);
    let null = ColumnarValue::Scalar(ScalarValue::Utf8(None));
    assert_eq!(texts(&call(&result, vec![null], 1)), [None]);
}
