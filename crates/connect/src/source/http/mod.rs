//! HTTP as a source: an endpoint that is asked again and again ([`PollReader`]), or one whose answer
//! goes on ([`StreamReader`]). Both are read through [`crate::source::single`].
//!
//! # What a record is
//!
//! Its payload is the JSON value as the server wrote it, byte for byte: an element of the array of a
//! polled answer, a line, or the data of a server-sent event. Header `date` names the day that a
//! polled URL with `{date}` was asked for; headers `id` and `event` are those of a server-sent event.
//! Records have neither key nor time.
//!
//! # Positions
//!
//! - Polled: the cursor or number of the page, the records read of it, the rounds that ended; with
//!   `{date}` the first day not asked for, and the days that were not there.
//! - Streamed: the id of the last record.
//!
//! What exactly-once means here depends on the server: a page must answer the same records again,
//! or only ever more behind them, and a stream must go on behind the id that it is given. With
//! [`Resume::Nothing`] records that are sent while nobody is connected are lost, and those between
//! the last commit and a crash too.
//!
//! # Safety
//!
//! Headers go to the scheme, host and port of the URL and nowhere else: a redirect to another one is
//! an error. Answers are bounded in bytes and time ([`Limits`], [`Times`]). Neither headers nor what
//! follows `?` in a URL is shown in errors or logs.

pub(crate) mod client;
mod config;
mod document;
mod error;
mod events;
mod lines;
mod page;
mod pause;
mod place;
mod poll;
mod stream;

use std::collections::HashMap;

use serde::de::DeserializeOwned;

pub use config::{
    Dates, Identity, Limits, Method, Paging, PollRead, Repeat, Request, Resume, Retry, Secret,
    StreamFormat, StreamRead, Times,
};
pub use error::HttpSourceError;
pub use poll::PollReader;
pub use stream::StreamReader;

use crate::source::single::Place;
use document::Pointer;

/// The one partition of an HTTP source.
const PARTITION: &str = "0";

fn pointer(text: &str) -> Result<Pointer, HttpSourceError> {
    Pointer::parse(text).ok_or_else(|| HttpSourceError::Pointer {
        pointer: text.to_owned(),
    })
}

/// The stored place of the source, the start where there is none.
fn stored<P: DeserializeOwned + Default>(
    stored: &HashMap<String, Place>,
    place: &str,
) -> Result<P, HttpSourceError> {
    let text = match stored.get(PARTITION) {
        None => return Ok(P::default()),
        Some(Place::Token { at, .. }) => at.clone(),
        Some(Place::Offset(offset)) => offset.to_string(),
    };
    serde_json::from_str(&text).map_err(|source| HttpSourceError::Position {
        place: place.to_owned(),
        text,
        source,
    })
}
