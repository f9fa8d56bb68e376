//! Avro behind a schema registry's id, said in JSON and read by the declared types.
//!
//! Each record is read by the schema that its writer registered, so a producer that changes its
//! schema needs nothing here: fields that are new are undeclared ones, fields that are gone are null,
//! a field of another type is a dead letter where the declared type does not read it.
//!
//! | Avro | said as |
//! |---|---|
//! | null, boolean, int, long | themselves |
//! | float, double | the shortest number that reads back the same; NaN and infinities are refused |
//! | string, enum, uuid | a text |
//! | bytes, fixed | the text `\x00ff`, which `bytea` reads |
//! | decimal of bytes or fixed | a number, exact |
//! | date, time-millis, time-micros | a text |
//! | timestamp-millis, -micros, -nanos | a text in UTC |
//! | local-timestamp-millis, -micros, -nanos | a text without offset |
//! | duration | a text as `P1M2DT3.004S` |
//! | record, map | an object |
//! | array | an array |
//! | union | the value of its branch |
//!
//! Kafka Connect's and Debezium's own types (`connect.name`) of dates, times and timestamps are read
//! like Avro's.

mod message;
mod schema;

use std::sync::Arc;

use async_trait::async_trait;
use factmill_core::records::Pulled;
use factmill_core::source::BoxedError;

use super::fault::Rejection;
use super::framed::Schemas;
use super::record::Transcode;
use crate::registry::{RegisteredSchema, Registry, SchemaKind};
use schema::Schema;

/// Says Avro in JSON.
pub(super) struct Avro {
    schemas: Schemas<Schema>,
}

impl Avro {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self {
            schemas: Schemas::new(registry, compile),
        }
    }
}

fn compile(schema: &RegisteredSchema) -> Result<Schema, String> {
    match schema.kind {
        SchemaKind::Avro => Schema::parse(&schema.text, &schema.references),
        other => Err(format!("it is written in {other}, not in Avro")),
    }
}

#[async_trait]
impl Transcode for Avro {
    fn document<'p>(
        &self,
        payload: &'p [u8],
        buffer: &'p mut Vec<u8>,
    ) -> Result<Option<&'p [u8]>, Rejection> {
        let (schema, message) = self.schemas.of(payload)?;
        message::write_json(&schema, message, buffer)?;
        Ok(Some(buffer))
    }

    fn key<'p>(&self, key: &'p [u8], buffer: &'p mut Vec<u8>) -> Result<&'p [u8], Rejection> {
        let (schema, message) = self.schemas.of(key)?;
        message::write_json(&schema, message, buffer)?;
        Ok(buffer)
    }

    async fn prepare(&self, pulled: &Pulled) -> Result<(), BoxedError> {
        self.schemas.prepare(pulled).await
    }
}
