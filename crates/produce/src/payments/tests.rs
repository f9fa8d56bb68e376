#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod cleaning;
mod files;
mod place;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::event::{Event, EventSource, Next};

/// A folder with a scaler of -10 to 30 and what a test puts into it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        Scaler::new(-10.0, 30.0)
            .unwrap()
            .save(&folder.path("scaler.json"))
            .unwrap();
        folder
    }

    fn with(csv: impl AsRef<[u8]>) -> Self {
        let folder = Self::new();
        folder.write("in.csv", csv);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn settings(&self) -> PaymentsSettings {
        PaymentsSettings::new(self.path("in.csv"), self.path("scaler.json"))
    }

    fn open(&self) -> PaymentsSource {
        PaymentsSource::open(self.settings()).unwrap()
    }
}

/// One event of a source; `None` at its end.
fn next(source: &mut PaymentsSource) -> Option<Event> {
    let mut event = Event::default();
    event.clear();
    match source.next(&mut event).unwrap() {
        Next::Event => Some(event),
        Next::End => None,
        Next::Wait(_) => panic!("a file makes nobody wait"),
    }
}

/// The payloads of all events.
fn events(source: &mut PaymentsSource) -> Vec<Value> {
    std::iter::from_fn(|| next(source))
        .map(|event| serde_json::from_slice(event.payload().unwrap()).unwrap())
        .collect()
}

fn rows(events: &[Value]) -> Vec<u64> {
    let row = |event: &Value| event["row_number"].as_u64().unwrap();
    events.iter().map(row).collect()
}

/// The sample that ships with the job, and its scaler.
fn sample() -> (PathBuf, PathBuf) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/samples");
    (
        samples.join("payments.csv"),
        samples.join("payments.scaler.json"),
    )
}
