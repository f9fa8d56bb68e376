//! The plain functions against what reference implementations say.

use serde::Deserialize;

use super::super::{clean, language, remove_stop_words, sentiment, stop_words, words};

macro_rules! fixture {
    ($name:literal) => {
        serde_json::from_str(include_str!(concat!("../../../../tests/fixtures/", $name))).unwrap()
    };
}

#[test]
fn text_is_cleaned_like_the_reference() {
    let cases: Vec<(String, String)> = fixture!("cleaning.json");
    assert!(cases.len() >= 60);
    let mut cleaned = String::from("kept: ");
    for (text, expected) in cases {
        cleaned.truncate("kept: ".len());
        clean::clean(&text, &mut cleaned);
        assert_eq!(cleaned.strip_prefix("kept: "), Some(&*expected), "{text:?}");
    }
}

#[test]
fn cleaning_twice_changes_nothing() {
    let cases: Vec<(String, String)> = fixture!("cleaning.json");
    for (_, once) in cases {
        let mut twice = String::new();
        clean::clean(&once, &mut twice);
        assert_eq!(twice, once);
        let mut tokens = Vec::new();
        words::each_word(&once, &mut String::new(), |word| {
            tokens.push(word.to_owned())
        });
        assert_eq!(tokens.join(" "), once, "tokens of clean text are its words");
    }
}

#[test]
fn stop_words_are_those_of_nltk() {
    let cases: Vec<(String, String, String)> = fixture!("stop_words.json");
    let (mut lower, mut kept) = (String::new(), String::new());
    for (code, text, expected) in cases {
        kept.clear();
        let language = stop_words::Languages::of(&code).unwrap();
        remove_stop_words::remove(&text, language, &mut lower, &mut kept);
        assert_eq!(kept, expected, "{text}");
    }
}

#[derive(Deserialize)]
struct Languages {
    sentences: Vec<Sentence>,
    unsure: Vec<String>,
}

#[derive(Deserialize)]
struct Sentence {
    language: String,
    text: String,
}

#[test]
fn languages_are_detected_or_unsure_but_not_confused() {
    let Languages { sentences, unsure } = fixture!("languages.json");
    assert!(sentences.len() >= 200);
    let mut lower = String::new();
    let mut right = std::collections::BTreeMap::<_, (u32, u32)>::new();
    for Sentence { language, text } in &sentences {
        let (found, all) = right.entry(language.as_str()).or_default();
        *all += 1;
        if let Some(code) = language::detect(text, &mut lower) {
            assert_eq!(code, language, "{text}");
            *found += 1;
        }
    }
    assert_eq!(right.len(), 10);
    let (found, all) = right
        .values()
        .fold((0, 0), |sum, (found, all)| (sum.0 + found, sum.1 + all));
    assert!(
        found * 100 >= all * 93,
        "{found} of {all} sentences: {right:?}"
    );
    for (language, (found, all)) in &right {
        assert!(found * 100 >= all * 75, "{language}: {found} of {all}");
    }
    for text in &unsure {
        assert_eq!(language::detect(text, &mut lower), None, "{text:?}");
    }
}

#[derive(Deserialize)]
struct Scores {
    published: Vec<(String, f64)>,
}

/// Single words and pairs among them need not be: `war` is a word of German too.
#[test]
fn published_sentences_are_seen_to_be_english() {
    let Scores { published } = fixture!("vader.json");
    let mut judge = sentiment::Judge::new();
    for (text, expected) in published {
        if text.split(' ').count() > 2 {
            assert_eq!(judge.of_any_language(&text), Some(expected), "{text}");
        }
        assert_eq!(
            judge.of_language(&text, "en", None),
            Some(expected),
            "{text}"
        );
    }
}

#[test]
fn a_text_of_no_known_language_has_no_sentiment() {
    let mut judge = sentiment::Judge::new();
    for (text, expected) in [
        ("", None),
        ("12345", None),
        ("balloons", None),
        ("Die Hose passt", None),
        ("Ich bin sehr zufrieden", None),
        ("Je suis déçu", None),
        ("war", None),
        ("I love it", Some("positive")),
        ("Today SUX!", Some("negative")),
        ("Not worth the money", Some("negative")),
        ("😀", Some("positive")),
        (":-(", Some("negative")),
    ] {
        let label = judge.of_any_language(text).map(sentiment::label);
        assert_eq!(label, expected, "{text:?}");
    }
    assert_eq!(judge.of_language("", "en", None), Some(0.0));
    assert_eq!(judge.of_language("good", "fr", None), None);
}
