//! An HTTP endpoint as a source: what a job file says of it, and what that means.
//!
//! What is left out is `None` here: the reader of the endpoint knows its own bounds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::yaml::{ByteSize, Period};

/// An HTTP endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOrigin {
    /// Its URL; in a polled one `{date}` is a day (UTC), each day once.
    pub url: String,
    /// How it is asked.
    pub method: HttpMethod,
    /// Headers; a value may be a secret, so `Debug` is not for logs.
    pub headers: Vec<(String, String)>,
    /// What a `POST` carries; it may hold a secret too.
    pub body: Option<String>,
    /// Certificates of the authorities to trust, PEM; relative to the project.
    pub ca_file: Option<PathBuf>,
    /// What a stored position belongs to, instead of the URL.
    pub identity: Option<String>,
    /// How long an answer may take.
    pub timeouts: HttpTimeouts,
    /// The most bytes of an answer, or of a record of one that goes on.
    pub max_bytes: Option<usize>,
    /// When it is asked again after a failure.
    pub retry: HttpRetry,
    /// Whether it is asked again and again, or goes on by itself.
    pub read: HttpRead,
}

/// How an HTTP endpoint is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpMethod {
    /// `GET`.
    #[default]
    Get,
    /// `POST`.
    Post,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// Until the connection stands.
    pub connect: Option<Duration>,
    /// Without a byte.
    pub idle: Option<Duration>,
    /// For the whole answer, or for one record of an answer that goes on.
    pub whole: Option<Duration>,
}

/// When an endpoint is asked again after a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HttpRetry {
    /// Requests in all.
    pub attempts: Option<u32>,
    /// The pause before the second one.
    pub first_pause: Option<Duration>,
    /// The longest pause.
    pub longest_pause: Option<Duration>,
}

/// How an HTTP endpoint is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpRead {
    /// Asked again and again.
    Poll(HttpPoll),
    /// A response that goes on: JSON lines or server-sent events.
    Stream(HttpStream),
}

/// An endpoint that is asked again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpPoll {
    /// From one round to the next.
    pub every: Duration,
    /// JSON pointer to the array of records in the answer; the answer itself where it is none.
    pub records: Option<String>,
    /// How pages follow each other.
    pub paging: HttpPaging,
    /// What the next round reads.
    pub repeat: HttpRepeat,
    /// Requests a second at most.
    pub requests_per_second: Option<u32>,
    /// The header that carries the key of a `POST`; empty: none.
    pub idempotency_header: Option<String>,
    /// The first day of a URL with `{date}`; the day of the first start by default.
    pub start_date: Option<NaiveDate>,
    /// How often a day that was not there is asked for again.
    pub missing_every: Option<Duration>,
    /// After how many days it is given up.
    pub missing_days: Option<u32>,
}

/// An endpoint whose answer goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpStream {
    /// How records stand in the answer; `None`: as its content type says.
    pub framing: Option<HttpFraming>,
    /// How a reconnect asks for what follows.
    pub resume: HttpResume,
}

/// How the pages of a polled endpoint follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpPaging {
    /// There is one.
    None,
    /// Each page names the cursor of the next.
    Cursor {
        /// JSON pointer to the cursor.
        next: String,
        /// The query's parameter that takes it.
        parameter: String,
    },
    /// A field of a page's last record leads to the next page.
    LastRecord {
        /// JSON pointer to the field within the record.
        field: String,
        /// The query's parameter that takes it.
        parameter: String,
        /// JSON pointer to a boolean of the answer that says whether more follows; `None`: until a
        /// page is empty.
        has_more: Option<String>,
    },
    /// They are numbered.
    Page {
        /// The query's parameter that takes the number.
        parameter: String,
        /// The first number.
        first: u64,
    },
}

/// What the next round of a polled endpoint reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpRepeat {
    /// Everything again; for lists whose records change.
    #[default]
    Anew,
    /// What was added behind the last record; for lists that only grow at their end.
    Onward,
}

/// How records stand in an answer that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpFraming {
    /// One a line.
    Lines,
    /// Server-sent events; a record is the data of one.
    Events,
}

/// How a reconnect, or a new process, asks for what follows the last record.
///
/// No variant is a unit: beside one serde would pass over keys that are not known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(
    description = "How a reconnect, or a new process, asks for what follows the last record."
)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum HttpResume {
    /// By the id of the last server-sent event, in the header `Last-Event-ID`.
    LastEventId {},
    /// By a field of the last record, in the query.
    Parameter {
        /// JSON pointer to the field within a record, such as `/id`.
        field: String,
        /// The query's parameter that takes it.
        parameter: String,
    },
    /// By a field of the last record, in a header.
    Header {
        /// JSON pointer to the field within a record, such as `/id`.
        field: String,
        /// The header that takes it.
        header: String,
    },
    /// Not at all: what is sent while nobody is connected is lost.
    Nothing {},
}

impl Default for HttpResume {
    fn default() -> Self {
        Self::LastEventId {}
    }
}

/// An HTTP endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpFile {
    /// Its URL; where it is polled, `{date}` is a day (UTC), each day once.
    #[schemars(length(min = 1))]
    url: String,
    /// Ask again after this long; without it the answer is one that goes on, JSON lines or
    /// server-sent events.
    every: Option<Period>,
    /// How it is asked; `get` by default.
    #[serde(default)]
    method: HttpMethod,
    /// Headers of the request, such as `Authorization: Bearer ${TOKEN}`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// What a `post` carries, as `application/json` unless `headers` say otherwise.
    body: Option<String>,
    /// Certificates of the authorities to trust, a PEM file; those of the system by default.
    ca_file: Option<PathBuf>,
    /// What a stored position belongs to, where the data may move to another URL; by default scheme,
    /// host, port and path of this one.
    #[schemars(length(min = 1))]
    identity: Option<String>,
    /// How long an answer may take.
    #[serde(default)]
    timeouts: TimeoutsFile,
    /// The most bytes of an answer, 64 MiB by default; of an answer that goes on, of one record, 8 MiB
    /// by default.
    max_bytes: Option<ByteSize>,
    /// When it is asked again after a failure.
    #[serde(default)]
    retry: RetryFile,
    /// JSON pointer to the array of records in the answer, such as `/data`.
    records: Option<String>,
    /// Each page names the cursor of the next.
    cursor: Option<CursorFile>,
    /// A field of a page's last record leads to the next page.
    last_record: Option<LastRecordFile>,
    /// Pages are numbered.
    page: Option<PageFile>,
    /// What the next round reads: everything `anew` (the default), or `onward` behind the last record.
    repeat: Option<HttpRepeat>,
    /// Requests a second at most.
    #[schemars(range(min = 1))]
    requests_per_second: Option<u32>,
    /// The header that carries a key with every `post`, the same one when it is sent again;
    /// `Idempotency-Key` by default, none where it is empty.
    idempotency_header: Option<String>,
    /// The first day of a URL with `{date}`, `YYYY-MM-DD`; the day of the first start by default.
    #[schemars(regex(pattern = r"^\d{4}-\d\d-\d\d$"))]
    start_date: Option<String>,
    /// Days of a URL with `{date}` that are not there yet.
    missing: Option<MissingFile>,
    /// How records stand in an answer that goes on; by default as its content type says.
    framing: Option<HttpFraming>,
    /// How a reconnect to an answer that goes on asks for what follows; by `last_event_id` by default.
    resume: Option<HttpResume>,
}

/// How long an answer may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TimeoutsFile {
    /// Until the connection stands; 10 s by default.
    connect: Option<Period>,
    /// Without a byte; 60 s by default. An answer that goes on and is silent for longer is connected
    /// to again.
    idle: Option<Period>,
    /// For the whole answer, or for one record of an answer that goes on; 5 min by default.
    whole: Option<Period>,
}

/// When it is asked again after a failure.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RetryFile {
    /// Requests in all, before the job pauses; 5 by default.
    #[schemars(range(min = 1))]
    attempts: Option<u32>,
    /// The pause before the second one, doubled with every further one; 500 ms by default.
    first_pause: Option<Period>,
    /// The longest pause, also where the server asks for a longer one; 5 min by default.
    longest_pause: Option<Period>,
}

/// Each page names the cursor of the next.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CursorFile {
    /// JSON pointer to the cursor in the answer, such as `/next`.
    next: String,
    /// The query's parameter that takes it.
    parameter: String,
}

/// A field of a page's last record leads to the next page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LastRecordFile {
    /// JSON pointer to the field within a record, such as `/id`.
    field: String,
    /// The query's parameter that takes it.
    parameter: String,
    /// JSON pointer to a boolean of the answer that says whether more follows, such as `/has_more`;
    /// without it pages are asked for until one is empty.
    has_more: Option<String>,
}

/// Pages are numbered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PageFile {
    /// The query's parameter that takes the number.
    parameter: String,
    /// The first number; 1 by default.
    first: Option<u64>,
}

/// Days that are not there yet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MissingFile {
    /// How often they are asked for again; 15 min by default.
    every: Option<Period>,
    /// After how many days one is given up; 30 by default.
    days: Option<u32>,
}

impl HttpFile {
    /// What it means.
    ///
    /// # Errors
    /// Which keys do not go together, or what is wrong with one.
    pub(super) fn origin(&self) -> Result<HttpOrigin, String> {
        if self.method == HttpMethod::Get {
            for (key, is_set) in [
                ("body", self.body.is_some()),
                ("idempotency_header", self.idempotency_header.is_some()),
            ] {
                if is_set {
                    return Err(format!("`{key}` goes with `method: post`"));
                }
            }
        }
        let max_bytes = self.max_bytes.map(ByteSize::bytes);
        if max_bytes == Some(0) {
            return Err("`max_bytes` is 0, which no answer keeps to; leave it out".into());
        }
        Ok(HttpOrigin {
            url: self.url.clone(),
            method: self.method,
            headers: self.headers.clone().into_iter().collect(),
            body: self.body.clone(),
            ca_file: self.ca_file.clone(),
            identity: self.identity.clone(),
            timeouts: self.timeouts.read()?,
            max_bytes: max_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            retry: HttpRetry {
                attempts: self.retry.attempts,
                first_pause: self.retry.first_pause.map(Period::duration),
                longest_pause: self.retry.longest_pause.map(Period::duration),
            },
            read: match self.every {
                Some(every) => HttpRead::Poll(self.poll(every)?),
                None => HttpRead::Stream(self.stream()?),
            },
        })
    }

    fn poll(&self, every: Period) -> Result<HttpPoll, String> {
        for (key, is_set) in [
            ("framing", self.framing.is_some()),
            ("resume", self.resume.is_some()),
        ] {
            if is_set {
                return Err(format!(
                    "`{key}` goes with an answer that goes on, and `every` asks for one again and again"
                ));
            }
        }
        let repeat = self.repeat.unwrap_or_default();
        if self.url.contains("{date}") {
            if repeat == HttpRepeat::Onward {
                return Err(
                    "`repeat: onward` does not go with `{date}`: each day is read once".into(),
                );
            }
        } else {
            for (key, is_set) in [
                ("start_date", self.start_date.is_some()),
                ("missing", self.missing.is_some()),
            ] {
                if is_set {
                    return Err(format!("`{key}` goes with a `url` that holds `{{date}}`"));
                }
            }
        }
        let date = |text: &String| {
            text.parse()
                .map_err(|_| format!("start_date `{text}` is no day"))
        };
        let missing = self.missing.as_ref();
        Ok(HttpPoll {
            every: every.duration(),
            records: self.records.clone(),
            paging: self.paging()?,
            repeat,
            requests_per_second: self.requests_per_second,
            idempotency_header: self.idempotency_header.clone(),
            start_date: self.start_date.as_ref().map(date).transpose()?,
            missing_every: missing.and_then(|days| days.every).map(Period::duration),
            missing_days: missing.and_then(|days| days.days),
        })
    }

    fn paging(&self) -> Result<HttpPaging, String> {
        Ok(match (&self.cursor, &self.last_record, &self.page) {
            (None, None, None) => HttpPaging::None,
            (Some(cursor), None, None) => HttpPaging::Cursor {
                next: cursor.next.clone(),
                parameter: cursor.parameter.clone(),
            },
            (None, Some(last), None) => HttpPaging::LastRecord {
                field: last.field.clone(),
                parameter: last.parameter.clone(),
                has_more: last.has_more.clone(),
            },
            (None, None, Some(page)) => HttpPaging::Page {
                parameter: page.parameter.clone(),
                first: page.first.unwrap_or(1),
            },
            _ => return Err("`cursor`, `last_record` and `page` exclude each other".into()),
        })
    }

    fn stream(&self) -> Result<HttpStream, String> {
        for (key, is_set) in [
            ("records", self.records.is_some()),
            ("cursor", self.cursor.is_some()),
            ("last_record", self.last_record.is_some()),
            ("page", self.page.is_some()),
            ("repeat", self.repeat.is_some()),
            ("requests_per_second", self.requests_per_second.is_some()),
            ("idempotency_header", self.idempotency_header.is_some()),
            ("start_date", self.start_date.is_some()),
            ("missing", self.missing.is_some()),
        ] {
            if is_set {
                return Err(format!(
                    "`{key}` goes with `every`: without it the answer is one that goes on"
                ));
            }
        }
        Ok(HttpStream {
            framing: self.framing,
            resume: self.resume.clone().unwrap_or_default(),
        })
    }
}

impl TimeoutsFile {
    fn read(&self) -> Result<HttpTimeouts, String> {
        let longer_than_none =
            |key: &str, period: Option<Period>| match period.map(Period::duration) {
                Some(Duration::ZERO) => Err(format!(
                    "`timeouts.{key}` is 0, which no answer keeps to; leave it out"
                )),
                period => Ok(period),
            };
        Ok(HttpTimeouts {
            connect: longer_than_none("connect", self.connect)?,
            idle: longer_than_none("idle", self.idle)?,
            whole: longer_than_none("whole", self.whole)?,
        })
    }
}
