//! The crate from outside: projects on disk in, typed projects or diagnostics out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod banking;
mod folder;
mod schema;
