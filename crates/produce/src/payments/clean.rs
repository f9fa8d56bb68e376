//! The cleaning of descriptions and amounts, column by column.

use std::collections::HashSet;
use std::sync::LazyLock;

use polars_core::prelude::{
    BooleanChunked, BooleanType, ChunkFilter, DataType, Float64Chunked, Float64Type, StringChunked,
};

use super::error::PaymentsError;
use super::report::{Refusal, RefusedRow};
use super::rows::RawChunk;

/// What pandas reads as null where nothing else is said: `STR_NA_VALUES` in
/// `pandas/_libs/parsers.pyx` (pandas 2). A field is compared as it stands in the file.
const NULL_WORDS: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// The longest of them, to tell most texts apart by their length.
const LONGEST_NULL_WORD: usize = 8;

/// NLTK's English stop words. Those with an apostrophe never match: texts have none any more.
static STOP_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let words = stop_words::lookup("en").unwrap_or_default();
    words.iter().copied().collect()
});

/// The rows of a chunk that are payments.
#[derive(Debug)]
pub(super) struct Payments {
    /// Data rows by number.
    pub(super) rows: Vec<u64>,
    /// As it stands in the file.
    pub(super) description: StringChunked,
    /// As it is written, without white space around it; null where it is null.
    pub(super) amount_raw: StringChunked,
    /// Its value.
    pub(super) amount: Float64Chunked,
}

/// Splits a chunk into payments and refused rows, the latter in their order.
pub(super) fn payments(chunk: RawChunk) -> Result<(Payments, Vec<RefusedRow>), PaymentsError> {
    let is_described = is_value(&chunk.description);
    let amount_raw = amounts_as_written(&chunk.amount);
    let amount = values(&amount_raw);
    let is_payment = &is_described & &(amount.is_finite() | amount_raw.is_null());
    let mut refused = chunk.refused;
    if is_payment.all() {
        let all = Payments {
            rows: chunk.rows,
            description: chunk.description,
            amount_raw,
            amount,
        };
        return Ok((all, refused));
    }
    let mut rows = Vec::with_capacity(chunk.rows.len());
    for (at, is_payment) in is_payment.iter().enumerate() {
        if is_payment == Some(true) {
            rows.push(chunk.rows[at]);
            continue;
        }
        let (reason, value) = if is_described.get(at) != Some(true) {
            (Refusal::NoDescription, None)
        } else if amount.get(at).is_some_and(f64::is_infinite) {
            (Refusal::InfiniteAmount, amount_raw.get(at))
        } else {
            (Refusal::UnparsableAmount, amount_raw.get(at))
        };
        refused.push(RefusedRow {
            row: chunk.rows[at],
            line: chunk.lines[at],
            reason,
            value: value.map(|value| value.chars().take(40).collect()),
        });
    }
    refused.sort_by_key(|refused| refused.row);
    let some = Payments {
        rows,
        description: chunk.description.filter(&is_payment)?,
        amount_raw: amount_raw.filter(&is_payment)?,
        amount: amount.filter(&is_payment)?,
    };
    Ok((some, refused))
}

/// Whether a text is none of the words for null.
fn is_value(texts: &StringChunked) -> BooleanChunked {
    texts.apply_nonnull_values_generic::<BooleanType, _, _>(DataType::Boolean, |text| {
        !is_null_word(text)
    })
}

fn is_null_word(text: &str) -> bool {
    text.len() <= LONGEST_NULL_WORD && NULL_WORDS.contains(&text)
}

/// Amounts without white space around them, null words as null.
fn amounts_as_written(amounts: &StringChunked) -> StringChunked {
    let values = amounts
        .iter()
        .map(|text| text.filter(|text| !is_null_word(text)));
    values.map(|text| text.map(str::trim_ascii)).collect()
}

/// Amounts as numbers; what is not written as a decimal number is not a number (NaN).
fn values(amounts: &StringChunked) -> Float64Chunked {
    amounts.apply_nonnull_values_generic::<Float64Type, _, _>(DataType::Float64, |text| {
        // Rust reads `infinity` and `nan` too, in any case; the former is told apart as infinite.
        text.parse().unwrap_or(f64::NAN)
    })
}

/// Descriptions cleaned: lower case; only a-z, 0-9 and white space; a space before a digit that
/// follows a letter; no stop words, one space between the others.
pub(super) fn clean(descriptions: &StringChunked) -> StringChunked {
    let kept = descriptions.apply_into_string_amortized(keep_letters_digits_and_space);
    let parted = kept.apply_into_string_amortized(part_digits_from_letters);
    parted.apply_into_string_amortized(drop_stop_words)
}

fn keep_letters_digits_and_space(text: &str, kept: &mut String) {
    let is_kept = |c: &char| matches!(c, 'a'..='z' | '0'..='9') || is_space(*c);
    kept.extend(text.chars().flat_map(char::to_lowercase).filter(is_kept));
}

fn part_digits_from_letters(text: &str, parted: &mut String) {
    let mut before = ' ';
    for c in text.chars() {
        if c.is_ascii_digit() && before.is_ascii_lowercase() {
            parted.push(' ');
        }
        parted.push(c);
        before = c;
    }
}

fn drop_stop_words(text: &str, kept: &mut String) {
    let words = text.split(is_space).filter(|word| !word.is_empty());
    for word in words.filter(|word| !STOP_WORDS.contains(word)) {
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.push_str(word);
    }
}

/// Unicode's white space, and the four separators of ASCII that Python counts among it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1C}'..='\u{1F}')
}
