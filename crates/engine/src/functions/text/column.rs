//! Text columns as the functions read them.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{internal_err, resources_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

/// A column of any of Arrow's text types.
pub(super) enum TextColumn<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
}

impl<'a> TextColumn<'a> {
    /// Refuses a batch so large that text made of it may not fit a column of `Utf8`.
    pub(super) fn of(array: &'a ArrayRef) -> Result<Self> {
        // Lower case and the spaces that cleaning adds make a text at most twice as long.
        const LARGEST: usize = i32::MAX as usize / 2;
        let column = match array.data_type() {
            DataType::Utf8 => Self::Utf8(array.as_string()),
            DataType::LargeUtf8 => Self::LargeUtf8(array.as_string()),
            DataType::Utf8View => Self::Utf8View(array.as_string_view()),
            other => return internal_err!("{other} is not a text type"),
        };
        let bytes = column.bytes();
        if bytes > LARGEST {
            return resources_err!("{bytes} bytes of text in one batch; give it fewer rows");
        }
        Ok(column)
    }

    /// How many bytes of text there are.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Utf8(column) => spanned(column.value_offsets()) as usize,
            Self::LargeUtf8(column) => spanned(column.value_offsets()) as usize,
            Self::Utf8View(column) => column.total_bytes_len(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Utf8(column) => column.len(),
            Self::LargeUtf8(column) => column.len(),
            Self::Utf8View(column) => column.len(),
        }
    }

    /// The text of a row, `None` where it is null.
    pub(super) fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Utf8(column) => column.is_valid(row).then(|| column.value(row)),
            Self::LargeUtf8(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Utf8View(column) => column.is_valid(row).then(|| column.value(row)),
        }
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Option<&'a str>> {
        (0..self.len()).map(|row| self.get(row))
    }
}

/// The bytes of a column, of which an array may be a slice.
fn spanned<O: Copy + Default + std::ops::Sub<Output = O>>(offsets: &[O]) -> O {
    match offsets {
        [first, .., last] => *last - *first,
        _ => O::default(),
    }
}

/// An argument that is the same text in every row, or a text of its own in each.
pub(super) enum TextArgument<'a> {
    Literal(Option<&'a str>),
    Column(TextColumn<'a>),
}

impl<'a> TextArgument<'a> {
    pub(super) fn of(value: &'a ColumnarValue) -> Result<Self> {
        match value {
            ColumnarValue::Scalar(scalar) => match scalar.try_as_str() {
                Some(text) => Ok(Self::Literal(text)),
                None => internal_err!("{} is not a text type", scalar.data_type()),
            },
            ColumnarValue::Array(array) => Ok(Self::Column(TextColumn::of(array)?)),
        }
    }

    pub(super) fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Literal(text) => *text,
            Self::Column(column) => column.get(row),
        }
    }
}

/// Runs `compute` on the first argument as a column; one literal makes one literal.
pub(super) fn down_the_column(
    args: &ScalarFunctionArgs,
    compute: impl FnOnce(&TextColumn) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let Some(text) = args.args.first() else {
        return internal_err!("a text function without arguments");
    };
    let all_literal = args
        .args
        .iter()
        .all(|value| matches!(value, ColumnarValue::Scalar(_)));
    let rows = if all_literal { 1 } else { args.number_rows };
    let array = text.to_array(rows)?;
    let computed = compute(&TextColumn::of(&array)?)?;
    Ok(if all_literal {
        ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(
            &computed, 0,
        )?)
    } else {
        ColumnarValue::Array(computed)
    })
}
