//! Decoding: the bytes of records into Arrow columns, by the types that their source declares.
//!
//! A value that does not fit is never changed to fit: its record becomes a dead letter with reason,
//! field path and detail, and all other records of the pull load.
//!
//! # JSON
//!
//! A payload is one JSON object (RFC 8259, UTF-8). What each declared type is read from:
//!
//! | declared | read from | a dead letter, for example |
//! |---|---|---|
//! | `smallint`, `integer`, `bigint` | a number that is whole: `7`, `7.0`, `7e2` | `7.5`, beyond the range, `"7"` |
//! | `real`, `double precision` | a number, rounded to the nearest float | `1e999`, `1e-999`, `"7"` |
//! | `numeric(p,s)`, `numeric` | a number, or a text as Postgres reads it: `12.5`, `"12.50"`, `"1e2"` | a digit behind the point more than `s` that is not 0, more than `p` digits, `"NaN"`, `"12,5"`, `" 12"` |
//! | `text`, `varchar(n)`, `char(n)` | a text | a number, `\u0000`, more than `n` characters |
//! | `boolean` | `true`, `false` | `1`, `"true"` |
//! | `date` | `"2024-01-31"` | `"2024-02-30"`, a time with it |
//! | `time` | `"13:30"`, `"13:30:00.123456"` | `"24:00"`, an offset with it |
//! | `interval` | `"P1DT2H"`, `"1 day 02:00:00"` | a fraction of a day |
//! | `timestamptz` | `"2024-01-31T13:30:00.5+01:00"`, `T` or a space; without offset the source's zone holds; a day alone is its midnight | a number, `"2024-02-30 00:00"`, digits beyond microseconds, a second 60, a time that the zone's clocks skipped |
//! | `timestamp` | the same; with an offset, what the zone's clocks showed then | the same |
//! | `uuid` | with or without hyphens, any case, braces too | any other text |
//! | `bytea` | `"\\x00ff"`, else base64 (standard alphabet, padding optional) | any other text |
//! | `json` | any value, kept as it is written | what `jsonb` refuses: `\u0000`, numbers beyond `numeric` |
//! | `t[]` | an array | any other value |
//! | `struct(…)` | an object | any other value |
//!
//! `null` and a missing field are null in every type, `json` too. Of fields with one name in one
//! object the last counts. Undeclared fields are passed over and counted. White space around the
//! document is allowed, anything else after it makes the record `malformed`.
//!
//! # Columns that come from the record
//!
//! | origin | declared as |
//! |---|---|
//! | key, one header | `bytea` takes the bytes; every other scalar type and `json` read them as plain UTF-8 text, numbers and booleans too |
//! | time | `timestamptz`, `timestamp` |
//! | topic | `text`, `varchar(n)` |
//! | partition, offset | `smallint`, `integer`, `bigint` |
//! | all headers | `json`, `text`: an array of `[name, value]`; a value that is not UTF-8 is written as `\x` and its hexadecimal digits |

mod avro;
pub(crate) mod bson;
mod buffers;
mod column;
pub mod csv;
mod envelope;
mod fault;
mod framed;
mod interval;
mod json;
mod leaf;
mod number;
mod object;
mod origin;
mod protobuf;
mod record;
pub(crate) mod scan;
mod time;
mod transcode;
pub(crate) mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use factmill_core::dead_letter::DeadLetter;
use factmill_core::position::SourceName;
use factmill_core::records::Pulled;
use factmill_core::source::BoxedError;
use factmill_core::source_schema::{ColumnOrigin, Format, SourceSchema};
use factmill_core::types::DeclaredType;

pub use fault::OTHER_FIELDS;

use crate::registry::Registry;
use avro::Avro;
use envelope::Envelope;
use protobuf::Protobuf;
use record::RecordDecoder;
use transcode::Plain;

/// Turns pulled records into columns.
#[async_trait]
pub trait Decoder: Send + Sync {
    /// Fetches what these records need to be decoded and was not fetched before, such as the schemas
    /// they were written by. Call it before [`Decoder::decode`], which blocks and asks nobody.
    ///
    /// # Errors
    /// The service that has it does not answer, or refuses.
    async fn prepare(&self, _pulled: &Pulled) -> Result<(), BoxedError> {
        Ok(())
    }

    /// Decodes every record of a pull: each is a row or a dead letter, both in pulled order.
    fn decode(&self, source: &SourceName, pulled: &Pulled) -> Decoded;
}

/// What the records of one pull became.
#[derive(Debug)]
pub struct Decoded {
    /// One row for each good record, columns as [`SourceSchema::arrow_schema`] says.
    pub rows: RecordBatch,
    /// One for each record that broke its contract.
    pub dead_letters: Vec<DeadLetter>,
    /// Paths of fields that no column declares, such as `customer.phone` or `items[].colour`, with
    /// the number of good records that hold them. Beyond the first 1,000 paths, and for very long
    /// ones, [`OTHER_FIELDS`] counts together.
    pub undeclared: BTreeMap<String, u64>,
}

/// A contract that no record could be held to.
#[derive(Debug, thiserror::Error)]
pub enum DecoderError {
    /// The source's zone is no IANA name.
    #[error("unknown time zone `{zone}`; use a name such as `Europe/Paris` or `UTC`")]
    TimeZone {
        /// What was declared.
        zone: String,
    },
    /// A column's origin cannot give values of its type.
    #[error("column `{column}` is declared {declared}, but {origin:?} gives {gives}")]
    Origin {
        /// The column.
        column: String,
        /// Its declared type.
        declared: DeclaredType,
        /// Its origin.
        origin: ColumnOrigin,
        /// The types that fit the origin.
        gives: &'static str,
    },
    /// A column names no field.
    #[error("column `{column}` comes from an empty path; name a field, such as `customer.city`")]
    EmptyPath {
        /// The column.
        column: String,
    },
    /// A format whose schemas are kept elsewhere.
    #[error(
        "format {format:?} needs a schema registry; name one by `schema_registry` in a profile with servers of its own"
    )]
    NoRegistry {
        /// The format.
        format: Format,
    },
    /// An accepted value is not one of the column's type.
    #[error("accepted value `{value}` of column `{column}` is no {declared}: {detail}")]
    AcceptedValue {
        /// The column.
        column: String,
        /// The value.
        value: String,
        /// The column's type.
        declared: DeclaredType,
        /// Why.
        detail: String,
    },
}

/// What a format needs beyond the source's contract.
#[derive(Debug, Clone, Default)]
pub struct DecoderOptions {
    /// How CSV is written.
    pub csv: csv::Dialect,
    /// Where the schemas of Avro and Protobuf are kept.
    pub registry: Option<Arc<Registry>>,
}

/// A decoder of `format` with default options that holds records to `schema`.
///
/// # Errors
/// [`DecoderError`] when the schema contradicts itself, or the format needs an option.
pub fn decoder(format: Format, schema: &SourceSchema) -> Result<Box<dyn Decoder>, DecoderError> {
    decoder_with(format, schema, &DecoderOptions::default())
}

/// A decoder of `format` that holds records to `schema`.
///
/// # Errors
/// [`DecoderError`] when the schema contradicts itself, or the format needs an option that is
/// missing.
pub fn decoder_with(
    format: Format,
    schema: &SourceSchema,
    options: &DecoderOptions,
) -> Result<Box<dyn Decoder>, DecoderError> {
    let registry = || {
        let registry = options.registry.clone();
        registry.ok_or(DecoderError::NoRegistry { format })
    };
    Ok(match format {
        Format::Json => Box::new(RecordDecoder::new(schema, json::read_document)?),
        Format::Bson => Box::new(RecordDecoder::new(schema, bson::read_document)?),
        Format::Csv => Box::new(csv::decoder(schema, options.csv)?),
        Format::Avro => {
            let avro = Avro::new(registry()?, schema.is_keyed());
            Box::new(RecordDecoder::of_json(schema, avro)?)
        }
        Format::Protobuf => {
            let protobuf = Protobuf::new(registry()?, schema.is_keyed());
            Box::new(RecordDecoder::of_json(schema, protobuf)?)
        }
        Format::Debezium => Box::new(RecordDecoder::of_json(schema, Envelope(Plain))?),
        Format::DebeziumAvro => {
            let avro = Avro::new(registry()?, schema.is_keyed());
            Box::new(RecordDecoder::of_json(schema, Envelope(avro))?)
        }
    })
}
