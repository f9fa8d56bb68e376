//! Where records come from.

pub mod kafka;
pub mod single;
