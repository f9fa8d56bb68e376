//! The columns of the staging model: objects laid flat, epochs made instants, names made SQL's.

use std::collections::HashSet;

use factmill_core::types::DeclaredType;

use crate::infer::{Column, Guess, Inferred, Reading, Unit, free, identifier, snake_case};

/// A column of the models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The source's column that it comes from.
    pub(super) column: String,
    /// Whether it is a field inside of that column.
    pub(super) is_inner: bool,
    /// What it is computed by.
    pub(super) expression: String,
    /// Its name.
    pub(super) name: String,
    /// Its type.
    pub(super) declared: DeclaredType,
    /// What it comes from, for people.
    pub(super) description: String,
    /// Whether every record of the sample has it.
    pub(super) is_always_there: bool,
    /// The few texts that it holds.
    pub(super) choices: Vec<String>,
}

impl Line {
    /// The last part of its name says what it measures.
    pub(super) fn is_number(&self) -> bool {
        matches!(
            self.declared,
            DeclaredType::Numeric(_) | DeclaredType::Double | DeclaredType::BigInt
        )
    }
}

/// The columns in their order: key and time first, then as the records have them.
pub(super) fn of(inferred: &Inferred) -> Vec<Line> {
    let rank = |column: &Column| {
        let key = inferred.key.iter().position(|key| *key == column.name);
        let is_time = inferred.time.as_deref() == Some(column.name.as_str());
        key.unwrap_or(if is_time { usize::MAX - 1 } else { usize::MAX })
    };
    let mut columns: Vec<&Column> = inferred.columns.iter().collect();
    columns.sort_by_key(|column| rank(column));
    let (mut lines, mut taken) = (Vec::new(), HashSet::new());
    for column in columns {
        let mut name = snake_case(&column.name, "field");
        if inferred.time.as_deref() == Some(column.name.as_str())
            && matches!(
                name.as_str(),
                "timestamp" | "time" | "datetime" | "date" | "day"
            )
        {
            name = "ts".to_owned();
        }
        let start = lines.len();
        let place = Place {
            expression: identifier(&column.name),
            path: vec![column.field.clone()],
            name,
        };
        flatten(&column.guess, place, &column.name, &mut taken, &mut lines);
        if let [line] = &mut lines[start..]
            && !line.is_inner
        {
            line.is_always_there = column.is_always_there();
            line.choices.clone_from(&column.choices);
        }
    }
    lines
}

struct Place {
    expression: String,
    path: Vec<String>,
    name: String,
}

fn flatten(
    guess: &Guess,
    place: Place,
    column: &str,
    taken: &mut HashSet<String>,
    lines: &mut Vec<Line>,
) {
    if let DeclaredType::Struct(fields) = &guess.declared {
        for (field, inner) in fields.iter().zip(&guess.fields) {
            let own = snake_case(&field.name, "field");
            let own = own.trim_start_matches('_');
            // `customer.customer_id` is `customer_id`
            let name = match own.strip_prefix(place.name.as_str()) {
                Some(rest) if rest.starts_with('_') => own.to_owned(),
                _ => format!("{}_{own}", place.name),
            };
            let mut path = place.path.clone();
            path.push(field.name.clone());
            let deeper = Place {
                expression: format!("{}['{}']", place.expression, field.name.replace('\'', "''")),
                path,
                name: snake_case(&name, "field"),
            };
            flatten(inner, deeper, column, taken, lines);
        }
        return;
    }
    let expression = match guess.reading {
        Reading::AsItIs => place.expression,
        Reading::TextOfJson => format!("trim(both '\"' from {})", place.expression),
        Reading::Epoch(unit) => {
            let function = match unit {
                Unit::Seconds => "to_timestamp_seconds",
                Unit::Millis => "to_timestamp_millis",
                Unit::Micros => "to_timestamp_micros",
                Unit::Nanos => "to_timestamp_nanos",
            };
            format!("cast({function}({}) as timestamptz)", place.expression)
        }
    };
    lines.push(Line {
        column: column.to_owned(),
        is_inner: place.path.len() > 1,
        expression,
        name: free(place.name, taken),
        declared: guess.modelled(),
        description: format!("`{}` of the record.", place.path.join(".")),
        is_always_there: false,
        choices: Vec::new(),
    });
}
