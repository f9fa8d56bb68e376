//! From what a job file says of an HTTP endpoint to what its reader is told.

use std::num::NonZeroU32;
use std::path::Path;

use factmill_connect::source::http::{
    Dates, Identity, Method, Paging, PollRead, Repeat, Request, Resume, Secret, StreamFormat,
    StreamRead,
};
use factmill_project::job::{
    HttpFraming, HttpMethod, HttpOrigin, HttpPaging, HttpPoll, HttpRead, HttpRepeat, HttpResume,
    HttpStream,
};

use super::Simulated;

/// What one of the two readers is told.
pub(super) enum Reading {
    Poll(PollRead),
    Stream(StreamRead),
}

/// What the reader of `origin` is told, in the project's folder; where a service is simulated, it is
/// asked instead.
pub(super) fn reading(
    origin: &HttpOrigin,
    directory: &Path,
    simulated: Option<&str>,
    once: bool,
) -> Reading {
    let mut request = request(origin, directory, simulated.unwrap_or(&origin.url));
    if simulated.is_some() {
        request.identity = Identity::Given(Simulated::IDENTITY.to_owned());
    }
    match &origin.read {
        HttpRead::Poll(declared) => {
            if let Some(bytes) = origin.max_bytes {
                request.limits.body_bytes = bytes;
            }
            Reading::Poll(PollRead {
                bounded: once,
                ..poll(request, declared)
            })
        }
        HttpRead::Stream(declared) => {
            if let Some(bytes) = origin.max_bytes {
                request.limits.record_bytes = bytes;
            }
            Reading::Stream(StreamRead {
                bounded: once,
                ..stream(request, declared)
            })
        }
    }
}

fn request(origin: &HttpOrigin, directory: &Path, url: &str) -> Request {
    let mut request = Request::get(url);
    request.method = match origin.method {
        HttpMethod::Get => Method::Get,
        HttpMethod::Post => Method::Post,
    };
    let headers = origin.headers.iter();
    request.headers = headers
        .map(|(name, value)| (name.clone(), Secret::new(value)))
        .collect();
    request.body = origin.body.as_ref().map(Secret::new);
    request.ca_file = origin.ca_file.as_ref().map(|file| directory.join(file));
    if let Some(identity) = &origin.identity {
        request.identity = Identity::Given(identity.clone());
    }
    let (times, wanted) = (&mut request.times, &origin.timeouts);
    times.connect = wanted.connect.unwrap_or(times.connect);
    times.idle = wanted.idle.unwrap_or(times.idle);
    times.whole = wanted.whole.unwrap_or(times.whole);
    let (retry, wanted) = (&mut request.retry, &origin.retry);
    retry.attempts = wanted.attempts.unwrap_or(retry.attempts);
    retry.first = wanted.first_pause.unwrap_or(retry.first);
    retry.most = wanted.longest_pause.unwrap_or(retry.most);
    request
}

fn poll(request: Request, declared: &HttpPoll) -> PollRead {
    let mut read = PollRead::new(request, declared.every);
    read.records.clone_from(&declared.records);
    read.paging = match declared.paging.clone() {
        HttpPaging::None => Paging::None,
        HttpPaging::Cursor { next, parameter } => Paging::Cursor { next, parameter },
        HttpPaging::LastRecord {
            field,
            parameter,
            has_more,
        } => Paging::LastRecord {
            field,
            parameter,
            has_more,
        },
        HttpPaging::Page { parameter, first } => Paging::Page { parameter, first },
    };
    read.repeat = match declared.repeat {
        HttpRepeat::Anew => Repeat::Anew,
        HttpRepeat::Onward => Repeat::Onward,
    };
    read.requests_per_second = declared.requests_per_second.and_then(NonZeroU32::new);
    if let Some(header) = &declared.idempotency_header {
        read.idempotency_header = Some(header.clone()).filter(|header| !header.is_empty());
    }
    let by_default = Dates::default();
    read.dates = Dates {
        start: declared.start_date,
        missing_interval: declared
            .missing_every
            .unwrap_or(by_default.missing_interval),
        missing_days: declared.missing_days.unwrap_or(by_default.missing_days),
    };
    read
}

fn stream(request: Request, declared: &HttpStream) -> StreamRead {
    let mut read = StreamRead::new(request);
    read.format = match declared.framing {
        None => StreamFormat::Detect,
        Some(HttpFraming::Lines) => StreamFormat::Lines,
        Some(HttpFraming::Events) => StreamFormat::Events,
    };
    read.resume = match declared.resume.clone() {
        HttpResume::LastEventId {} => Resume::LastEventId,
        HttpResume::Parameter { field, parameter } => Resume::Parameter { field, parameter },
        HttpResume::Header { field, header } => Resume::Header { field, header },
        HttpResume::Nothing {} => Resume::Nothing,
    };
    read
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use factmill_project::job::{HttpRetry, HttpTimeouts};

    use super::*;

    const TWO: Duration = Duration::from_secs(2);

    fn origin(read: HttpRead) -> HttpOrigin {
        HttpOrigin {
            url: "https://h/list".into(),
            method: HttpMethod::Post,
            headers: vec![("Accept".into(), "a".into())],
            body: Some("{}".into()),
            ca_file: Some("ca.pem".into()),
            identity: Some("list".into()),
            timeouts: HttpTimeouts {
                connect: Some(TWO),
                idle: Some(TWO * 2),
                whole: Some(TWO * 3),
            },
            max_bytes: Some(100),
            retry: HttpRetry {
                attempts: Some(9),
                first_pause: Some(TWO * 4),
                longest_pause: Some(TWO * 5),
            },
            read,
        }
    }

    fn arrived(request: &Request) {
        assert_eq!(request.url.expose(), "https://h/list");
        assert_eq!(request.method, Method::Post);
        assert_eq!(request.headers, [("Accept".into(), Secret::new("a"))]);
        assert_eq!(request.body, Some(Secret::new("{}")));
        assert_eq!(request.ca_file.as_deref(), Some(Path::new("/p/ca.pem")));
        assert_eq!(request.identity, Identity::Given("list".into()));
        let times = request.times;
        assert_eq!(
            [times.connect, times.idle, times.whole],
            [TWO, TWO * 2, TWO * 3]
        );
        assert_eq!(request.retry.attempts, 9);
        assert_eq!(
            [request.retry.first, request.retry.most],
            [TWO * 4, TWO * 5]
        );
    }

    fn polled() -> HttpPoll {
        HttpPoll {
            every: TWO,
            records: Some("/data".into()),
            paging: HttpPaging::LastRecord {
                field: "/id".into(),
                parameter: "after".into(),
                has_more: Some("/more".into()),
            },
            repeat: HttpRepeat::Onward,
            requests_per_second: Some(3),
            idempotency_header: Some(String::new()),
            start_date: None,
            missing_every: Some(TWO),
            missing_days: Some(4),
        }
    }

    #[test]
    fn what_is_said_of_a_polled_endpoint_arrives() {
        let origin = origin(HttpRead::Poll(polled()));
        let Reading::Poll(read) = reading(&origin, Path::new("/p"), None, true) else {
            unreachable!("it is polled")
        };
        arrived(&read.request);
        assert_eq!(read.request.limits.body_bytes, 100);
        assert_eq!(read.records.as_deref(), Some("/data"));
        let paging = Paging::LastRecord {
            field: "/id".into(),
            parameter: "after".into(),
            has_more: Some("/more".into()),
        };
        assert_eq!((read.paging, read.repeat), (paging, Repeat::Onward));
        assert_eq!((read.interval, read.bounded), (TWO, true));
        assert_eq!(read.requests_per_second, NonZeroU32::new(3));
        assert_eq!(read.idempotency_header, None);
        assert_eq!(read.dates.missing_interval, TWO);
        assert_eq!(read.dates.missing_days, 4);
    }

    #[test]
    fn what_is_said_of_a_streamed_endpoint_arrives() {
        let declared = HttpStream {
            framing: Some(HttpFraming::Lines),
            resume: HttpResume::Header {
                field: "/id".into(),
                header: "X-After".into(),
            },
        };
        let origin = origin(HttpRead::Stream(declared));
        let Reading::Stream(read) = reading(&origin, Path::new("/p"), None, false) else {
            unreachable!("it is streamed")
        };
        arrived(&read.request);
        assert_eq!(read.request.limits.record_bytes, 100);
        assert_eq!((read.format, read.bounded), (StreamFormat::Lines, false));
        let resume = Resume::Header {
            field: "/id".into(),
            header: "X-After".into(),
        };
        assert_eq!(read.resume, resume);
    }

    #[test]
    fn a_simulated_service_is_asked_instead() {
        let origin = origin(HttpRead::Poll(polled()));
        let reading = reading(&origin, Path::new("/p"), Some("http://127.0.0.1/x"), true);
        let Reading::Poll(read) = reading else {
            unreachable!("it is polled")
        };
        assert_eq!(read.request.url.expose(), "http://127.0.0.1/x");
        assert_eq!(
            read.request.identity,
            Identity::Given(Simulated::IDENTITY.into())
        );
    }
}
