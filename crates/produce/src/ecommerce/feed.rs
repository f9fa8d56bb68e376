//! The events of one open response: made at their pace, stored, then shown.

use std::sync::Arc;
use std::time::Instant;

use axum::response::sse::Event as Shown;
use chrono::Utc;
use factmill_core::error::backoff;
use futures::stream::{self, BoxStream, StreamExt};
use serde::de::IgnoredAny;
use serde_json::json;

use super::order::Orders;
use super::third_party::{self, ThirdParty};
use crate::event::Event;
use crate::rate::{Pacer, Rate};
use crate::send::error::ProduceError;
use crate::send::outbox::{Acknowledgement, Outbox};

/// The Kafka header that says where a document comes from.
pub const SOURCE_HEADER: &str = "source";

/// So many events of a response may wait for their acknowledgement.
const IN_FLIGHT: usize = 512;

/// What happens in a response.
pub(super) enum Happening {
    Document(Document),
    /// There is no document this time, for this reason.
    Problem(String),
}

/// A document on its way.
pub(super) struct Document {
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
    is_bad: bool,
}

/// Random documents from index `from` on, at their pace, without end.
pub(super) fn generated(orders: Orders, rate: Rate, from: u64) -> BoxStream<'static, Happening> {
    let pacer = Pacer::new(rate, Instant::now());
    stream::unfold((pacer, from), move |(mut pacer, index)| async move {
        tokio::time::sleep(pacer.wait(Instant::now())).await;
        pacer.sent(Instant::now());
        let written = orders.write(index, Utc::now());
        let document = Document {
            key: Some(written.transaction_id.into_bytes()),
            payload: written.json,
            is_bad: written.is_bad,
        };
        let next = (pacer, index.wrapping_add(1));
        Some((Happening::Document(document), next))
    })
    .boxed()
}

/// What the third party answers, asked at this pace, without end. After failures the pauses grow.
pub(super) fn polled(third_party: ThirdParty, rate: Rate) -> BoxStream<'static, Happening> {
    let pacer = Pacer::new(rate, Instant::now());
    let third_party = Arc::new(third_party);
    let answers = stream::unfold((pacer, 0), move |(mut pacer, failures)| {
        let third_party = Arc::clone(&third_party);
        async move {
            let mut pause = pacer.wait(Instant::now());
            if failures > 0 {
                pause = pause.max(backoff(failures));
            }
            tokio::time::sleep(pause).await;
            pacer.sent(Instant::now());
            Some(match third_party.ask().await {
                Ok(documents) => {
                    let documents = documents.into_iter().map(foreign).collect();
                    (documents, (pacer, 0))
                }
                Err(reason) => {
                    let problem = Happening::Problem(with_causes(&reason));
                    (vec![problem], (pacer, failures + 1))
                }
            })
        }
    });
    answers.flat_map(stream::iter).boxed()
}

fn foreign(payload: Vec<u8>) -> Happening {
    Happening::Document(Document {
        key: third_party::key(&payload),
        payload,
        is_bad: false,
    })
}

/// Stores each document under the source's name and shows it once it is acknowledged, in order. With
/// `count` the response ends after so many documents.
pub(super) fn shown(
    happenings: BoxStream<'static, Happening>,
    outbox: Arc<dyn Outbox>,
    source: &'static str,
    count: Option<u64>,
) -> BoxStream<'static, Shown> {
    let bounded = at_most(happenings, count);
    let put = bounded.then(move |happening| {
        let outbox = Arc::clone(&outbox);
        async move { put(happening, outbox.as_ref(), source).await }
    });
    let end = stream::once(async move { end(count) });
    put.map(told).buffered(IN_FLIGHT).chain(end).boxed()
}

/// Ends right after the last document, without waiting for one more.
fn at_most(
    happenings: BoxStream<'static, Happening>,
    count: Option<u64>,
) -> BoxStream<'static, Happening> {
    let Some(count) = count else {
        return happenings;
    };
    stream::unfold((happenings, count), |(mut happenings, left)| async move {
        if left == 0 {
            return None;
        }
        let happening = happenings.next().await?;
        let spent = u64::from(matches!(happening, Happening::Document(_)));
        Some((happening, (happenings, left - spent)))
    })
    .boxed()
}

/// A document that was handed over, or why there is none to wait for.
enum Handed {
    Over(Vec<u8>, Acknowledgement),
    Problem(String),
}

async fn put(happening: Happening, outbox: &dyn Outbox, source: &'static str) -> Handed {
    let document = match happening {
        Happening::Document(document) => document,
        Happening::Problem(reason) => return Handed::Problem(reason),
    };
    let mut event = Event::default();
    event.clear();
    if let Some(key) = &document.key {
        event.set_key(key);
    }
    event.payload_mut().extend_from_slice(&document.payload);
    event.push_header(SOURCE_HEADER, source);
    if document.is_bad {
        event.mark_bad();
    }
    match outbox.put(&event).await {
        Ok(acknowledgement) => Handed::Over(document.payload, acknowledgement),
        Err(error) => Handed::Problem(not_stored(&error)),
    }
}

async fn told(handed: Handed) -> Shown {
    let (payload, acknowledgement) = match handed {
        Handed::Over(payload, acknowledgement) => (payload, acknowledgement),
        Handed::Problem(reason) => return problem(&reason),
    };
    match acknowledgement.await {
        Ok(stored) => document(&payload).id(format!("{}-{}", stored.partition, stored.offset)),
        Err(error) => problem(&not_stored(&error)),
    }
}

/// A document as it is; what is no JSON comes as an event `broken` with its text.
fn document(payload: &[u8]) -> Shown {
    let is_json = serde_json::from_slice::<IgnoredAny>(payload).is_ok();
    match std::str::from_utf8(payload) {
        // Within JSON, line ends stand between values only, where any white space does.
        Ok(text) if is_json => Shown::default().data(text.replace(['\r', '\n'], " ")),
        _ => Shown::default()
            .event("broken")
            .data(json!(String::from_utf8_lossy(payload)).to_string()),
    }
}

fn problem(reason: &str) -> Shown {
    Shown::default()
        .event("problem")
        .data(json!({ "problem": reason }).to_string())
}

fn end(count: Option<u64>) -> Shown {
    Shown::default()
        .event("end")
        .data(json!({ "documents": count }).to_string())
}

fn not_stored(error: &ProduceError) -> String {
    with_causes(error)
}

/// An error and what is behind it, in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
