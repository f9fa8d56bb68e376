//! From a sample of records to the columns of a source: names, types, key, event time, each with the
//! reason for it. No I/O: whoever calls brings the records.
//!
//! What is guessed holds for the sample: a type is one that decoding reads from every sampled value but
//! one in a hundred at most, whose reason says so, and a key is one that no two different records of the sample share. A record that comes twice is
//! counted once.

mod guess;
mod names;
mod roles;
mod text;
mod value;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use factmill_core::types::DeclaredType;

pub use guess::{Guess, Reading, Unit};
pub(crate) use names::{free, words};
pub use names::{identifier, is_label, is_money, snake_case};
pub use value::Value;

use guess::{can_be_named, field_names, field_values};

/// What the records of a source seem to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// How many records were looked at.
    pub records: usize,
    /// How many of them were there before, word for word.
    pub repeated: usize,
    /// One for each field, in the order of their first appearance.
    pub columns: Vec<Column>,
    /// The columns of which no two records share all values; empty where there are none.
    pub key: Vec<String>,
    /// Why these are the key, or why there is none.
    pub key_reason: String,
    /// The column that says when something happened, by name; its values are instants in a model.
    pub time: Option<String>,
    /// The earliest and the latest time of the sample, microseconds since 1970 UTC.
    pub range: Option<(i64, i64)>,
    /// Fields that cannot become columns, and why.
    pub left_out: Vec<LeftOut>,
}

/// A column of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The field of the record.
    pub field: String,
    /// The column: the field's name where that is a name in SQL.
    pub name: String,
    /// Its type, and why.
    pub guess: Guess,
    /// In how many records it is null or missing.
    pub nulls: usize,
    /// The few texts that it holds, sorted, where it looks like a choice of some.
    pub choices: Vec<String>,
}

impl Column {
    /// Whether every record of the sample has it.
    pub fn is_always_there(&self) -> bool {
        self.nulls == 0
    }
}

impl Inferred {
    /// Takes the time at which Kafka got each record for the event time, where the records have none;
    /// `range` is that of the sample, microseconds since 1970 UTC.
    pub fn or_time_of_kafka(&mut self, range: Option<(i64, i64)>) {
        if self.time.is_some() {
            return;
        }
        let mut taken = self
            .columns
            .iter()
            .map(|column| column.name.to_lowercase())
            .collect();
        let name = names::free("received_at".to_owned(), &mut taken);
        self.columns.push(Column {
            field: "kafka.timestamp".to_owned(),
            name: name.clone(),
            guess: Guess::received(),
            nulls: 0,
            choices: Vec::new(),
        });
        self.time = Some(name);
        self.range = range;
    }

    /// Takes the `_id` of documents for the key, as whoever follows their changes has to: a deletion
    /// names nothing else. False where none was seen, or it cannot be a key.
    pub fn key_by_id(&mut self) -> bool {
        let is_scalar = |declared: &DeclaredType| {
            !matches!(
                declared,
                DeclaredType::List(_) | DeclaredType::Struct(_) | DeclaredType::Json
            )
        };
        let id = self.columns.iter().find(|column| column.field == "_id");
        let Some(id) = id.filter(|id| is_scalar(&id.guess.declared)) else {
            return false;
        };
        self.key = vec![id.name.clone()];
        "it names the document, and a deletion says nothing else".clone_into(&mut self.key_reason);
        true
    }

    /// What a column is for: the key, the event time, or nothing in particular.
    pub fn role(&self, column: &Column) -> Option<&'static str> {
        if self.key.contains(&column.name) {
            return Some("key");
        }
        (self.time.as_deref() == Some(column.name.as_str())).then_some("time")
    }
}

/// A field that cannot become a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The field.
    pub field: String,
    /// Why.
    pub reason: &'static str,
}

/// A sample that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// No record at all.
    #[error("there are no records to infer columns from")]
    Empty,
    /// Records, and none with a field.
    #[error("none of the {records} records has a field that could be a column")]
    NoFields {
        /// How many.
        records: usize,
    },
}

/// Columns of these records, all of them objects; `table` is what the source will be called, which
/// helps to tell its own id from those of others.
///
/// # Errors
/// [`InferError`] where there is nothing to infer from.
pub fn infer(records: &[Value], table: &str) -> Result<Inferred, InferError> {
    if records.is_empty() {
        return Err(InferError::Empty);
    }
    let mut seen = HashSet::new();
    let once: Vec<&Value> = records
        .iter()
        .filter(|record| seen.insert(*record))
        .collect();
    let (mut columns, mut left_out) = (Vec::new(), Vec::new());
    let mut taken = HashSet::new();
    for field in field_names(records.iter()) {
        let Some(name) = column_name(field, &mut taken) else {
            left_out.push(LeftOut {
                field: field.to_owned(),
                reason: "its name is empty, or holds control characters, Jinja's marks, or a dot among other signs",
            });
            continue;
        };
        let values = field_values(records.iter(), field);
        let guess = Guess::of(field, &values);
        columns.push(Column {
            field: field.to_owned(),
            name,
            nulls: values
                .iter()
                .filter(|value| ***value == Value::Null)
                .count(),
            choices: roles::choices(field, &guess.declared, &values),
            guess,
        });
    }
    if columns.is_empty() {
        let records = records.len();
        return Err(InferError::NoFields { records });
    }
    let time = roles::time(&columns);
    let (key, key_reason) = roles::key(&columns, time, &once, table);
    let range = time.and_then(|at| roles::range(&columns[at], records));
    if let Some(at) = time
        && columns[at].guess.declared == DeclaredType::Date
    {
        // a day alone is its midnight
        columns[at].guess.declared = DeclaredType::TimestampTz;
        columns[at]
            .guess
            .reason
            .push_str(", taken for their midnight in UTC");
    }
    Ok(Inferred {
        records: records.len(),
        repeated: records.len() - once.len(),
        key,
        key_reason,
        time: time.map(|at| columns[at].name.clone()),
        range,
        columns,
        left_out,
    })
}

/// The name of a field's column: its own where SQL can have it, else one like it; a column is found
/// by its own name or by a path, in which dots have a meaning.
fn column_name(field: &str, taken: &mut HashSet<String>) -> Option<String> {
    /// The longest name of a column, in bytes.
    const LONGEST: usize = 63;
    let simple = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let reserved = field.to_ascii_lowercase().starts_with("_factmill_");
    if !can_be_named(field) {
        return None;
    }
    let is_name = field.chars().all(simple) && field.len() <= LONGEST && !reserved;
    if is_name && taken.insert(field.to_lowercase()) {
        return Some(field.to_owned());
    }
    if field.contains('.') || field.starts_with("kafka.") {
        return None;
    }
    Some(names::free(snake_case(field, "field"), taken))
}
