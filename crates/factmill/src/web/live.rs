//! The services' events, passed on to the page.
//!
//! An answer stays open while a service is away: what comes then are events `down`, which say why and
//! when it is asked again, and an event `up` once it answers. So a page needs no more than one
//! connection, and a person sees the reason.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use factmill_core::error::backoff;
use factmill_produce::ecommerce::{Follower, Parts};
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The most bytes of one event; a service that sends more is taken for broken.
const LARGEST: usize = 4 << 20;
/// The services say more often than this that they are alive.
const SILENT_FOR_GOOD: Duration = Duration::from_secs(30);

const UP: &[u8] = b"event: up\ndata: {}\n\n";

/// Where the events come from.
pub(super) struct Services {
    pub(super) follower: Follower,
    /// The address of the generator's response.
    pub(super) generator: String,
    /// The address of the third party's response.
    pub(super) third_party: String,
    /// Ends every answer.
    pub(super) closing: CancellationToken,
}

pub(super) async fn generator(State(services): State<Arc<Services>>) -> Response {
    services.pass_on(&services.generator)
}

pub(super) async fn third_party(State(services): State<Arc<Services>>) -> Response {
    services.pass_on(&services.third_party)
}

impl Services {
    /// Opens a response of its own for this page; when the page leaves, that one ends, too.
    fn pass_on(&self, url: &str) -> Response {
        let events = events(self.follower.clone(), url.to_owned());
        let open = events
            .take_until(self.closing.clone().cancelled_owned())
            .map(Ok::<_, std::convert::Infallible>);
        let headers = [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-cache"),
            // Proxies that hold answers back until they are large would hold these back for long.
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        (headers, Body::from_stream(open)).into_response()
    }
}

/// A service, as seen by one page.
struct Watched {
    follower: Follower,
    url: String,
    /// The open response.
    parts: Option<Parts>,
    /// What came of an event that is not whole.
    begun: Vec<u8>,
    /// Attempts in vain since the last event.
    failures: u32,
}

/// Whole events without end, for as long as somebody takes them.
fn events(follower: Follower, url: String) -> BoxStream<'static, Bytes> {
    let watched = Watched {
        follower,
        url,
        parts: None,
        begun: Vec::new(),
        failures: 0,
    };
    stream::unfold(watched, async |mut watched| {
        let bytes = watched.next().await;
        Some((bytes, watched))
    })
    .boxed()
}

impl Watched {
    async fn next(&mut self) -> Bytes {
        let Some(parts) = &mut self.parts else {
            if self.failures > 0 {
                tokio::time::sleep(backoff(self.failures)).await;
            }
            return match self.follower.open(&self.url).await {
                Ok(parts) => {
                    self.parts = Some(parts);
                    Bytes::from_static(UP)
                }
                Err(error) => self.down(&error.to_string()),
            };
        };
        loop {
            let part = match tokio::time::timeout(SILENT_FOR_GOOD, parts.next()).await {
                Ok(Some(Ok(part))) => part,
                Ok(Some(Err(_)) | None) => return self.down("the connection to the service broke"),
                Err(_) => return self.down("the service says nothing any more"),
            };
            self.begun.extend_from_slice(&part);
            if let Some(whole) = whole_events(&mut self.begun) {
                self.failures = 0;
                return whole;
            }
            if self.begun.len() > LARGEST {
                return self.down("the service sends an event without end");
            }
        }
    }

    fn down(&mut self, reason: &str) -> Bytes {
        tracing::debug!(url = self.url, reason, "a live source is away");
        self.parts = None;
        self.begun.clear();
        self.failures += 1;
        let retry = backoff(self.failures).as_millis();
        let told = json!({ "problem": reason, "retry_ms": retry as u64 });
        format!("event: down\ndata: {told}\n\n").into()
    }
}

/// Takes all events that are whole.
fn whole_events(begun: &mut Vec<u8>) -> Option<Bytes> {
    let end = begun.windows(2).rposition(|pair| pair == b"\n\n")? + 2;
    let rest = begun.split_off(end);
    Some(std::mem::replace(begun, rest).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_passed_on_when_it_is_whole() {
        let mut begun = b"data: {\"a\"".to_vec();
        assert_eq!(whole_events(&mut begun), None);
        begun.extend_from_slice(b":1}\n\ndata: 2\n\nda");
        assert_eq!(
            whole_events(&mut begun).as_deref(),
            Some(&b"data: {\"a\":1}\n\ndata: 2\n\n"[..])
        );
        assert_eq!(begun, b"da");
    }
}
