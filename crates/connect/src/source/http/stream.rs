//! An endpoint whose answer goes on: lines or server-sent events, reconnected where it breaks off.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use factmill_core::source::{BoxedError, boxed};
use futures::FutureExt;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use reqwest::{Response, StatusCode};
use tokio::time::Instant;

use super::client::{Answer, Attempt, Client};
use super::config::{Resume, StreamFormat, StreamRead};
use super::document::Pointer;
use super::error::HttpSourceError;
use super::events::Events;
use super::lines::{Ending, Lines};
use super::place::StreamPlace;
use super::{PARTITION, pause, pointer};
use crate::source::single::{Batch, Place, Read, Reader, Record};

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Reads a streamed answer; see the module's page.
pub struct StreamReader {
    client: Client,
    read: StreamRead,
    resume: Resuming,
    place: StreamPlace,
    connection: Option<Connection>,
    /// Connections in a row that failed or ended without a record.
    fruitless: u32,
    /// Not before then is connected again.
    not_before: Option<Instant>,
    /// What ended the last read behind its records.
    met: Option<Result<Next, Attempt>>,
    /// A bounded read met its end.
    ended: bool,
}

/// [`Resume`], its pointer read.
enum Resuming {
    Nothing,
    LastEventId,
    Parameter { field: Pointer, parameter: String },
    Header { field: Pointer, header: HeaderName },
}

/// An answer being read.
struct Connection {
    lines: Lines,
    /// `None`: a record a line.
    events: Option<Events>,
    /// Records to pass over: they were read before, and have no id to resume behind.
    again: u64,
}

/// What came of waiting for a record.
enum Next {
    Record,
    End,
}

impl StreamReader {
    /// A reader of what `read` declares; asks nothing yet.
    ///
    /// # Errors
    /// [`HttpSourceError`] of kind configuration for a URL, header, pointer or setting that cannot
    /// work.
    pub fn new(read: StreamRead) -> Result<Self, HttpSourceError> {
        let client = Client::new(&read.request, true)?;
        if client.asks_for_days() {
            return Err(HttpSourceError::Setting {
                place: client.place().to_owned(),
                detail: "`{date}` belongs to a polled source; leave it out or poll",
            });
        }
        Ok(Self {
            resume: Resuming::new(&read.resume, client.place())?,
            place: StreamPlace::default(),
            connection: None,
            fruitless: 0,
            not_before: None,
            met: None,
            ended: false,
            client,
            read,
        })
    }

    /// Asks for what follows the place.
    async fn connect(&mut self) -> Result<Option<Connection>, Attempt> {
        let id = self.place.id.as_deref();
        let parameter = match &self.resume {
            Resuming::Parameter { parameter, .. } => id.map(|id| (parameter.as_str(), id)),
            _ => None,
        };
        let header = match &self.resume {
            Resuming::LastEventId => id.map(|id| (&LAST_EVENT_ID, id)),
            Resuming::Header { header, .. } => id.map(|id| (header, id)),
            _ => None,
        };
        let url = self.client.url(None, parameter)?;
        let response = match self.client.send(url, header).await? {
            Answer::Here(response) => response,
            Answer::Missing(status) => {
                return Err(Attempt::Final(HttpSourceError::Status {
                    place: self.client.place().to_owned(),
                    status,
                }));
            }
        };
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let events = self.are_events(&response)?;
        let ending = if events { Ending::Any } else { Ending::Lf };
        Ok(Some(Connection {
            lines: Lines::new(
                self.client.place(),
                response,
                ending,
                self.read.request.limits.record_bytes,
                self.client.times().whole,
            ),
            events: events.then(Events::default),
            again: self.place.after,
        }))
    }

    fn are_events(&self, response: &Response) -> Result<bool, HttpSourceError> {
        let found = response.headers().get(CONTENT_TYPE);
        let found = found
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let named = found
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"));
        match self.read.format {
            StreamFormat::Detect => Ok(named),
            StreamFormat::Lines => Ok(false),
            StreamFormat::Events if named => Ok(true),
            StreamFormat::Events => Err(HttpSourceError::ContentType {
                place: self.client.place().to_owned(),
                found: found.to_owned(),
            }),
        }
    }

    /// Waits for one record and appends it. Dropping the future loses nothing.
    async fn one(&mut self, batch: &mut Batch) -> Result<Next, Attempt> {
        let Some(connection) = &mut self.connection else {
            return Ok(Next::End);
        };
        let slot = batch.partition(PARTITION);
        let mut append = |record: Record<'_>, id: Option<String>| {
            if connection.again > 0 && id.is_none() {
                connection.again -= 1;
                return;
            }
            connection.again = 0;
            self.place.pass(id);
            batch.push(slot, record);
        };
        let lines = &mut connection.lines;
        match &mut connection.events {
            Some(events) => {
                let Some(event) = events.next(lines).await? else {
                    return Ok(Next::End);
                };
                let own = event.id.filter(|_| event.named);
                let id = self.resume.id(event.data, own);
                let headers = [
                    event.id.map(|id| ("id", Some(id.as_bytes()))),
                    event.event.map(|name| ("event", Some(name.as_bytes()))),
                ];
                let headers: Vec<_> = headers.into_iter().flatten().collect();
                let record = Record {
                    payload: Some(event.data),
                    headers: &headers,
                    ..Record::default()
                };
                append(record, id);
                events.forget();
            }
            None => {
                let Some(line) = lines.next().await? else {
                    return Ok(Next::End);
                };
                lines.record_ends();
                let payload = lines.text(&line);
                if !payload.trim_ascii().is_empty() {
                    let id = self.resume.id(payload, None);
                    let record = Record {
                        payload: Some(payload),
                        ..Record::default()
                    };
                    append(record, id);
                }
            }
        }
        Ok(Next::Record)
    }

    /// Says how far the batch has come.
    fn moved(&self, batch: &mut Batch) {
        let at =
            serde_json::to_string(&self.place).expect("a text and a number are always written");
        let slot = batch.partition(PARTITION);
        batch.moved(slot, at);
    }

    /// The pause before the next connection, or the error when enough of them brought nothing.
    fn broke_off(&mut self, failed: Option<Attempt>) -> Result<(), HttpSourceError> {
        let wished = self
            .connection
            .take()
            .and_then(|connection| connection.retry());
        self.fruitless += 1;
        let pause = match failed {
            Some(failed) => self.client.after(failed, self.fruitless)?,
            None => pause::jittered(&self.client.retry(), self.fruitless),
        };
        let most = self.client.retry().most;
        let pause = pause.max(wished.unwrap_or_default()).min(most);
        if self.place.id.is_none() {
            tracing::warn!(
                source = self.client.place(),
                "the stream broke off, and no record had an id to resume behind: what is sent until it is connected again is lost"
            );
        }
        self.not_before = Some(Instant::now() + pause);
        Ok(())
    }

    /// Whether the connection stands and nothing was sent on it for a while, not even half a record:
    /// nobody's fault.
    fn is_quiet(&self, failed: &Attempt) -> bool {
        let is_late = matches!(failed, Attempt::Broken { source, .. } if source.is_timeout());
        is_late
            && (self.connection.as_ref())
                .is_some_and(|connection| !connection.lines.is_within_record())
    }

    /// Waits for a record; a bounded read only so long.
    async fn first(&mut self, batch: &mut Batch) -> Result<Next, Attempt> {
        if let Some(met) = self.met.take() {
            return met;
        }
        if !self.read.bounded {
            return self.one(batch).await;
        }
        let quiet = self.read.quiet;
        match tokio::time::timeout(quiet, self.one(batch)).await {
            Ok(next) => next,
            Err(_) => Ok(Next::End),
        }
    }

    /// Appends what is there already; keeps what else it meets for the next read.
    fn drain(&mut self, batch: &mut Batch) {
        while !batch.is_full() {
            match self.one(batch).now_or_never() {
                Some(Ok(Next::Record)) => {}
                met => {
                    self.met = met;
                    return;
                }
            }
        }
    }
}

#[async_trait]
impl Reader for StreamReader {
    fn describe(&self) -> String {
        format!("http source `{}`", self.client.place())
    }

    async fn identity(&mut self) -> Result<String, BoxedError> {
        Ok(self.client.identity().to_owned())
    }

    async fn partitions(&mut self) -> Result<Vec<String>, BoxedError> {
        Ok(vec![PARTITION.to_owned()])
    }

    async fn seek(&mut self, stored: &HashMap<String, Place>) -> Result<(), BoxedError> {
        self.place = super::stored(stored, self.client.place()).map_err(boxed)?;
        (self.connection, self.met) = (None, None);
        self.fruitless = 0;
        self.ended = false;
        Ok(())
    }

    async fn read(&mut self, batch: &mut Batch) -> Result<Read, BoxedError> {
        loop {
            if self.ended {
                return Ok(Read::End);
            }
            if self.connection.is_none() {
                if let Some(until) = self.not_before {
                    tokio::time::sleep_until(until).await;
                }
                match self.connect().await {
                    Ok(Some(connection)) => self.connection = Some(connection),
                    Ok(None) => {
                        self.ended = self.read.bounded;
                        self.broke_off(None).map_err(boxed)?;
                    }
                    Err(failed) => self.broke_off(Some(failed)).map_err(boxed)?,
                }
                continue;
            }
            match self.first(batch).await {
                Ok(Next::Record) => {
                    self.fruitless = 0;
                    self.not_before = None;
                    self.drain(batch);
                    if !batch.is_empty() {
                        self.moved(batch);
                        return Ok(Read::More);
                    }
                }
                Ok(Next::End) if self.read.bounded => self.ended = true,
                Ok(Next::End) => self.broke_off(None).map_err(boxed)?,
                Err(failed) if self.is_quiet(&failed) => {
                    let silent = self.client.times().idle;
                    tracing::info!(
                        source = self.client.place(),
                        ?silent,
                        "nothing was sent; connecting again"
                    );
                    self.fruitless = 0;
                    self.broke_off(None).map_err(boxed)?;
                }
                Err(failed) => self.broke_off(Some(failed)).map_err(boxed)?,
            }
        }
    }
}

impl Connection {
    fn retry(&self) -> Option<Duration> {
        self.events.as_ref().and_then(Events::retry)
    }
}

impl Resuming {
    fn new(resume: &Resume, place: &str) -> Result<Self, HttpSourceError> {
        Ok(match resume {
            Resume::Nothing => Self::Nothing,
            Resume::LastEventId => Self::LastEventId,
            Resume::Parameter { field, parameter } => Self::Parameter {
                field: pointer(field)?,
                parameter: parameter.clone(),
            },
            Resume::Header { field, header } => Self::Header {
                field: pointer(field)?,
                header: HeaderName::try_from(header.as_str()).map_err(|_| {
                    HttpSourceError::Header {
                        place: place.to_owned(),
                        name: header.clone(),
                    }
                })?,
            },
        })
    }

    /// The record's own id. One that is no JSON or has none where it should be has no id.
    fn id(&self, payload: &[u8], event_id: Option<&str>) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::LastEventId => event_id.map(str::to_owned),
            Self::Parameter { field, .. } | Self::Header { field, .. } => {
                field.text(std::str::from_utf8(payload).ok()?).ok()?
            }
        }
    }
}
