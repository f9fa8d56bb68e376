//! Values of sampled records, as their format wrote them.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A value of a record: of JSON, BSON or CSV, before anything is made of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// None.
    Null,
    /// True or false.
    Boolean(bool),
    /// A number, as decimal text.
    Number(String),
    /// A text.
    Text(String),
    /// A field of CSV: a text that may stand for a number or a truth value.
    Written(String),
    /// A date of BSON, microseconds since 1970 UTC.
    Instant(i64),
    /// A Decimal128 of BSON, as text.
    Decimal(String),
    /// An ObjectId of BSON, as 24 hexadecimal digits.
    ObjectId(String),
    /// A UUID of BSON.
    Uuid([u8; 16]),
    /// Bytes of BSON.
    Bytes(Vec<u8>),
    /// What only `json` holds: a regular expression of BSON, its smallest key.
    Other,
    /// A list.
    List(Vec<Value>),
    /// Fields in their order, each name once.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// Reads one JSON document.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// An object of these fields; of fields with one name the last counts, as in decoding.
    pub fn object(fields: impl IntoIterator<Item = (String, Value)>) -> Self {
        let mut known = std::collections::HashMap::new();
        let mut object: Vec<(String, Value)> = Vec::new();
        for (name, value) in fields {
            match known.get(&name) {
                Some(&at) => object[at] = (name, value),
                None => {
                    known.insert(name.clone(), object.len());
                    object.push((name, value));
                }
            }
        }
        Self::Object(object)
    }

    /// What it is, for people: a plural.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nulls",
            Self::Boolean(_) => "booleans",
            Self::Number(_) | Self::Decimal(_) => "numbers",
            Self::Text(_) | Self::Written(_) => "texts",
            Self::Instant(_) => "dates",
            Self::ObjectId(_) => "object ids",
            Self::Uuid(_) => "uuids",
            Self::Bytes(_) => "byte strings",
            Self::Other => "other values",
            Self::List(_) => "lists",
            Self::Object(_) => "objects",
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    // the shortest digits that give the same float: at least what was written, without zeros at its end
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = entries.next_entry()? {
            fields.push(field);
        }
        Ok(Value::object(fields))
    }
}
