//! Values that must never be printed.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// A secret: `Debug` and `Display` show `***`, only [`Secret::expose`] gives it away.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Hides a value.
    pub(crate) fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Reads a secret from a file, without the line end that editors leave.
    ///
    /// # Errors
    /// When the file cannot be read as text.
    pub(crate) fn from_file(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        Ok(Self(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The value, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A connection URL, whose password is a secret: `Debug` and `Display` leave it out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ConnectionUrl(String);

impl ConnectionUrl {
    /// Takes a URL as written.
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL with its password, for the one place that connects.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a user, perhaps with a password, stands in front of the host.
    pub(crate) fn has_login(&self) -> bool {
        let Some((_, rest)) = self.0.split_once("://") else {
            return false;
        };
        rest.split(['?', '#'])
            .next()
            .is_some_and(|place| place.contains('@'))
    }

    /// The URL with further parameters.
    pub(crate) fn with_parameters(&self, parameters: &[(&str, String)]) -> Self {
        let mut url = self.0.clone();
        let has_path = url
            .split_once("://")
            .is_some_and(|(_, rest)| rest.contains('/'));
        if !has_path && !url.contains('?') {
            url.push('/');
        }
        for (name, value) in parameters {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("{name}={}", percent_encoded(value)));
        }
        Self(url)
    }

    /// The URL with this password for the user that it names.
    ///
    /// # Errors
    /// Why it cannot take one.
    pub(crate) fn with_password(&self, password: &Secret) -> Result<Self, &'static str> {
        let (scheme, rest) = self
            .0
            .split_once("://")
            .ok_or("a password of its own needs a URL with `://`")?;
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, place) = rest[..authority_end]
            .split_once('@')
            .ok_or("a password needs a user in the URL")?;
        if user.contains(':') {
            return Err("the URL has a password already");
        }
        let password = percent_encoded(password.expose());
        let behind = &rest[authority_end..];
        Ok(Self(format!(
            "{scheme}://{user}:{password}@{place}{behind}"
        )))
    }
}

/// Every byte that is not unreserved in a URL, escaped.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

impl<'de> Deserialize<'de> for ConnectionUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for ConnectionUrl {
    fn schema_name() -> Cow<'static, str> {
        "ConnectionUrl".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl fmt::Display for ConnectionUrl {
    /// The URL without user, password and parameters, each of which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            // `host=… password=…`: no part of it is known to be harmless.
            return f.write_str("***");
        };
        let without_parameters = rest.split(['?', '#']).next().unwrap_or_default();
        // A password may hold a `/` that was not escaped, so the last `@` ends it.
        let place = without_parameters
            .rsplit_once('@')
            .map_or(without_parameters, |(_, place)| place);
        write!(f, "{scheme}://{place}")
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "*** *** Some(***)"
        );
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_file_loses_its_line_end_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " pass word \r\n").unwrap();
        assert_eq!(
            Secret::from_file(file.path()).unwrap().expose(),
            " pass word "
        );
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            (
                "postgres://me:p@ss@db:5432/bank?password=x",
                "postgres://db:5432/bank",
            ),
            ("postgres://db/bank", "postgres://db/bank"),
            ("mongodb://u:p/w@a:1,b:2/x", "mongodb://a:1,b:2/x"),
            ("host=db password=x", "***"),
        ] {
            let url = ConnectionUrl::new(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }

    #[test]
    fn a_password_is_put_behind_its_user() {
        let with = |url: &str| ConnectionUrl::new(url).with_password(&Secret::new("p@ss:w/rd é"));
        assert_eq!(
            with("postgres://me@db:5432/bank?sslmode=require")
                .unwrap()
                .expose(),
            "postgres://me:p%40ss%3Aw%2Frd%20%C3%A9@db:5432/bank?sslmode=require"
        );
        assert!(with("postgres://db/bank").is_err());
        assert!(with("postgres://me:old@db/bank").is_err());
        assert!(with("host=db").is_err());
    }
}
