//! The source of messages: a task that calls the API, and the thread that takes what it brings.

use std::time::Duration;

use factmill_core::source::{BoxedError, boxed};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::api::{Page, Place, StripeApi};
use super::error::StripeError;
use super::fault::fault;
use super::requests::ChargeRequests;
use super::settings::{Mode, StripeSettings};
use crate::bookmark::Bookmark;
use crate::event::{Event, EventSource, Next};
use crate::http::{Address, HttpClient, HttpError};

/// Messages that wait to be sent.
const AHEAD: usize = 2;
/// How long one call of `next` waits for a message.
const PATIENCE: Duration = Duration::from_millis(50);

/// Where another run goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mark {
    /// At this batch of the seed.
    Batch { seed: u64, next: u64 },
    /// Within the charges that were there at the start: they are listed again.
    Beginning,
    /// At the charges that are newer than this one.
    After(String),
}

/// A message that is ready to be sent.
#[derive(Debug)]
struct Message {
    /// The number of the batch.
    batch: u64,
    payload: Vec<u8>,
    mark: Mark,
}

type Brought = Result<Message, HttpError>;

/// [`EventSource`] of messages of charges; it never ends.
///
/// Network trouble, 429 and 5xx are tried again without end; what a person has to mend, such as a
/// key that is refused, ends it. Dropping it ends its task.
#[derive(Debug)]
pub struct StripeSource {
    runtime: Handle,
    messages: Receiver<Brought>,
    task: JoinHandle<()>,
    bookmark: Bookmark<Mark>,
    seed: u64,
    bad_percent: f64,
}

impl StripeSource {
    /// Begins to call the API on `runtime`; nothing is called before the first message is due.
    ///
    /// [`EventSource::next`] must then be called outside of the runtime's own threads, such as from
    /// the thread that [`produce`](crate::produce) makes for it.
    ///
    /// # Errors
    /// [`StripeError`] when the settings, the address, the key's kind or the state file are wrong.
    pub fn start(settings: StripeSettings, runtime: Handle) -> Result<Self, StripeError> {
        settings.check()?;
        let base = Address::parse(&settings.base_url)?;
        if !base.is_private() {
            return Err(StripeError::Unencrypted { address: base });
        }
        let belongs_to = match settings.mode {
            Mode::Create => format!("charges made at {base}"),
            Mode::List => format!("charges listed at {base}"),
        };
        let (bookmark, mark) = Bookmark::open(settings.state.clone(), belongs_to)?;
        let (seed, first) = begin(&settings, mark.as_ref());
        let http = HttpClient::new(&base)?;
        let (sender, messages) = channel(AHEAD);
        let task = {
            let _context = runtime.enter();
            let api = StripeApi::new(http, &base, settings.key, settings.requests_per_second);
            let caller = Caller {
                api,
                every: settings.every,
                most: settings.charges,
                sender,
            };
            runtime.spawn(caller.run(settings.mode, seed, first, mark))
        };
        Ok(Self {
            runtime,
            messages,
            task,
            bookmark,
            seed,
            bad_percent: settings.bad_percent,
        })
    }

    /// The seed of the run; print it, so that the run can be repeated.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

/// The seed and the first batch of a run: a seed that is asked for gives its events from the first on.
fn begin(settings: &StripeSettings, mark: Option<&Mark>) -> (u64, u64) {
    match (settings.seed, mark) {
        (None, Some(&Mark::Batch { seed, next })) => (seed, next),
        (wanted, _) => (
            wanted.unwrap_or_else(StripeSettings::fresh_seed),
            settings.first_batch,
        ),
    }
}

impl EventSource for StripeSource {
    fn next(&mut self, event: &mut Event) -> Result<Next, BoxedError> {
        let messages = &mut self.messages;
        let brought = self
            .runtime
            .block_on(async { timeout(PATIENCE, messages.recv()).await });
        let message = match brought {
            Err(_) => return Ok(Next::Wait(Duration::from_millis(2))),
            Ok(None) => return Ok(Next::End),
            Ok(Some(brought)) => brought.map_err(|error| boxed(StripeError::Http(error)))?,
        };
        event.set_key(message.batch.to_string().as_bytes());
        event.payload_mut().extend_from_slice(&message.payload);
        if let Some((fault, mut dice)) = fault(self.seed, message.batch, self.bad_percent) {
            fault.apply(&mut dice, event);
        }
        self.bookmark.given(|| message.mark);
        Ok(Next::Event)
    }

    fn acknowledged(&mut self, count: u64) -> Result<(), BoxedError> {
        self.bookmark.acknowledged(count).map_err(boxed)
    }
}

impl Drop for StripeSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why the task ends.
enum Stop {
    /// Nobody takes messages any more.
    Over,
    /// The API cannot be used.
    Failed(HttpError),
}

impl From<HttpError> for Stop {
    fn from(error: HttpError) -> Self {
        Self::Failed(error)
    }
}

/// The task's side.
struct Caller {
    api: StripeApi,
    every: Duration,
    most: u32,
    sender: Sender<Brought>,
}

impl Caller {
    async fn run(mut self, mode: Mode, seed: u64, first: u64, mark: Option<Mark>) {
        let stop = match mode {
            Mode::Create => self.create(seed, first).await,
            Mode::List => self.list(mark).await,
        };
        if let Err(Stop::Failed(error)) = stop {
            // A receiver that is gone wants no reason any more.
            let _ = self.sender.send(Err(error)).await;
        }
    }

    /// Makes batch after batch, one every so often.
    async fn create(&mut self, seed: u64, first: u64) -> Result<(), Stop> {
        let requests = ChargeRequests::new(seed, self.most);
        let mut due = Due::every(self.every);
        for batch in first.. {
            due.wait().await;
            let mut charges = Vec::new();
            for request in requests.batch(batch) {
                charges.push(self.api.create(&request).await?.unwrap_or_default());
            }
            let next = batch + 1;
            self.send(batch, &charges, Mark::Batch { seed, next })
                .await?;
        }
        Ok(())
    }

    /// Lists what is there, then what comes.
    async fn list(&mut self, mark: Option<Mark>) -> Result<(), Stop> {
        let mut newest = match mark {
            Some(Mark::After(newest)) => Some(newest),
            _ => None,
        };
        let (mut batch, mut due) = (0, Due::every(self.every));
        loop {
            due.wait().await;
            newest = match newest {
                None => self.back_from_newest(&mut batch).await?,
                Some(known) => Some(self.newer_than(known, &mut batch).await?),
            };
        }
    }

    /// From the newest charge back to the first; the newest one, if there is any.
    async fn back_from_newest(&mut self, batch: &mut u64) -> Result<Option<String>, Stop> {
        let mut newest = None;
        let mut place = Place::Newest;
        loop {
            let Page { charges, has_more } = self.api.list(&place, self.most).await?;
            let (Some(first), Some(last)) = (id(charges.first()), id(charges.last())) else {
                return Ok(newest);
            };
            let newest = newest.get_or_insert(first);
            let mark = if has_more {
                Mark::Beginning
            } else {
                Mark::After(newest.clone())
            };
            self.send(*batch, &charges, mark).await?;
            *batch += 1;
            if !has_more {
                return Ok(Some(newest.clone()));
            }
            place = Place::OlderThan(last);
        }
    }

    /// What came after `known`, in the order in which it came; the newest one then.
    async fn newer_than(&mut self, mut known: String, batch: &mut u64) -> Result<String, Stop> {
        loop {
            let place = Place::NewerThan(known.clone());
            let Page { charges, has_more } = self.api.list(&place, self.most).await?;
            let Some(newest) = id(charges.first()) else {
                return Ok(known);
            };
            known = newest;
            self.send(*batch, &charges, Mark::After(known.clone()))
                .await?;
            *batch += 1;
            if !has_more {
                return Ok(known);
            }
        }
    }

    async fn send(&self, batch: u64, charges: &[Value], mark: Mark) -> Result<(), Stop> {
        let message = Message {
            batch,
            payload: payload(charges),
            mark,
        };
        self.sender.send(Ok(message)).await.map_err(|_| Stop::Over)
    }
}

fn id(charge: Option<&Value>) -> Option<String> {
    charge?["id"].as_str().map(str::to_owned)
}

/// `{"transactions":[charge,…]}`.
pub(super) fn payload(charges: &[Value]) -> Vec<u8> {
    use std::io::Write;
    let mut payload = b"{\"transactions\":[".to_vec();
    for (place, charge) in charges.iter().enumerate() {
        if place > 0 {
            payload.push(b',');
        }
        // Writing into memory does not fail.
        let _ = write!(payload, "{charge}");
    }
    payload.extend_from_slice(b"]}");
    payload
}

/// Says when the next batch is due; at once where there is no pause between batches.
struct Due(Option<tokio::time::Interval>);

impl Due {
    fn every(pause: Duration) -> Self {
        Self((!pause.is_zero()).then(|| {
            let mut due = interval(pause);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            due
        }))
    }

    async fn wait(&mut self) {
        if let Some(due) = &mut self.0 {
            due.tick().await;
        }
    }
}
