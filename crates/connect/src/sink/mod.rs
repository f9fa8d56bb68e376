//! Where records and tables go.

pub mod lake;
pub mod postgres;
pub mod raw_store;
