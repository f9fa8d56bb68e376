//! What an HTTP source is told: which address, how often, where the records stand in the answer.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;

/// A text that is never shown: a token, a header with one in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text` from `Debug`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to be sent and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
}

/// A request and its bounds, the same for streamed and polled sources.
#[derive(Debug, Clone)]
pub struct Request {
    /// `http://` or `https://`. In polled sources its path and query may hold `{date}`, the day
    /// asked for as `2024-01-31`. What follows `?` is never shown.
    pub url: Secret,
    /// How it is asked.
    pub method: Method,
    /// Sent with every request to the URL's own host and to no other; values are never shown.
    pub headers: Vec<(String, Secret)>,
    /// Sent with `POST`, as `application/json` unless a header says otherwise.
    pub body: Option<Secret>,
    /// Certificates of the authorities to trust, PEM; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long to wait.
    pub times: Times,
    /// How much to take.
    pub limits: Limits,
    /// When to try again.
    pub retry: Retry,
    /// What tells one life of the source from the next.
    pub identity: Identity,
}

impl Request {
    /// A `GET` of `url` with the default bounds.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            method: Method::Get,
            headers: Vec::new(),
            body: None,
            ca_file: None,
            times: Times::default(),
            limits: Limits::default(),
            retry: Retry::default(),
            identity: Identity::Url,
        }
    }
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Until the connection stands; 10 s by default.
    pub connect: Duration,
    /// Without a byte; 60 s by default. A streamed source that is silent for longer is connected
    /// again, for as long as it accepts that: a connection may be dead and not tell.
    pub idle: Duration,
    /// For a whole answer of a polled source, and for a single record of a streamed one, so that a
    /// server that sends a byte now and then holds nobody up; 5 min by default.
    pub whole: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            whole: Duration::from_secs(300),
        }
    }
}

/// How much an answer may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one record of a streamed source; 8 MiB by default.
    pub record_bytes: usize,
    /// Bytes of one answer of a polled source; 64 MiB by default.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes: 8 << 20,
            body_bytes: 64 << 20,
        }
    }
}

/// How often a request is tried before the epoch loop hears of it. 408, 425, 429, 5xx, a connection
/// that fails or breaks off and an answer that is cut short are tried again; all else is not.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Requests in all; 5 by default.
    pub attempts: u32,
    /// The pause before the second request. It doubles with every further one, and a random half of
    /// it is left out, so that clients do not come back all at once; 500 ms by default.
    pub first: Duration,
    /// The longest pause, and the most of a `Retry-After` that is heeded; 5 min by default.
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            first: Duration::from_millis(500),
            most: Duration::from_secs(300),
        }
    }
}

/// What tells one life of a source from the next: a stored position of another one is a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Scheme, host, port and path of the URL, `{date}` left as it is written.
    Url,
    /// This text, where the same data may move to another address.
    Given(String),
}

/// An endpoint that is asked again and again.
#[derive(Debug, Clone)]
pub struct PollRead {
    /// What is asked.
    pub request: Request,
    /// JSON pointer (RFC 6901) to the array of records; `None`: the body is the array, or the one
    /// record.
    pub records: Option<String>,
    /// How an answer leads to the next one.
    pub paging: Paging,
    /// What the next round reads.
    pub repeat: Repeat,
    /// From the start of one round to the start of the next; 24 h for daily data.
    pub interval: Duration,
    /// At most this many requests a second, retries too.
    pub requests_per_second: Option<NonZeroU32>,
    /// The days to ask for, where the URL holds `{date}`.
    pub dates: Dates,
    /// The header that carries a key with every `POST`, the same one when the request is sent again,
    /// also by another process after a crash; `None` sends none.
    pub idempotency_header: Option<String>,
    /// Whether to end after one round.
    pub bounded: bool,
}

impl PollRead {
    /// The body's records, anew every `interval`.
    pub fn new(request: Request, interval: Duration) -> Self {
        Self {
            request,
            records: None,
            paging: Paging::None,
            repeat: Repeat::Anew,
            interval,
            requests_per_second: None,
            dates: Dates::default(),
            idempotency_header: Some("Idempotency-Key".into()),
            bounded: false,
        }
    }
}

/// How an answer leads to the next one. An answer without records ends a round in every case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paging {
    /// One answer is all.
    None,
    /// The answer holds a cursor at the JSON pointer `next`, sent as query parameter `parameter`; a
    /// missing, null or empty one ends the round.
    Cursor {
        /// Where the cursor stands.
        next: String,
        /// How it is sent.
        parameter: String,
    },
    /// The cursor is a field of the answer's last record, at the JSON pointer `field` within it.
    LastRecord {
        /// Where the cursor stands.
        field: String,
        /// How it is sent.
        parameter: String,
        /// JSON pointer to a boolean that says whether more follows; `None`: until an answer has no
        /// records.
        has_more: Option<String>,
    },
    /// Pages are numbered.
    Page {
        /// How the number is sent.
        parameter: String,
        /// The number of the first page.
        first: u64,
    },
}

/// What the next round reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Everything again: lists whose records change. Their models keep the newest of each key.
    Anew,
    /// What was added behind the last record: the last page is asked again, and as many records as
    /// were read of it are passed over. The endpoint must only ever append.
    Onward,
}

/// Which days a URL with `{date}` is asked for, UTC. Each day is asked for once, in order, up to
/// today, and no day between two runs is left out.
#[derive(Debug, Clone, Copy)]
pub struct Dates {
    /// The first day without a stored position; `None`: today.
    pub start: Option<NaiveDate>,
    /// A day that is answered by 404 does not hold up later ones: it is asked for again in this
    /// interval, 15 min by default, …
    pub missing_interval: Duration,
    /// … until it is so many days old, then it is given up, with a warning; 30 by default.
    pub missing_days: u32,
}

impl Default for Dates {
    fn default() -> Self {
        Self {
            start: None,
            missing_interval: Duration::from_secs(15 * 60),
            missing_days: 30,
        }
    }
}

/// An endpoint whose answer goes on.
#[derive(Debug, Clone)]
pub struct StreamRead {
    /// What is asked.
    pub request: Request,
    /// How records stand in the answer.
    pub format: StreamFormat,
    /// How a reconnect asks for what follows.
    pub resume: Resume,
    /// Whether to end with the answer, or when nothing came for [`StreamRead::quiet`].
    pub bounded: bool,
    /// How long a bounded read waits for another record; 5 s by default.
    pub quiet: Duration,
}

impl StreamRead {
    /// Records as the answer's content type says, resumed by `Last-Event-ID`.
    pub fn new(request: Request) -> Self {
        Self {
            request,
            format: StreamFormat::Detect,
            resume: Resume::LastEventId,
            bounded: false,
            quiet: Duration::from_secs(5),
        }
    }
}

/// How records stand in a streamed answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFormat {
    /// Events where the content type is `text/event-stream`, else lines.
    Detect,
    /// One record a line; empty lines are passed over.
    Lines,
    /// Server-sent events; a record is the data of one.
    Events,
}

/// How a reconnect, or a new process, asks for what follows the last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// Not at all: what the server sends while nobody is connected is lost.
    Nothing,
    /// By the id of the last server-sent event, in the header `Last-Event-ID`.
    LastEventId,
    /// By a field of the last record, at the JSON pointer `field`, as the query parameter
    /// `parameter`.
    Parameter {
        /// Where the id stands in a record.
        field: String,
        /// How it is sent.
        parameter: String,
    },
    /// By a field of the last record in a header, for lines.
    Header {
        /// Where the id stands in a record.
        field: String,
        /// The header's name.
        header: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut request = Request::get("https://user:hunter2@example.org/?key=hunter2");
        request.headers = vec![("Authorization".into(), Secret::new("Bearer hunter2"))];
        request.body = Some(Secret::new("hunter2"));
        let shown = format!("{:?}", PollRead::new(request, Duration::ZERO));
        assert!(shown.contains("Authorization"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
