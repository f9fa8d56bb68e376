//! The producers against the project's own contract and against a real broker.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod contract;
mod decoded;
mod ecommerce;
mod kafka;
mod payments;
mod retail;
mod stripe;
