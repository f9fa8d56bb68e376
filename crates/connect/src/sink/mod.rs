//! Where records and tables go.

pub mod documents;
pub mod lake;
pub mod postgres;
pub mod raw_store;

mod bson;
mod server;
mod write_command;
