//! A client of the services: opens a response, counts what it shows, opens it again when it breaks.

use std::future::Future;

use async_recursion::async_recursion as boxed;
use axum::body::Bytes;
use factmill_core::error::backoff;
use futures::stream::{BoxStream, StreamExt};
use reqwest::{Client, Response, StatusCode, header};
use sse_stream::SseByteStream;
use tokio_util::sync::CancellationToken;

use super::ask::Ask;
use super::error::FollowError;
use super::http;

/// So much of an answer that is no stream of events is shown.
const EXCERPT: usize = 200;

/// A client of the two services.
#[derive(Debug, Clone)]
pub struct Follower {
    client: Client,
}

/// What a response has shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Followed {
    /// Documents, all of them acknowledged by Kafka.
    pub documents: u64,
    /// Those of them that are no JSON.
    pub broken: u64,
    /// Times that there was none, or that it was not stored.
    pub problems: u64,
    /// Times that the response broke off and was opened again.
    pub reopened: u64,
}

/// The parts of an open response as they come.
pub type Parts = BoxStream<'static, Result<Bytes, reqwest::Error>>;

impl Follower {
    /// # Errors
    /// [`FollowError::Client`].
    pub fn new() -> Result<Self, FollowError> {
        let client = http::client().build().map_err(FollowError::Client)?;
        Ok(Self { client })
    }

    /// Opens the response at `url`, such as `http://127.0.0.1:8000/real_time_response`, to be passed
    /// on as it comes.
    ///
    /// # Errors
    /// [`FollowError`]: nobody answers, or with something else than events.
    #[boxed]
    pub async fn open(&self, url: &str) -> Result<Parts, FollowError> {
        Ok(self.answer(url).await?.bytes_stream().boxed())
    }

    /// Counts what the response at `url` shows until it ends, or `cancel` is cancelled. `progress`
    /// hears of each change.
    ///
    /// A response that breaks off is opened again, with growing pauses, at the document after the last
    /// one that was shown.
    ///
    /// # Errors
    /// [`FollowError`], where the first attempt finds no service, or any attempt is refused.
    pub async fn follow(
        &self,
        url: &str,
        ask: Ask,
        cancel: &CancellationToken,
        mut progress: impl FnMut(&Followed),
    ) -> Result<Followed, FollowError> {
        let mut followed = Followed::default();
        let mut attempt = 0;
        loop {
            let Some(opened) = unless(cancel, self.answer(&address(url, ask, &followed))).await
            else {
                return Ok(followed);
            };
            match opened {
                Ok(answer) => {
                    let before = followed;
                    match unless(cancel, count(answer, &mut followed, &mut progress)).await {
                        None | Some(Ended::Done) => return Ok(followed),
                        Some(Ended::Broken) => {}
                    }
                    if followed != before {
                        attempt = 0;
                    }
                }
                Err(error @ FollowError::Unreachable { .. }) if followed.reopened > 0 => {
                    tracing::debug!(%error, "the service does not answer yet");
                }
                Err(error) => return Err(error),
            }
            followed.reopened += 1;
            attempt += 1;
            tracing::info!(url, "the response broke off and is opened again");
            if unless(cancel, tokio::time::sleep(backoff(attempt)))
                .await
                .is_none()
            {
                return Ok(followed);
            }
        }
    }

    async fn answer(&self, url: &str) -> Result<Response, FollowError> {
        let asked = self
            .client
            .get(url)
            .header(header::ACCEPT, "text/event-stream");
        let answer = asked
            .send()
            .await
            .map_err(|source| FollowError::Unreachable {
                url: url.to_owned(),
                source: source.without_url(),
            })?;
        let is_events = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if answer.status() == StatusCode::OK && is_events {
            return Ok(answer);
        }
        Err(refused(url, answer).await)
    }
}

/// The address of what is left to ask for.
fn address(url: &str, ask: Ask, followed: &Followed) -> String {
    let left = Ask {
        count: ask
            .count
            .map(|count| count.saturating_sub(followed.documents)),
        // Only a seed makes a sequence that can go on somewhere.
        from: match ask.seed {
            Some(_) => ask.from.wrapping_add(followed.documents),
            None => ask.from,
        },
        ..ask
    };
    match left.to_string() {
        query if query.is_empty() => url.to_owned(),
        query => format!("{url}?{query}"),
    }
}

enum Ended {
    Done,
    Broken,
}

async fn count(
    answer: Response,
    followed: &mut Followed,
    progress: &mut impl FnMut(&Followed),
) -> Ended {
    let mut events = std::pin::pin!(SseByteStream::new(answer.bytes_stream()));
    while let Some(Ok(event)) = events.next().await {
        match event.event.as_deref() {
            Some("end") => return Ended::Done,
            Some("problem") => followed.problems += 1,
            Some("broken") => {
                followed.documents += 1;
                followed.broken += 1;
            }
            None if event.data.is_some() => followed.documents += 1,
            _ => continue,
        }
        progress(followed);
    }
    Ended::Broken
}

async fn refused(url: &str, answer: Response) -> FollowError {
    let status = answer.status().as_u16();
    // What it says is for a person; where even that breaks off, the status has to do.
    let said = match answer.bytes_stream().next().await {
        Some(Ok(part)) => String::from_utf8_lossy(&part)
            .chars()
            .take(EXCERPT)
            .collect(),
        _ => "nothing".to_owned(),
    };
    FollowError::Refused {
        url: url.to_owned(),
        status,
        said,
    }
}

async fn unless<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    cancel.run_until_cancelled(work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_with_a_seed_goes_on_where_it_broke_off() {
        let followed = Followed {
            documents: 30,
            ..Followed::default()
        };
        let ask = |seed| Ask {
            count: Some(100),
            seed,
            ..Ask::default()
        };
        assert_eq!(
            address("http://x/r", ask(Some(7)), &followed),
            "http://x/r?count=70&seed=7&from=30"
        );
        assert_eq!(
            address("http://x/r", ask(None), &followed),
            "http://x/r?count=70"
        );
        assert_eq!(
            address("http://x/r", Ask::default(), &followed),
            "http://x/r"
        );
    }
}
