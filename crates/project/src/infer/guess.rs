//! From the values of one place in the records to its type, with the reason.

use factmill_core::types::{DeclaredType, Precision, StructField};

use super::names;
use super::text;
use super::value::Value;

/// Objects deeper than this are kept as JSON.
const DEEPEST: usize = 6;

/// An object with more fields than this is kept as JSON.
const MOST_FIELDS: usize = 200;

/// Beyond so many names, an object whose records have few of them in common holds data as names.
const FEW_NAMES: usize = 24;

/// The type of a place in the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    /// As the source declares it.
    pub declared: DeclaredType,
    /// What a model makes of it.
    pub reading: Reading,
    /// The guesses of an object's fields, in the order of the type's fields.
    pub fields: Vec<Guess>,
    /// Why.
    pub reason: String,
}

/// What a model makes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What it is.
    AsItIs,
    /// The instant that a number of these stands for.
    Epoch(Unit),
    /// The text of a JSON scalar, without its quotes.
    TextOfJson,
}

/// What an epoch counts since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl Unit {
    const ALL: [(Self, i64); 4] = [
        (Self::Seconds, 1),
        (Self::Millis, 1_000),
        (Self::Micros, 1_000_000),
        (Self::Nanos, 1_000_000_000),
    ];

    /// The unit in which all numbers lie between 2000 and 2100.
    fn of(numbers: &[i64]) -> Option<Self> {
        const SINCE: i64 = 946_684_800;
        const UNTIL: i64 = 4_102_444_800;
        let fits = |factor: i64| {
            numbers
                .iter()
                .all(|number| (SINCE..UNTIL).contains(&(number / factor)))
        };
        Self::ALL
            .into_iter()
            .find(|(_, factor)| fits(*factor))
            .map(|(unit, _)| unit)
    }

    /// Its name, a plural.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Millis => "milliseconds",
            Self::Micros => "microseconds",
            Self::Nanos => "nanoseconds",
        }
    }

    /// Microseconds since 1970 UTC.
    pub(super) fn micros(self, number: i64) -> Option<i64> {
        match self {
            Self::Seconds => number.checked_mul(1_000_000),
            Self::Millis => number.checked_mul(1_000),
            Self::Micros => Some(number),
            Self::Nanos => Some(number / 1_000),
        }
    }
}

impl Guess {
    fn new(declared: DeclaredType, reason: impl Into<String>) -> Self {
        Self {
            declared,
            reading: Reading::AsItIs,
            fields: Vec::new(),
            reason: reason.into(),
        }
    }

    /// The time at which Kafka got a record.
    pub(super) fn received() -> Self {
        let reason = "no field says when it happened: the time at which Kafka got the record";
        Self::new(DeclaredType::TimestampTz, reason)
    }

    /// The type that a model's column has, where SQL has one of it: JSON stays a text there.
    pub fn modelled(&self) -> DeclaredType {
        match (self.reading, &self.declared) {
            (Reading::Epoch(_), _) => DeclaredType::TimestampTz,
            (_, DeclaredType::Json) => DeclaredType::Text,
            (_, declared) => declared.clone(),
        }
    }

    /// The type of `values`, nulls among them, of the field `name`.
    pub(super) fn of(name: &str, values: &[&Value]) -> Self {
        Self::at(name, values, 0)
    }

    fn at(name: &str, values: &[&Value], depth: usize) -> Self {
        let there: Vec<&Value> = values
            .iter()
            .copied()
            .filter(|value| **value != Value::Null)
            .collect();
        let Some(first) = there.first() else {
            return Self::new(
                DeclaredType::Text,
                "only nulls were seen; text until more is known",
            );
        };
        let all = there.len();
        if let Some(most) = all_but_few(&there) {
            let mut guess = Self::at(name, &most, depth);
            let others = all - most.len();
            let reason = format!("; {others} of {all} are not, and would be dead letters");
            guess.reason.push_str(&reason);
            return guess;
        }
        let every = |is: fn(&Value) -> bool| there.iter().all(|value| is(value));
        if every(|value| matches!(value, Value::Boolean(_))) {
            return Self::new(
                DeclaredType::Boolean,
                format!("{all} of {all} are true or false"),
            );
        }
        if every(|value| matches!(value, Value::Number(_) | Value::Decimal(_))) {
            return numbers(name, &texts(&there));
        }
        if every(|value| matches!(value, Value::Text(_))) {
            return text_guess(text::of(name, &texts(&there)));
        }
        if every(|value| matches!(value, Value::Written(_))) {
            return written(name, &texts(&there));
        }
        if every(|value| matches!(value, Value::Instant(_))) {
            return Self::new(
                DeclaredType::TimestampTz,
                format!("{all} of {all} are dates"),
            );
        }
        if every(|value| matches!(value, Value::ObjectId(_))) {
            let reason = format!("{all} of {all} are object ids, as 24 hexadecimal digits");
            return Self::new(DeclaredType::Text, reason);
        }
        if every(|value| matches!(value, Value::Uuid(_))) {
            return Self::new(DeclaredType::Uuid, format!("{all} of {all} are UUIDs"));
        }
        if every(|value| matches!(value, Value::Bytes(_))) {
            return Self::new(
                DeclaredType::Bytea,
                format!("{all} of {all} are byte strings"),
            );
        }
        if every(|value| matches!(value, Value::Object(_))) {
            return object(&there, depth);
        }
        if every(|value| matches!(value, Value::List(_))) {
            return list(name, &there, depth);
        }
        if every(is_number_or_its_text) {
            let mut guess = numbers(name, &texts(&there));
            if let DeclaredType::Numeric(_) = guess.declared {
                guess.reason.push_str("; some are written as texts");
                return guess;
            }
            let declared = DeclaredType::Numeric(Precision::new(38, 18).ok());
            return Self::new(declared, "numbers, some of them written as texts");
        }
        mixed(&there, first)
    }
}

/// The values of one kind, where one in a hundred at most is of another: a broken record says nothing
/// about the others. `None` where all are of one kind, or none is that of nearly all.
fn all_but_few<'v>(values: &[&'v Value]) -> Option<Vec<&'v Value>> {
    if values.iter().all(|value| is_number_or_its_text(value)) {
        return None;
    }
    let mut counts: Vec<(text::Kind, usize)> = Vec::new();
    for value in values {
        let kind = text::kind(value);
        match counts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((kind, 1)),
        }
    }
    let (kind, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    let others = values.len() - count;
    // any text stands beside other texts
    if others == 0 || others * 100 > values.len() || kind == text::Kind::Text {
        return None;
    }
    let (most, rest): (Vec<&Value>, Vec<&Value>) = values
        .iter()
        .copied()
        .partition(|value| text::kind(value) == kind);
    // digits behind a zero are a code, so the others are codes too
    let is_code = |value: &&Value| match value {
        Value::Written(text) => text.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    (!rest.iter().any(is_code)).then_some(most)
}

/// The texts of scalars that are kept as text.
fn texts<'v>(values: &[&'v Value]) -> Vec<&'v str> {
    let text = |value: &&'v Value| match value {
        Value::Number(text) | Value::Decimal(text) | Value::Text(text) | Value::Written(text) => {
            Some(text.as_str())
        }
        _ => None,
    };
    values.iter().filter_map(text).collect()
}

fn is_number_or_its_text(value: &Value) -> bool {
    match value {
        Value::Number(_) | Value::Decimal(_) => true,
        Value::Text(text) => text::is_decimal(text),
        _ => false,
    }
}

fn text_guess((declared, reason): (DeclaredType, String)) -> Guess {
    Guess::new(declared, reason)
}

/// Fields of CSV: numbers and truth values by their look.
fn written(name: &str, texts: &[&str]) -> Guess {
    let all = texts.len();
    if texts.iter().all(|text| matches!(*text, "true" | "false")) {
        return Guess::new(
            DeclaredType::Boolean,
            format!("{all} of {all} are true or false"),
        );
    }
    if texts.iter().all(|text| text::is_number(text)) {
        return numbers(name, texts);
    }
    text_guess(text::of(name, texts))
}

/// Numbers: counters and ids, epochs, money, measures.
fn numbers(name: &str, texts: &[&str]) -> Guess {
    let all = texts.len();
    let scales: Option<Vec<usize>> = texts.iter().map(|text| text::scale(text)).collect();
    let Some(scales) = scales else {
        let reason = format!("{all} of {all} are numbers, some beyond every decimal");
        return Guess::new(DeclaredType::Double, reason);
    };
    let most = scales.iter().copied().max().unwrap_or_default();
    let whole: Option<Vec<i64>> = texts.iter().map(|text| text::whole(text)).collect();
    match whole {
        Some(whole) if most == 0 => whole_numbers(name, &whole),
        None if most == 0 => {
            let reason = format!("{all} of {all} are whole, some beyond 64 bits");
            Guess::new(DeclaredType::Numeric(Precision::new(38, 0).ok()), reason)
        }
        _ if names::is_money(name) => money(&scales, most),
        _ => {
            let reason = format!(
                "{all} of {all} are numbers, {} behind the point",
                places(most)
            );
            Guess::new(DeclaredType::Double, reason)
        }
    }
}

fn places(most: usize) -> String {
    match most {
        1 => "at most one digit".to_owned(),
        most => format!("at most {most} digits"),
    }
}

fn whole_numbers(name: &str, numbers: &[i64]) -> Guess {
    let all = numbers.len();
    if let (Some(_), Some(unit)) = (names::time_rank(name), Unit::of(numbers)) {
        let reason = format!(
            "{all} of {all} are {} since 1970, by name and size",
            unit.as_str()
        );
        return Guess {
            reading: Reading::Epoch(unit),
            ..Guess::new(DeclaredType::BigInt, reason)
        };
    }
    /// Beyond it numeric(18,2) has no digits left.
    const LARGEST: u64 = 10_u64.pow(16);
    if names::is_money(name) && numbers.iter().all(|number| number.unsigned_abs() < LARGEST) {
        let reason = format!(
            "{all} of {all} are whole, and the name is one of money; are they minor units?"
        );
        return Guess::new(DeclaredType::Numeric(Precision::new(18, 2).ok()), reason);
    }
    Guess::new(
        DeclaredType::BigInt,
        format!("{all} of {all} are whole numbers"),
    )
}

/// Money never becomes a float.
fn money(scales: &[usize], most: usize) -> Guess {
    let all = scales.len();
    let (digits, scale, words) = match most {
        ..=2 => (18, 2, "two".to_owned()),
        3..=18 => (38, 18, most.to_string()),
        _ => {
            let reason =
                format!("{all} of {all} are numbers, up to {most} decimals: more than money has");
            return Guess::new(DeclaredType::Double, reason);
        }
    };
    let reason =
        format!("{all} of {all} have at most {words} decimals, and the name is one of money");
    Guess::new(
        DeclaredType::Numeric(Precision::new(digits, scale).ok()),
        reason,
    )
}

/// The names of an object's fields, in the order of their first appearance.
pub(super) fn field_names<'v>(objects: impl Iterator<Item = &'v Value>) -> Vec<&'v str> {
    let mut seen = std::collections::HashSet::new();
    let mut names = Vec::new();
    for object in objects {
        let Value::Object(fields) = object else {
            continue;
        };
        for (name, _) in fields {
            if seen.insert(name.as_str()) {
                names.push(name.as_str());
            }
        }
    }
    names
}

/// What a field holds in each object; null where it is missing.
pub(super) fn field_values<'v>(
    objects: impl Iterator<Item = &'v Value>,
    name: &str,
) -> Vec<&'v Value> {
    let field = |object: &'v Value| match object {
        Value::Object(fields) => fields
            .iter()
            .find(|(known, _)| known == name)
            .map_or(&Value::Null, |(_, value)| value),
        _ => &Value::Null,
    };
    objects.map(field).collect()
}

/// Whether a name can stand in a type and in a model: Jinja reads its own marks in SQL.
pub(super) fn can_be_named(name: &str) -> bool {
    let marks = ["{{", "{%", "{#", "}}", "%}", "#}"];
    !name.is_empty()
        && !name.chars().any(char::is_control)
        && !marks.iter().any(|mark| name.contains(mark))
}

fn object(objects: &[&Value], depth: usize) -> Guess {
    let all = objects.len();
    let json = |reason: String| Guess::new(DeclaredType::Json, reason);
    let names = field_names(objects.iter().copied());
    if names.is_empty() {
        return json(format!("{all} of {all} are empty objects"));
    }
    if depth >= DEEPEST {
        return json(format!("objects deeper than {DEEPEST}: kept as JSON"));
    }
    let filled: usize = objects
        .iter()
        .map(|object| match object {
            Value::Object(fields) => fields.len(),
            _ => 0,
        })
        .sum();
    let holds_data_as_names = names.len() > FEW_NAMES && filled * 10 < names.len() * all;
    if names.len() > MOST_FIELDS || holds_data_as_names {
        return json(format!(
            "{} different names in {all} objects: kept as JSON",
            names.len()
        ));
    }
    if let Some(odd) = names.iter().find(|name| !can_be_named(name)) {
        return json(format!(
            "a field {odd:?} that no model can name: kept as JSON"
        ));
    }
    let (mut fields, mut declared) = (Vec::new(), Vec::new());
    for name in names {
        let guess = Guess::at(
            name,
            &field_values(objects.iter().copied(), name),
            depth + 1,
        );
        declared.push(StructField {
            name: name.to_owned(),
            data_type: guess.declared.clone(),
        });
        fields.push(guess);
    }
    let count = declared.len();
    Guess {
        fields,
        ..Guess::new(
            DeclaredType::Struct(declared),
            format!("{all} of {all} are objects, {count} fields in all"),
        )
    }
}

fn list(name: &str, lists: &[&Value], depth: usize) -> Guess {
    let all = lists.len();
    let items: Vec<&Value> = lists
        .iter()
        .flat_map(|list| match list {
            Value::List(items) => items.as_slice(),
            _ => &[],
        })
        .collect();
    if items.iter().all(|item| **item == Value::Null) {
        let reason = format!("{all} of {all} are lists without a value: kept as JSON");
        return Guess::new(DeclaredType::Json, reason);
    }
    if depth >= DEEPEST {
        let reason = format!("lists deeper than {DEEPEST}: kept as JSON");
        return Guess::new(DeclaredType::Json, reason);
    }
    let item = Guess::at(name, &items, depth + 1);
    let reason = format!(
        "{all} of {all} are lists, {} values in all: {}",
        items.len(),
        item.reason
    );
    Guess::new(DeclaredType::List(Box::new(item.declared)), reason)
}

fn mixed(values: &[&Value], first: &Value) -> Guess {
    let mut kinds: Vec<(&'static str, usize)> = Vec::new();
    for value in values {
        match kinds.iter_mut().find(|(kind, _)| *kind == value.kind()) {
            Some((_, count)) => *count += 1,
            None => kinds.push((value.kind(), 1)),
        }
    }
    let counted: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let scalars = values
        .iter()
        .all(|value| !matches!(value, Value::Object(_) | Value::List(_)));
    if matches!(first, Value::Other) && kinds.len() == 1 {
        return Guess::new(DeclaredType::Json, "values that only JSON holds");
    }
    if scalars {
        return Guess {
            reading: Reading::TextOfJson,
            ..Guess::new(
                DeclaredType::Json,
                format!(
                    "mixed: {}; kept as JSON, text in the models",
                    counted.join(", ")
                ),
            )
        };
    }
    Guess::new(
        DeclaredType::Json,
        format!("mixed: {}; kept as JSON", counted.join(", ")),
    )
}
