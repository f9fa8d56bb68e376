//! Nested columns as the text of JSON documents.
//!
//! Numbers and truth values are written as such, digits unchanged; everything else that is not a
//! list or a struct is a string: times in ISO 8601, bytes as `\x…`, UUIDs with hyphens.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, ListArray, StringArray,
    StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use bytes::{BufMut, BytesMut};
use factmill_core::types::DeclaredType;
use std::sync::Arc;

use super::ValueProblem;

/// A column of JSON values.
pub(super) enum JsonColumn {
    Null,
    Boolean(BooleanArray),
    /// Numbers, in the digits to write.
    Number(StringArray),
    /// Texts that hold JSON.
    Document(StringArray),
    /// Texts to quote.
    Text(StringArray),
    List(ListArray, Box<JsonColumn>),
    Struct(StructArray, Vec<Member>),
}

/// A field of a struct, with its name as `"name":`.
pub(super) struct Member {
    label: Vec<u8>,
    values: JsonColumn,
}

impl JsonColumn {
    /// `None` when the type has no JSON form. `declared` tells JSON documents from plain text.
    pub(super) fn new(array: &ArrayRef, declared: Option<&DeclaredType>) -> Option<Self> {
        let text = |array: &dyn Array| {
            cast(array, &DataType::Utf8)
                .ok()
                .map(|texts| texts.as_string::<i32>().clone())
        };
        Some(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(array.as_boolean().clone()),
            number if number.is_numeric() => Self::Number(text(array)?),
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Dictionary(_, _) => {
                let texts = text(array)?;
                match declared {
                    Some(DeclaredType::Json) => Self::Document(texts),
                    _ => Self::Text(texts),
                }
            }
            DataType::FixedSizeBinary(16) => Self::Text(uuids(array.as_fixed_size_binary())),
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Text(hexadecimal(array)?),
            DataType::List(_) => Self::list(array.as_list().clone(), declared)?,
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                let item = Field::new_list_field(item.data_type().clone(), true);
                let lists = cast(array, &DataType::List(Arc::new(item))).ok()?;
                Self::list(lists.as_list().clone(), declared)?
            }
            DataType::Struct(_) => Self::structure(array.as_struct().clone(), declared)?,
            temporal if temporal.is_temporal() => Self::Text(text(array)?),
            DataType::Interval(_) => Self::Text(text(array)?),
            _ => return None,
        })
    }

    fn list(lists: ListArray, declared: Option<&DeclaredType>) -> Option<Self> {
        let item = match declared {
            Some(DeclaredType::List(item)) => Some(item.as_ref()),
            _ => None,
        };
        let values = Self::new(lists.values(), item)?;
        Some(Self::List(lists, Box::new(values)))
    }

    fn structure(structs: StructArray, declared: Option<&DeclaredType>) -> Option<Self> {
        let declared_field = |name: &str| match declared {
            Some(DeclaredType::Struct(fields)) => fields
                .iter()
                .find(|field| field.name == name)
                .map(|field| &field.data_type),
            _ => None,
        };
        let members = structs
            .fields()
            .iter()
            .zip(structs.columns())
            .map(|(field, column)| {
                let mut label = BytesMut::new();
                put_string(field.name(), &mut label);
                label.put_u8(b':');
                Some(Member {
                    label: label.to_vec(),
                    values: Self::new(column, declared_field(field.name()))?,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self::Struct(structs, members))
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Null => true,
            Self::Boolean(values) => values.is_null(row),
            Self::Number(values) | Self::Document(values) | Self::Text(values) => {
                values.is_null(row)
            }
            Self::List(values, _) => values.is_null(row),
            Self::Struct(values, _) => values.is_null(row),
        }
    }

    /// Appends the JSON text of one value.
    pub(super) fn put(&self, row: usize, out: &mut BytesMut) -> Result<(), ValueProblem> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Boolean(values) => {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" })
            }
            Self::Number(values) => {
                let digits = values.value(row);
                if digits.ends_with(['N', 'f']) {
                    return Err(ValueProblem::NotInJson);
                }
                out.extend_from_slice(digits.as_bytes());
            }
            Self::Document(values) => {
                let document = values.value(row);
                // Unchecked, a text such as `1, "a": 2` would become fields of the row around it.
                if serde_json::from_str::<serde::de::IgnoredAny>(document).is_err() {
                    return Err(ValueProblem::InvalidJson);
                }
                out.extend_from_slice(document.as_bytes());
            }
            Self::Text(values) => put_string(values.value(row), out),
            Self::List(lists, values) => {
                let offsets = lists.value_offsets();
                out.put_u8(b'[');
                for (index, at) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    if index > 0 {
                        out.put_u8(b',');
                    }
                    values.put(at, out)?;
                }
                out.put_u8(b']');
            }
            Self::Struct(_, members) => {
                out.put_u8(b'{');
                for (index, member) in members.iter().enumerate() {
                    if index > 0 {
                        out.put_u8(b',');
                    }
                    out.extend_from_slice(&member.label);
                    member.values.put(row, out)?;
                }
                out.put_u8(b'}');
            }
        }
        Ok(())
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends a JSON string.
fn put_string(text: &str, out: &mut BytesMut) {
    out.put_u8(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.put_u8(b'"');
}

fn uuids(values: &FixedSizeBinaryArray) -> StringArray {
    values
        .iter()
        .map(|value| {
            value
                .and_then(|bytes| uuid::Uuid::from_slice(bytes).ok())
                .map(|id| id.to_string())
        })
        .collect()
}

fn hexadecimal(array: &ArrayRef) -> Option<StringArray> {
    let binary = cast(array, &DataType::Binary).ok()?;
    let text = |bytes: &[u8]| {
        let mut text = String::with_capacity(2 + 2 * bytes.len());
        text.push_str("\\x");
        for byte in bytes {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        text
    };
    Some(
        binary
            .as_binary::<i32>()
            .iter()
            .map(|value| value.map(text))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use arrow::array::{Float64Array, Int32Array, ListBuilder, StringBuilder};

    fn text(column: &JsonColumn, row: usize) -> Result<String, ValueProblem> {
        let mut out = BytesMut::new();
        column.put(row, &mut out)?;
        Ok(String::from_utf8(out.to_vec()).unwrap())
    }

    #[test]
    fn structs_and_lists_become_documents() {
        let mut tags = ListBuilder::new(StringBuilder::new());
        tags.values().append_value("a\"\\\n\u{1}é");
        tags.values().append_null();
        tags.append(true);
        tags.append(false);
        let structs: ArrayRef = Arc::new(StructArray::from(vec![
            (
                Arc::new(Field::new("n\"", DataType::Int32, true)),
                Arc::new(Int32Array::from(vec![Some(-7), None])) as ArrayRef,
            ),
            (
                Arc::new(Field::new_list(
                    "tags",
                    Field::new_list_field(DataType::Utf8, true),
                    true,
                )),
                Arc::new(tags.finish()) as ArrayRef,
            ),
        ]));
        let column = JsonColumn::new(&structs, None).unwrap();
        assert_eq!(
            text(&column, 0).unwrap(),
            r#"{"n\"":-7,"tags":["a\"\\\u000a\u0001é",null]}"#
        );
        assert_eq!(text(&column, 1).unwrap(), r#"{"n\"":null,"tags":null}"#);
        serde_json::from_str::<serde_json::Value>(&text(&column, 0).unwrap()).unwrap();
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![
            1.5,
            f64::NAN,
            f64::NEG_INFINITY,
            1e300,
        ]));
        let column = JsonColumn::new(&floats, None).unwrap();
        assert_eq!(text(&column, 0).unwrap(), "1.5");
        assert_eq!(text(&column, 1), Err(ValueProblem::NotInJson));
        assert_eq!(text(&column, 2), Err(ValueProblem::NotInJson));
        assert_eq!(text(&column, 3).unwrap().parse::<f64>().unwrap(), 1e300);
        let documents: ArrayRef = Arc::new(StringArray::from(vec!["{\"a\":1}", "1, \"b\": 2"]));
        let column = JsonColumn::new(&documents, Some(&DeclaredType::Json)).unwrap();
        assert_eq!(text(&column, 0).unwrap(), "{\"a\":1}");
        assert_eq!(text(&column, 1), Err(ValueProblem::InvalidJson));
    }
}
