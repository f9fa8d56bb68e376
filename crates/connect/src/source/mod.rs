//! Where records come from.

pub mod http;
pub mod kafka;
pub mod single;
