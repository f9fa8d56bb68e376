//! Dead letters in the warehouse: set aside with their epoch, listed and shown later.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BinaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use async_recursion::async_recursion as boxed;
use chrono::{DateTime, Utc};
use factmill_core::dead_letter::DeadLetter;
use factmill_core::epoch::{Epoch, Reader};
use factmill_core::table::TableName;
use factmill_core::types::DeclaredType;
use serde_json::{Value, json};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::Warehouse;
use super::connection::Statements;
use super::copy_in::copy_in;
use super::encode::RowEncoder;
use super::error::WarehouseError;
use super::identifier::{list, source_text};

const COLUMNS: [(&str, DeclaredType); 14] = [
    ("target", DeclaredType::Text),
    ("job", DeclaredType::Text),
    ("source", DeclaredType::Text),
    ("incarnation", DeclaredType::Integer),
    ("partition", DeclaredType::Text),
    ("offset", DeclaredType::BigInt),
    ("record_timestamp", DeclaredType::TimestampTz),
    ("reason", DeclaredType::Text),
    ("field", DeclaredType::Text),
    ("detail", DeclaredType::Text),
    ("key", DeclaredType::Bytea),
    ("payload", DeclaredType::Bytea),
    ("headers", DeclaredType::Json),
    ("attempt", DeclaredType::Uuid),
];

static TABLE: LazyLock<TableName> = LazyLock::new(|| TableName {
    schema: "factmill".into(),
    name: "dead_letters".into(),
});

/// Writes the dead letters of an epoch.
pub(super) async fn set_aside(
    tx: &Transaction<'_>,
    statements: &mut Statements,
    reader: &Reader,
    attempt: Uuid,
    letters: &[DeadLetter],
) -> Result<(), WarehouseError> {
    if letters.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "copy factmill.dead_letters ({}) from stdin (format binary)",
        list(COLUMNS.iter().map(|(name, _)| *name))
    );
    let statement = statements
        .get(tx, &sql)
        .await
        .map_err(|source| WarehouseError::query("setting dead letters aside", source))?;
    let rows = rows(reader, attempt, letters)?;
    let encoder = RowEncoder::new(
        &rows,
        COLUMNS.iter().map(|(name, data_type)| (*name, data_type)),
    )
    .map_err(|source| WarehouseError::encoding(&TABLE, source))?;
    copy_in(tx, &statement, &TABLE, &encoder).await?;
    Ok(())
}

fn rows(
    reader: &Reader,
    attempt: Uuid,
    letters: &[DeadLetter],
) -> Result<RecordBatch, WarehouseError> {
    let text = |values: &mut dyn Iterator<Item = Option<String>>| -> ArrayRef {
        Arc::new(values.collect::<StringArray>())
    };
    let bytes = |value: fn(&DeadLetter) -> Option<&[u8]>| -> ArrayRef {
        Arc::new(letters.iter().map(value).collect::<BinaryArray>())
    };
    let timestamps: TimestampMicrosecondArray =
        letters.iter().map(|letter| letter.timestamp).collect();
    let attempts =
        FixedSizeBinaryArray::new(16, attempt.as_bytes().repeat(letters.len()).into(), None);
    let columns: Vec<ArrayRef> = vec![
        text(&mut letters.iter().map(|_| Some(reader.target.clone()))),
        text(&mut letters.iter().map(|_| Some(reader.job.clone()))),
        text(
            &mut letters
                .iter()
                .map(|letter| Some(source_text(&letter.partition.source))),
        ),
        Arc::new(
            letters
                .iter()
                .map(|letter| Some(letter.incarnation.ordinal))
                .collect::<Int32Array>(),
        ),
        text(
            &mut letters
                .iter()
                .map(|letter| Some(letter.partition.partition.clone())),
        ),
        Arc::new(
            letters
                .iter()
                .map(|letter| Some(letter.offset))
                .collect::<Int64Array>(),
        ),
        Arc::new(timestamps.with_timezone("UTC")),
        text(
            &mut letters
                .iter()
                .map(|letter| Some(letter.reason.as_str().to_owned())),
        ),
        text(
            &mut letters
                .iter()
                .map(|letter| letter.field.as_deref().map(storable)),
        ),
        text(&mut letters.iter().map(|letter| Some(storable(&letter.detail)))),
        bytes(|letter| letter.key.as_deref()),
        bytes(|letter| letter.payload.as_deref()),
        text(
            &mut letters
                .iter()
                .map(|letter| Some(headers(&letter.headers).to_string())),
        ),
        Arc::new(attempts),
    ];
    let fields: Vec<_> = COLUMNS
        .iter()
        .zip(&columns)
        .map(|((name, _), column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| {
        WarehouseError::Broken(format!("dead letters do not make a batch: {error}"))
    })
}

/// `text` as Postgres can hold it: NUL, which a field's name or a found value may contain, is shown
/// by its picture. The payload keeps the bytes.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

/// Headers as `[[name, value], …]`; a value that is not text is `{"hex": "…"}`.
fn headers(headers: &[(String, Option<Vec<u8>>)]) -> Value {
    headers
        .iter()
        .map(|(name, value)| {
            let value = value.as_deref().map(|bytes| match std::str::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => json!(text),
                _ => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
            });
            json!([storable(name), value])
        })
        .collect()
}

/// Which dead letters to list. Everything that is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// Those of this job.
    pub job: Option<String>,
    /// Those of this target.
    pub target: Option<String>,
    /// Those with this reason, such as `wrong_type`.
    pub reason: Option<String>,
    /// Those committed at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Those that follow this id in the list: the last id of the page before.
    pub after: Option<i64>,
}

/// A dead letter without its content.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedDeadLetter {
    /// Its number; larger is later.
    pub id: i64,
    /// The target.
    pub target: String,
    /// The job.
    pub job: String,
    /// The source, `group.table`.
    pub source: String,
    /// Ordinal of the incarnation.
    pub incarnation: i32,
    /// The partition.
    pub partition: String,
    /// Its offset.
    pub offset: i64,
    /// The source's time of the record.
    pub record_timestamp: Option<DateTime<Utc>>,
    /// Why, as [`factmill_core::dead_letter::Reason::as_str`] says it.
    pub reason: String,
    /// The field at fault.
    pub field: Option<String>,
    /// What was found and what was expected.
    pub detail: String,
    /// `open`, `replayed` or `discarded`.
    pub status: String,
    /// The epoch that set it aside.
    pub epoch: Epoch,
    /// When that epoch was committed.
    pub committed_at: DateTime<Utc>,
}

/// A dead letter with its content.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDeadLetter {
    /// Everything but the content.
    pub listed: ListedDeadLetter,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's payload.
    pub payload: Option<Vec<u8>>,
    /// Its headers: `[[name, value], …]`, values that are not text as `{"hex": "…"}`.
    pub headers: Value,
}

const LISTED: &str = "id, target, job, source, incarnation, partition, \"offset\", record_timestamp, reason, field, \
                      detail, status, epoch, committed_at";

impl Warehouse {
    /// The newest dead letters that `filter` lets through, at most `limit`, newest first.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        limit: u32,
    ) -> Result<Vec<ListedDeadLetter>, WarehouseError> {
        let session = self.control().await?;
        let rows = session
            .client
            .query(
                &format!(
                    "select {LISTED} from factmill.dead_letter_list \
                     where ($1::text is null or job = $1) and ($2::text is null or target = $2) \
                       and ($3::text is null or reason = $3) and ($4::timestamptz is null or committed_at >= $4) \
                       and ($5::bigint is null or id < $5) \
                     order by id desc limit $6"
                ),
                &[
                    &filter.job,
                    &filter.target,
                    &filter.reason,
                    &filter.since,
                    &filter.after,
                    &i64::from(limit),
                ],
            )
            .await
            .map_err(|source| WarehouseError::query("listing dead letters", source))?;
        Ok(rows.iter().map(listed).collect())
    }

    /// How many dead letters of each reason `filter` lets through, the most frequent first.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn count_dead_letters(
        &self,
        filter: &DeadLetterFilter,
    ) -> Result<Vec<(String, i64)>, WarehouseError> {
        let session = self.control().await?;
        let rows = session
            .client
            .query(
                "select reason, count(*) from factmill.dead_letter_list \
                 where ($1::text is null or job = $1) and ($2::text is null or target = $2) \
                   and ($3::text is null or reason = $3) and ($4::timestamptz is null or committed_at >= $4) \
                 group by reason order by count(*) desc, reason",
                &[&filter.job, &filter.target, &filter.reason, &filter.since],
            )
            .await
            .map_err(|source| WarehouseError::query("counting dead letters", source))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// One dead letter with its content; `None` when there is none of that number.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn show_dead_letter(
        &self,
        id: i64,
    ) -> Result<Option<StoredDeadLetter>, WarehouseError> {
        let session = self.control().await?;
        let row = session
            .client
            .query_opt(
                &format!(
                    "select {LISTED}, d.key, d.payload, d.headers \
                     from factmill.dead_letter_list \
                     join (select id, key, payload, headers from factmill.dead_letters where id = $1) d using (id)"
                ),
                &[&id],
            )
            .await
            .map_err(|source| WarehouseError::query(format!("showing dead letter {id}"), source))?;
        Ok(row.map(|row| StoredDeadLetter {
            listed: listed(&row),
            key: row.get(14),
            payload: row.get(15),
            headers: row.get(16),
        }))
    }
}

/// Reads the columns of [`LISTED`].
fn listed(row: &Row) -> ListedDeadLetter {
    ListedDeadLetter {
        id: row.get(0),
        target: row.get(1),
        job: row.get(2),
        source: row.get(3),
        incarnation: row.get(4),
        partition: row.get(5),
        offset: row.get(6),
        record_timestamp: row.get(7),
        reason: row.get(8),
        field: row.get(9),
        detail: row.get(10),
        status: row.get(11),
        epoch: Epoch::new(row.get(12)),
        committed_at: row.get(13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_order_repeats_and_bytes() {
        let found = headers(&[
            ("a".into(), Some(b"1".to_vec())),
            ("a".into(), None),
            ("b\0".into(), Some(vec![0xff, 0])),
        ]);
        assert_eq!(
            found,
            json!([["a", "1"], ["a", null], ["b\u{2400}", { "hex": "ff00" }]])
        );
    }
}
