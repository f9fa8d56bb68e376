//! From the bytes of sampled records to values: objects are taken, the rest is counted.

use factmill_connect::decode::csv::{self, Dialect};
use factmill_project::infer::Value;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{RawBsonRef, RawDocument};

use super::pull::Raw;
use crate::failure::Failure;

/// What the records of a sample say.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Those that are objects.
    pub(super) values: Vec<Value>,
    /// Their first and last time at the source, microseconds since 1970 UTC.
    pub(super) times: Option<(i64, i64)>,
    empty: usize,
    unreadable: usize,
    others: usize,
    /// Records that begin like those of a schema registry.
    framed: usize,
}

impl Records {
    pub(super) fn of_json(raw: &[Raw]) -> Self {
        Self::of(raw, |_, payload| Value::from_json(payload).ok())
    }

    pub(super) fn of_bson(raw: &[Raw]) -> Self {
        Self::of(raw, |_, payload| {
            document(RawDocument::from_bytes(payload).ok()?)
        })
    }

    pub(super) fn of_csv(raw: &[Raw], dialect: Dialect) -> Self {
        Self::of(raw, |raw, payload| {
            let names = csv::texts(raw.columns.as_deref()?, dialect)?;
            let fields = csv::texts(payload, dialect)?;
            let written = |field: Option<String>| field.map_or(Value::Null, Value::Written);
            let named = names.into_iter().map(Option::unwrap_or_default);
            let paired = names_and(named.collect(), fields)?;
            Some(Value::object(
                paired
                    .into_iter()
                    .map(|(name, field)| (name, written(field))),
            ))
        })
    }

    /// Records that are values already.
    pub(super) fn of_values(values: Vec<Value>) -> Self {
        let mut records = Self::default();
        values.into_iter().for_each(|value| records.take(value));
        records
    }

    fn of(raw: &[Raw], read: impl Fn(&Raw, &[u8]) -> Option<Value>) -> Self {
        let mut records = Self::default();
        for raw in raw {
            if let Some(time) = raw.time {
                let (first, last) = records.times.unwrap_or((time, time));
                records.times = Some((first.min(time), last.max(time)));
            }
            let Some(payload) = raw.payload.as_deref() else {
                records.empty += 1;
                continue;
            };
            match read(raw, payload) {
                Some(value) => records.take(value),
                None => {
                    records.unreadable += 1;
                    // the magic byte of a schema registry's framing, and the id of a schema
                    records.framed += usize::from(payload.first() == Some(&0) && payload.len() > 5);
                }
            }
        }
        records
    }

    fn take(&mut self, value: Value) {
        match value {
            Value::Object(_) => self.values.push(value),
            _ => self.others += 1,
        }
    }

    /// What was passed over.
    pub(super) fn notes(&self) -> Vec<String> {
        let counted = [
            (self.empty, "have no payload"),
            (self.unreadable, "cannot be read and would be dead letters"),
            (self.others, "are no objects and would be dead letters"),
        ];
        let some = counted.into_iter().filter(|(count, _)| *count > 0);
        some.map(|(count, what)| format!("{count} records {what}"))
            .collect()
    }

    /// Why there is nothing to infer from; `None` where most records are objects: of a file that is
    /// written another way, a line may be one by chance.
    pub(super) fn nothing(&self, from: &str) -> Option<Failure> {
        if self.values.len() > self.unreadable + self.others {
            return None;
        }
        let read = self.values.len() + self.empty + self.unreadable + self.others;
        let wrong = read - self.values.len();
        Some(Failure::usage(match read {
            0 => format!("{from} holds no records yet; send some, then try again"),
            _ if self.framed > 0 => format!(
                "the records of {from} are framed by a schema registry; their schema says the columns already: declare them by hand, with `format: avro` or `protobuf`"
            ),
            _ if self.others > 0 => {
                format!(
                    "{wrong} of the {read} records of {from} are no objects; write one object for each record"
                )
            }
            _ => format!(
                "{wrong} of the {read} records of {from} cannot be read; one JSON object is expected for each record, on one line where it stands in a file"
            ),
        }))
    }
}

/// Each field behind its column; `None` where there are more or fewer of them.
fn names_and(
    names: Vec<String>,
    fields: Vec<Option<String>>,
) -> Option<Vec<(String, Option<String>)>> {
    (names.len() == fields.len()).then(|| names.into_iter().zip(fields).collect())
}

/// A document of BSON; `None` of a broken one.
fn document(document: &RawDocument) -> Option<Value> {
    let mut fields = Vec::new();
    for element in document {
        let (name, value) = element.ok()?;
        fields.push((name.to_string(), bson(value)?));
    }
    Some(Value::object(fields))
}

fn bson(value: RawBsonRef<'_>) -> Option<Value> {
    Some(match value {
        RawBsonRef::Null | RawBsonRef::Undefined => Value::Null,
        RawBsonRef::Boolean(value) => Value::Boolean(value),
        RawBsonRef::Int32(number) => Value::Number(number.to_string()),
        RawBsonRef::Int64(number) => Value::Number(number.to_string()),
        RawBsonRef::Double(number) => Value::Number(number.to_string()),
        RawBsonRef::Decimal128(number) => Value::Decimal(number.to_string()),
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) => Value::Text(text.to_owned()),
        RawBsonRef::ObjectId(id) => Value::ObjectId(id.to_hex()),
        RawBsonRef::DateTime(at) => Value::Instant(at.timestamp_millis().checked_mul(1_000)?),
        RawBsonRef::Timestamp(at) => {
            Value::Number(((u64::from(at.time) << 32) | u64::from(at.increment)).to_string())
        }
        RawBsonRef::Binary(binary) => {
            let is_uuid = matches!(binary.subtype, BinarySubtype::Uuid | BinarySubtype::UuidOld);
            match <[u8; 16]>::try_from(binary.bytes) {
                Ok(uuid) if is_uuid => Value::Uuid(uuid),
                _ => Value::Bytes(binary.bytes.to_vec()),
            }
        }
        RawBsonRef::Document(inner) => document(inner)?,
        RawBsonRef::Array(items) => {
            let items = items.into_iter().map(|item| bson(item.ok()?));
            Value::List(items.collect::<Option<_>>()?)
        }
        _ => Value::Other,
    })
}
