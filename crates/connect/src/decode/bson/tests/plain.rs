//! The decoder against a plain one: the driver takes each document apart into a `Document`, each
//! value is written as the JSON that says the same for its declared type, and the JSON decoder,
//! which has a plain decoder of its own to answer to, says what becomes of it.

use proptest::prelude::*;

use super::*;

const DECLARED: [&str; 16] = [
    "smallint",
    "integer",
    "bigint",
    "real",
    "double precision",
    "numeric(18,2)",
    "numeric(40,5)",
    "text",
    "varchar(5)",
    "boolean",
    "date",
    "timestamp",
    "timestamptz",
    "bytea",
    "uuid",
    "struct(a integer, b text)",
];

/// A JSON value that this type refuses as another type than its own.
fn wrong_type(declared: &DeclaredType) -> String {
    match declared {
        DeclaredType::List(_) | DeclaredType::Struct(_) => "true".into(),
        _ => "[]".into(),
    }
}

/// The JSON that says of a type what a BSON value says.
fn as_json(value: &Bson, declared: &DeclaredType) -> String {
    use DeclaredType as T;
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let hex = |bytes: &[u8]| {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        quoted(&format!("\\x{digits}"))
    };
    let is_text = matches!(declared, T::Text | T::Varchar(_));
    match (value, declared) {
        (Bson::Null | Bson::Undefined, _) => "null".into(),
        (Bson::Document(document), T::Struct(fields)) => {
            let members = document.iter().map(|(name, value)| {
                let field = fields.iter().find(|field| field.name == *name);
                let value = field.map_or("0".into(), |field| as_json(value, &field.data_type));
                format!("{}:{value}", quoted(name))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        (Bson::Array(items), T::List(item)) => {
            let items = items.iter().map(|value| as_json(value, item));
            format!("[{}]", items.collect::<Vec<_>>().join(","))
        }
        (Bson::Document(_) | Bson::Array(_), _) | (_, T::List(_) | T::Struct(_)) => {
            wrong_type(declared)
        }
        (Bson::String(text) | Bson::Symbol(text), _) => quoted(text),
        (Bson::Boolean(value), _) => value.to_string(),
        (Bson::Int32(value), _) => value.to_string(),
        (Bson::Int64(value), _) => value.to_string(),
        (Bson::Double(value), _) if value.is_finite() => format!("{value:e}"),
        (Bson::Double(_), T::SmallInt | T::Integer | T::BigInt | T::Numeric(_)) => "1e9999".into(),
        (
            Bson::Decimal128(value),
            T::SmallInt | T::Integer | T::BigInt | T::Numeric(_) | T::Real | T::Double,
        ) => {
            let text = value.to_string();
            if text.ends_with(|last: char| last.is_ascii_digit()) {
                text
            } else {
                "1e9999".into()
            }
        }
        (Bson::ObjectId(id), _) if is_text => quoted(&id.to_hex()),
        (Bson::ObjectId(id), T::Bytea) => hex(&id.bytes()),
        (Bson::DateTime(date), T::Timestamp | T::TimestampTz) => match date.try_to_rfc3339_string()
        {
            Ok(text) if !text.starts_with("0000") => quoted(&text),
            _ => quoted("2024-02-30 00:00"),
        },
        (Bson::DateTime(date), T::Date) => match date.try_to_rfc3339_string() {
            Ok(text) if text.ends_with("T00:00:00Z") => quoted(&text[..10]),
            _ => quoted("2024-02-30"),
        },
        (Bson::Binary(binary), T::Bytea) => hex(&binary.bytes),
        (Bson::Binary(binary), T::Uuid)
            if binary.bytes.len() == 16
                && matches!(binary.subtype, BinarySubtype::Uuid | BinarySubtype::UuidOld) =>
        {
            let digits: String = binary
                .bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            quoted(&digits)
        }
        (Bson::Timestamp(time), T::BigInt) => {
            (i64::from(time.time) << 32 | i64::from(time.increment)).to_string()
        }
        _ => wrong_type(declared),
    }
}

fn scalar() -> impl Strategy<Value = Bson> {
    let text = prop_oneof![
        "[a-zé\"]{0,8}",
        "-?[0-9]{1,12}(\\.[0-9]{1,3})?",
        Just("2024-01-31T12:00:00.5Z".to_owned()),
        Just("2024-01-31".to_owned()),
        Just("a\0b".to_owned()),
    ];
    let decimal = (any::<i64>(), -8i32..4)
        .prop_map(|(digits, exponent)| decimal(&format!("{digits}E{exponent}")));
    let binary = (
        0usize..4,
        prop::collection::vec(any::<u8>(), 0..20),
        any::<bool>(),
    );
    let subtypes = [
        BinarySubtype::Generic,
        BinarySubtype::BinaryOld,
        BinarySubtype::Uuid,
        BinarySubtype::UuidOld,
    ];
    let binary = binary.prop_map(move |(subtype, mut bytes, whole)| {
        if whole {
            bytes.resize(16, 7);
        }
        super::binary(subtypes[subtype], &bytes)
    });
    prop_oneof![
        4 => any::<i32>().prop_map(Bson::Int32),
        2 => (-40_000i32..40_000).prop_map(Bson::Int32),
        2 => any::<i64>().prop_map(Bson::Int64),
        2 => (-1_000_000i64..1_000_000).prop_map(|cents| Bson::Double(cents as f64 / 100.0)),
        1 => prop::num::f64::NORMAL.prop_map(Bson::Double),
        3 => decimal,
        6 => text.prop_map(Bson::String),
        2 => any::<bool>().prop_map(Bson::Boolean),
        2 => (-70_000_000_000_000i64..260_000_000_000_000)
            .prop_map(|millis| Bson::DateTime(DateTime::from_millis(millis))),
        1 => (-700_000i64..2_900_000)
            .prop_map(|day| Bson::DateTime(DateTime::from_millis(day * 86_400_000))),
        2 => any::<[u8; 12]>().prop_map(|id| Bson::ObjectId(ObjectId::from_bytes(id))),
        2 => binary,
        1 => (0u32..i32::MAX as u32, any::<u32>())
            .prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
        1 => Just(Bson::Null),
        1 => Just(Bson::Undefined),
        1 => Just(Bson::MinKey),
        1 => Just(Bson::JavaScriptCode("f()".into())),
    ]
}

fn value() -> impl Strategy<Value = Bson> {
    let nested = prop_oneof![
        prop::collection::vec(scalar(), 0..4).prop_map(Bson::Array),
        (
            proptest::option::of(scalar()),
            proptest::option::of(scalar()),
            any::<bool>()
        )
            .prop_map(|(a, b, extra)| {
                let fields = [("a", a), ("b", b), ("c", extra.then_some(Bson::Int32(1)))];
                let fields = fields.into_iter();
                Bson::Document(
                    fields
                        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                        .collect(),
                )
            }),
    ];
    prop_oneof![6 => scalar(), 1 => nested]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn both_decoders_say_the_same(
        documents in prop::collection::vec(
            prop::collection::vec((0..DECLARED.len(), any::<bool>(), value()), 0..4),
            1..12,
        ),
    ) {
        let columns = DECLARED.iter().enumerate().flat_map(|(index, declared)| [
            column(&format!("c{index}"), declared),
            column(&format!("l{index}"), &format!("{declared}[]")),
        ]);
        let schema = schema(columns);
        let declared_of = |name: &str| {
            let column = schema.columns.iter().find(|column| column.name == name);
            column.unwrap().data_type.clone()
        };
        let mut payloads = Vec::new();
        let mut texts = Vec::new();
        for fields in &documents {
            let mut document = Document::new();
            for (index, list, value) in fields {
                let prefix = if *list { "l" } else { "c" };
                document.insert(format!("{prefix}{index}"), value.clone());
            }
            payloads.push(bytes(&document));
            // what the driver reads of the bytes, not what was put in
            let read = Document::from_reader(&payloads[payloads.len() - 1][..]).unwrap();
            let members = read.iter().map(|(name, value)| {
                format!("\"{name}\":{}", as_json(value, &declared_of(name)))
            });
            texts.push(format!("{{{}}}", members.collect::<Vec<_>>().join(",")).into_bytes());
        }
        let own = decode_as(Format::Bson, &schema, &payloads);
        let plain = decode_as(Format::Json, &schema, &texts);
        prop_assert_eq!(summary(&own.dead_letters), summary(&plain.dead_letters));
        prop_assert_eq!(own.rows, plain.rows);
        prop_assert_eq!(own.undeclared, plain.undeclared);
    }
}
