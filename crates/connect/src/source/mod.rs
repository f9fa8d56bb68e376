//! Where records come from.

pub mod files;
pub mod http;
pub mod kafka;
pub mod mongo;
pub mod single;
