//! Requests: one host, bounded answers, tried again where that may help.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::config::{Identity, Method, Request, Retry, Secret, Times};
use super::error::HttpSourceError;
use super::pause;

/// How many redirects within a host are followed.
const MOST_REDIRECTS: usize = 5;

/// Makes the requests of one source.
pub(crate) struct Client {
    client: reqwest::Client,
    /// As written, with its placeholders.
    url: Secret,
    /// What errors call it.
    place: String,
    identity: String,
    method: Method,
    headers: HeaderMap,
    body: Option<Secret>,
    times: Times,
    retry: Retry,
}

/// What an endpoint answered.
pub(super) enum Answer {
    /// A success; its body was not read yet.
    Here(Response),
    /// 404 or 410.
    Missing(StatusCode),
}

impl Client {
    /// Checks what the configuration says; asks nothing yet.
    pub(crate) fn new(request: &Request, streamed: bool) -> Result<Self, HttpSourceError> {
        let url = parse(request.url.expose())?;
        let place = place_of(&url);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("factmill/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(request.times.connect)
            .read_timeout(request.times.idle)
            .redirect(same_origin())
            .referer(false)
            .no_proxy()
            .tls_backend_preconfigured(tls(&place, request.ca_file.as_deref())?);
        if !streamed {
            builder = builder.timeout(request.times.whole);
        }
        Ok(Self {
            client: builder.build().map_err(|source| HttpSourceError::Client {
                place: place.clone(),
                source: source.without_url(),
            })?,
            headers: headers(&place, request)?,
            identity: match &request.identity {
                Identity::Given(identity) => identity.clone(),
                Identity::Url => identity_of(request.url.expose(), &url),
            },
            url: request.url.clone(),
            place,
            method: request.method,
            body: request.body.clone(),
            times: request.times,
            retry: request.retry,
        })
    }

    /// What errors and logs call the source.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// What a stored position belongs to.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    pub(super) fn times(&self) -> Times {
        self.times
    }

    pub(super) fn retry(&self) -> Retry {
        self.retry
    }

    /// Whether the URL asks for one day.
    pub(super) fn asks_for_days(&self) -> bool {
        self.url.expose().contains("{date}")
    }

    /// The URL for one day, with a query parameter more.
    pub(crate) fn url(
        &self,
        date: Option<chrono::NaiveDate>,
        parameter: Option<(&str, &str)>,
    ) -> Result<Url, HttpSourceError> {
        let mut url = match date {
            Some(date) => parse(&self.url.expose().replace("{date}", &date.to_string()))?,
            None => parse(self.url.expose())?,
        };
        if let Some((name, value)) = parameter {
            url.query_pairs_mut().append_pair(name, value);
        }
        Ok(url)
    }

    /// Sends one request, without a second try.
    pub(super) async fn send(
        &self,
        url: Url,
        header: Option<(&HeaderName, &str)>,
    ) -> Result<Answer, Attempt> {
        let mut request = match self.method {
            Method::Get => self.client.get(url.clone()),
            Method::Post => self.client.post(url.clone()),
        };
        request = request.headers(self.headers.clone());
        if let (Method::Post, Some(body)) = (self.method, &self.body) {
            if !self.headers.contains_key(CONTENT_TYPE) {
                request = request.header(CONTENT_TYPE, "application/json");
            }
            request = request.body(body.expose().to_owned());
        }
        if let Some((name, value)) = header {
            let mut value =
                HeaderValue::from_str(value).map_err(|_| self.bad_header(name.as_str()))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|source| Attempt::Broken {
            what: "no answer came",
            source: source.without_url(),
        })?;
        self.judge(&url, response)
    }

    fn bad_header(&self, name: &str) -> Attempt {
        Attempt::Final(HttpSourceError::Header {
            place: self.place.clone(),
            name: name.to_owned(),
        })
    }

    fn judge(&self, asked: &Url, response: Response) -> Result<Answer, Attempt> {
        let status = response.status();
        let place = self.place.clone();
        if status.is_success() {
            return Ok(Answer::Here(response));
        }
        if status.is_redirection() {
            let location = response.headers().get(LOCATION);
            let target = location
                .and_then(|target| target.to_str().ok())
                .and_then(|target| asked.join(target).ok());
            let to = target.map_or_else(|| "no address".to_owned(), |target| place_of(&target));
            return Err(Attempt::Final(HttpSourceError::Redirect { place, to }));
        }
        Err(match status.as_u16() {
            404 | 410 => return Ok(Answer::Missing(status)),
            401 | 403 | 407 => Attempt::Final(HttpSourceError::Refused { place, status }),
            408 | 425 | 429 | 500.. => Attempt::Busy {
                status,
                after: retry_after(response.headers()),
            },
            _ => Attempt::Final(HttpSourceError::Status { place, status }),
        })
    }

    /// The whole body, at most `limit` bytes.
    pub(super) async fn body(
        &self,
        mut response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, Attempt> {
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await.map_err(|source| Attempt::Broken {
                what: "the answer broke off",
                source: source.without_url(),
            })?;
            let Some(chunk) = chunk else {
                return Ok(body);
            };
            if body.len() + chunk.len() > limit {
                return Err(Attempt::Final(HttpSourceError::TooLarge {
                    place: self.place.clone(),
                    what: "the answer",
                    limit,
                }));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The whole answer to a request, tried again where that may help; `None` for 404 and 410.
    pub(crate) async fn fetch(
        &self,
        url: Url,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, HttpSourceError> {
        let mut attempts = 0;
        loop {
            let once = async {
                match self.send(url.clone(), None).await? {
                    Answer::Here(response) => self.body(response, limit).await.map(Some),
                    Answer::Missing(_) => Ok(None),
                }
            };
            let failed = match once.await {
                Ok(body) => return Ok(body),
                Err(failed) => failed,
            };
            attempts += 1;
            tokio::time::sleep(self.after(failed, attempts)?).await;
        }
    }

    /// The pause before another request after `attempts` of them failed, or the error when there
    /// were enough.
    pub(super) fn after(
        &self,
        failed: Attempt,
        attempts: u32,
    ) -> Result<Duration, HttpSourceError> {
        let enough = attempts >= self.retry.attempts;
        let place = || self.place.clone();
        match failed {
            Attempt::Final(error) => Err(error),
            Attempt::Busy { status, .. } if enough => Err(HttpSourceError::Busy {
                place: place(),
                status,
                attempts,
            }),
            Attempt::Busy { status, after } => {
                let pause = after.map_or_else(
                    || pause::jittered(&self.retry, attempts),
                    |after| after.min(self.retry.most),
                );
                tracing::warn!(source = self.place, %status, ?pause, "asking again");
                Ok(pause)
            }
            Attempt::Broken { what, source } if enough => Err(HttpSourceError::Failed {
                place: place(),
                what,
                attempts,
                source,
            }),
            Attempt::Broken { what, source } => {
                let pause = pause::jittered(&self.retry, attempts);
                tracing::warn!(source = self.place, error = %source, ?pause, "{what}; asking again");
                Ok(pause)
            }
            Attempt::Unfinished(error) if enough => Err(error),
            Attempt::Unfinished(error) => {
                let pause = pause::jittered(&self.retry, attempts);
                tracing::warn!(%error, ?pause, "asking again");
                Ok(pause)
            }
        }
    }
}

/// A request that brought nothing.
#[derive(Debug)]
pub(super) enum Attempt {
    /// Asking again does not help.
    Final(HttpSourceError),
    /// The server asks to come back later, perhaps after a time it names.
    Busy {
        status: StatusCode,
        after: Option<Duration>,
    },
    /// The network failed.
    Broken {
        what: &'static str,
        source: reqwest::Error,
    },
    /// The answer was cut short or too slow.
    Unfinished(HttpSourceError),
}

impl From<HttpSourceError> for Attempt {
    fn from(error: HttpSourceError) -> Self {
        use factmill_core::error::ErrorKind;
        use factmill_core::source::Classified;
        if error.kind() == ErrorKind::Transient {
            Self::Unfinished(error)
        } else {
            Self::Final(error)
        }
    }
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    let wait = date.with_timezone(&chrono::Utc) - chrono::Utc::now();
    Some(wait.to_std().unwrap_or_default())
}

fn parse(text: &str) -> Result<Url, HttpSourceError> {
    let refused = |detail: &str| HttpSourceError::Url {
        detail: detail.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| refused(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("its scheme is neither http nor https"));
    }
    if url.host_str().is_none() {
        return Err(refused("it names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(
            "it holds a user or password; send them in a header instead",
        ));
    }
    Ok(url)
}

/// Scheme, host, port and path.
fn place_of(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // a URL that has no user is left as it is
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.to_string().replace("%7Bdate%7D", "{date}")
}

fn identity_of(written: &str, url: &Url) -> String {
    let template = written.split(['?', '#']).next().unwrap_or(written);
    let path = template
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or("", |(_, path)| path);
    format!("{}/{path}", url.origin().ascii_serialization())
}

/// Follows redirects that stay at scheme, host and port; the answer of any other is handed on.
fn same_origin() -> Policy {
    Policy::custom(|attempt| {
        let first = attempt.previous().first().map(Url::origin);
        let stays = first.is_some_and(|first| first == attempt.url().origin());
        if stays && attempt.previous().len() <= MOST_REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

fn headers(place: &str, request: &Request) -> Result<HeaderMap, HttpSourceError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let refused = || HttpSourceError::Header {
            place: place.to_owned(),
            name: name.clone(),
        };
        let header = HeaderName::try_from(name.as_str()).map_err(|_| refused())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| refused())?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    Ok(headers)
}

/// rustls with the ring provider, as the other connections use it.
fn tls(place: &str, ca_file: Option<&Path>) -> Result<rustls::ClientConfig, HttpSourceError> {
    let mut roots = RootCertStore::empty();
    let failed = |source| HttpSourceError::Tls {
        place: place.to_owned(),
        source,
    };
    match ca_file {
        Some(file) => {
            let unreadable = |source| HttpSourceError::CaFile {
                file: file.to_owned(),
                source,
            };
            for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
                roots
                    .add(certificate.map_err(unreadable)?)
                    .map_err(failed)?;
            }
        }
        None if place.starts_with("https:") => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    if roots.is_empty() && place.starts_with("https:") {
        return Err(HttpSourceError::NoTrustedCertificate {
            place: place.to_owned(),
        });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    #[test]
    fn neither_query_nor_password_is_shown() {
        let url = Url::parse("https://user:secret@example.org:8443/a/{date}?key=secret#f").unwrap();
        assert_eq!(place_of(&url), "https://example.org:8443/a/{date}");
        assert!(parse("https://user:secret@example.org/").is_err());
    }

    #[test]
    fn only_http_is_asked() {
        for bad in [
            "",
            "host/path",
            "ftp://host/",
            "file:///etc/passwd",
            "https://",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_identity_keeps_the_template_and_drops_the_query() {
        let identity = |text: &str| identity_of(text, &parse(text).unwrap());
        assert_eq!(
            identity("https://Example.org/rates/{date}.json?key=1"),
            "https://example.org/rates/{date}.json"
        );
        assert_eq!(identity("http://127.0.0.1:80/"), "http://127.0.0.1/");
    }

    #[test]
    fn a_pause_is_named_in_seconds_or_by_a_date() {
        let after = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
            retry_after(&headers)
        };
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }
}
