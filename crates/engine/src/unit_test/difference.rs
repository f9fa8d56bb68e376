//! What a model gives instead of what a unit test expects.

use std::collections::HashMap;
use std::fmt;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::Result;
use factmill_core::diagnostic::{Diagnostics, Location};
use factmill_project::UnitTest;

use super::rows::Expected;

/// The values of a row as text; `None` for null.
type Cells = Vec<Option<String>>;

/// The rows that tell what a model gives from what a unit test expects.
///
/// It prints as a table: `-` before rows that are missing, with the line of the YAML that expects
/// them, `+` before rows that nobody expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    test: String,
    model: String,
    location: Location,
    columns: Vec<String>,
    missing: Vec<(Cells, Location)>,
    unexpected: Vec<Cells>,
}

impl Difference {
    /// Compares as bags of rows: their order does not count, how often one comes does.
    pub(super) fn between(
        test: &UnitTest,
        expected: Expected,
        found: &RecordBatch,
    ) -> std::result::Result<Option<Self>, Diagnostics> {
        Self::of(test, expected, found).map_err(super::engine)
    }

    fn of(test: &UnitTest, expected: Expected, found: &RecordBatch) -> Result<Option<Self>> {
        let columns: Vec<String> = expected
            .batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let indices = columns.iter().map(|name| found.schema().index_of(name));
        let found = found.project(&indices.collect::<std::result::Result<Vec<_>, _>>()?)?;
        let found = cells(&found)?;
        let mut left: HashMap<&Cells, usize> = HashMap::new();
        for row in &found {
            *left.entry(row).or_default() += 1;
        }
        let mut missing = Vec::new();
        for (row, location) in cells(&expected.batch)?.into_iter().zip(expected.locations) {
            match left.get_mut(&row) {
                Some(count) if *count > 0 => *count -= 1,
                _ => missing.push((row, location)),
            }
        }
        let mut unexpected = Vec::new();
        for row in &found {
            if let Some(count) = left.get_mut(row).filter(|count| **count > 0) {
                *count -= 1;
                unexpected.push(row.clone());
            }
        }
        let is_same = missing.is_empty() && unexpected.is_empty();
        Ok((!is_same).then(|| Self {
            test: test.name.clone(),
            model: test.model.clone(),
            location: test.location.clone(),
            columns,
            missing,
            unexpected,
        }))
    }

    /// How many expected rows the model does not give, and how many it gives that nobody expects.
    pub fn counts(&self) -> (usize, usize) {
        (self.missing.len(), self.unexpected.len())
    }
}

fn cells(batch: &RecordBatch) -> Result<Vec<Cells>> {
    let options = FormatOptions::default();
    let formatters = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options));
    let formatters = formatters.collect::<std::result::Result<Vec<_>, _>>()?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let mut cells = Vec::with_capacity(formatters.len());
        for (formatter, column) in formatters.iter().zip(batch.columns()) {
            cells.push(match column.is_null(row) {
                true => None,
                false => Some(formatter.value(row).try_to_string()?),
            });
        }
        rows.push(cells);
    }
    Ok(rows)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (missing, unexpected) = self.counts();
        write!(
            f,
            "{}: unit test `{}` of model `{}`: {missing} rows are missing, {unexpected} are not expected",
            self.location, self.test, self.model
        )?;
        let shown = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "null".to_owned());
        let width = |index: usize| {
            let missing = self.missing.iter().map(|(row, _)| &row[index]);
            let cells = missing.chain(self.unexpected.iter().map(|row| &row[index]));
            let widths = cells.map(|cell| shown(cell).chars().count());
            widths.chain([self.columns[index].chars().count()]).max()
        };
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|index| width(index).unwrap_or_default())
            .collect();
        let mut line = |mark: char, cells: Vec<String>, place: String| {
            write!(f, "\n  {mark} ")?;
            for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let between = if index == 0 { "" } else { " | " };
                write!(f, "{between}{cell:<width$}")?;
            }
            f.write_str(&place)
        };
        line(' ', self.columns.clone(), String::new())?;
        for (row, location) in &self.missing {
            let place = format!("  expected at {location}");
            line('-', row.iter().map(shown).collect(), place)?;
        }
        for row in &self.unexpected {
            line('+', row.iter().map(shown).collect(), String::new())?;
        }
        Ok(())
    }
}
