//! Rows of every type, made from a number.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::*;
use factmill_core::types::DeclaredType;
use serde_json::{Value, json};

const COLUMNS: [(&str, &str); 24] = [
    ("id", "uuid"),
    ("ts", "timestamptz"),
    ("local", "timestamp"),
    ("amount", "numeric(18,2)"),
    ("big", "numeric(38,10)"),
    ("vast", "numeric"),
    ("small", "smallint"),
    ("int", "integer"),
    ("n", "bigint"),
    ("r", "real"),
    ("d", "double precision"),
    ("txt", "text"),
    ("flag", "boolean"),
    ("day", "date"),
    ("tm", "time"),
    ("iv", "interval"),
    ("bin", "bytea"),
    ("doc", "json"),
    ("odd \"n'ame; é", "varchar(20)"),
    (
        "customer",
        "struct(name text, addr struct(city text, zip integer))",
    ),
    ("tags", "text[]"),
    (
        "items",
        "struct(sku text, price numeric(18,2), at timestamptz, raw bytea)[]",
    ),
    ("grid", "integer[][]"),
    ("vastly", "struct(x numeric, y interval)"),
];

/// The columns, all nullable but `n`.
pub(super) fn schema() -> SchemaRef {
    let fields = COLUMNS.map(|(name, declared)| {
        Field::new(
            name,
            DeclaredType::parse(declared).unwrap().arrow(),
            name != "n",
        )
    });
    Arc::new(Schema::new(fields.to_vec()))
}

/// `count` rows, number `n` from `first` on; every third value is null, at other rows per column.
pub(super) fn rows(first: i64, count: i64) -> RecordBatch {
    let schema = schema();
    let arrays = schema.fields().iter().enumerate().map(|(index, field)| {
        let numbers = first..first + count;
        let numbers =
            numbers.map(|n| (field.name() == "n" || (n + index as i64) % 3 != 0).then_some(n));
        column(field.data_type(), &numbers.collect::<Vec<_>>())
    });
    RecordBatch::try_new(schema.clone(), arrays.collect()).unwrap()
}

/// The row of number 7 as the judge tells it.
pub(super) fn seventh() -> Value {
    let text = |n| json!(format!("t{n} it's \"q\" \\ {{,}} [NULL] é"));
    json!([
        "00000000-0000-0000-07f6-e5d4c3b2a189",
        "2024-01-01 00:00:07.000700+00:00",
        null,
        "-7.00",
        "-7.00E-8",
        null,
        7,
        7,
        7,
        1.0,
        1.0,
        null,
        false,
        "2022-01-15",
        null,
        "2 mons 3 days 0.007000000 secs",
        r#"b"b'\x00\\\xff\x07""#,
        null,
        text(7),
        {"name": text(7), "addr": null},
        null,
        [
            null,
            {
                "sku": text(71), "price": null, "at": "2024-01-01 00:01:11.007100+00:00",
                "raw": r#"b"b'\x00\\\xffG""#,
            },
            {
                "sku": null, "price": "-72.65", "at": "2024-01-01 00:01:12.007200+00:00",
                "raw": r#"b"b'\x00\\\xffH""#,
            },
        ],
        [null, [null, 711, 712], []],
        null,
    ])
}

fn column(data_type: &DataType, numbers: &[Option<i64>]) -> ArrayRef {
    let ints: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    let text = |n: i64| format!("t{n} it's \"q\" \\ {{,}} [NULL] é");
    match data_type {
        DataType::Utf8 => Arc::new(StringArray::from_iter(numbers.iter().map(|n| n.map(text)))),
        DataType::Binary => {
            Arc::new(BinaryArray::from_iter(numbers.iter().map(|n| {
                n.map(|n| [b'b', b'\'', 0, b'\\', 255, n as u8].to_vec())
            })))
        }
        DataType::FixedSizeBinary(16) => Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                numbers
                    .iter()
                    .map(|n| n.map(|n| u128::to_be_bytes(n as u128 * 0x0123_4567_89ab_cdef))),
                16,
            )
            .unwrap(),
        ),
        DataType::Boolean => Arc::new(BooleanArray::from_iter(
            numbers.iter().map(|n| n.map(|n| n % 2 == 0)),
        )),
        DataType::Int16 => Arc::new(Int16Array::from_iter(
            numbers.iter().map(|n| n.map(|n| (n % 1000) as i16)),
        )),
        DataType::Float64 => Arc::new(Float64Array::from_iter(
            numbers.iter().map(|n| n.map(|n| n as f64 / 7.0)),
        )),
        DataType::Float32 => Arc::new(Float32Array::from_iter(
            numbers.iter().map(|n| n.map(|n| n as f32 / 7.0)),
        )),
        DataType::Decimal128(p, s) => Arc::new(
            Decimal128Array::from_iter(numbers.iter().map(|n| n.map(|n| i128::from(n) * -101 + 7)))
                .with_precision_and_scale(*p, *s)
                .unwrap(),
        ),
        DataType::Decimal256(p, s) => {
            let vast = i256::from_string("123456789012345678901234567890123456789012345").unwrap();
            let values = numbers
                .iter()
                .map(|n| n.map(|n| vast + i256::from_i128(i128::from(n))));
            Arc::new(
                Decimal256Array::from_iter(values)
                    .with_precision_and_scale(*p, *s)
                    .unwrap(),
            )
        }
        DataType::Date32 => Arc::new(Date32Array::from_iter(
            numbers.iter().map(|n| n.map(|n| 19_000 + n as i32)),
        )),
        DataType::Time64(_) => Arc::new(Time64MicrosecondArray::from_iter(
            numbers
                .iter()
                .map(|n| n.map(|n| n * 1_500_000 % 86_400_000_000)),
        )),
        DataType::Timestamp(_, zone) => Arc::new(
            TimestampMicrosecondArray::from_iter(
                numbers
                    .iter()
                    .map(|n| n.map(|n| 1_704_067_200_000_000 + n * 1_000_100)),
            )
            .with_timezone_opt(zone.clone()),
        ),
        DataType::Interval(_) => {
            Arc::new(IntervalMonthDayNanoArray::from_iter(numbers.iter().map(
                |n| n.map(|n| IntervalMonthDayNano::new(n as i32 % 5, 3, n * 1_000_000)),
            )))
        }
        DataType::Struct(fields) => {
            let nulls = NullBuffer::from_iter(numbers.iter().map(Option::is_some));
            let children = fields.iter().enumerate().map(|(index, field)| {
                let some: Vec<_> = numbers
                    .iter()
                    .map(|n| n.filter(|n| (n + index as i64) % 4 != 0))
                    .collect();
                column(field.data_type(), &some)
            });
            Arc::new(StructArray::new(
                fields.clone(),
                children.collect(),
                Some(nulls),
            ))
        }
        DataType::List(item) => {
            let nulls = NullBuffer::from_iter(numbers.iter().map(Option::is_some));
            let lengths: Vec<usize> = numbers
                .iter()
                .map(|n| n.map_or(0, |n| n as usize % 4))
                .collect();
            let elements: Vec<_> = numbers
                .iter()
                .zip(&lengths)
                .flat_map(|(n, length)| {
                    (0..*length as i64).map(|at| n.map(|n| n * 10 + at).filter(|n| n % 5 != 0))
                })
                .collect();
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(ListArray::new(
                item.clone(),
                offsets,
                column(item.data_type(), &elements),
                Some(nulls),
            ))
        }
        other => cast(&ints, other).unwrap(),
    }
}
