//! One value, one type: the table of the module's documentation.

use factmill_core::dead_letter::Reason::{DoesNotFit, WrongType};

use super::*;

fn reads(declared: &str, cases: &[(&str, &str)]) {
    for (value, wanted) in cases {
        assert_eq!(
            single(declared, value).as_deref(),
            Ok(*wanted),
            "{value} as {declared}"
        );
    }
}

fn refuses(declared: &str, reason: Reason, values: &[&str]) {
    for value in values {
        assert_eq!(
            single(declared, value),
            Err(reason),
            "{value} as {declared}"
        );
    }
}

#[test]
fn whole_numbers() {
    reads(
        "smallint",
        &[
            ("-32768", "-32768"),
            ("7.0", "7"),
            ("7e2", "700"),
            ("null", "null"),
        ],
    );
    refuses("smallint", DoesNotFit, &["32768", "7.5", "1e5"]);
    reads("integer", &[("2147483647", "2147483647")]);
    refuses("integer", DoesNotFit, &["2147483648"]);
    reads(
        "bigint",
        &[("-9223372036854775808", "-9223372036854775808")],
    );
    refuses("bigint", DoesNotFit, &["9223372036854775808", "0.1"]);
    refuses("bigint", WrongType, &["\"7\"", "true", "{}", "[1]"]);
}

#[test]
fn money_from_numbers_and_texts() {
    reads(
        "numeric(18,2)",
        &[
            ("12.5", "12.50"),
            ("\"12.50\"", "12.50"),
            ("1e2", "100.00"),
            ("\"-0.01\"", "-0.01"),
            ("-9999999999999999.99", "-9999999999999999.99"),
        ],
    );
    refuses(
        "numeric(18,2)",
        DoesNotFit,
        &[
            "12345678901234567890",
            "\"12345678901234567890.00\"",
            "1.005",
            "\"1.005\"",
            "1e999999999999",
        ],
    );
    refuses(
        "numeric(18,2)",
        WrongType,
        &[
            "\"NaN\"",
            "\"\"",
            "\"12,5\"",
            "\" 12\"",
            "true",
            "{\"a\":1}",
        ],
    );
    reads(
        "numeric",
        &[("1e-38", "0.00000000000000000000000000000000000001")],
    );
    refuses("numeric", DoesNotFit, &["1e-39", "1e38"]);
    reads(
        "numeric(50,0)",
        &[(
            "12345678901234567890123456789012345678901234567890",
            "12345678901234567890123456789012345678901234567890",
        )],
    );
}

#[test]
fn floats() {
    reads(
        "double precision",
        &[("0.1", "0.1"), ("16777217", "16777217.0")],
    );
    reads("real", &[("16777217", "16777216.0")]);
    refuses("double precision", DoesNotFit, &["1e999", "1e-999"]);
    refuses("real", DoesNotFit, &["1e39"]);
    refuses("real", WrongType, &["\"0.1\""]);
}

#[test]
fn texts() {
    reads(
        "text",
        &[
            ("\"h\\u00e9\\ud83d\\ude00\\n\"", "hé😀\n"),
            ("\"\"", ""),
            ("\"null\"", "null"),
        ],
    );
    refuses("text", DoesNotFit, &["\"a\\u0000b\""]);
    refuses("text", WrongType, &["1", "false", "[\"a\"]"]);
    reads(
        "varchar(3)",
        &[("\"été\"", "été"), ("\"\\u00e9\\u00e9\\u00e9\"", "ééé")],
    );
    refuses("varchar(3)", DoesNotFit, &["\"étés\"", "\"a\\u0000\""]);
    reads("char(3)", &[("\"a\"", "a")]);
    refuses("char(3)", DoesNotFit, &["\"abcd\""]);
}

#[test]
fn booleans() {
    reads("boolean", &[("true", "true"), ("false", "false")]);
    refuses("boolean", WrongType, &["1", "\"true\""]);
}

#[test]
fn days_and_times() {
    reads("date", &[("\"2024-02-29\"", "2024-02-29")]);
    refuses("date", DoesNotFit, &["\"2023-02-29\""]);
    refuses(
        "date",
        WrongType,
        &["\"29/02/2024\"", "20240229", "\"2024-02-29T00:00:00\""],
    );
    reads("time", &[("\"13:30:00.5\"", "13:30:00.500")]);
    reads(
        "timestamptz",
        &[(
            "\"2024-01-31 13:30:00.123456+01\"",
            "2024-01-31T12:30:00.123456Z",
        )],
    );
    refuses(
        "timestamptz",
        DoesNotFit,
        &[
            "\"2024-02-30T00:00:00Z\"",
            "\"2024-01-31T00:00:00.0000001Z\"",
        ],
    );
    refuses(
        "timestamptz",
        WrongType,
        &["1706700000", "\"soon\"", "\"\""],
    );
    reads(
        "timestamp",
        &[("\"2024-01-31T13:30:00+01:00\"", "2024-01-31T12:30:00")],
    );
    reads(
        "interval",
        &[(
            "\"P1Y2M3DT4H5M6S\"",
            "14 mons 3 days 4 hours 5 mins 6.000000000 secs",
        )],
    );
    refuses("interval", WrongType, &["\"a while\"", "5"]);
    refuses("interval", DoesNotFit, &["\"P0.5D\""]);
}

#[test]
fn bytes_and_ids() {
    let uuid = "a0eebc999c0b4ef8bb6d6bb9bd380a11";
    reads(
        "uuid",
        &[
            ("\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\"", uuid),
            ("\"a0eebc999c0b4ef8bb6d6bb9bd380a11\"", uuid),
        ],
    );
    refuses("uuid", WrongType, &["\"a0eebc99\"", "7", "\"\""]);
    reads(
        "bytea",
        &[
            ("\"\\\\x00fF\"", "00ff"),
            ("\"AP8=\"", "00ff"),
            ("\"AP8\"", "00ff"),
            ("\"\"", ""),
        ],
    );
    refuses(
        "bytea",
        WrongType,
        &["\"\\\\x0\"", "\"\\\\xzz\"", "\"?\"", "1"],
    );
}

#[test]
fn json_is_kept_as_written() {
    reads(
        "json",
        &[
            (
                "{\"b\": [1.50, \"\\u00e9\"] }",
                "{\"b\": [1.50, \"\\u00e9\"] }",
            ),
            ("\"x\"", "\"x\""),
            ("null", "null"),
        ],
    );
    refuses(
        "json",
        DoesNotFit,
        &["\"\\u0000\"", "{\"a\\u0000\":1}", "[1e200000]"],
    );
}

#[test]
fn lists_and_structs() {
    reads(
        "integer[]",
        &[
            ("[1,null,2]", "[1, null, 2]"),
            ("[]", "[]"),
            ("null", "null"),
        ],
    );
    reads("integer[][]", &[("[[1],[],null]", "[[1], [], null]")]);
    refuses("integer[]", WrongType, &["1", "{}", "\"[1]\""]);
    let declared = "struct(a integer, b struct(c text))";
    reads(
        declared,
        &[
            ("{\"b\":{\"c\":\"x\"},\"a\":1}", "{a: 1, b: {c: x}}"),
            ("{}", "{a: null, b: null}"),
            ("{\"a\":1,\"a\":2}", "{a: 2, b: null}"),
            ("null", "null"),
        ],
    );
    refuses(declared, WrongType, &["[]", "\"a\""]);
}

#[test]
fn a_fault_inside_names_its_place() {
    let schema = schema([
        column("items", "struct(sku text, prices numeric(4,2)[])[]"),
        column("grid", "smallint[][]"),
    ]);
    let letters = decode_texts(
        &schema,
        &[
            r#"{"items":[{"sku":"a"},{"sku":"b","prices":[1,2,"much"]}]}"#,
            r#"{"items":[{"sku":"a"},7]}"#,
            r#"{"grid":[[1,2],[3,99999]]}"#,
            r#"{"items":[{"sku":"a","prices":{}}]}"#,
        ],
    )
    .dead_letters;
    assert_eq!(
        summary(&letters),
        [
            (WrongType, Some("items[1].prices[2]"), 0),
            (WrongType, Some("items[1]"), 1),
            (DoesNotFit, Some("grid[1][1]"), 2),
            (WrongType, Some("items[0].prices"), 3),
        ]
    );
    assert_eq!(
        letters[0].detail,
        "expected numeric(4,2), found the text \"much\""
    );
    assert_eq!(
        letters[2].detail,
        "the number 99999 is beyond the range of smallint"
    );
}
