//! `detect_language`: which language a text is written in, or null.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use whatlang::Lang;

use super::column::TextColumn;
use super::row_wise::RowWise;
use super::stop_words::{Languages, Votes, languages_of};
use super::words::each_word;

/// Languages that stop words alone can tell: those that share them have lists too, or are unknown to
/// whatlang as well.
const TOLD_BY_STOP_WORDS: [&str; 6] = ["de", "en", "es", "fr", "it", "pt"];
/// So many stop words of such a language a text must have, and half as many again as of any other.
const DECIDING: u32 = 4;
/// From this confidence on, whatlang's answer holds alone: none of the 220 sentences in
/// `tests/fixtures/languages.json` is wrong above it.
const SURE: f64 = 0.5;
/// Below it, a text must have so many stop words of the language.
const WITNESSES: u32 = 2;
/// A text of fewer letters has no language: `水` is Chinese and Japanese.
const FEWEST_LETTERS: usize = 4;

/// The language of a text by ISO 639-1, `None` when unsure. `lower` is a buffer.
///
/// Clear stop words decide for some languages, which is twenty times as fast. Otherwise whatlang's guess
/// by trigrams and alphabet holds from a confidence of [`SURE`] on; below it only when the text has at
/// least [`WITNESSES`] stop words of that language, and fewer of any other.
pub(super) fn detect(text: &str, lower: &mut String) -> Option<&'static str> {
    let letters = text.chars().filter(|c| c.is_alphabetic());
    if letters.take(FEWEST_LETTERS).count() < FEWEST_LETTERS {
        return None;
    }
    let mut votes = Votes::none();
    each_word(text, lower, |word| votes.add(languages_of(word)));
    let (leader, language) = votes.leader()?;
    let most = votes.of(language);
    if most >= DECIDING
        && 2 * most >= 3 * votes.most_of_others(language)
        && TOLD_BY_STOP_WORDS.contains(&leader)
    {
        return Some(leader);
    }

    let guess = whatlang::detect(text)?;
    let code = iso_639_1(guess.lang());
    if guess.confidence() >= SURE {
        return Some(code);
    }
    let language = Languages::of(code)?;
    let own = votes.of(language);
    (own >= WITNESSES && own > votes.most_of_others(language)).then_some(code)
}

/// Whether a text has the form of an ISO 639-1 code.
pub(super) fn is_code(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// What to tell whoever wrote something else.
pub(super) fn not_a_code(written: &str) -> String {
    format!("`{written}` is not a language; write its ISO 639-1 code, as in 'en'")
}

fn iso_639_1(language: Lang) -> &'static str {
    match language {
        Lang::Epo => "eo",
        Lang::Eng => "en",
        Lang::Rus => "ru",
        Lang::Cmn => "zh",
        Lang::Spa => "es",
        Lang::Por => "pt",
        Lang::Ita => "it",
        Lang::Ben => "bn",
        Lang::Fra => "fr",
        Lang::Deu => "de",
        Lang::Ukr => "uk",
        Lang::Kat => "ka",
        Lang::Ara => "ar",
        Lang::Hin => "hi",
        Lang::Jpn => "ja",
        Lang::Heb => "he",
        Lang::Yid => "yi",
        Lang::Pol => "pl",
        Lang::Amh => "am",
        Lang::Jav => "jv",
        Lang::Kor => "ko",
        Lang::Nob => "nb",
        Lang::Dan => "da",
        Lang::Swe => "sv",
        Lang::Fin => "fi",
        Lang::Tur => "tr",
        Lang::Nld => "nl",
        Lang::Hun => "hu",
        Lang::Ces => "cs",
        Lang::Ell => "el",
        Lang::Bul => "bg",
        Lang::Bel => "be",
        Lang::Mar => "mr",
        Lang::Kan => "kn",
        Lang::Ron => "ro",
        Lang::Slv => "sl",
        Lang::Hrv => "hr",
        Lang::Srp => "sr",
        Lang::Mkd => "mk",
        Lang::Lit => "lt",
        Lang::Lav => "lv",
        Lang::Est => "et",
        Lang::Tam => "ta",
        Lang::Vie => "vi",
        Lang::Urd => "ur",
        Lang::Tha => "th",
        Lang::Guj => "gu",
        Lang::Uzb => "uz",
        Lang::Pan => "pa",
        Lang::Aze => "az",
        Lang::Ind => "id",
        Lang::Tel => "te",
        Lang::Pes => "fa",
        Lang::Mal => "ml",
        Lang::Ori => "or",
        Lang::Mya => "my",
        Lang::Nep => "ne",
        Lang::Sin => "si",
        Lang::Khm => "km",
        Lang::Tuk => "tk",
        Lang::Aka => "ak",
        Lang::Zul => "zu",
        Lang::Sna => "sn",
        Lang::Afr => "af",
        Lang::Lat => "la",
        Lang::Slk => "sk",
        Lang::Cat => "ca",
        Lang::Tgl => "tl",
        Lang::Hye => "hy",
        Lang::Cym => "cy",
    }
}

/// `detect_language(text)`.
pub(super) fn function() -> Arc<ScalarUDF> {
    RowWise {
        name: "detect_language",
        returns: DataType::Utf8,
        compute: detect_language,
    }
    .into_function()
}

fn detect_language(texts: &TextColumn) -> Result<ArrayRef> {
    let mut codes = StringBuilder::with_capacity(texts.len(), texts.len() * 2);
    let mut lower = String::new();
    for text in texts.iter() {
        codes.append_option(text.and_then(|text| detect(text, &mut lower)));
    }
    Ok(Arc::new(codes.finish()))
}
