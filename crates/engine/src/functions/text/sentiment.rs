//! `sentiment` and `sentiment_label`: how positive or negative a text is.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Builder, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use super::column::{TextArgument, TextColumn, down_the_column};
use super::language;
use super::model::Models;
use super::row_wise::text;
use super::stop_words::{Languages, Votes, languages_of};
use super::vader;
use super::words::each_word;
use crate::functions::project_files::{ProjectFiles, literal, same_by_name_and_files};

/// From here on a text is positive, and negative from its opposite on: the limits that VADER's authors
/// give for its compound score.
const CLEAR: f64 = 0.05;

/// `sentiment(text [, language [, model]])`, from -1 to 1.
pub(super) fn sentiment(files: &Arc<ProjectFiles>) -> Arc<ScalarUDF> {
    function(files, "sentiment", Output::Score)
}

/// `sentiment_label(text [, language [, model]])`: `positive`, `neutral` or `negative`.
pub(super) fn sentiment_label(files: &Arc<ProjectFiles>) -> Arc<ScalarUDF> {
    function(files, "sentiment_label", Output::Label)
}

fn function(files: &Arc<ProjectFiles>, name: &'static str, output: Output) -> Arc<ScalarUDF> {
    let arities = (1..=3).map(|arguments| TypeSignature::Coercible(vec![text(); arguments]));
    Arc::new(ScalarUDF::new_from_impl(Sentiment {
        name,
        output,
        signature: Signature::one_of(arities.collect(), Volatility::Immutable),
        files: Arc::clone(files),
    }))
}

/// Scores texts; keeps its buffers from one to the next.
#[derive(Debug)]
pub(super) struct Judge {
    vader: vader::Scorer,
    lower: String,
}

impl Judge {
    pub(super) fn new() -> Self {
        Self {
            vader: vader::Scorer::new(),
            lower: String::new(),
        }
    }

    /// The score of a text whose language nobody names: VADER's where it is English.
    ///
    /// A text whose language is unsure counts as English when at least half of its words are stop
    /// words of English or known to VADER, and fewer are stop words of any other language; one
    /// without words (an emoji, a smiley) when VADER knows what it has instead.
    pub(super) fn of_any_language(&mut self, text: &str) -> Option<f64> {
        let english = match language::detect(text, &mut self.lower) {
            Some(code) => code == "en",
            None => self.seems_english(text)?,
        };
        english.then(|| self.vader.score(text).compound)
    }

    /// The score of a text in a language, `None` where neither model nor lexicon knows it.
    pub(super) fn of_language(
        &mut self,
        text: &str,
        language: &str,
        models: Option<&Models>,
    ) -> Option<f64> {
        match models.and_then(|models| models.of(language)) {
            Some(model) => Some(model.score(text, &mut self.lower)),
            None => (language == "en").then(|| self.vader.score(text).compound),
        }
    }

    fn seems_english(&mut self, text: &str) -> Option<bool> {
        let english = Languages::of("en")?;
        let Self { vader, lower } = self;
        let mut votes = Votes::none();
        let (mut words, mut known) = (0, 0);
        each_word(text, lower, |word| {
            if !word.contains(char::is_alphabetic) {
                return;
            }
            let languages = languages_of(word);
            votes.add(languages);
            words += 1;
            known += u32::from(languages.meets(english) || vader.knows(word));
        });
        Some(match words {
            0 => vader.score(text).found,
            words => 2 * known >= words && known > votes.most_of_others(english),
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Output {
    Score,
    Label,
}

impl Output {
    fn data_type(self) -> DataType {
        match self {
            Self::Score => DataType::Float64,
            Self::Label => DataType::Utf8,
        }
    }

    fn column(self, rows: usize, scores: impl Iterator<Item = Option<f64>>) -> ArrayRef {
        match self {
            Self::Score => {
                let mut column = Float64Builder::with_capacity(rows);
                scores.for_each(|score| column.append_option(score));
                Arc::new(column.finish())
            }
            Self::Label => {
                let mut column = StringBuilder::with_capacity(rows, rows * "positive".len());
                scores.for_each(|score| column.append_option(score.map(label)));
                Arc::new(column.finish())
            }
        }
    }
}

/// What a score is called.
pub(super) fn label(score: f64) -> &'static str {
    if score >= CLEAR {
        "positive"
    } else if score <= -CLEAR {
        "negative"
    } else {
        "neutral"
    }
}

#[derive(Debug)]
struct Sentiment {
    name: &'static str,
    output: Output,
    signature: Signature,
    files: Arc<ProjectFiles>,
}

same_by_name_and_files!(Sentiment);

impl ScalarUDFImpl for Sentiment {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.output.data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let name = self.name;
        if let Some(Some(code)) =
            literal(args.scalar_arguments, 1).and_then(|code| code.try_as_str())
            && !language::is_code(code)
        {
            return plan_err!("call to '{name}': {}", language::not_a_code(code));
        }
        if args.arg_fields.len() == 3 {
            self.files
                .named::<Models>(name, literal(args.scalar_arguments, 2))?;
        }
        Ok(Arc::new(Field::new(name, self.output.data_type(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let language = args.args.get(1).map(TextArgument::of).transpose()?;
        let models = match args.args.get(2) {
            Some(ColumnarValue::Scalar(file)) => {
                Some(self.files.named::<Models>(self.name, Some(file))?)
            }
            _ => None,
        };
        down_the_column(&args, |texts| {
            let scores = scores(texts, language.as_ref(), models.as_deref());
            Ok(self.output.column(texts.len(), scores))
        })
    }
}

fn scores<'a>(
    texts: &'a TextColumn,
    language: Option<&'a TextArgument>,
    models: Option<&'a Models>,
) -> impl Iterator<Item = Option<f64>> + 'a {
    let mut judge = Judge::new();
    texts.iter().enumerate().map(move |(row, text)| {
        let text = text?;
        match language {
            None => judge.of_any_language(text),
            Some(language) => judge.of_language(text, language.get(row)?, models),
        }
    })
}
