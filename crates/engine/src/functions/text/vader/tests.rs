#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Scores {
    published: Vec<(String, f64)>,
    more: Vec<(String, f64)>,
}

fn reference() -> Scores {
    serde_json::from_str(include_str!("../../../../tests/fixtures/vader.json")).unwrap()
}

#[test]
fn every_score_is_that_of_the_reference() {
    let reference = reference();
    let mut scorer = Scorer::new();
    let mut wrong = Vec::new();
    for (text, expected) in reference.published.iter().chain(&reference.more) {
        let compound = scorer.score(text).compound;
        if compound != *expected {
            wrong.push(format!("{text:?}: {compound}, not {expected}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(reference.published.len() + reference.more.len() > 1_500);
}

#[test]
fn only_words_of_the_lexicon_are_found() {
    let mut scorer = Scorer::new();
    assert!(scorer.score("great").found);
    assert!(scorer.score(":-)").found);
    assert!(!scorer.score("very").found);
    assert!(!scorer.score("").found);
}
