//! The binary as users run it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod command_line;
mod end_to_end;
