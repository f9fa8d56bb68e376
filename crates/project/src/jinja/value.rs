//! Jinja values as JSON and back.

use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::Value as Json;

/// A value as JSON; `None` for what has none, such as a function or a list without an end.
pub(super) fn to_json(value: &Value) -> Option<Json> {
    Some(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Json::Null,
        ValueKind::Bool => value.is_true().into(),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(number) if value.is_integer() => number.into(),
            _ => serde_json::Number::from_f64(f64::try_from(value.clone()).ok()?)?.into(),
        },
        ValueKind::String => value.as_str()?.into(),
        ValueKind::Seq => value
            .try_iter()
            .ok()?
            .map(|item| to_json(&item))
            .collect::<Option<_>>()?,
        ValueKind::Map => {
            let keys = value.try_iter().ok()?;
            let entries =
                keys.map(|key| Some((key.to_string(), to_json(&value.get_item(&key).ok()?)?)));
            Json::Object(entries.collect::<Option<_>>()?)
        }
        _ => Json::String(value.to_string()),
    })
}

/// JSON as a value.
pub(super) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(from_json).collect(),
        Json::Object(map) => Value::from_pairs(
            map.iter()
                .map(|(key, value)| (key.as_str(), from_json(value))),
        ),
    }
}
