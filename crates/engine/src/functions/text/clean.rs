//! `clean_text`: the cleaning of payment descriptions.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use super::column::TextColumn;
use super::row_wise::RowWise;
use super::stop_words::is_english;
use super::words::is_space;

/// Appends `text`, cleaned, to `cleaned`, in this order:
///
/// 1. lower case by Unicode's full mapping (`İ` becomes `i` and a combining dot);
/// 2. what is neither a-z, 0-9 nor white space is dropped, with nothing in its place;
/// 3. a digit behind a letter begins a word of its own (`b2b` is `b 2b`, `3rd` stays);
/// 4. the words between white space that are NLTK's English stop words are dropped; those with an
///    apostrophe never match, as the text has none any more (`don't` is `dont` and stays);
/// 5. the rest is joined by one space.
pub(super) fn clean(text: &str, cleaned: &mut String) {
    let begin = cleaned.len();
    // Where the word under way begins; a word that stays is followed by one space.
    let mut word = begin;
    for c in text.chars() {
        match c {
            'a'..='z' => cleaned.push(c),
            'A'..='Z' => cleaned.push(c.to_ascii_lowercase()),
            '0'..='9' => {
                if cleaned[word..].ends_with(|last: char| last.is_ascii_lowercase()) {
                    word = end_word(cleaned, word);
                }
                cleaned.push(c);
            }
            _ if is_space(c) => word = end_word(cleaned, word),
            _ => cleaned.extend(c.to_lowercase().filter(char::is_ascii_lowercase)),
        }
    }
    end_word(cleaned, word);
    if cleaned.len() > begin {
        cleaned.pop();
    }
}

/// Keeps or drops the word that begins at `word`; says where the next one begins.
fn end_word(cleaned: &mut String, word: usize) -> usize {
    if is_english(&cleaned[word..]) {
        cleaned.truncate(word);
    } else if cleaned.len() > word {
        cleaned.push(' ');
    }
    cleaned.len()
}

/// `clean_text(text)`.
pub(super) fn function() -> Arc<ScalarUDF> {
    RowWise {
        name: "clean_text",
        returns: DataType::Utf8,
        compute: clean_text,
    }
    .into_function()
}

fn clean_text(texts: &TextColumn) -> Result<ArrayRef> {
    let mut cleaned = StringBuilder::with_capacity(texts.len(), texts.bytes());
    let mut buffer = String::new();
    for text in texts.iter() {
        cleaned.append_option(text.map(|text| {
            buffer.clear();
            clean(text, &mut buffer);
            buffer.as_str()
        }));
    }
    Ok(Arc::new(cleaned.finish()))
}
