//! Where records come from.

pub mod kafka;
pub mod mongo;
pub mod single;
