//! A drawn table for people: numbers to the right, nulls told from empty text, and no value that
//! commands the terminal.

use comfy_table::{Cell, CellAlignment, Table};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

/// The lines that `psql` and DataFusion draw too, in ASCII.
const LINES: &str = "||--+-++|    ++++++";

/// Draws rows of this schema.
///
/// # Errors
/// A type that cannot be shown.
pub(super) fn draw(schema: &Schema, rows: &[RecordBatch]) -> Result<Table, ArrowError> {
    let options = FormatOptions::new().with_null("NULL");
    let mut table = Table::new();
    table.load_preset(LINES);
    table.set_header(schema.fields().iter().map(|field| field.name()));
    for (index, field) in schema.fields().iter().enumerate() {
        if field.data_type().is_numeric()
            && let Some(column) = table.column_mut(index)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for batch in rows {
        let columns = batch.columns().iter();
        let formatters = columns
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(formatters.len());
            for formatter in &formatters {
                cells.push(Cell::new(harmless(formatter.value(row).try_to_string()?)));
            }
            table.add_row(cells);
        }
    }
    Ok(table)
}

/// The text with control characters, other than the end of a line, as their escapes.
fn harmless(text: String) -> String {
    let commands = |letter: char| letter.is_control() && letter != '\n';
    if !text.contains(commands) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match commands(letter) {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_nothing_commands_the_terminal() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(1_000), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a\u{1b}[2J\r"),
            Some(""),
            None,
        ]));
        let rows = RecordBatch::try_from_iter([("many", numbers), ("text", texts)]).unwrap();
        let table = draw(&rows.schema(), std::slice::from_ref(&rows)).unwrap();
        assert_eq!(
            table.to_string(),
            "+------+--------------+\n\
             | many | text         |\n\
             +------+--------------+\n\
             |    7 | a\\u{1b}[2J\\r |\n\
             | 1000 |              |\n\
             | NULL | NULL         |\n\
             +------+--------------+"
        );
    }
}
