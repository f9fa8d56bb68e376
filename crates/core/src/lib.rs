//! The words of factmill as types: positions and epochs, declared types, records, tables, errors.
//!
//! No I/O and no DataFusion here. `connect` moves bytes, `engine` runs SQL, the binary joins them;
//! what they say to each other is in this crate.

pub mod dead_letter;
pub mod diagnostic;
pub mod document;
pub mod epoch;
pub mod error;
pub mod order;
pub mod position;
pub mod records;
pub mod source;
pub mod source_schema;
pub mod table;
pub mod table_reader;
pub mod types;
