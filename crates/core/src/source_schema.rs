//! A source's contract: its columns, their declared types, and what a record must keep.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::table::DELETED_COLUMN;
use crate::types::DeclaredType;

/// Where the value of a column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnOrigin {
    /// A field of the payload, by its path from the top: `["customer", "city"]`.
    Field(Vec<String>),
    /// The record's key, as the declared type (`text` or `bytea`).
    Key,
    /// The record's time.
    Timestamp,
    /// The topic.
    Topic,
    /// The partition number.
    Partition,
    /// The offset.
    Offset,
    /// One header by name, the last one of that name.
    Header(String),
    /// All headers as JSON: an array of `[name, value]`.
    Headers,
}

/// One declared column of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceColumn {
    /// Its name in models.
    pub name: String,
    /// Its declared type.
    pub data_type: DeclaredType,
    /// Where its values come from.
    pub origin: ColumnOrigin,
    /// A null or missing value makes the record a dead letter.
    pub not_null: bool,
    /// A value outside this set makes the record a dead letter; empty: any value.
    pub accepted_values: Vec<String>,
}

/// The contract of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSchema {
    /// The declared columns, in their order.
    pub columns: Vec<SourceColumn>,
    /// The column that holds the event time, `timestamp` or `timestamptz`.
    pub event_time: Option<String>,
    /// The zone of timestamps that come without an offset, an IANA name; `UTC` by default.
    pub time_zone: String,
    /// The columns that name what a record is about, where its records are changes: the newest one
    /// of a key holds, and one without payload deletes its key. Empty: every record stands for
    /// itself. Records of a keyed source are ordered by their log, not by event time.
    pub key: Vec<String>,
}

/// How the payloads of a source are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// One JSON document a record.
    #[default]
    Json,
    /// One CSV record a record; a header `columns` names its fields.
    Csv,
    /// One Avro message a record, behind the id of its schema in a registry.
    Avro,
    /// One Protobuf message a record, behind the id of its schema in a registry.
    Protobuf,
    /// One change of a table a record, in Debezium's envelope as JSON.
    Debezium,
    /// The same as Avro, behind the id of its schema in a registry.
    DebeziumAvro,
    /// One BSON document a record.
    Bson,
}

impl Format {
    /// Whether its payloads are read by schemas that a registry keeps.
    pub fn needs_registry(self) -> bool {
        matches!(self, Self::Avro | Self::Protobuf | Self::DebeziumAvro)
    }
}

/// Columns that every decoded batch carries after the declared ones: where a row comes from.
///
/// `_factmill_topic` Utf8, `_factmill_incarnation` Int32, `_factmill_partition` Int32,
/// `_factmill_offset` Int64, none of them null. With the event time they make the order of records.
pub mod provenance {
    use arrow::datatypes::{DataType, Field};

    /// Topic, collection or file.
    pub const TOPIC: &str = "_factmill_topic";
    /// Ordinal of the incarnation.
    pub const INCARNATION: &str = "_factmill_incarnation";
    /// Partition number.
    pub const PARTITION: &str = "_factmill_partition";
    /// Offset in the partition.
    pub const OFFSET: &str = "_factmill_offset";

    /// The four fields, in the order they follow the declared columns.
    pub fn fields() -> [Field; 4] {
        [
            Field::new(TOPIC, DataType::Utf8, false),
            Field::new(INCARNATION, DataType::Int32, false),
            Field::new(PARTITION, DataType::Int32, false),
            Field::new(OFFSET, DataType::Int64, false),
        ]
    }
}

/// [`DELETED_COLUMN`] as an Arrow field.
pub fn deleted_field() -> Field {
    Field::new(DELETED_COLUMN, DataType::Boolean, false)
}

impl SourceSchema {
    /// Whether its records are changes of keys.
    pub fn is_keyed(&self) -> bool {
        !self.key.is_empty()
    }

    /// The column whose time comes first in the order of records: the event time, none in a keyed
    /// source, whose deleted rows have no time.
    pub fn order_time(&self) -> Option<&str> {
        self.event_time.as_deref().filter(|_| !self.is_keyed())
    }

    /// The Arrow schema of decoded batches: declared columns, then [`provenance::fields`], then
    /// [`DELETED_COLUMN`] where the source is keyed.
    ///
    /// Declared columns are nullable unless declared `not_null`; in a keyed source all but the key
    /// are, for the deleted ones.
    pub fn arrow_schema(&self) -> SchemaRef {
        let declared = self.columns.iter().map(|column| {
            let nullable = if self.is_keyed() {
                !self.key.contains(&column.name)
            } else {
                !column.not_null
            };
            Field::new(&column.name, column.data_type.arrow(), nullable)
        });
        let deleted = self.is_keyed().then(deleted_field);
        let fields = declared.chain(provenance::fields()).chain(deleted);
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}
