//! `remove_stop_words(text, language)`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::column::{TextArgument, TextColumn, down_the_column};
use super::language;
use super::row_wise::text;
use super::stop_words::{Languages, languages_of};
use super::words::{push_lower, split, trimmed};

const NAME: &str = "remove_stop_words";

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(RemoveStopWords {
        signature: Signature::coercible(vec![text(), text()], Volatility::Immutable),
    }))
}

/// Appends the pieces of `text` between white space, joined by one space, but for those that are
/// stop words of the language; a piece is compared in lower case, without the punctuation at its
/// ends, with `'` for `’`.
pub(super) fn remove(text: &str, language: Languages, lower: &mut String, kept: &mut String) {
    let begin = kept.len();
    for piece in split(text) {
        lower.clear();
        let word = trimmed(piece);
        match word.split_once('’') {
            Some((before, after)) => {
                push_lower(before, lower);
                lower.push('\'');
                push_lower(after, lower);
            }
            None => push_lower(word, lower),
        }
        if languages_of(lower).meets(language) {
            continue;
        }
        if kept.len() > begin {
            kept.push(' ');
        }
        kept.push_str(piece);
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RemoveStopWords {
    signature: Signature,
}

impl ScalarUDFImpl for RemoveStopWords {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Some(Some(literal)) = args.scalar_arguments.get(1)
            && let Some(Some(code)) = literal.try_as_str()
            && !language::is_code(code)
        {
            return plan_err!("call to '{NAME}': {}", language::not_a_code(code));
        }
        Ok(Arc::new(Field::new(NAME, DataType::Utf8, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(language) = args.args.get(1) else {
            return internal_err!("{NAME} takes two arguments");
        };
        let language = TextArgument::of(language)?;
        down_the_column(&args, |texts| Ok(without_stop_words(texts, &language)))
    }
}

fn without_stop_words(texts: &TextColumn, language: &TextArgument) -> ArrayRef {
    let literal = match language {
        TextArgument::Literal(code) => code.and_then(Languages::of),
        TextArgument::Column(_) => None,
    };
    let mut result = StringBuilder::with_capacity(texts.len(), texts.bytes());
    let (mut lower, mut kept) = (String::new(), String::new());
    for (row, text) in texts.iter().enumerate() {
        let (Some(text), Some(code)) = (text, language.get(row)) else {
            result.append_null();
            continue;
        };
        match literal.or_else(|| Languages::of(code)) {
            Some(language) => {
                kept.clear();
                remove(text, language, &mut lower, &mut kept);
                result.append_value(&kept);
            }
            None => result.append_value(text),
        }
    }
    Arc::new(result.finish())
}
