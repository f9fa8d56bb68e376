//! The cleaning, held to examples and to a slow reference that follows its description word by word.

use polars_core::prelude::{NewChunkedArray, StringChunked};
use proptest::prelude::*;

use crate::payments::clean::clean;

fn cleaned(text: &str) -> String {
    let column = StringChunked::from_slice("d".into(), &[text]);
    clean(&column).get(0).unwrap().to_owned()
}

#[test]
fn descriptions_are_cleaned_as_described() {
    for (text, wanted) in [
        ("Coffee at the Corner", "coffee corner"),
        ("b2b", "b 2b"),
        ("3rd", "3rd"),
        ("A1B22C", "1b 22c"),
        ("x1 2y", "x 1 2y"),
        ("ab12cd34", "ab 12cd 34"),
        ("don't", "dont"),
        ("It's Shell's", "shells"),
        ("Café Zoë №5", "caf zo 5"),
        ("n°5", "n 5"),
        ("a-1", "1"),
        ("re-order #17", "reorder 17"),
        ("  two\t\nlines  ", "two lines"),
        (
            "one\u{1C}two\u{1F}three\u{85}four\u{A0}five\u{3000}six",
            "one two three four five six",
        ),
        ("zero\u{200B}width", "zerowidth"),
        // KELVIN SIGN lowers to k; I WITH DOT ABOVE to i and a combining dot, which is dropped.
        ("\u{212A}ELVIN \u{130}STANBUL", "kelvin istanbul"),
        ("ΣΑΣ straße ｆｕｌｌ", "strae"),
        ("٣ three", "three"),
        ("The other, not THIS", ""),
        ("!!!", ""),
        ("", ""),
    ] {
        assert_eq!(cleaned(text), wanted, "{text:?}");
    }
}

/// The cases that the SQL function `clean_text` is held to: both clean the same.
#[test]
fn descriptions_are_cleaned_like_the_sql_function() {
    let cases = include_str!("../../../../engine/tests/fixtures/cleaning.json");
    let cases: Vec<(String, String)> = serde_json::from_str(cases).unwrap();
    assert!(cases.len() >= 60);
    let texts: Vec<&str> = cases.iter().map(|(text, _)| text.as_str()).collect();
    let column = clean(&StringChunked::from_slice("d".into(), &texts));
    for ((text, wanted), cleaned) in cases.iter().zip(column.iter()) {
        assert_eq!(cleaned, Some(wanted.as_str()), "{text:?}");
    }
}

#[test]
fn a_column_keeps_its_order() {
    let column = StringChunked::from_slice("d".into(), &["One a1", "", "Two"]);
    let cleaned = clean(&column);
    assert_eq!(
        cleaned.iter().flatten().collect::<Vec<_>>(),
        ["one 1", "", "two"]
    );
}

/// The steps of the description, one after the other, on characters in a list.
fn reference(text: &str) -> String {
    let lower: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let kept: Vec<char> = lower
        .into_iter()
        .filter(|c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || is_python_space(*c))
        .collect();
    let mut parted = String::new();
    for (at, &c) in kept.iter().enumerate() {
        let digit = |c: char| c.is_ascii_digit();
        if at > 0 && digit(c) && !digit(kept[at - 1]) && !is_python_space(kept[at - 1]) {
            parted.push(' ');
        }
        parted.push(c);
    }
    let stop_words = stop_words::get("en");
    parted
        .split(is_python_space)
        .filter(|word| !word.is_empty() && !stop_words.contains(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// `str.isspace` of Python, character by character as its documentation lists them.
fn is_python_space(c: char) -> bool {
    matches!(
        u32::from(c),
        0x09..=0x0D | 0x1C..=0x20 | 0x85 | 0xA0 | 0x1680 | 0x2000..=0x200A | 0x2028 | 0x2029
            | 0x202F | 0x205F | 0x3000
    )
}

/// Text of any characters, with more of those that the rules are about.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[a-zA-Z0-9 '.,#-]{0,12}",
        "[\u{9}-\u{D}\u{1C}-\u{20}\u{85}\u{A0}\u{2000}-\u{200B}\u{212A}\u{130}\u{3A3}\u{DF}]{0,4}",
        prop::sample::select(stop_words::get("en")).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_cleaned_as_the_reference_does(text in text()) {
        prop_assert_eq!(cleaned(&text), reference(&text));
    }

    #[test]
    fn any_text_can_stand_in_json_as_it_is(text in any::<String>()) {
        prop_assert!(cleaned(&text).bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b' ')));
    }
}
