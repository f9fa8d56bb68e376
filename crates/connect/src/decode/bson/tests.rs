//! What becomes of BSON documents: by hand for each type, and against a plain decoder.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod plain;

use arrow::array::{Array, ArrayRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use factmill_core::dead_letter::{DeadLetter, Reason};
use factmill_core::position::{Incarnation, PartitionId, SourceName};
use factmill_core::records::{Pulled, PulledPartition, Records};
use factmill_core::source_schema::{ColumnOrigin, Format, SourceColumn, SourceSchema};
use factmill_core::types::DeclaredType;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{
    Binary, Bson, DateTime, DbPointer, Decimal128, Document, JavaScriptCodeWithScope,
    RawDocumentBuf, Regex, Timestamp, doc,
};

use super::super::{Decoded, decoder};

/// A column from the path of its name.
fn column(path: &str, declared: &str) -> SourceColumn {
    SourceColumn {
        name: path.replace('.', "_"),
        data_type: DeclaredType::parse(declared).unwrap(),
        origin: ColumnOrigin::Field(path.split('.').map(str::to_owned).collect()),
        not_null: false,
        accepted_values: Vec::new(),
    }
}

fn schema(columns: impl IntoIterator<Item = SourceColumn>) -> SourceSchema {
    SourceSchema {
        columns: columns.into_iter().collect(),
        event_time: None,
        time_zone: "Europe/Paris".into(),
        key: Vec::new(),
    }
}

fn pulled<'p>(payloads: impl IntoIterator<Item = &'p [u8]>) -> Pulled {
    let mut records = Records::default();
    for (offset, payload) in (0..).zip(payloads) {
        records.payloads.push(Some(payload));
        records.keys.push(None);
        records.headers.push([]);
        records.partitions.push(0);
        records.offsets.push(offset);
        records.timestamps.push(None);
    }
    Pulled {
        topic: "shop.orders".into(),
        partitions: vec![PulledPartition {
            id: PartitionId {
                source: SourceName::new("shop", "orders"),
                partition: "changes".into(),
            },
            number: 0,
            incarnation: Incarnation {
                ordinal: 1,
                identity: "uuid".into(),
            },
        }],
        records,
    }
}

fn decode_as(format: Format, schema: &SourceSchema, payloads: &[Vec<u8>]) -> Decoded {
    let pulled = pulled(payloads.iter().map(Vec::as_slice));
    decoder(format, schema)
        .unwrap()
        .decode(&SourceName::new("shop", "orders"), &pulled)
}

fn bytes(document: &Document) -> Vec<u8> {
    RawDocumentBuf::try_from(document).unwrap().into_bytes()
}

fn decode(schema: &SourceSchema, documents: &[Document]) -> Decoded {
    let payloads: Vec<_> = documents.iter().map(bytes).collect();
    decode_as(Format::Bson, schema, &payloads)
}

fn shown(array: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::new().with_null("null");
    let formatter = ArrayFormatter::try_new(array, &options).unwrap();
    (0..array.len())
        .map(|row| formatter.value(row).to_string())
        .collect()
}

/// What the column of one declared type becomes of `value`: its text, or the reason it is refused.
fn single(declared: &str, value: impl Into<Bson>) -> Result<String, Reason> {
    let decoded = decode(
        &schema([column("v", declared)]),
        &[doc! { "v": value.into() }],
    );
    match decoded.dead_letters.as_slice() {
        [] => Ok(shown(decoded.rows.column(0)).remove(0)),
        [letter] => {
            assert_eq!(letter.field.as_deref(), Some("v"), "{letter:?}");
            Err(letter.reason)
        }
        more => panic!("one record made {} dead letters", more.len()),
    }
}

fn summary(letters: &[DeadLetter]) -> Vec<(Reason, Option<&str>, i64)> {
    letters
        .iter()
        .map(|letter| (letter.reason, letter.field.as_deref(), letter.offset))
        .collect()
}

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse::<Decimal128>().unwrap())
}

fn binary(subtype: BinarySubtype, bytes: &[u8]) -> Bson {
    Bson::Binary(Binary {
        subtype,
        bytes: bytes.to_vec(),
    })
}

fn ok(text: &str) -> Result<String, Reason> {
    Ok(text.to_owned())
}

const WRONG: Result<String, Reason> = Err(Reason::WrongType);
const MISFIT: Result<String, Reason> = Err(Reason::DoesNotFit);

/// 2024-01-31T12:30:00.125Z
const NOON: i64 = 1_706_704_200_125;

#[test]
fn numbers_lose_no_digit() {
    assert_eq!(single("integer", 7), ok("7"));
    assert_eq!(single("smallint", 40_000), MISFIT);
    assert_eq!(single("bigint", i64::MIN), ok("-9223372036854775808"));
    assert_eq!(single("integer", 7.0), ok("7"));
    assert_eq!(single("integer", 7.5), MISFIT);
    assert_eq!(single("bigint", 1e18), ok("1000000000000000000"));
    assert_eq!(single("bigint", 1e19), MISFIT);
    assert_eq!(single("bigint", f64::NAN), MISFIT);
    assert_eq!(single("bigint", decimal("12E2")), ok("1200"));
    assert_eq!(single("bigint", decimal("1.5")), MISFIT);
    assert_eq!(single("numeric(18,2)", 12), ok("12.00"));
    assert_eq!(single("numeric(18,2)", 0.1), ok("0.10"));
    assert_eq!(single("numeric(18,2)", 0.125), MISFIT);
    assert_eq!(single("numeric(18,2)", f64::INFINITY), MISFIT);
    assert_eq!(single("numeric(18,2)", "12.5"), ok("12.50"));
    assert_eq!(single("numeric(18,2)", "a lot"), WRONG);
    assert_eq!(single("numeric(18,2)", decimal("-12.50")), ok("-12.50"));
    assert_eq!(single("numeric(18,2)", decimal("NaN")), MISFIT);
    assert_eq!(single("numeric(18,2)", decimal("1E-6176")), MISFIT);
    assert_eq!(
        single(
            "numeric(34,0)",
            decimal("9999999999999999999999999999999999")
        ),
        ok("9999999999999999999999999999999999")
    );
    assert_eq!(single("numeric(3,0)", i64::MIN), MISFIT);
    assert_eq!(single("double precision", 3), ok("3.0"));
    assert_eq!(single("double precision", f64::NAN), ok("NaN"));
    assert_eq!(single("double precision", decimal("0.5")), ok("0.5"));
    assert_eq!(single("double precision", decimal("1E+400")), MISFIT);
    assert_eq!(single("real", 0.5), ok("0.5"));
    assert_eq!(single("real", 1e300), MISFIT);
    assert_eq!(single("real", 1e-300), MISFIT);
    assert_eq!(single("text", 7), WRONG);
    assert_eq!(single("boolean", 1), WRONG);
}

#[test]
fn dates_fill_instants_and_days() {
    let noon = DateTime::from_millis(NOON);
    assert_eq!(single("timestamptz", noon), ok("2024-01-31T12:30:00.125Z"));
    assert_eq!(
        single("timestamp", noon),
        ok("2024-01-31T13:30:00.125"),
        "as the clocks of the source's zone showed it"
    );
    assert_eq!(single("date", noon), MISFIT);
    let midnight = DateTime::from_millis(1_706_659_200_000);
    assert_eq!(single("date", midnight), ok("2024-01-31"));
    assert_eq!(single("timestamptz", DateTime::MAX), MISFIT);
    assert_eq!(single("timestamptz", DateTime::MIN), MISFIT);
    assert_eq!(single("text", noon), WRONG);
    assert_eq!(single("bigint", noon), WRONG);
    assert_eq!(
        single("timestamptz", "2024-01-31T12:30:00Z"),
        ok("2024-01-31T12:30:00Z")
    );
    assert_eq!(single("date", "2024-02-30"), MISFIT);
    assert_eq!(single("time", "13:30"), ok("13:30:00"));
    let internal = Timestamp {
        time: 1,
        increment: 2,
    };
    assert_eq!(single("bigint", internal), ok("4294967298"));
    assert_eq!(single("timestamptz", internal), WRONG);
}

#[test]
fn ids_and_bytes() {
    let id = ObjectId::from_bytes([0x65, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xff]);
    assert_eq!(single("text", id), ok("650102030405060708090aff"));
    assert_eq!(single("varchar(24)", id), ok("650102030405060708090aff"));
    assert_eq!(single("varchar(23)", id), MISFIT);
    assert_eq!(single("bytea", id), ok("650102030405060708090aff"));
    assert_eq!(single("uuid", id), WRONG);
    let digits_only = ObjectId::from_bytes([0x11; 12]);
    assert_eq!(single("numeric", digits_only), WRONG, "no number by chance");
    let sixteen: Vec<u8> = (0..16).collect();
    for subtype in [BinarySubtype::Uuid, BinarySubtype::UuidOld] {
        assert_eq!(
            single("uuid", binary(subtype, &sixteen)),
            ok("000102030405060708090a0b0c0d0e0f")
        );
    }
    assert_eq!(
        single("uuid", binary(BinarySubtype::Generic, &sixteen)),
        WRONG
    );
    assert_eq!(single("uuid", binary(BinarySubtype::Uuid, &[1])), WRONG);
    assert_eq!(
        single("bytea", binary(BinarySubtype::Generic, &[0, 255])),
        ok("00ff")
    );
    assert_eq!(
        single("bytea", binary(BinarySubtype::BinaryOld, &[7])),
        ok("07"),
        "without its inner length"
    );
    assert_eq!(
        single("uuid", "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        ok("000102030405060708090a0b0c0d0e0f")
    );
    assert_eq!(single("text", binary(BinarySubtype::Generic, b"a")), WRONG);
}

#[test]
fn what_has_no_column_type_goes_into_json_only() {
    let rare = [
        Bson::RegularExpression(Regex {
            pattern: "a\"+".try_into().unwrap(),
            options: "im".try_into().unwrap(),
        }),
        Bson::JavaScriptCode("f()".into()),
        Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope {
            code: "g()".into(),
            scope: doc! { "a": 1 },
        }),
        Bson::MinKey,
        Bson::MaxKey,
    ];
    let written = [
        r#"{"$regularExpression":{"pattern":"a\"+","options":"im"}}"#,
        r#"{"$code":"f()"}"#,
        r#"{"$code":"g()","$scope":{"a":1}}"#,
        r#"{"$minKey":1}"#,
        r#"{"$maxKey":1}"#,
    ];
    for (value, written) in rare.into_iter().zip(written) {
        for declared in ["text", "integer", "timestamptz", "bytea", "boolean"] {
            assert_eq!(
                single(declared, value.clone()),
                WRONG,
                "{value} as {declared}"
            );
        }
        assert_eq!(single("json", value), ok(written));
    }
    assert_eq!(single("text", Bson::Symbol("s".into())), ok("s"));
    assert_eq!(single("integer", Bson::Undefined), ok("null"));
    assert_eq!(
        single("json", Bson::Null),
        ok("null"),
        "a null of the column"
    );
}

#[test]
fn json_is_relaxed_extended_json() {
    let document = doc! {
        "id": ObjectId::from_bytes([1; 12]), "int": 1, "long": 1_i64 << 40, "double": 1.5,
        "whole": 2.0, "nan": f64::NAN, "minus": f64::NEG_INFINITY, "decimal": decimal("1.50"),
        "date": DateTime::from_millis(NOON), "day": DateTime::from_millis(0),
        "before": DateTime::from_millis(-1), "yes": true, "none": Bson::Null,
        "bytes": binary(BinarySubtype::Uuid, &[0; 16]), "list": [1, [], {}], "text": "a\"é\n",
        "time": Timestamp { time: 5, increment: 6 }, "symbol": Bson::Symbol("s".into()),
        "gone": Bson::Undefined,
    };
    let wanted = concat!(
        r#"{"id":{"$oid":"010101010101010101010101"},"int":1,"long":1099511627776,"double":1.5,"#,
        r#""whole":2.0,"nan":{"$numberDouble":"NaN"},"minus":{"$numberDouble":"-Infinity"},"#,
        r#""decimal":{"$numberDecimal":"1.50"},"date":{"$date":"2024-01-31T12:30:00.125Z"},"#,
        r#""day":{"$date":"1970-01-01T00:00:00Z"},"before":{"$date":{"$numberLong":"-1"}},"#,
        r#""yes":true,"none":null,"#,
        r#""bytes":{"$binary":{"base64":"AAAAAAAAAAAAAAAAAAAAAA==","subType":"04"}},"#,
        r#""list":[1,[],{}],"text":"a\"é\n","time":{"$timestamp":{"t":5,"i":6}},"#,
        r#""symbol":{"$symbol":"s"},"gone":{"$undefined":true}}"#,
    );
    assert_eq!(single("json", document), ok(wanted));
    assert_eq!(single("json", "a\0b"), MISFIT);
    assert_eq!(single("json", doc! { "deep": ["a\0b"] }), MISFIT);
    assert_eq!(single("json", 5), ok("5"));
}

#[test]
fn a_db_pointer_is_written_too() {
    // the driver makes none, so its bytes stand here
    let mut payload = vec![0, 0, 0, 0, 0x0C, b'v', 0, 4, 0, 0, 0];
    payload.extend_from_slice(b"a.b\0");
    payload.extend_from_slice(&[7; 12]);
    payload.push(0);
    payload[0] = payload.len() as u8;
    let read = mongodb::bson::RawDocument::from_bytes(&payload).unwrap();
    let _: &DbPointer = match Document::try_from(read).unwrap().get("v") {
        Some(Bson::DbPointer(pointer)) => &pointer.clone(),
        other => panic!("{other:?}"),
    };
    let decoded = decode_as(Format::Bson, &schema([column("v", "json")]), &[payload]);
    assert_eq!(
        shown(decoded.rows.column(0)),
        [r#"{"$dbPointer":{"$ref":"a.b","$id":{"$oid":"070707070707070707070707"}}}"#]
    );
}

#[test]
fn nested_documents_and_arrays() {
    let schema = schema([
        column("document.customer.city", "text"),
        column("document.items", "struct(sku text, price numeric(10,2))[]"),
        column("document.customer", "json"),
        column("offset", "bigint"),
    ]);
    let decoded = decode(
        &schema,
        &[
            doc! { "offset": 7_i64, "document": {
                "customer": { "city": "Lyon", "extra": 1 },
                "items": [{ "sku": "a", "price": "1.5" }, { "price": 2, "colour": "red" }, null],
            } },
            doc! { "offset": 8, "document": null },
            doc! { "document": { "customer": 5, "items": [] } },
            doc! { "document": { "items": [{}, { "price": "free" }] } },
            doc! { "document": { "items": {} } },
        ],
    );
    assert_eq!(shown(decoded.rows.column(0)), ["Lyon", "null"]);
    assert_eq!(
        shown(decoded.rows.column(1)),
        [
            "[{sku: a, price: 1.50}, {sku: null, price: 2.00}, null]",
            "null"
        ]
    );
    assert_eq!(
        shown(decoded.rows.column(2)),
        [r#"{"city":"Lyon","extra":1}"#, "null"]
    );
    assert_eq!(
        summary(&decoded.dead_letters),
        [
            (Reason::WrongType, Some("document.customer"), 2),
            (Reason::WrongType, Some("document.items[1].price"), 3),
            (Reason::WrongType, Some("document.items"), 4),
        ]
    );
    assert_eq!(
        decoded.undeclared,
        [("document.items[].colour".to_owned(), 1)]
            .into_iter()
            .collect()
    );
}

#[test]
fn the_contract_is_held() {
    let id = SourceColumn {
        not_null: true,
        ..column("_id", "text")
    };
    let status = SourceColumn {
        accepted_values: vec!["open".into(), "done".into()],
        ..column("status", "text")
    };
    let decoded = decode(
        &schema([id, status]),
        &[
            doc! { "_id": ObjectId::from_bytes([1; 12]), "status": "open" },
            doc! { "status": "open" },
            doc! { "_id": "a", "status": "lost" },
            doc! { "_id": "b", "status": null },
        ],
    );
    assert_eq!(decoded.rows.num_rows(), 2);
    assert_eq!(
        summary(&decoded.dead_letters),
        [
            (Reason::NullNotAllowed, Some("_id"), 1),
            (Reason::NotAccepted, Some("status"), 2),
        ]
    );
    let provenance = decoded.rows.column_by_name("_factmill_topic").unwrap();
    assert_eq!(shown(provenance), ["shop.orders", "shop.orders"]);
}

#[test]
fn a_record_without_payload_deletes_the_key_that_is_bson_too() {
    let keyed = SourceSchema {
        key: vec!["_id".into()],
        ..schema([column("_id", "text"), column("city", "text")])
    };
    let id = ObjectId::from_bytes([1; 12]);
    let whole = bytes(&doc! { "_id": id, "city": "Lyon" });
    let mut pulled = pulled([&whole[..], &[]]);
    pulled.records.keys = factmill_core::records::ByteColumn::default();
    let key = bytes(&doc! { "_id": id });
    pulled.records.keys.push(Some(&key));
    pulled.records.keys.push(Some(&key));
    let decoded = decoder(Format::Bson, &keyed)
        .unwrap()
        .decode(&SourceName::new("shop", "orders"), &pulled);
    assert!(
        decoded.dead_letters.is_empty(),
        "{:?}",
        decoded.dead_letters
    );
    let hex = "01".repeat(12);
    assert_eq!(shown(decoded.rows.column(0)), [hex.clone(), hex]);
    assert_eq!(shown(decoded.rows.column(1)), ["Lyon", "null"]);
    assert_eq!(shown(decoded.rows.column(6)), ["false", "true"]);
}

#[test]
fn of_fields_with_one_name_the_last_counts() {
    let twice = |first: &[u8], second: &[u8]| {
        let mut payload = vec![0, 0, 0, 0];
        payload.extend_from_slice(first);
        payload.extend_from_slice(second);
        payload.push(0);
        payload[0] = payload.len() as u8;
        payload
    };
    let one = b"\x10v\0\x01\0\0\0";
    let two = b"\x10v\0\x02\0\0\0";
    let yes = b"\x08v\0\x01";
    let payloads = [twice(one, two), twice(yes, one), twice(one, yes)];
    let decoded = decode_as(Format::Bson, &schema([column("v", "integer")]), &payloads);
    assert_eq!(shown(decoded.rows.column(0)), ["2", "1"]);
    assert_eq!(
        summary(&decoded.dead_letters),
        [(Reason::WrongType, Some("v"), 2)]
    );
}

#[test]
fn broken_bytes_are_dead_letters() {
    let good = bytes(&doc! { "v": "abc" });
    let mut no_utf8 = good.clone();
    let at = no_utf8.iter().position(|&byte| byte == b'b').unwrap();
    no_utf8[at] = 0xFF;
    let mut no_type = good.clone();
    no_type[4] = 0x55;
    let mut name = good.clone();
    name[5] = 0xFF;
    let payloads = [
        good.clone(),
        good[..good.len() - 1].to_vec(),
        b"{\"v\":\"abc\"}".to_vec(),
        no_type,
        no_utf8,
        name,
        Vec::new(),
    ];
    let decoded = decode_as(Format::Bson, &schema([column("v", "text")]), &payloads);
    assert_eq!(shown(decoded.rows.column(0)), ["abc"]);
    assert_eq!(
        summary(&decoded.dead_letters),
        [
            (Reason::Malformed, None, 1),
            (Reason::Malformed, None, 2),
            (Reason::Malformed, None, 3),
            (Reason::InvalidUtf8, Some("v"), 4),
            (Reason::Malformed, None, 5),
            (Reason::EmptyPayload, None, 6),
        ]
    );
}

#[test]
fn json_follows_a_hundred_levels() {
    let deep = |levels: usize| (0..levels).fold(doc! { "a": 1 }, |inner, _| doc! { "a": inner });
    assert!(single("json", deep(97)).is_ok());
    let decoded = decode(&schema([column("v", "json")]), &[doc! { "v": deep(120) }]);
    assert_eq!(summary(&decoded.dead_letters), [(Reason::TooDeep, None, 0)]);
}
