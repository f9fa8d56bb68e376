//! Seeds: CSV files as typed rows.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::csv::reader::Format;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::FormatOptions;
use factmill_core::diagnostic::{Diagnostic, Location};
use factmill_core::table::{Column, Maintenance, Table};
use factmill_core::types::DeclaredType;
use factmill_project::{Project, Seed};

/// A seed as a table and its rows.
#[derive(Debug, Clone)]
pub struct SeedRows {
    /// The table that it lands in.
    pub table: Table,
    /// Its rows in the file's order, columns as in `table`.
    pub rows: RecordBatch,
}

impl SeedRows {
    /// Reads a seed of a project.
    ///
    /// An empty field is null. A column without a declared type has the narrowest of boolean,
    /// bigint, double precision, date, timestamp and text that fits all of its values.
    ///
    /// # Errors
    /// When the file cannot be read, or with the first value of a column that is not of its type.
    pub fn read(project: &Project, seed: &Seed) -> Result<Self, Diagnostic> {
        let path = project.dir.join(&seed.file);
        let at = |line| Location {
            file: seed.file.clone(),
            line,
            column: 1,
        };
        let unreadable = |error: &dyn std::fmt::Display| {
            Diagnostic::at(
                at(1),
                format!("seed `{}` cannot be read: {error}", seed.name),
            )
        };
        let text = read_text(&path, seed).map_err(|error| unreadable(&error))?;
        let inferred = inferred_types(&path, seed).map_err(|error| unreadable(&error))?;

        let mut columns = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (index, column) in seed.columns.iter().enumerate() {
            let property = seed
                .properties
                .iter()
                .find(|property| property.name == column.name);
            let data_type = column
                .data_type
                .clone()
                .or_else(|| property?.data_type.clone())
                .or_else(|| DeclaredType::from_arrow(inferred.field(index).data_type()).ok())
                .unwrap_or(DeclaredType::Text);
            let values = text.column(index);
            let typed = typed(values, &data_type);
            if let Some(row) =
                (0..values.len()).find(|row| values.is_valid(*row) && typed.is_null(*row))
            {
                let value = datafusion::arrow::util::display::array_value_to_string(values, row)
                    .unwrap_or_default();
                // Line 1 is the header.
                return Err(Diagnostic::at(
                    at(row + 2),
                    format!(
                        "`{value}` in column `{}` of seed `{}` is not a {data_type}",
                        column.name, seed.name
                    ),
                )
                .help("mend the value or the column's type in `config.column_types`"));
            }
            arrays.push(typed);
            columns.push(Column {
                name: column.name.clone(),
                data_type,
                not_null: property.is_some_and(|property| property.not_null),
                description: property.and_then(|property| property.description.clone()),
            });
        }
        let rows = RecordBatch::try_new(crate::columns::arrow_schema(&columns), arrays)
            .map_err(|error| unreadable(&error))?;
        Ok(Self {
            table: Table {
                name: seed.relation.clone(),
                model: seed.name.clone(),
                columns,
                maintenance: Maintenance::Static,
                description: seed.description.clone(),
            },
            rows,
        })
    }
}

fn format(seed: &Seed) -> Format {
    Format::default()
        .with_header(true)
        .with_delimiter(seed.delimiter)
}

fn read_text(path: &Path, seed: &Seed) -> datafusion::error::Result<RecordBatch> {
    let fields: Vec<Field> = seed
        .columns
        .iter()
        .map(|column| Field::new(&column.name, DataType::Utf8, true))
        .collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let reader = ReaderBuilder::new(Arc::clone(&schema))
        .with_format(format(seed))
        .build(BufReader::new(File::open(path)?))?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok(datafusion::arrow::compute::concat_batches(
        &schema, &batches,
    )?)
}

fn inferred_types(path: &Path, seed: &Seed) -> datafusion::error::Result<Schema> {
    Ok(format(seed)
        .infer_schema(BufReader::new(File::open(path)?), None)?
        .0)
}

/// The values as `data_type`, null where a value is not of that type.
fn typed(values: &ArrayRef, data_type: &DeclaredType) -> ArrayRef {
    let options = CastOptions {
        safe: true,
        format_options: FormatOptions::default(),
    };
    cast_with_options(values, &data_type.arrow(), &options).unwrap_or_else(|_| {
        datafusion::arrow::array::new_null_array(&data_type.arrow(), values.len())
    })
}
