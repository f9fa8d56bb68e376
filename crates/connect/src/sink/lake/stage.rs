//! What is done with an epoch's rows in its transaction, before the lake's lock.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio_postgres::Transaction;

use super::error::LakeError;
use super::statistics::LeafStatistics;
use super::write::{Kept, Staged, WrittenFile};

pub(super) async fn stage(tx: &Transaction<'_>, staged: &[Staged]) -> Result<Value, LakeError> {
    let mut tables = Vec::with_capacity(staged.len());
    let mut parts: HashMap<i64, usize> = HashMap::new();
    for part in staged.iter().filter(|part| part.rows > 0) {
        let (mut files, mut inlined, mut bytes) = (Vec::new(), Value::Null, 0);
        match &part.kept {
            Kept::File(file) => {
                bytes = file.bytes;
                files.push(file_json(file, part));
            }
            Kept::Inlined(_) => {
                let number = parts.entry(part.table.id()).or_default();
                inlined = super::inline::stage(tx, part, *number).await?;
                *number += 1;
            }
        }
        tables.push(json!({
            "table_id": part.table.id(),
            "schema_version": part.table.schema_version(),
            "rows": part.rows,
            "bytes": bytes,
            "files": files,
            "inlined": inlined,
            "columns": part.statistics.iter().map(column_json).collect::<Vec<_>>(),
        }));
    }
    Ok(json!({ "author": "factmill", "tables": tables }))
}

fn file_json(file: &WrittenFile, part: &Staged) -> Value {
    let columns = part
        .statistics
        .iter()
        .zip(&file.leaf_bytes)
        .map(|(leaf, bytes)| {
            json!({
                "id": leaf.id, "bytes": bytes, "values": leaf.values, "nulls": leaf.nulls,
                "min": leaf.min, "max": leaf.max, "nan": leaf.nan,
            })
        });
    json!({
        "path": file.name, "rows": part.rows, "bytes": file.bytes, "footer": file.footer,
        "columns": columns.collect::<Vec<_>>(),
    })
}

fn column_json(leaf: &LeafStatistics) -> Value {
    json!({
        "id": leaf.id, "kind": leaf.kind, "nulls": leaf.nulls > 0,
        "min": leaf.min, "max": leaf.max, "nan": leaf.nan,
    })
}
