//! Connections: records in from sources, decoded to Arrow, and out to the warehouse, the lake and
//! the raw store.

pub mod decode;
pub mod registry;
pub mod sink;
pub mod source;
