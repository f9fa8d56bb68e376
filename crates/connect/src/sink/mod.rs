//! Where records and tables go.

pub mod lake;
pub mod raw_store;
