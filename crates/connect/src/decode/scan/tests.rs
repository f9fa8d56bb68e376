//! The grammar's edges, the limit of nesting, the search for a string's end.

use super::*;

fn passes(text: &str) -> Result<(), Broken> {
    let mut scratch = String::new();
    let mut scanner = Scanner::new(text, &mut scratch);
    scanner.skip()?;
    scanner.end()
}

#[test]
fn follows_the_grammar() {
    for text in [
        "{}",
        "[]",
        " [ ] ",
        "0",
        "-0.5e+10",
        "\"\"",
        "\"\\u00e9\\ud83d\\ude00\\n\"",
        "{\"a\":[1,{\"b\":null},true,false],\"\":{}}",
        "[[],[[]]]",
    ] {
        assert_eq!(passes(text), Ok(()), "{text}");
    }
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1",
        "[1,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "tru",
        "nul",
        "NaN",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"a\nb\"",
        "\"long enough for a word\u{1}\"",
        "{} {}",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "\u{feff}{}",
        "[1]]",
    ] {
        assert!(
            matches!(passes(text), Err(Broken::Malformed { .. })),
            "{text}: {:?}",
            passes(text)
        );
    }
}

#[test]
fn nesting_ends_at_the_limit_without_using_the_stack() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let limit = MAX_DEPTH as usize;
    assert_eq!(passes(&nested(limit)), Ok(()));
    assert_eq!(
        passes(&nested(limit + 1)),
        Err(Broken::TooDeep { at: limit })
    );
    assert!(matches!(
        passes(&"[{\"a\":".repeat(1_000_000)),
        Err(Broken::TooDeep { .. })
    ));
}

#[test]
fn finds_the_end_of_a_string_at_every_place_of_a_word() {
    for length in 0..40 {
        for special in ['"', '\\', '\u{1f}', '\0'] {
            let text = format!(
                "{}{special}é\"",
                "é~".repeat(20).chars().take(length).collect::<String>()
            );
            let wanted = text.find(['"', '\\', '\u{1f}', '\0']);
            assert_eq!(Some(plain_end(text.as_bytes(), 0)), wanted, "{text}");
        }
    }
    assert_eq!(plain_end("no end of it".as_bytes(), 0), 12);
}

#[test]
fn says_what_jsonb_refuses() {
    let refused = |text| Scanner::new(text, &mut String::new()).skip_watching();
    assert_eq!(refused("[\"\\\\u0000\", 1e100]"), Ok(Refused::default()));
    assert_eq!(
        refused("[{\"a\\u0000\": 1}]"),
        Ok(Refused {
            nul: true,
            number: false
        })
    );
    assert_eq!(
        refused("[1e200000]"),
        Ok(Refused {
            nul: false,
            number: true
        })
    );
}
