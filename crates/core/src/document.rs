//! Collections that models go to, and what one epoch writes to them.

use std::fmt;

use arrow::record_batch::RecordBatch;

use crate::table::Column;

/// A MongoDB collection by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionName {
    /// Its database.
    pub database: String,
    /// Its name within the database.
    pub collection: String,
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.collection)
    }
}

/// A collection that a job writes, as its plan declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Collection {
    /// Where it lies.
    pub name: CollectionName,
    /// The model whose rows are its documents.
    pub model: String,
    /// The model's columns, the fields of a document, in their order.
    pub columns: Vec<Column>,
    /// Indices of the columns that name a document, where rows are changes of keys; empty where each
    /// document has the `_id` of the raw document of its record.
    pub key: Vec<usize>,
}

/// What one epoch writes to one collection.
#[derive(Debug, Clone)]
pub struct DocumentChange {
    /// Index of the collection in the job's collections.
    pub collection: usize,
    /// The collection's columns in their order, then [`crate::table::ORDER_COLUMN`] as `Binary`, not
    /// null, which names the record of each row. One row per record; of changes of keys one row per
    /// key, and behind the order [`crate::table::DELETED_COLUMN`], which says whether it goes away.
    pub rows: RecordBatch,
}
