//! The words that VADER knows. `lexicon.tsv` and `emoji.tsv` are those of `vaderSentiment` 3.3.2
//! (MIT, see `LICENSE`), reduced to what a word of a text can match: keys in lower case without
//! white space, mean valences, emoji of one character.

use std::sync::LazyLock;

use datafusion::common::HashMap;

/// What a strengthening or a weakening word before another adds.
const STRONGER: f64 = 0.293;
pub(super) const WEAKER: f64 = -0.293;

const STRENGTHENING: &str = "absolutely amazingly awfully completely considerable considerably \
    decidedly deeply effing enormous enormously entirely especially exceptional exceptionally extreme \
    extremely fabulously flipping flippin frackin fracking fricking frickin frigging friggin fully \
    fuckin fucking fuggin fugging greatly hella highly hugely incredible incredibly intensely major \
    majorly more most particularly purely quite really remarkably so substantially thoroughly total \
    totally tremendous tremendously uber unbelievably unusually utter utterly very";

const WEAKENING: &str = "almost barely hardly kinda kindof kind-of less little marginal marginally \
    occasional occasionally partly scarce scarcely slight slightly somewhat sorta sortof sort-of";

/// Beside every word with `n't` in it.
const NEGATING: &str = "aint arent cannot cant couldnt darent didnt doesnt dont hadnt hasnt havent \
    isnt mightnt mustnt neither neednt never none nope nor not nothing nowhere oughtnt shant shouldnt \
    uhuh wasnt werent uh-uh without wont wouldnt rarely seldom despite";

/// What VADER knows of a word.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Word {
    /// How positive or negative it is, from -4 to 4.
    pub(super) valence: Option<f64>,
    /// What it adds to a word after it; 0 for most.
    pub(super) boost: f64,
    /// Whether it negates a word after it.
    pub(super) negates: bool,
}

/// Words and emoji by what a text writes.
#[derive(Debug)]
pub(super) struct Lexicon {
    words: HashMap<&'static str, Word>,
    emoji: HashMap<char, &'static str>,
}

/// The lexicon, made at its first use.
pub(super) fn english() -> &'static Lexicon {
    static ENGLISH: LazyLock<Lexicon> = LazyLock::new(Lexicon::read);
    &ENGLISH
}

impl Lexicon {
    fn read() -> Self {
        let mut words: HashMap<&str, Word> = HashMap::new();
        for (word, valence) in pairs(include_str!("lexicon.tsv")) {
            let valence = valence.parse().expect("a valence is a number");
            words.entry(word).or_default().valence = Some(valence);
        }
        for word in STRENGTHENING.split_ascii_whitespace() {
            words.entry(word).or_default().boost = STRONGER;
        }
        for word in WEAKENING.split_ascii_whitespace() {
            words.entry(word).or_default().boost = WEAKER;
        }
        for word in NEGATING.split_ascii_whitespace() {
            words.entry(word).or_default().negates = true;
        }
        let emoji = pairs(include_str!("emoji.tsv"))
            .filter_map(|(emoji, name)| Some((emoji.chars().next()?, name)));
        Self {
            words,
            emoji: emoji.collect(),
        }
    }

    /// What is known of a word in lower case.
    pub(super) fn word(&self, lower: &str) -> Word {
        let mut word = self.words.get(lower).copied().unwrap_or_default();
        word.negates |= lower.contains("n't");
        word
    }

    /// The text with each emoji replaced by its name, a space before it where there was none.
    pub(super) fn spell_emoji<'a>(&self, text: &'a str, spelled: &'a mut String) -> &'a str {
        let name = |c: char| (!c.is_ascii()).then(|| self.emoji.get(&c)).flatten();
        if text.is_ascii() || !text.chars().any(|c| name(c).is_some()) {
            return text;
        }
        spelled.clear();
        let mut behind_space = true;
        for c in text.chars() {
            match name(c) {
                Some(name) => {
                    if !behind_space {
                        spelled.push(' ');
                    }
                    spelled.push_str(name);
                    behind_space = false;
                }
                None => {
                    spelled.push(c);
                    behind_space = c == ' ';
                }
            }
        }
        spelled
    }
}

fn pairs(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    table.lines().filter_map(|line| line.split_once('\t'))
}
