//! A user's own model of sentiment: a bag of words and a logistic regression for each language.

use std::collections::HashMap;

use serde::Deserialize;

use super::language;
use super::words::each_word;
use crate::functions::project_files::ProjectFile;

/// Models by the ISO 639-1 code of their language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Models {
    languages: HashMap<String, Regression>,
}

impl Models {
    /// The model of a language.
    pub(super) fn of(&self, language: &str) -> Option<&Regression> {
        self.languages.get(language)
    }
}

impl ProjectFile for Models {
    const EXPECTED: &'static str =
        r#"a model looks like {"languages": {"fr": {"bias": 0.1, "weights": {"excellent": 2.3}}}}"#;

    fn check(&self) -> Result<(), String> {
        if self.languages.is_empty() {
            return Err("it has no language".into());
        }
        let mut languages = self.languages.keys();
        match languages.find(|code| !language::is_code(code)) {
            Some(written) => Err(language::not_a_code(written)),
            None => Ok(()),
        }
    }
}

/// The logit of a text being positive is `bias` and the weight of each of its words, each time that
/// the word stands there. Words are those of `tokens`; one without a weight adds nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Regression {
    #[serde(default)]
    bias: f64,
    weights: HashMap<String, f64>,
}

impl Regression {
    /// From -1 to 1: twice the probability of being positive, less one. `lower` is a buffer.
    pub(super) fn score(&self, text: &str, lower: &mut String) -> f64 {
        let mut logit = self.bias;
        each_word(text, lower, |word| {
            logit += self.weights.get(word).copied().unwrap_or(0.0);
        });
        // 2 / (1 + exp(-x)) - 1
        (logit / 2.0).tanh()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    fn models(json: &str) -> Models {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_word_adds_its_weight_each_time() {
        let models = models(
            r#"{"languages": {"fr": {"bias": -0.5, "weights": {"très": 0.5, "bon": 1.0}}}}"#,
        );
        let french = models.of("fr").unwrap();
        let mut lower = String::new();
        let probability = |logit: f64| 2.0 / (1.0 + (-logit).exp()) - 1.0;
        for (text, logit) in [("", -0.5), ("Très, très BON !", 1.5), ("rien à dire", -0.5)] {
            let score = french.score(text, &mut lower);
            assert!(
                (score - probability(logit)).abs() < 1e-15,
                "{text}: {score}"
            );
        }
        assert!(models.of("de").is_none());
    }

    #[test]
    fn a_model_names_its_languages() {
        assert_eq!(
            models(r#"{"languages": {}}"#).check(),
            Err("it has no language".into())
        );
        let french = models(r#"{"languages": {"French": {"weights": {}}}}"#);
        assert!(
            french
                .check()
                .unwrap_err()
                .contains("`French` is not a language")
        );
    }
}
