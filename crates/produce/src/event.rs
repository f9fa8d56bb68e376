//! One event in a buffer that is reused, and where events come from.

use std::time::Duration;

use factmill_core::source::BoxedError;

/// An event to send: key, payload and headers in buffers that keep their memory from one event to
/// the next.
#[derive(Debug, Default)]
pub struct Event {
    key: Vec<u8>,
    has_key: bool,
    payload: Vec<u8>,
    has_payload: bool,
    headers: Vec<(String, Vec<u8>)>,
    bad: bool,
}

impl Event {
    /// Begins the next event: no key, an empty payload, no headers, not bad.
    pub fn clear(&mut self) {
        self.key.clear();
        self.has_key = false;
        self.payload.clear();
        self.has_payload = true;
        self.headers.clear();
        self.bad = false;
    }

    /// Gives the event a key; events of one key keep their order.
    pub fn set_key(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.has_key = true;
    }

    /// The payload, to append to.
    pub fn payload_mut(&mut self) -> &mut Vec<u8> {
        &mut self.payload
    }

    /// Makes the payload null, which is not the same as empty: a tombstone.
    pub fn set_null_payload(&mut self) {
        self.payload.clear();
        self.has_payload = false;
    }

    /// Adds a header; headers keep their order.
    pub fn push_header(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.headers.push((name.into(), value.into()));
    }

    /// Says that the event was broken on purpose, so that it is counted.
    pub fn mark_bad(&mut self) {
        self.bad = true;
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&[u8]> {
        self.has_key.then_some(&self.key)
    }

    /// The payload; `None` is null.
    pub fn payload(&self) -> Option<&[u8]> {
        self.has_payload.then_some(&self.payload)
    }

    /// The headers in their order.
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    /// Whether the event was broken on purpose.
    pub fn is_bad(&self) -> bool {
        self.bad
    }
}

/// What a source of events did when it was asked for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It filled the event.
    Event,
    /// It has none yet; ask again after this time at the latest.
    Wait(Duration),
    /// There are no more.
    End,
}

/// Gives the events of a producer in their order.
///
/// Calls come from one thread that does nothing else, so reading a file or waiting for a service for
/// some seconds is allowed; beyond that say [`Next::Wait`], so that the runner can be stopped.
pub trait EventSource: Send {
    /// Fills `event`, which is as [`Event::clear`] leaves it, with the next event.
    ///
    /// # Errors
    /// What keeps the source from going on; the run ends after what was sent is acknowledged.
    fn next(&mut self, event: &mut Event) -> Result<Next, BoxedError>;

    /// Told now and then, and once at the end, that the first `count` events of this run are all
    /// acknowledged, so that a source that can go on from a place may keep the place.
    ///
    /// # Errors
    /// What keeps the source from keeping it; the run ends.
    fn acknowledged(&mut self, _count: u64) -> Result<(), BoxedError> {
        Ok(())
    }
}

impl EventSource for Box<dyn EventSource> {
    fn next(&mut self, event: &mut Event) -> Result<Next, BoxedError> {
        (**self).next(event)
    }

    fn acknowledged(&mut self, count: u64) -> Result<(), BoxedError> {
        (**self).acknowledged(count)
    }
}
