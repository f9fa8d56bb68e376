//! Which columns are the key, the event time, a choice among few texts.

use std::collections::{BTreeSet, HashSet};

use factmill_core::types::DeclaredType;

use super::guess::Reading;
use super::text;
use super::value::Value;
use super::{Column, names};

/// So many texts are still a choice among few.
const MOST_CHOICES: usize = 12;

/// The texts of a column that looks like a choice among few: each comes five times on average.
pub(super) fn choices(field: &str, declared: &DeclaredType, values: &[&Value]) -> Vec<String> {
    if *declared != DeclaredType::Text || names::id_rank(field, "").is_some() {
        return Vec::new();
    }
    let mut texts = BTreeSet::new();
    let mut count = 0;
    for value in values {
        let (Value::Text(text) | Value::Written(text)) = value else {
            continue;
        };
        count += 1;
        texts.insert(text.as_str());
        if texts.len() > MOST_CHOICES || text.is_empty() || text.chars().count() > 40 {
            return Vec::new();
        }
    }
    let few = texts.len() > 1 && texts.len() * 5 <= count;
    let texts = texts.into_iter().filter(|_| few);
    texts.map(str::to_owned).collect()
}

/// The column of the event time: of those that every record has, the one with the best name.
pub(super) fn time(columns: &[Column]) -> Option<usize> {
    let ranked = columns.iter().enumerate().filter_map(|(at, column)| {
        if names::is_other_time(&column.field) {
            return None;
        }
        let instant = matches!(column.guess.reading, Reading::Epoch(_));
        let rank = match column.guess.declared {
            DeclaredType::TimestampTz => names::time_rank(&column.field).unwrap_or(8),
            DeclaredType::Date => names::time_rank(&column.field).unwrap_or(8) + 4,
            _ if instant => names::time_rank(&column.field)?,
            _ => return None,
        };
        // a number cannot order the records of a source
        let behind = rank + if instant { 5 } else { 0 };
        column.is_always_there().then_some((behind, at))
    });
    ranked.min().map(|(_, at)| at)
}

/// The earliest and the latest of the column's times.
pub(super) fn range(column: &Column, records: &[Value]) -> Option<(i64, i64)> {
    let values = super::field_values(records.iter(), &column.field);
    let times = values
        .into_iter()
        .filter_map(|value| match (value, column.guess.reading) {
            (Value::Number(number) | Value::Written(number), Reading::Epoch(unit)) => {
                unit.micros(text::whole(number)?)
            }
            (Value::Text(written) | Value::Written(written), _) => text::time(written)
                .map(|time| time.micros)
                .or_else(|| text::midnight(written)),
            (Value::Instant(micros), _) => Some(*micros),
            _ => None,
        });
    times.fold(None, |range, time| {
        let (first, last) = range.unwrap_or((time, time));
        Some((first.min(time), last.max(time)))
    })
}

/// The key and why: an id of its own, else an id and the event time, else a UUID, else nothing.
pub(super) fn key(
    columns: &[Column],
    time: Option<usize>,
    records: &[&Value],
    table: &str,
) -> (Vec<String>, String) {
    let all = records.len();
    let mut ids: Vec<(u8, usize)> = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.is_always_there() && can_be_key(&column.guess.declared))
        .filter(|(_, column)| column.guess.reading == Reading::AsItIs)
        .filter_map(|(at, column)| Some((names::id_rank(&column.field, table)?, at)))
        .collect();
    ids.sort_unstable();
    let name = |at: usize| columns[at].name.clone();
    for (_, at) in &ids {
        if are_different(&[&columns[*at]], records) {
            let reason = format!("an id by its name, and different in all {all} records");
            return (vec![name(*at)], reason);
        }
    }
    for (_, at) in &ids {
        let Some(time) = time else { break };
        if are_different(&[&columns[*at], &columns[time]], records) {
            let reason = format!(
                "no id is different in each record, this one is together with the time in all {all} records"
            );
            return (vec![name(*at), name(time)], reason);
        }
    }
    for (at, column) in columns.iter().enumerate() {
        let is_uuid = column.guess.declared == DeclaredType::Uuid && column.is_always_there();
        if is_uuid && are_different(&[column], records) {
            return (
                vec![name(at)],
                format!("a UUID, different in all {all} records"),
            );
        }
    }
    let reason = match ids.first() {
        Some((_, at)) => {
            let column = &columns[*at];
            let values = different(&[column], records);
            format!(
                "no field is different in each record: every record becomes a row. `{}` has {values} values in {all} records; \
                 as `unique_key` it would keep the newest record of each",
                column.name
            )
        }
        None => "no field looks like an id: every record becomes a row".to_owned(),
    };
    (Vec::new(), reason)
}

fn can_be_key(declared: &DeclaredType) -> bool {
    matches!(
        declared,
        DeclaredType::Text | DeclaredType::Uuid | DeclaredType::BigInt
    )
}

fn are_different(columns: &[&Column], records: &[&Value]) -> bool {
    different(columns, records) == records.len()
}

/// How many different values the columns have together.
fn different(columns: &[&Column], records: &[&Value]) -> usize {
    let values: Vec<Vec<&Value>> = columns
        .iter()
        .map(|column| super::field_values(records.iter().copied(), &column.field))
        .collect();
    let of_record = |at: usize| -> Vec<&Value> { values.iter().map(|column| column[at]).collect() };
    let seen: HashSet<Vec<&Value>> = (0..records.len()).map(of_record).collect();
    seen.len()
}
