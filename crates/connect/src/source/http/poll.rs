//! An endpoint that is asked again and again: pages, rounds, days.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{NaiveDate, Utc};
use factmill_core::source::{BoxedError, boxed};
use reqwest::Url;
use reqwest::header::HeaderName;
use tokio::time::Instant;

use super::client::{Answer, Attempt, Client};
use super::config::{Method, Paging, PollRead, Repeat};
use super::document::Pointer;
use super::error::HttpSourceError;
use super::page::Page;
use super::pause::Pace;
use super::place::{Days, PollPlace};
use super::{PARTITION, pointer};
use crate::source::single::{Batch, Place, Read, Reader, Record};

/// The header of a record that names the day it was asked for.
const DATE_HEADER: &str = "date";

/// Reads a polled endpoint; see the module's page.
pub struct PollReader {
    client: Client,
    read: PollRead,
    records: Pointer,
    paging: Pages,
    idempotency: Option<HeaderName>,
    pace: Pace,
    place: PollPlace,
    page: Option<Page>,
    /// What leads to the page behind the one at the place. The place moves there when that page has
    /// records: until then the page at the place may still grow.
    next: Option<String>,
    due: Due,
    /// The round that a bounded read ends behind, fixed by the first seek.
    last_round: Option<u64>,
}

/// [`Paging`], its pointers read.
enum Pages {
    One,
    Cursor {
        next: Pointer,
        parameter: String,
    },
    LastRecord {
        field: Pointer,
        parameter: String,
        has_more: Option<Pointer>,
    },
    Numbered {
        parameter: String,
        first: u64,
    },
}

/// When there is something to ask for.
struct Due {
    round: Instant,
    /// The number of the round that `round` is the time of; `None` before the first seek.
    of: Option<u64>,
    /// The next try for missing days.
    missing: Instant,
    /// Missing days to ask for before the round goes on.
    again: Vec<NaiveDate>,
}

/// What to do next.
enum Step {
    /// Ask for the page at the place.
    Ask,
    /// Nothing until then.
    Wait(Instant),
}

impl PollReader {
    /// A reader of what `read` declares; asks nothing yet.
    ///
    /// # Errors
    /// [`HttpSourceError`] of kind configuration for a URL, header, pointer or setting that cannot
    /// work.
    pub fn new(read: PollRead) -> Result<Self, HttpSourceError> {
        let client = Client::new(&read.request, false)?;
        let setting = |detail| HttpSourceError::Setting {
            place: client.place().to_owned(),
            detail,
        };
        if read.interval.is_zero() && !read.bounded {
            return Err(setting(
                "`interval` is 0; say how long to wait between two rounds",
            ));
        }
        if read.repeat == Repeat::Onward && client.asks_for_days() {
            return Err(setting(
                "a URL with `{date}` reads each day once; leave `repeat` out",
            ));
        }
        let idempotency = match (&read.idempotency_header, read.request.method) {
            (Some(name), Method::Post) => {
                let header = HeaderName::try_from(name.as_str());
                Some(header.map_err(|_| HttpSourceError::Header {
                    place: client.place().to_owned(),
                    name: name.clone(),
                })?)
            }
            _ => None,
        };
        let now = Instant::now();
        Ok(Self {
            records: read
                .records
                .as_deref()
                .map_or(Ok(Pointer::whole()), pointer)?,
            paging: Pages::new(&read.paging)?,
            idempotency,
            pace: Pace::new(read.requests_per_second),
            place: PollPlace::default(),
            page: None,
            next: None,
            due: Due {
                round: now,
                of: None,
                missing: now,
                again: Vec::new(),
            },
            last_round: None,
            client,
            read,
        })
    }

    /// Decides what comes next; moves on to the next day where one is due.
    fn step(&mut self) -> Step {
        let now = Instant::now();
        if self.next.is_some() {
            return Step::Ask;
        }
        let Some(days) = &mut self.place.days else {
            let over = self.read.bounded && Some(self.place.round) > self.last_round;
            return if now >= self.due.round && !over {
                Step::Ask
            } else {
                Step::Wait(self.due.round)
            };
        };
        if days.reading.is_some() {
            return Step::Ask;
        }
        if now >= self.due.missing {
            self.due.missing = now + self.read.dates.missing_interval;
            let today = Utc::now().date_naive();
            give_up(
                days,
                today,
                self.read.dates.missing_days,
                self.client.place(),
            );
            self.due.again = days.missing.iter().rev().copied().collect();
        }
        if let Some(day) = self.due.again.pop() {
            days.reading = Some(day);
            return Step::Ask;
        }
        if now >= self.due.round {
            if days.next <= Utc::now().date_naive() {
                days.reading = Some(days.next);
                return Step::Ask;
            }
            self.due.round = now + self.read.interval;
        }
        Step::Wait(if days.missing.is_empty() {
            self.due.round
        } else {
            self.due.round.min(self.due.missing)
        })
    }

    /// Asks for the page at the place; `None` where the day is missing.
    async fn ask(&mut self) -> Result<Option<Page>, HttpSourceError> {
        let day = self.place.days.as_ref().and_then(|days| days.reading);
        let url = self.url(day)?;
        let key = self.idempotency_key();
        let mut attempts = 0;
        loop {
            self.pace.wait().await;
            let failed = match self.exchange(url.clone(), key.as_deref()).await {
                Ok(page) => return Ok(page),
                Err(failed) => failed,
            };
            attempts += 1;
            tokio::time::sleep(self.client.after(failed, attempts)?).await;
        }
    }

    async fn exchange(&self, url: Url, key: Option<&str>) -> Result<Option<Page>, Attempt> {
        let response = match self
            .client
            .send(url, self.idempotency.as_ref().zip(key))
            .await?
        {
            Answer::Here(response) => response,
            Answer::Missing(_) if self.client.asks_for_days() => return Ok(None),
            Answer::Missing(status) => {
                return Err(Attempt::Final(HttpSourceError::Status {
                    place: self.client.place().to_owned(),
                    status,
                }));
            }
        };
        let limit = self.read.request.limits.body_bytes;
        let body = self.client.body(response, limit).await?;
        Ok(Some(Page::new(self.client.place(), &self.records, body)?))
    }

    fn url(&self, day: Option<NaiveDate>) -> Result<Url, HttpSourceError> {
        let cursor = self.asked();
        match (&self.paging, cursor) {
            (Pages::One, _) | (Pages::Cursor { .. } | Pages::LastRecord { .. }, None) => {
                self.client.url(day, None)
            }
            (
                Pages::Cursor { parameter, .. } | Pages::LastRecord { parameter, .. },
                Some(cursor),
            ) => self.client.url(day, Some((parameter, cursor))),
            (Pages::Numbered { parameter, first }, cursor) => {
                let first = first.to_string();
                self.client
                    .url(day, Some((parameter, cursor.unwrap_or(&first))))
            }
        }
    }

    /// What leads to the page to ask for.
    fn asked(&self) -> Option<&str> {
        self.next.as_deref().or(self.place.cursor.as_deref())
    }

    /// The same for every request for one page of one round, in every process.
    fn idempotency_key(&self) -> Option<String> {
        self.idempotency.as_ref()?;
        let day = self.place.days.as_ref().and_then(|days| days.reading);
        let (identity, round) = (self.client.identity(), self.place.round);
        let text = format!("{identity} {round} {day:?} {:?}", self.asked());
        Some(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, text.as_bytes()).to_string())
    }

    /// Appends what the page still holds, as far as there is room.
    fn hand_over(&mut self, batch: &mut Batch) -> Result<(), HttpSourceError> {
        let Some(page) = &self.page else {
            return Ok(());
        };
        let slot = batch.partition(PARTITION);
        let day = self.place.days.as_ref().and_then(|days| days.reading);
        let day = day.map(|day| day.to_string());
        let headers: Vec<_> = day
            .iter()
            .map(|day| (DATE_HEADER, Some(day.as_bytes())))
            .collect();
        while let Some(payload) = page.record(self.place.row) {
            if batch.is_full() {
                break;
            }
            batch.push(
                slot,
                Record {
                    payload: Some(payload),
                    headers: &headers,
                    ..Record::default()
                },
            );
            self.place.row += 1;
        }
        if page.record(self.place.row).is_none() {
            self.next = self.paging.next(page, &self.place, self.client.place())?;
            self.page = None;
            if self.next.is_none() {
                self.end();
            }
        }
        self.moved(batch);
        Ok(())
    }

    /// Takes what was answered; false where it is the empty page behind the last one.
    fn turn_to(&mut self, page: Page) -> bool {
        let next = self.next.take();
        if next.is_some() && page.is_empty() {
            self.end();
            return false;
        }
        if next.is_some() {
            self.place.cursor = next;
            self.place.row = 0;
        }
        self.page = Some(page);
        true
    }

    /// Ends the day or the round.
    fn end(&mut self) {
        if self.read.repeat == Repeat::Anew {
            self.place.cursor = None;
            self.place.row = 0;
        }
        match &mut self.place.days {
            Some(days) => {
                if let Some(day) = days.reading {
                    days.done(day);
                }
            }
            None => {
                self.place.round += 1;
                self.due.round = Instant::now() + self.read.interval;
                self.due.of = Some(self.place.round);
            }
        }
    }

    fn day_is_missing(&mut self, batch: &mut Batch) {
        if let Some(days) = &mut self.place.days
            && let Some(day) = days.reading
        {
            tracing::info!(source = self.client.place(), %day, "this day is not there yet");
            days.missed(day);
        }
        self.moved(batch);
    }

    fn moved(&self, batch: &mut Batch) {
        let at = serde_json::to_string(&self.place).expect("texts and numbers are always written");
        let slot = batch.partition(PARTITION);
        batch.moved(slot, at);
    }
}

#[async_trait]
impl Reader for PollReader {
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
        (self.page, self.next) = (None, None);
        self.last_round.get_or_insert(self.place.round);
        self.due.again.clear();
        if self.client.asks_for_days() && self.place.days.is_none() {
            let today = Utc::now().date_naive();
            self.place.days = Some(Days {
                next: self.read.dates.start.unwrap_or(today),
                missing: Vec::new(),
                reading: None,
            });
        }
        let now = Instant::now();
        self.due.missing = now;
        // a rewind does not bring a round forward; one that was not stored is read again at once
        let round = Some(self.place.round);
        if self.place.days.is_some() || self.due.of != round {
            (self.due.round, self.due.of) = (now, round);
        }
        Ok(())
    }

    async fn read(&mut self, batch: &mut Batch) -> Result<Read, BoxedError> {
        loop {
            if self.page.is_some() {
                self.hand_over(batch).map_err(boxed)?;
                return Ok(Read::More);
            }
            match self.step() {
                Step::Ask => match self.ask().await.map_err(boxed)? {
                    Some(page) => {
                        if !self.turn_to(page) {
                            self.moved(batch);
                            return Ok(Read::More);
                        }
                    }
                    None => {
                        self.day_is_missing(batch);
                        return Ok(Read::More);
                    }
                },
                Step::Wait(_) if self.read.bounded => return Ok(Read::End),
                Step::Wait(until) => tokio::time::sleep_until(until).await,
            }
        }
    }
}

impl Pages {
    fn new(paging: &Paging) -> Result<Self, HttpSourceError> {
        Ok(match paging {
            Paging::None => Self::One,
            Paging::Cursor { next, parameter } => Self::Cursor {
                next: pointer(next)?,
                parameter: parameter.clone(),
            },
            Paging::LastRecord {
                field,
                parameter,
                has_more,
            } => Self::LastRecord {
                field: pointer(field)?,
                parameter: parameter.clone(),
                has_more: has_more.as_deref().map(pointer).transpose()?,
            },
            Paging::Page { parameter, first } => Self::Numbered {
                parameter: parameter.clone(),
                first: *first,
            },
        })
    }

    /// What leads to the page behind `page`; `None`: it was the last one.
    fn next(
        &self,
        page: &Page,
        at: &PollPlace,
        place: &str,
    ) -> Result<Option<String>, HttpSourceError> {
        let Some(last) = page.last() else {
            return Ok(None);
        };
        match self {
            Self::One => Ok(None),
            Self::Cursor { next, .. } => {
                let next = page.text(next).filter(|next| !next.is_empty());
                // a server that repeats itself would never end a round
                Ok(next.filter(|next| Some(next) != at.cursor.as_ref()))
            }
            Self::LastRecord {
                field, has_more, ..
            } => {
                if has_more.as_ref().is_some_and(|more| !page.is_true(more)) {
                    return Ok(None);
                }
                match field.text(last).ok().flatten() {
                    Some(cursor) => Ok(Some(cursor)),
                    None => Err(HttpSourceError::NoCursor {
                        place: place.to_owned(),
                        field: field.as_str().to_owned(),
                    }),
                }
            }
            Self::Numbered { first, .. } => {
                let current = at.cursor.as_ref().and_then(|page| page.parse().ok());
                Ok(Some((current.unwrap_or(*first) + 1).to_string()))
            }
        }
    }
}

/// Lets go of days that were missing for too long.
fn give_up(days: &mut Days, today: NaiveDate, most: u32, place: &str) {
    let oldest = today - chrono::Days::new(u64::from(most));
    days.missing.retain(|day| {
        let keep = *day >= oldest;
        if !keep {
            tracing::warn!(source = place, %day, "this day was missing for {most} days and is given up");
        }
        keep
    });
}
