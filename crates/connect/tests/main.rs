//! Tests against real servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod documents;
mod files;
mod formats;
mod http;
mod kafka;
mod lake;
mod mongo;
mod positions;
mod postgres;
mod raw_store;
