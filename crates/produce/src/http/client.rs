//! The HTTP client: bounded times, bounded bodies, no redirect to another host.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::error::HttpError;
use super::retry::retry_after;

const CONNECT: Duration = Duration::from_secs(5);
/// No byte for so long ends a response.
const SILENCE: Duration = Duration::from_secs(30);
/// A whole answer, except a stream's.
const ANSWER: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 5;
/// What an error message keeps of a service's words.
const WORDS: usize = 300;

/// The address of a web service; shown without login and query, which may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`HttpError::Address`] when it is not an http or https address.
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self(url)),
            _ => Err(HttpError::Address(without_secrets(text))),
        }
    }

    /// What may be shown of a text that is an address or was meant to be one: no login, no query.
    pub fn shown(text: &str) -> String {
        match Self::parse(text) {
            Ok(address) => address.to_string(),
            Err(_) => without_secrets(text),
        }
    }

    /// The address with `path` behind its own.
    pub(crate) fn join(&self, path: &str) -> Self {
        let mut url = self.0.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{}", path.trim_start_matches('/')));
        Self(url)
    }

    /// The address with a parameter more, or another value for it.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut url = self.0.clone();
        let others: Vec<_> = self
            .0
            .query_pairs()
            .filter(|(known, _)| known != name)
            .collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(others)
            .append_pair(name, value);
        Self(url)
    }

    /// Whether nobody but this machine hears what is sent there: TLS, or loopback.
    pub(crate) fn is_private(&self) -> bool {
        self.0.scheme() == "https" || self.is_loopback()
    }

    fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    pub(crate) fn url(&self) -> Url {
        self.0.clone()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        write!(
            f,
            "{}://{}",
            url.scheme(),
            url.host_str().unwrap_or_default()
        )?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        if url.path() != "/" {
            f.write_str(url.path())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The client that every producer calls with.
///
/// A connection has 5 s to be made, 30 s without a byte end a response, redirects are followed on
/// the same scheme, host and port alone.
#[derive(Debug, Clone)]
pub struct HttpClient(Client);

impl HttpClient {
    /// Makes a client for a service.
    ///
    /// # Errors
    /// [`HttpError::Client`] when the service wants TLS and the system has no certificates to trust.
    pub fn new(service: &Address) -> Result<Self, HttpError> {
        // An error says that the process has a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .user_agent(concat!("factmill/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .redirect(redirects());
        if service.0.scheme() == "http" {
            // Without TLS a system that trusts nobody is no obstacle.
            client = client.tls_certs_only([]);
        }
        if service.is_loopback() {
            client = client.no_proxy();
        }
        client.build().map(Self).map_err(HttpError::Client)
    }

    pub(crate) fn get(&self, address: &Address) -> RequestBuilder {
        self.0.get(address.url())
    }

    pub(crate) fn post(&self, address: &Address) -> RequestBuilder {
        self.0.post(address.url())
    }

    /// Sends a request and reads its answer whole, at most `limit` bytes of it, within 60 s.
    pub(crate) async fn answer(
        address: &Address,
        request: RequestBuilder,
        limit: usize,
    ) -> Result<(StatusCode, Vec<u8>), HttpError> {
        let response = request.timeout(ANSWER).send().await;
        let response = response.map_err(|error| HttpError::of(address, error))?;
        let response = Self::available(address, response)?;
        let status = response.status();
        let body = Self::body(address, response, limit).await?;
        Ok((status, body))
    }

    /// Sends a request whose answer has no end; its status is a success.
    pub(crate) async fn stream(
        address: &Address,
        request: RequestBuilder,
    ) -> Result<Response, HttpError> {
        let response = request.send().await;
        let response = response.map_err(|error| HttpError::of(address, error))?;
        let response = Self::available(address, response)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = Self::body(address, response, WORDS)
            .await
            .unwrap_or_default();
        Err(HttpError::Refused {
            address: address.clone(),
            status,
            message: words(&body),
        })
    }

    /// Sorts out the answers that mean the same of every service.
    fn available(address: &Address, response: Response) -> Result<Response, HttpError> {
        let (address, status) = (address.clone(), response.status());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(HttpError::Unauthorized { address, status })
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(HttpError::Unavailable {
                    address,
                    status,
                    after: retry_after(response.headers()),
                })
            }
            _ if status.is_server_error() => Err(HttpError::Unavailable {
                address,
                status,
                after: retry_after(response.headers()),
            }),
            _ => Ok(response),
        }
    }

    async fn body(
        address: &Address,
        mut response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        loop {
            let piece = response.chunk().await;
            match piece.map_err(|error| HttpError::of(address, error))? {
                Some(piece) if body.len() + piece.len() > limit => {
                    return Err(HttpError::TooLarge {
                        address: address.clone(),
                        limit,
                    });
                }
                Some(piece) => body.extend_from_slice(&piece),
                None => return Ok(body),
            }
        }
    }
}

/// Redirects on the same scheme, host and port.
fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let from = attempt.previous().last().map(Url::origin);
        if from != Some(attempt.url().origin()) {
            attempt.error("the redirect leads to another host")
        } else if attempt.previous().len() > REDIRECTS {
            attempt.error("too many redirects")
        } else {
            attempt.follow()
        }
    })
}

/// What stands before the secrets of a text that cannot be read as an address. A login ends with an
/// `@`, and it may hold any other sign.
fn without_secrets(text: &str) -> String {
    let scheme_end = text.find("://").map_or(0, |at| at + "://".len());
    match text.contains('@') {
        true => format!("{}…", &text[..scheme_end]),
        false => text.split(['?', '#']).next().unwrap_or_default().to_owned(),
    }
}

/// What a service says, short enough for a message.
pub(crate) fn words(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let shown = |text| Address::parse(text).unwrap().to_string();
        assert_eq!(
            shown("https://me:pw@api.example.com/v1?key=x"),
            "https://api.example.com/v1"
        );
        assert_eq!(shown("http://127.0.0.1:12111/"), "http://127.0.0.1:12111");
        let loopback = |text| Address::parse(text).unwrap().is_loopback();
        assert!(
            ["http://127.0.0.9:1", "http://[::1]:1", "http://localhost"]
                .iter()
                .all(|text| loopback(text))
        );
        assert!(!loopback("http://10.0.0.1") && !loopback("http://localhost.example.com"));
        for wrong in [
            "",
            "api.example.com",
            "ftp://a/b?secret",
            "http://",
            "https://me:secret@host:99999/",
            "https://me:pw?secret@host:99999/",
            "me:secret@host",
        ] {
            let message = Address::parse(wrong).unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
            assert!(!Address::shown(wrong).contains("secret"), "{wrong}");
        }
        assert_eq!(Address::shown("https://me:pw@h/tx?key=x#y"), "https://h/tx");
        let private = |text| Address::parse(text).unwrap().is_private();
        assert!(private("https://api.example.com") && private("http://[::1]:1"));
        assert!(!private("http://api.example.com"));
    }

    #[test]
    fn paths_and_parameters_are_added() {
        let base = Address::parse("http://h/api/?a=1").unwrap();
        let url = |address: Address| address.url().to_string();
        assert_eq!(url(base.join("/v1/charges")), "http://h/api/v1/charges?a=1");
        assert_eq!(
            url(base.with("after", "x y").with("a", "2")),
            "http://h/api/?after=x+y&a=2"
        );
    }
}
