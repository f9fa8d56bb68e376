//! The decoder against a plain one: serde_json takes each document apart, value by value and with
//! an allocation for each, and says what its row or its faults are.

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

/// A value without its Arrow type.
#[derive(Debug, Clone, PartialEq)]
enum Plain {
    Null,
    Number(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Items(Vec<Plain>),
}

/// Field paths that are at fault, each with the reasons that may be given.
type Faults = Vec<(Option<String>, Vec<Reason>)>;

fn faults_of_record(reason: Reason) -> Faults {
    vec![(None, vec![reason])]
}

/// The plain decoder.
fn reference(schema: &SourceSchema, payload: &[u8]) -> Result<Vec<Plain>, Faults> {
    if payload.is_empty() {
        return Err(faults_of_record(Reason::EmptyPayload));
    }
    let text = std::str::from_utf8(payload).map_err(|_| faults_of_record(Reason::InvalidUtf8))?;
    let raw: Box<RawValue> =
        serde_json::from_str(text).map_err(|_| faults_of_record(Reason::Malformed))?;
    // The raw value does not look into strings; the whole value does, but bounds its floats: their
    // exponents, and what looks like one in a text, become zeros of the same length.
    let exponents = regex::Regex::new("[eE][+-]?[0-9]+").unwrap();
    let small = exponents.replace_all(text, |found: &regex::Captures<'_>| {
        found[0].replace(|digit: char| digit.is_ascii_digit(), "0")
    });
    if serde_json::from_str::<Value>(&small).is_err() {
        return Err(faults_of_record(Reason::Malformed));
    }
    let Some(document) = object(&raw) else {
        return Err(faults_of_record(Reason::WrongType));
    };
    let mut faults = Vec::new();
    let row = schema
        .columns
        .iter()
        .map(|column| match &column.origin {
            ColumnOrigin::Field(path) => {
                follow(&document, path, "", &column.data_type, &mut faults)
            }
            other => panic!("the test declares fields only, not {other:?}"),
        })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(row)
}

fn object(raw: &RawValue) -> Option<HashMap<String, Box<RawValue>>> {
    raw.get()
        .starts_with('{')
        .then(|| serde_json::from_str(raw.get()).unwrap())
}

fn follow(
    object_here: &HashMap<String, Box<RawValue>>,
    path: &[String],
    prefix: &str,
    declared: &DeclaredType,
    faults: &mut Faults,
) -> Plain {
    let Some(raw) = object_here.get(&path[0]) else {
        return Plain::Null;
    };
    let here = if prefix.is_empty() {
        path[0].clone()
    } else {
        format!("{prefix}.{}", path[0])
    };
    if path.len() == 1 {
        return value(raw, declared, &here, faults);
    }
    match object(raw) {
        Some(inside) => follow(&inside, &path[1..], &here, declared, faults),
        None if raw.get() == "null" => Plain::Null,
        None => {
            faults.push((Some(here), vec![Reason::WrongType]));
            Plain::Null
        }
    }
}

fn value(raw: &RawValue, declared: &DeclaredType, path: &str, faults: &mut Faults) -> Plain {
    use DeclaredType as T;
    let text = raw.get();
    if text == "null" {
        return Plain::Null;
    }
    let string = || serde_json::from_str::<String>(text).ok();
    let is_number = !text.starts_with(['"', '{', '[', 't', 'f']);
    let wrong = Err(vec![Reason::WrongType]);
    let misfit = Err(vec![Reason::DoesNotFit]);
    let read = match declared {
        T::SmallInt | T::Integer | T::BigInt if !is_number => wrong,
        T::SmallInt => whole(text, i16::MIN.into(), i16::MAX.into()),
        T::Integer => whole(text, i32::MIN.into(), i32::MAX.into()),
        T::BigInt => whole(text, i64::MIN.into(), i64::MAX.into()),
        T::Double if !is_number => wrong,
        T::Double => {
            let parsed: f64 = text.parse().unwrap();
            let zero = !text
                .split(['e', 'E'])
                .next()
                .unwrap()
                .contains(|c: char| ('1'..='9').contains(&c));
            if parsed.is_finite() && (parsed != 0.0 || zero) {
                Ok(Plain::Float(parsed))
            } else {
                misfit
            }
        }
        T::Numeric(Some(precision)) => match string().or(is_number.then(|| text.to_owned())) {
            Some(number) => decimal(&number, precision.digits().into(), precision.scale().into())
                .map(Plain::Number),
            None => wrong,
        },
        T::Text | T::Varchar(_) => match string() {
            None => wrong,
            Some(found) if found.contains('\0') => misfit,
            Some(found) if matches!(declared, T::Varchar(most) if found.chars().count() > *most as usize) => {
                misfit
            }
            Some(found) => Ok(Plain::Text(found)),
        },
        T::Boolean => match text {
            "true" => Ok(Plain::Number(1)),
            "false" => Ok(Plain::Number(0)),
            _ => wrong,
        },
        T::TimestampTz => string().map_or(wrong, |found| instant(&found)),
        T::Uuid => string()
            .and_then(|found| found.parse::<uuid::Uuid>().ok())
            .map_or(wrong, |uuid| Ok(Plain::Bytes(uuid.into_bytes().to_vec()))),
        T::Json => {
            // An odd number of backslashes before `u0000` makes it an escape.
            let escaped = text.match_indices("u0000").any(|(at, _)| {
                text[..at]
                    .bytes()
                    .rev()
                    .take_while(|&byte| byte == b'\\')
                    .count()
                    % 2
                    == 1
            });
            if escaped {
                misfit
            } else {
                Ok(Plain::Text(text.to_owned()))
            }
        }
        T::List(item) => match serde_json::from_str::<Vec<Box<RawValue>>>(text) {
            Ok(items) => {
                let at = |index| format!("{path}[{index}]");
                let items = items.iter().enumerate();
                Ok(Plain::Items(
                    items
                        .map(|(index, raw)| value(raw, item, &at(index), faults))
                        .collect(),
                ))
            }
            Err(_) => wrong,
        },
        T::Struct(fields) => match object(raw) {
            Some(inside) => Ok(Plain::Items(
                fields
                    .iter()
                    .map(|field| {
                        follow(
                            &inside,
                            std::slice::from_ref(&field.name),
                            path,
                            &field.data_type,
                            faults,
                        )
                    })
                    .collect(),
            )),
            None => wrong,
        },
        other => panic!("the test declares no {other}"),
    };
    read.unwrap_or_else(|reasons| {
        faults.push((Some(path.to_owned()), reasons));
        Plain::Null
    })
}

fn whole(text: &str, least: i128, most: i128) -> Result<Plain, Vec<Reason>> {
    let number = decimal(text, 30, 0)?;
    if (least..=most).contains(&number) {
        Ok(Plain::Number(number))
    } else {
        Err(vec![Reason::DoesNotFit])
    }
}

/// Moves the point by writing the digits out.
fn decimal(text: &str, precision: u32, scale: i64) -> Result<i128, Vec<Reason>> {
    let shape =
        regex::Regex::new(r"^([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?$").unwrap();
    let parts = shape.captures(text).ok_or(vec![Reason::WrongType])?;
    let part = |index| parts.get(index).map_or("", |found| found.as_str());
    let digits = format!("{}{}", part(2), part(3));
    if digits.is_empty() {
        return Err(vec![Reason::WrongType]);
    }
    if digits.bytes().all(|digit| digit == b'0') {
        return Ok(0);
    }
    let exponent = part(4).parse::<f64>().unwrap_or(0.0).clamp(-1e3, 1e3) as i64;
    let point = part(2).len() as i64 + exponent + scale;
    let kept: String = (0..point)
        .map(|at| digits.chars().nth(at as usize).unwrap_or('0'))
        .collect();
    let lost = digits
        .chars()
        .enumerate()
        .any(|(at, digit)| at as i64 >= point && digit != '0');
    let number = kept.trim_start_matches('0');
    if lost || number.len() > precision as usize {
        return Err(vec![Reason::DoesNotFit]);
    }
    let number: i128 = if number.is_empty() {
        0
    } else {
        number.parse().unwrap()
    };
    Ok(if part(1) == "-" { -number } else { number })
}

fn instant(text: &str) -> Result<Plain, Vec<Reason>> {
    let shape = regex::Regex::new(
        r"^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(\.[0-9]+)?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$",
    )
    .unwrap();
    // Of several things that are wrong with a time, any may be named.
    let bad = || vec![Reason::WrongType, Reason::DoesNotFit];
    let parts = shape.captures(text).ok_or_else(bad)?;
    let part = |index| parts.get(index).map_or("", |found| found.as_str());
    let seconds = if part(3).is_empty() { ":00" } else { part(3) };
    let fraction = part(4).trim_start_matches('.').trim_end_matches('0');
    let offset = match part(5) {
        "" | "Z" | "z" => "+00:00".to_owned(),
        short if short.len() == 3 => format!("{short}:00"),
        short if short.len() == 5 => format!("{}:{}", &short[..3], &short[3..]),
        full => full.to_owned(),
    };
    if fraction.len() > 6
        || (part(3).is_empty() && !part(4).is_empty())
        || seconds == ":60"
        || part(1).starts_with("0000")
    {
        return Err(bad());
    }
    let time = if part(2).is_empty() { "00:00" } else { part(2) };
    let written = format!("{}T{time}{seconds}.{fraction:0<6}{offset}", part(1));
    match chrono::DateTime::parse_from_rfc3339(&written) {
        Ok(parsed) if offset[1..3] < *"16" => Ok(Plain::Number(parsed.timestamp_micros().into())),
        _ => Err(bad()),
    }
}

/// The values of an Arrow array.
fn plain(array: &ArrayRef) -> Vec<Plain> {
    let text_of = |row| array.as_string::<i32>().value(row).to_owned();
    let one = |row: usize| match array.data_type() {
        DataType::Boolean => Plain::Number(array.as_boolean().value(row).into()),
        DataType::Int16 => Plain::Number(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Plain::Number(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Plain::Number(array.as_primitive::<Int64Type>().value(row).into()),
        DataType::Float64 => Plain::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => {
            Plain::Number(array.as_primitive::<Decimal128Type>().value(row))
        }
        DataType::Timestamp(..) => Plain::Number(
            array
                .as_primitive::<TimestampMicrosecondType>()
                .value(row)
                .into(),
        ),
        DataType::FixedSizeBinary(_) => {
            Plain::Bytes(array.as_fixed_size_binary().value(row).to_vec())
        }
        DataType::Utf8 => Plain::Text(text_of(row)),
        DataType::List(_) => Plain::Items(plain(&array.as_list::<i32>().value(row))),
        DataType::Struct(_) => Plain::Items(
            array
                .as_struct()
                .columns()
                .iter()
                .map(|column| plain(&column.slice(row, 1)).remove(0))
                .collect(),
        ),
        other => panic!("the test declares no {other}"),
    };
    (0..array.len())
        .map(|row| {
            if array.is_null(row) {
                Plain::Null
            } else {
                one(row)
            }
        })
        .collect()
}

const PATHS: [&str; 9] = ["a", "b", "c.x", "c.y", "c.d.z", "c", "list", "é\"", ""];

const TYPES: [&str; 15] = [
    "smallint",
    "integer",
    "bigint",
    "double precision",
    "numeric(18,2)",
    "numeric(5,3)",
    "text",
    "varchar(3)",
    "boolean",
    "timestamptz",
    "uuid",
    "json",
    "integer[]",
    "struct(x numeric(6,2), y text[])[]",
    "struct(x integer, d struct(z text))",
];

fn schemas() -> impl Strategy<Value = SourceSchema> {
    let columns = proptest::collection::vec(
        (
            proptest::sample::select(&PATHS[..]),
            proptest::sample::select(&TYPES[..]),
        ),
        1..6,
    );
    columns.prop_map(|columns| {
        schema(
            columns
                .into_iter()
                .map(|(path, declared)| column(path, declared)),
        )
    })
}

fn scalars() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?",
        "\"-?[0-9]{1,18}(\\.[0-9]{0,3})?\"",
        any::<i32>().prop_map(|value| value.to_string()),
        (0i64..4_000_000_000, "[T ]", "(Z|\\+02:00|)").prop_map(|(seconds, t, zone)| {
            let time = chrono::DateTime::from_timestamp(seconds, 120_000_000).unwrap();
            format!(
                "\"{}{zone}\"",
                time.format(&format!("%Y-%m-%d{t}%H:%M:%S%.3f"))
            )
        }),
        any::<u128>().prop_map(|id| format!("\"{}\"", uuid::Uuid::from_u128(id))),
        "\"([a-zé😀 ]|\\\\n|\\\\u00e9|\\\\ud83d\\\\ude00){0,12}\"",
        Just("\"a\\u0000b\"".to_owned()),
        Just("1e999".to_owned()),
    ]
}

fn values() -> impl Strategy<Value = String> {
    let space = "[ \n]{0,1}";
    scalars().prop_recursive(3, 24, 4, move |inner| {
        let name = proptest::sample::select(vec![
            "a", "b", "c", "d", "x", "y", "z", "list", "é\\\"", "", "\\u0061", "other",
        ]);
        let member = (name, space, inner.clone())
            .prop_map(|(name, space, value)| format!("\"{name}\"{space}:{space}{value}"));
        prop_oneof![
            proptest::collection::vec(member, 0..6)
                .prop_map(|members| format!("{{{}}}", members.join(","))),
            (proptest::collection::vec(inner, 0..4), space)
                .prop_map(|(items, space)| format!("[{space}{}]", items.join(","))),
        ]
    })
}

fn documents() -> impl Strategy<Value = Vec<u8>> {
    const NAMES: [&str; 8] = ["a", "b", "c", "list", "é\\\"", "", "c", "unknown"];
    let member = (proptest::sample::select(&NAMES[..]), values())
        .prop_map(|(name, value)| format!("\"{name}\":{value}"));
    let object = proptest::collection::vec(member, 0..8)
        .prop_map(|members| format!("{{{}}}", members.join(", ")));
    let document = prop_oneof![9 => object, 1 => values()];
    let broken = proptest::collection::vec(
        (any::<proptest::sample::Index>(), any::<u8>(), 0..4u8),
        0..3,
    );
    (document, prop_oneof![2 => Just(Vec::new()), 1 => broken]).prop_map(|(document, changes)| {
        let mut bytes = document.into_bytes();
        for (place, byte, change) in changes {
            let at = place.index(bytes.len() + 1);
            match change {
                0 => bytes.insert(at, byte),
                1 => bytes.insert(at, b"{}[]\",:\\e-0"[byte as usize % 11]),
                2 => bytes.truncate(at),
                _ => {
                    if let Some(old) = bytes.get_mut(at) {
                        *old ^= 1 << (byte % 8);
                    }
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn agrees_with_a_plain_decoder(
        schema in schemas(),
        documents in proptest::collection::vec(documents(), 1..12),
    ) {
        let decoded = decode(&schema, &pulled(documents.iter().map(|document| Some(document.as_slice()))));
        let columns: Vec<_> = decoded.rows.columns()[..schema.columns.len()].iter().map(plain).collect();
        let offsets = decoded.rows.column_by_name("_factmill_offset").unwrap().as_primitive::<Int64Type>();
        let mut letters = decoded.dead_letters.iter();
        let mut row = 0;
        for (offset, document) in (0..).zip(&documents) {
            let shown = String::from_utf8_lossy(document);
            match reference(&schema, document) {
                Ok(wanted) => {
                    prop_assert!(row < offsets.len() && offsets.value(row) == offset, "refused: {}", shown);
                    let found: Vec<_> = columns.iter().map(|column| column[row].clone()).collect();
                    prop_assert_eq!(found, wanted, "{}", shown);
                    row += 1;
                }
                Err(faults) => {
                    let letter = letters.next().filter(|letter| letter.offset == offset);
                    prop_assert!(letter.is_some(), "loaded in spite of {:?}: {}", faults, shown);
                    let letter = letter.unwrap();
                    let known = faults.iter().any(|(field, reasons)| *field == letter.field && reasons.contains(&letter.reason));
                    prop_assert!(known, "{:?} is none of {:?}: {}", (letter.reason, &letter.field), faults, shown);
                }
            }
        }
        prop_assert_eq!(row, decoded.rows.num_rows());
    }
}
