//! The crate from outside: projects on disk in, typed projects or diagnostics out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod banking;
mod diagnostics;
mod folder;
mod jobs;
mod rendering;
mod schema;
mod selection;
