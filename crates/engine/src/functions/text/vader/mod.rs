//! VADER: how positive or negative an English text is, by a lexicon and a few rules.
//!
//! C. J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of
//! Social Media Text", ICWSM 2014. The rules and the order in which they are applied are those of
//! its reference implementation, `vaderSentiment` 3.3.2; `tests/fixtures/vader.json` holds its
//! scores. The crate `vader-sentimental` is not used: it drops words of one letter, counts a
//! single question mark, lets no `no` negate, and reads `least` and multi-word boosters otherwise.

mod lexicon;

use lexicon::{Lexicon, Word};

use super::words::{push_lower, split};

/// What a capital word adds where not all are capital.
const CAPITALS: f64 = 0.733;
/// What a negation makes of a valence.
const NEGATION: f64 = -0.74;
/// What an exclamation mark adds, four at most.
const EXCLAMATION: f64 = 0.292;
/// What a question mark adds where there are two or three, and what more of them add together.
const QUESTION: f64 = 0.18;
const MANY_QUESTIONS: f64 = 0.96;
/// The sum of valences that is expected at most, squared.
const NORMALIZATION: f64 = 15.0;

/// Phrases with a valence of their own. (The reference lists `badass` too, where it never finds it.)
const IDIOMS: [(&[&str], f64); 8] = [
    (&["the", "shit"], 3.0),
    (&["the", "bomb"], 3.0),
    (&["bad", "ass"], 1.5),
    (&["bus", "stop"], 0.0),
    (&["yeah", "right"], -2.0),
    (&["kiss", "of", "death"], -1.5),
    (&["to", "die", "for"], 3.0),
    (&["beating", "heart"], 3.5),
];

/// Boosters of two words.
const WEAKENING_PAIRS: [[&str; 2]; 3] = [["just", "enough"], ["kind", "of"], ["sort", "of"]];

/// What VADER says of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Score {
    /// From -1, most negative, to 1, most positive, with four decimals like the reference.
    pub(super) compound: f64,
    /// Whether any word, emoticon or emoji of the text stands in the lexicon.
    pub(super) found: bool,
}

/// A word of the text under way.
#[derive(Debug)]
struct Said {
    /// Its lower case, in [`Scorer::lower`].
    begin: usize,
    end: usize,
    capital: bool,
    is: Word,
}

/// Scores texts; keeps its buffers from one to the next.
#[derive(Debug)]
pub(super) struct Scorer {
    lexicon: &'static Lexicon,
    /// The text with emoji in words.
    spelled: String,
    lower: String,
    words: Vec<Said>,
    valences: Vec<f64>,
    /// Some words are in capitals, others are not.
    mixed: bool,
}

impl Scorer {
    pub(super) fn new() -> Self {
        Self {
            lexicon: lexicon::english(),
            spelled: String::new(),
            lower: String::new(),
            words: Vec::new(),
            valences: Vec::new(),
            mixed: false,
        }
    }

    /// Whether VADER knows a word, given in lower case.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.lexicon.word(word) != Word::default()
    }

    pub(super) fn score(&mut self, text: &str) -> Score {
        let mut spelled = std::mem::take(&mut self.spelled);
        let text = self.lexicon.spell_emoji(text, &mut spelled);
        self.read(text);
        let emphasis = emphasis(text);
        self.spelled = spelled;

        let mut valences = std::mem::take(&mut self.valences);
        valences.clear();
        valences.extend((0..self.words.len()).map(|at| self.valence(at)));
        if let Some(but) = (0..self.words.len()).find(|at| self.word(*at) == "but") {
            weigh_around_but(&mut valences, but);
        }
        let mut sum: f64 = valences.iter().sum();
        self.valences = valences;
        if sum > 0.0 {
            sum += emphasis;
        } else if sum < 0.0 {
            sum -= emphasis;
        }
        let compound = (sum / (sum * sum + NORMALIZATION).sqrt()).clamp(-1.0, 1.0);
        Score {
            // Adding zero takes the sign from a negated zero.
            compound: (compound * 1e4).round() / 1e4 + 0.0,
            found: self.words.iter().any(|said| said.is.valence.is_some()),
        }
    }

    /// Fills `words` from a text.
    fn read(&mut self, text: &str) {
        self.lower.clear();
        self.words.clear();
        for piece in split(text) {
            let word = without_punctuation(piece);
            let begin = self.lower.len();
            push_lower(word, &mut self.lower);
            let lower = &self.lower[begin..];
            self.words.push(Said {
                begin,
                end: self.lower.len(),
                capital: is_capital(word),
                is: self.lexicon.word(lower),
            });
        }
        let capital = self.words.iter().filter(|said| said.capital).count();
        self.mixed = 0 < capital && capital < self.words.len();
    }

    /// The word at that index, in lower case.
    fn word(&self, at: usize) -> &str {
        let said = &self.words[at];
        &self.lower[said.begin..said.end]
    }

    /// Whether the word so many before `at` is this one.
    fn before(&self, at: usize, back: usize, word: &str) -> bool {
        at >= back && self.word(at - back) == word
    }

    fn valence(&self, at: usize) -> f64 {
        let is = self.words[at].is;
        let kind_of = self.word(at) == "kind"
            && self.words.get(at + 1).is_some()
            && self.word(at + 1) == "of";
        let Some(own) = is.valence else { return 0.0 };
        if is.boost != 0.0 || kind_of {
            return 0.0;
        }
        let mut valence = own;
        // `no` before a word of the lexicon negates it and says nothing itself.
        let next = self.words.get(at + 1);
        if self.word(at) == "no" && next.is_some_and(|next| next.is.valence.is_some()) {
            valence = 0.0;
        }
        if self.before(at, 1, "no")
            || self.before(at, 2, "no")
            || (self.before(at, 3, "no") && (self.before(at, 1, "or") || self.before(at, 1, "nor")))
        {
            valence = own * NEGATION;
        }
        if self.words[at].capital && self.mixed {
            valence += if valence > 0.0 { CAPITALS } else { -CAPITALS };
        }
        for (back, weight) in [(1, 1.0), (2, 0.95), (3, 0.9)] {
            if at < back || self.words[at - back].is.valence.is_some() {
                continue;
            }
            valence += self.boost(at - back, valence) * weight;
            valence = self.negated(at, back, valence);
            if back == 3 {
                valence = self.in_phrases(at, valence);
            }
        }
        self.after_least(at, valence)
    }

    /// What a word before adds to a valence.
    fn boost(&self, booster: usize, valence: f64) -> f64 {
        let booster = &self.words[booster];
        if booster.is.boost == 0.0 {
            return 0.0;
        }
        let boost = if valence < 0.0 {
            -booster.is.boost
        } else {
            booster.is.boost
        };
        match (booster.capital && self.mixed, valence > 0.0) {
            (false, _) => boost,
            (true, true) => boost + CAPITALS,
            (true, false) => boost - CAPITALS,
        }
    }

    fn negated(&self, at: usize, back: usize, valence: f64) -> f64 {
        let said = |back, word| self.before(at, back, word);
        let (never_so, without_doubt) = match back {
            2 => (
                said(2, "never") && (said(1, "so") || said(1, "this")),
                said(2, "without") && said(1, "doubt"),
            ),
            // A `so` or `this` right before counts here without a `never`: the reference's rule.
            3 => (
                (said(3, "never") && (said(2, "so") || said(2, "this")))
                    || said(1, "so")
                    || said(1, "this"),
                said(3, "without") && (said(2, "doubt") || said(1, "doubt")),
            ),
            _ => (false, false),
        };
        if never_so {
            valence * 1.25
        } else if !without_doubt && self.words[at - back].is.negates {
            valence * NEGATION
        } else {
            valence
        }
    }

    /// Idioms around a word that has at least three before it.
    fn in_phrases(&self, at: usize, valence: f64) -> f64 {
        // First and last of the words looked at; of those that end at the word or before it, the
        // first idiom counts, of those that begin with it, the last.
        let behind = [
            (at - 1, at),
            (at - 2, at),
            (at - 2, at - 1),
            (at - 3, at - 1),
            (at - 3, at - 2),
        ];
        let ahead = [(at, at + 1), (at, at + 2)];
        let mut valence = behind
            .into_iter()
            .find_map(|(first, last)| self.idiom(first, last))
            .unwrap_or(valence);
        for (first, last) in ahead {
            valence = self.idiom(first, last).unwrap_or(valence);
        }
        for first in [at - 3, at - 2] {
            let pair = [self.word(first), self.word(first + 1)];
            if WEAKENING_PAIRS.contains(&pair) {
                valence += lexicon::WEAKER;
            }
        }
        valence
    }

    fn idiom(&self, first: usize, last: usize) -> Option<f64> {
        if last >= self.words.len() {
            return None;
        }
        let is = |idiom: &[&str]| {
            idiom.len() == last - first + 1
                && idiom
                    .iter()
                    .enumerate()
                    .all(|(at, word)| self.word(first + at) == *word)
        };
        IDIOMS
            .iter()
            .find(|(idiom, _)| is(idiom))
            .map(|(_, valence)| *valence)
    }

    fn after_least(&self, at: usize, valence: f64) -> f64 {
        let least = self.before(at, 1, "least") && self.words[at - 1].is.valence.is_none();
        if least && !self.before(at, 2, "at") && !self.before(at, 2, "very") {
            valence * NEGATION
        } else {
            valence
        }
    }
}

/// What comes before a `but` counts half, what comes after it half as much again.
///
/// The reference finds each valence by its value, so that of equal ones the first is weighed, once
/// for each of them as long as it stays equal.
fn weigh_around_but(valences: &mut [f64], but: usize) {
    for at in 0..valences.len() {
        let value = valences[at];
        // Zero stays zero, and this is the most of them.
        if value == 0.0 {
            continue;
        }
        let first = valences.iter().position(|other| *other == value);
        let Some(first) = first else { continue };
        if first < but {
            valences[first] *= 0.5;
        } else if first > but {
            valences[first] *= 1.5;
        }
    }
}

/// What the exclamation and question marks of a text add to its sum.
fn emphasis(text: &str) -> f64 {
    let count = |mark| text.bytes().filter(|byte| *byte == mark).count();
    let questions = match count(b'?') {
        0 | 1 => 0.0,
        few @ (2 | 3) => few as f64 * QUESTION,
        _ => MANY_QUESTIONS,
    };
    count(b'!').min(4) as f64 * EXCLAMATION + questions
}

/// A piece without ASCII's punctuation at its ends, but for an emoticon, of which two characters or
/// fewer would be left.
fn without_punctuation(piece: &str) -> &str {
    let word = piece.trim_matches(|c: char| c.is_ascii_punctuation());
    if word.chars().nth(2).is_some() {
        word
    } else {
        piece
    }
}

/// Whether a word has capital letters and no small ones.
fn is_capital(word: &str) -> bool {
    let mut capital = false;
    for c in word.chars() {
        if c.is_uppercase() {
            capital = true;
        } else if c.is_lowercase() || is_title_case(c) {
            return false;
        }
    }
    capital
}

/// Letters like `ǅ`, neither capital nor small.
fn is_title_case(c: char) -> bool {
    matches!(c,
        '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}'
        | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}' | '\u{1fa8}'..='\u{1faf}'
        | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

#[cfg(test)]
mod tests;
