//! What the producers that call a web service share: the client and its bounds, errors that say
//! what to do, the pauses between attempts, and form encoding.

mod client;
mod error;
mod form;
mod lines;
mod retry;
mod secret;
mod server;

pub(crate) use client::words;
pub use client::{Address, HttpClient};
pub use error::HttpError;
pub(crate) use form::{decode, encode};
pub(crate) use lines::{Lines, TooLong};
pub(crate) use retry::Attempts;
pub use secret::ApiKey;
pub use server::serve;

#[cfg(test)]
mod tests;
