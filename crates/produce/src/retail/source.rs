//! The source of events: the thread's side of the stream.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use factmill_core::error::ErrorKind;
use factmill_core::source::{BoxedError, Classified, boxed};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fault::fault;
use super::parse::{Batch, Id};
use super::stream::{Brought, Reader, StreamFormat};
use crate::bookmark::{Bookmark, BookmarkError};
use crate::event::{Event, EventSource, Next};
use crate::http::{Address, ApiKey, HttpClient, HttpError};
use crate::rate::Rate;

/// Pieces of the response that wait to be sent.
const AHEAD: usize = 4;
/// How long one call of `next` waits for a piece.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a run depends on.
#[derive(Debug, Clone)]
pub struct RetailSettings {
    /// The stream's address, such as `http://127.0.0.1:9100/stream`.
    pub url: String,
    /// Sent as a bearer token, where the service wants one.
    pub key: Option<ApiKey>,
    /// The format to ask for; the service may answer in the other one.
    pub format: StreamFormat,
    /// The pace to ask the service for; without one it decides.
    pub rate: Option<Rate>,
    /// Which events are broken depends on it.
    pub seed: u64,
    /// How many of a hundred events are broken, 0 to 100.
    pub bad_percent: f64,
    /// Keeps the place behind the last acknowledged event, so that another run goes on there.
    pub state: Option<PathBuf>,
}

impl RetailSettings {
    /// JSON lines from `url` at the service's pace, from the first event on.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            key: None,
            format: StreamFormat::JsonLines,
            rate: None,
            seed: 0,
            bad_percent: 0.0,
            state: None,
        }
    }

    /// A seed that nobody has used.
    pub fn fresh_seed() -> u64 {
        rand::random()
    }
}

/// Why the source of events cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum RetailError {
    /// A share that is no percentage.
    #[error("{0} percent of broken events is not between 0 and 100")]
    BadPercent(f64),
    /// The service cannot be used.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The place to go on from cannot be read or kept.
    #[error(transparent)]
    Bookmark(#[from] BookmarkError),
}

impl Classified for RetailError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::BadPercent(_) => ErrorKind::Configuration,
            Self::Http(error) => error.kind(),
            Self::Bookmark(error) => error.kind(),
        }
    }
}

/// Where another run goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Place {
    /// Behind this record; nothing where the service gives no ids.
    after: Option<Id>,
    /// Events before it.
    events: u64,
}

/// [`EventSource`] of the records of a streaming response, keyed by store.
///
/// A response that breaks off is asked for again behind its last record (`?after=`,
/// `Last-Event-ID`), without end; status 204 is the end of the stream. A refused key or address is
/// an error. Dropping the source ends its task.
#[derive(Debug)]
pub struct RetailSource {
    runtime: Handle,
    brought: Receiver<Brought>,
    task: JoinHandle<()>,
    batch: Batch,
    bookmark: Bookmark<Place>,
    place: Place,
    seed: u64,
    bad_percent: f64,
}

impl RetailSource {
    /// Connects on `runtime` and begins to read.
    ///
    /// [`EventSource::next`] must then be called outside of the runtime's own threads, such as from
    /// the thread that [`produce`](crate::produce) makes for it.
    ///
    /// # Errors
    /// [`RetailError`] when the address, the share of broken events or the state file is wrong.
    pub fn start(settings: RetailSettings, runtime: Handle) -> Result<Self, RetailError> {
        if !(0.0..=100.0).contains(&settings.bad_percent) {
            return Err(RetailError::BadPercent(settings.bad_percent));
        }
        let mut address = Address::parse(&settings.url)?;
        let belongs_to = format!("events of {address}");
        let (bookmark, place) = Bookmark::open(settings.state, belongs_to)?;
        let place = place.unwrap_or(Place {
            after: None,
            events: 0,
        });
        if let Some(rate) = settings.rate {
            address = address.with("rate", &rate.to_string());
        }
        let (sender, brought) = channel(AHEAD);
        let reader = Reader {
            http: HttpClient::new(&address)?,
            address,
            key: settings.key,
            format: settings.format,
            sender,
        };
        Ok(Self {
            task: runtime.spawn(reader.run(place.after.clone())),
            runtime,
            brought,
            batch: Batch::default(),
            bookmark,
            place,
            seed: settings.seed,
            bad_percent: settings.bad_percent,
        })
    }
}

impl EventSource for RetailSource {
    fn next(&mut self, event: &mut Event) -> Result<Next, BoxedError> {
        let (bounds, id) = loop {
            if let Some(taken) = self.batch.take() {
                break taken;
            }
            let brought = &mut self.brought;
            let brought = self
                .runtime
                .block_on(async { timeout(PATIENCE, brought.recv()).await });
            match brought {
                Err(_) => return Ok(Next::Wait(Duration::from_millis(2))),
                Ok(None) => return Ok(Next::End),
                Ok(Some(batch)) => {
                    self.batch = batch.map_err(|error| boxed(RetailError::Http(error)))?;
                }
            }
        };
        let record = self.batch.bytes(bounds);
        if let Some(store) = store_id(record) {
            event.set_key(store.as_bytes());
        }
        event.payload_mut().extend_from_slice(record);
        // The service's own number decides where there is one, so that a run that goes on somewhere
        // else breaks the same events.
        let number = match id {
            Some(Id::Number(number)) => number,
            _ => self.place.events,
        };
        if let Some((fault, mut dice)) = fault(self.seed, number, self.bad_percent) {
            fault.apply(&mut dice, event);
        }
        self.place.events += 1;
        if id.is_some() {
            self.place.after = id;
        }
        self.bookmark.given(|| self.place.clone());
        Ok(Next::Event)
    }

    fn acknowledged(&mut self, count: u64) -> Result<(), BoxedError> {
        self.bookmark.acknowledged(count).map_err(boxed)
    }
}

impl Drop for RetailSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The part of an event that its key comes from.
#[derive(Deserialize)]
struct Keyed<'a> {
    #[serde(borrow)]
    store: StoreId<'a>,
}

#[derive(Deserialize)]
struct StoreId<'a> {
    #[serde(borrow)]
    store_id: Cow<'a, str>,
}

/// The store of an event; an event without one is sent without a key.
fn store_id(record: &[u8]) -> Option<Cow<'_, str>> {
    let keyed: Keyed<'_> = serde_json::from_slice(record).ok()?;
    Some(keyed.store.store_id)
}
