//! NLTK's stop words, of all languages in one table.

use std::sync::LazyLock;

use datafusion::common::HashMap;

/// A set of the languages that have a list, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Languages(u64);

impl Languages {
    /// The language of an ISO 639-1 code, `None` where NLTK has no list for it.
    pub(super) fn of(code: &str) -> Option<Self> {
        // NLTK keeps one list for both ways to write Norwegian.
        let code = match code {
            "nb" | "nn" => "no",
            code => code,
        };
        let bit = codes().position(|known| known == code)?;
        Some(Self(1 << bit))
    }

    /// Whether any language stands in both.
    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The languages with a list, by ISO 639-1 code.
pub(super) fn codes() -> impl Iterator<Item = &'static str> {
    // One list more is of Hindi in Latin letters, which has no code.
    let known = stop_words::available_languages();
    known.iter().copied().filter(|code| code.len() == 2)
}

static WORDS: LazyLock<HashMap<&'static str, Languages>> = LazyLock::new(|| {
    assert!(codes().count() <= 64, "a language is a bit of 64");
    let mut words = HashMap::new();
    for (bit, code) in codes().enumerate() {
        for word in stop_words::lookup(code).into_iter().flatten() {
            let languages: &mut Languages = words.entry(*word).or_insert(Languages(0));
            languages.0 |= 1 << bit;
        }
    }
    words
});

/// The languages in which a word, in lower case, is a stop word.
pub(super) fn languages_of(word: &str) -> Languages {
    WORDS.get(word).copied().unwrap_or(Languages(0))
}

/// Whether a word is an English stop word.
pub(super) fn is_english(word: &str) -> bool {
    static ENGLISH: LazyLock<Option<Languages>> = LazyLock::new(|| Languages::of("en"));
    ENGLISH.is_some_and(|english| languages_of(word).meets(english))
}

/// How many words of a text are stop words, by language.
#[derive(Debug)]
pub(super) struct Votes([u32; 64]);

impl Votes {
    pub(super) fn none() -> Self {
        Self([0; 64])
    }

    pub(super) fn add(&mut self, languages: Languages) {
        let mut left = languages.0;
        while left != 0 {
            self.0[left.trailing_zeros() as usize] += 1;
            left &= left - 1;
        }
    }

    pub(super) fn of(&self, language: Languages) -> u32 {
        self.0[language.0.trailing_zeros() as usize % 64]
    }

    /// The most votes of any language but this one.
    pub(super) fn most_of_others(&self, than: Languages) -> u32 {
        let votes = self.0.iter().enumerate();
        let others = votes.filter(|(bit, _)| than.0 & (1 << bit) == 0);
        others.map(|(_, votes)| *votes).max().unwrap_or(0)
    }

    /// The language with the most votes, the first by code of several.
    pub(super) fn leader(&self) -> Option<(&'static str, Languages)> {
        let mut leader = 0;
        for bit in 1..self.0.len() {
            if self.0[bit] > self.0[leader] {
                leader = bit;
            }
        }
        Some((codes().nth(leader)?, Languages(1 << leader)))
    }
}
