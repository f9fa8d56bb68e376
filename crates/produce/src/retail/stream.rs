//! The task that holds the response: connects, reads, and connects again behind the last record.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use super::parse::{Batch, Id, Parser};
use crate::http::{Address, ApiKey, Attempts, HttpClient, HttpError};

/// The longest record.
const LONGEST: usize = 1 << 20;

/// How the records of a response are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFormat {
    /// One JSON document a line; the lines are numbered from 0 on.
    JsonLines,
    /// `text/event-stream`, the record in `data` and its id in `id`.
    ServerSentEvents,
}

impl StreamFormat {
    /// The media types to ask for, the wanted one first.
    fn accept(self) -> &'static str {
        match self {
            Self::JsonLines => "application/x-ndjson, text/event-stream;q=0.5, */*;q=0.1",
            Self::ServerSentEvents => "text/event-stream, application/x-ndjson;q=0.5, */*;q=0.1",
        }
    }

    fn of(media_type: &str) -> Self {
        if media_type.trim_start().starts_with("text/event-stream") {
            Self::ServerSentEvents
        } else {
            Self::JsonLines
        }
    }
}

pub(super) type Brought = Result<Batch, HttpError>;

/// The task's side.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) http: HttpClient,
    pub(super) address: Address,
    pub(super) key: Option<ApiKey>,
    pub(super) format: StreamFormat,
    pub(super) sender: Sender<Brought>,
}

/// Why a response is over.
enum Ended {
    /// The service has no more records for good.
    NoMore,
    /// Nobody takes records any more.
    Unwanted,
    /// It broke off, or the service closed it: `heard` something before or not.
    Broke {
        heard: bool,
        error: Option<HttpError>,
    },
}

impl Reader {
    /// Reads until the service has no more (status 204), the receiver is gone, or an error that
    /// another attempt does not mend, which is sent.
    pub(super) async fn run(self, mut after: Option<Id>) {
        let mut attempts = Attempts::default();
        loop {
            let (heard, error) = match self.response(&mut after).await {
                Ended::NoMore | Ended::Unwanted => return,
                Ended::Broke { heard, error } => (heard, error),
            };
            let asked = match error {
                Some(error) if !error.may_pass() => {
                    // A receiver that is gone wants no reason any more.
                    let _ = self.sender.send(Err(error)).await;
                    return;
                }
                Some(HttpError::Unavailable { after, .. }) => after,
                _ => None,
            };
            if heard {
                attempts.succeeded();
            }
            let pause: Duration = attempts.failed(asked);
            let (address, attempt) = (&self.address, attempts.count());
            match error {
                Some(error) => {
                    tracing::warn!(%error, attempt, ?pause, "the stream broke off; connecting again")
                }
                None => {
                    tracing::debug!(%address, attempt, ?pause, "the stream was closed; connecting again")
                }
            }
            sleep(pause).await;
        }
    }

    /// One response, from behind `after`, which moves with the records that are handed on.
    async fn response(&self, after: &mut Option<Id>) -> Ended {
        let mut address = self.address.clone();
        if let Some(after) = &after {
            address = address.with("after", &after.to_string());
        }
        let mut call = self.http.get(&address).header(ACCEPT, self.format.accept());
        if let Some(after) = &after {
            call = call.header("Last-Event-ID", after.to_string());
        }
        if let Some(key) = &self.key {
            call = call.bearer_auth(key.expose());
        }
        let broke = |heard, error| Ended::Broke {
            heard,
            error: Some(error),
        };
        let mut response = match HttpClient::stream(&address, call).await {
            Ok(response) => response,
            Err(error) => return broke(false, error),
        };
        if response.status() == StatusCode::NO_CONTENT {
            return Ended::NoMore;
        }
        let media_type = response.headers().get(CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok());
        let format = StreamFormat::of(media_type.unwrap_or_default());
        let mut parser = Parser::new(format, after.as_ref(), LONGEST);
        let mut heard = false;
        loop {
            let piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ended::Broke { heard, error: None },
                Err(error) => return broke(heard, HttpError::of(&address, error)),
            };
            let Ok(batch) = parser.push(&piece) else {
                return broke(
                    heard,
                    HttpError::TooLarge {
                        address,
                        limit: LONGEST,
                    },
                );
            };
            if batch.is_empty() {
                continue;
            }
            heard = true;
            if let Some(last) = batch.last_id() {
                *after = Some(last.clone());
            }
            if self.sender.send(Ok(batch)).await.is_err() {
                return Ended::Unwanted;
            }
        }
    }
}
