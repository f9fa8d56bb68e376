//! What an endpoint answers: one document that is asked for again and again, or records that go on.

use std::time::Duration;

use factmill_connect::source::http::{PollRead, PollReader, Request, StreamRead, StreamReader};
use factmill_connect::source::single::SingleSource;
use factmill_project::infer::Value;
use factmill_project::scaffold::ReadFrom;

use super::pull::{Pulling, Raw};
use super::secrets::Url;
use super::values::Records;
use crate::workspace::Workspace;

/// How often a new job asks; the job file says it, to be changed.
const EVERY: Duration = Duration::from_secs(60);

/// How long a stream may be silent before it counts as read.
const QUIET: Duration = Duration::from_secs(4);

/// The names under which answers keep their records.
const LISTS: [&str; 11] = [
    "data",
    "results",
    "items",
    "records",
    "rows",
    "entries",
    "features",
    "events",
    "observations",
    "hits",
    "value",
];

/// Reads an endpoint first as one that goes on; where its lines are no objects, or there is but one,
/// it is one to be asked again.
pub(super) async fn read(
    url: &Url,
    workspace: &Workspace,
    most: usize,
    notes: &mut Vec<String>,
) -> anyhow::Result<(ReadFrom, Records)> {
    let pulling = Pulling::new(workspace, most);
    if !url.asked.contains("{date}") {
        let streamed = stream(url, &pulling).await;
        let values: Option<Vec<Value>> = streamed.as_ref().ok().and_then(|raw| {
            let value = |raw: &Raw| Value::from_json(raw.payload.as_deref()?).ok();
            raw.iter().map(value).collect()
        });
        let is_object = |value: &Value| matches!(value, Value::Object(_));
        match values {
            Some(values) if values.len() > 1 && values.iter().all(is_object) => {
                notes
                    .push("its answer goes on: the job reads it as a stream of records".to_owned());
                let from = ReadFrom::HttpStream {
                    url: url.written.clone(),
                };
                return Ok((from, Records::of_values(values)));
            }
            // a server that cannot be reached is asked but once
            _ => {
                if let Err(failure) = streamed
                    && crate::failure::exit_code(&failure)
                        == factmill_core::error::ExitCode::Unreachable
                {
                    return Err(failure);
                }
            }
        }
    }
    let mut read = PollRead::new(request(url), EVERY);
    read.bounded = true;
    let reader = PollReader::new(read).map_err(crate::failure::Failure::classified)?;
    let single = pulling.single("sample".to_owned());
    let mut source = SingleSource::start(reader, single, pulling.positions());
    let raw = pulling.pull(&mut source).await?;
    notes.push(format!(
        "one answer is one document: the job asks for it every {} s and keeps what it says by the key; change `every` in the job file",
        EVERY.as_secs()
    ));
    let (records, pointer) = match raw.as_slice() {
        [only] => within(only, most),
        _ => (Records::of_json(&raw), None),
    };
    if let Some(pointer) = &pointer {
        notes.push(format!("its records stand at `{pointer}` of the answer"));
    }
    let from = ReadFrom::HttpPoll {
        url: url.written.clone(),
        records: pointer,
        every: EVERY,
    };
    Ok((from, records))
}

async fn stream(url: &Url, pulling: &Pulling) -> anyhow::Result<Vec<Raw>> {
    let mut read = StreamRead::new(request(url));
    read.bounded = true;
    read.quiet = QUIET;
    let reader = StreamReader::new(read).map_err(crate::failure::Failure::classified)?;
    let single = pulling.single("sample".to_owned());
    let mut source = SingleSource::start(reader, single, pulling.positions());
    pulling.pull(&mut source).await
}

/// A request that is tried once more and not for minutes: a person waits.
fn request(url: &Url) -> Request {
    let mut request = Request::get(url.asked.clone());
    request.retry.attempts = 2;
    request.times.whole = Duration::from_secs(30);
    request.times.idle = Duration::from_secs(15);
    request
}

/// The records inside of the one document of an answer, and where they stand.
fn within(only: &Raw, most: usize) -> (Records, Option<String>) {
    let whole = || Records::of_json(std::slice::from_ref(only));
    let document = only
        .payload
        .as_deref()
        .and_then(|payload| Value::from_json(payload).ok());
    let Some(Value::Object(fields)) = document else {
        return (whole(), None);
    };
    let is_records = |value: &Value| match value {
        Value::List(items) => {
            !items.is_empty() && items.iter().all(|item| matches!(item, Value::Object(_)))
        }
        _ => false,
    };
    let found = LISTS.iter().find_map(|name| {
        fields
            .iter()
            .find(|(known, value)| known.eq_ignore_ascii_case(name) && is_records(value))
    });
    match found {
        Some((name, Value::List(items))) => {
            let items = items.iter().take(most).cloned().collect();
            (Records::of_values(items), Some(format!("/{name}")))
        }
        _ => (whole(), None),
    }
}
