//! The third party: asked for transactions, whatever it answers.

use std::time::Duration;

use futures::StreamExt;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::error::EcommerceError;
use super::http;
use crate::http::Address;

/// The most bytes of an answer.
const LARGEST: usize = 1 << 20;

/// An API that answers one document, or an array of them.
#[derive(Debug, Clone)]
pub(super) struct ThirdParty {
    client: Client,
    url: Url,
    patience: Duration,
}

/// Why there is no document this time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("the third party did not answer within {0:?}")]
    TooSlow(Duration),
    #[error("the third party cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the third party answered {0}")]
    Status(StatusCode),
    #[error("the third party's answer broke off")]
    Broken(#[source] reqwest::Error),
    #[error("the third party's answer is longer than {LARGEST} bytes")]
    TooLong,
    #[error("the third party's answer is empty")]
    Empty,
}

impl ThirdParty {
    /// # Errors
    /// When the address is none of HTTP, or no client can be made.
    pub(super) fn new(url: &str, patience: Duration) -> Result<Self, EcommerceError> {
        let parsed = Url::parse(url).ok();
        let parsed = parsed.filter(|url| matches!(url.scheme(), "http" | "https"));
        let client = http::client()
            .timeout(patience)
            .build()
            .map_err(EcommerceError::Client)?;
        let url = parsed.ok_or_else(|| EcommerceError::Setting {
            what: "the third party's address",
            // A password may stand in it.
            value: Address::shown(url),
            expected: "give one of http or https, such as http://127.0.0.1:3001/transactions",
        })?;
        Ok(Self {
            client,
            url,
            patience,
        })
    }

    /// Asks once; the documents of the answer, byte for byte.
    pub(super) async fn ask(&self) -> Result<Vec<Vec<u8>>, Unanswered> {
        let failed = |error: reqwest::Error, other: fn(reqwest::Error) -> Unanswered| {
            if error.is_timeout() {
                Unanswered::TooSlow(self.patience)
            } else {
                // The address may hold a password.
                other(error.without_url())
            }
        };
        let answer = self.client.get(self.url.clone()).send().await;
        let answer = answer.map_err(|error| failed(error, Unanswered::Unreachable))?;
        if !answer.status().is_success() {
            return Err(Unanswered::Status(answer.status()));
        }
        let mut body = Vec::new();
        let mut parts = answer.bytes_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|error| failed(error, Unanswered::Broken))?;
            if body.len() + part.len() > LARGEST {
                return Err(Unanswered::TooLong);
            }
            body.extend_from_slice(&part);
        }
        let body = body.trim_ascii();
        if body.is_empty() {
            return Err(Unanswered::Empty);
        }
        Ok(documents(body).into_iter().map(<[u8]>::to_vec).collect())
    }
}

/// The elements of an array, each as it is written; anything else is one document.
fn documents(body: &[u8]) -> Vec<&[u8]> {
    elements(body).unwrap_or_else(|| vec![body])
}

fn elements(body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = body.strip_prefix(b"[")?.trim_ascii_start();
    let mut elements = Vec::new();
    if rest == b"]" {
        return Some(elements);
    }
    loop {
        let mut values = Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let (element, behind) = rest.split_at(values.byte_offset());
        elements.push(element.trim_ascii());
        let behind = behind.trim_ascii_start();
        match behind {
            b"]" => return Some(elements),
            [b',', next @ ..] => rest = next.trim_ascii_start(),
            _ => return None,
        }
    }
}

/// The key of a document: its `transaction_id`, as far as it can be read.
pub(super) fn key(document: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Keyed {
        transaction_id: Value,
    }
    let keyed: Keyed = serde_json::from_slice(document).ok()?;
    match keyed.transaction_id {
        Value::String(id) => Some(id.into_bytes()),
        Value::Number(id) => Some(id.to_string().into_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn texts(body: &str) -> Vec<&str> {
        let found = documents(body.as_bytes());
        found
            .into_iter()
            .map(|document| std::str::from_utf8(document).unwrap())
            .collect()
    }

    #[test]
    fn an_array_is_taken_apart_byte_for_byte() {
        assert_eq!(texts("[]"), Vec::<&str>::new());
        assert_eq!(
            texts("[ {\"a\": 1.50} , {\"a\":12345678901234567890123}\n]"),
            ["{\"a\": 1.50}", "{\"a\":12345678901234567890123}"]
        );
        assert_eq!(texts("[1,\"two\",null]"), ["1", "\"two\"", "null"]);
    }

    #[test]
    fn anything_else_is_one_document() {
        for body in [
            "{\"a\": [1]}",
            "[1,",
            "[1 2]",
            "[1]]",
            "[1,]",
            "<html>",
            "\"[\"",
        ] {
            assert_eq!(texts(body), [body]);
        }
    }

    #[test]
    fn the_key_is_the_transaction_where_there_is_one() {
        assert_eq!(
            key(b"{\"transaction_id\":\"T-1\",\"x\":{}}"),
            Some(b"T-1".to_vec())
        );
        assert_eq!(key(b"{\"transaction_id\":17}"), Some(b"17".to_vec()));
        for none in [&b"{}"[..], b"{\"transaction_id\":null}", b"T-1", b"{"] {
            assert_eq!(key(none), None);
        }
    }

    #[test]
    fn an_address_that_is_none_is_a_setting_to_correct() {
        for url in ["localhost:3001", "file:///etc/passwd", "", "http//x"] {
            let refused = ThirdParty::new(url, Duration::from_secs(5));
            assert!(
                matches!(refused, Err(EcommerceError::Setting { .. })),
                "{url}"
            );
        }
    }
}
