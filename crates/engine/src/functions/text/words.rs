//! Where a text's words begin and end: white space, the marks around a word, and `tokens`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use super::column::TextColumn;
use super::row_wise::RowWise;

/// White space: Unicode's, and the four separators of ASCII that Python's `str.split` counts too.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// The pieces of a text between white space, none of them empty.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|piece| !piece.is_empty())
}

/// A piece without what is neither letter, digit nor mark at its ends.
pub(super) fn trimmed(piece: &str) -> &str {
    piece.trim_matches(|c: char| !belongs_to_word(c))
}

/// Letters, digits, and the marks that stand after a letter of their script.
fn belongs_to_word(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(c,
            '\u{300}'..='\u{36f}' // combining accents
            | '\u{591}'..='\u{5c7}' // Hebrew points
            | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}' // Arabic vowels
            | '\u{900}'..='\u{963}' | '\u{980}'..='\u{df3}' // signs of the Indic scripts
            | '\u{e31}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{eb1}'..='\u{ecd}' // Thai, Lao
            | '\u{102b}'..='\u{103e}' | '\u{17b4}'..='\u{17d3}') // Myanmar, Khmer
}

/// Appends `word` in lower case by Unicode's full mapping.
pub(super) fn push_lower(word: &str, lower: &mut String) {
    if word.is_ascii() {
        let start = lower.len();
        lower.push_str(word);
        lower[start..].make_ascii_lowercase();
    } else if word.contains('Σ') {
        // At the end of a word it becomes ς, which only the whole word shows.
        lower.push_str(&word.to_lowercase());
    } else {
        lower.extend(word.chars().flat_map(char::to_lowercase));
    }
}

/// Calls `found` with each word of a text: a piece between white space, in lower case, without the
/// punctuation at its ends. Pieces of nothing else are no words.
pub(super) fn each_word(text: &str, lower: &mut String, mut found: impl FnMut(&str)) {
    for word in split(text).map(trimmed).filter(|word| !word.is_empty()) {
        lower.clear();
        push_lower(word, lower);
        found(lower);
    }
}

/// `tokens(text)`: the words of a text, a list of text.
pub(super) fn function() -> Arc<ScalarUDF> {
    RowWise {
        name: "tokens",
        returns: DataType::List(item()),
        compute: tokens,
    }
    .into_function()
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Utf8, true))
}

fn tokens(texts: &TextColumn) -> Result<ArrayRef> {
    let mut lists =
        ListBuilder::with_capacity(StringBuilder::new(), texts.len()).with_field(item());
    let mut lower = String::new();
    for text in texts.iter() {
        if let Some(text) = text {
            each_word(text, &mut lower, |word| lists.values().append_value(word));
        }
        lists.append(text.is_some());
    }
    Ok(Arc::new(lists.finish()))
}
