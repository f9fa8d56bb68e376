//! Where records and tables go.

pub mod raw_store;
