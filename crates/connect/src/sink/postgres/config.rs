//! How the warehouse is reached, and what of it may be shown.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::error::WarehouseError;

/// Where the warehouse is and how long to wait for it.
///
/// Its `Debug` shows no password.
#[derive(Clone)]
pub struct WarehouseConfig {
    url: String,
    /// TLS settings; they win over `sslmode` and `sslrootcert` in the URL.
    pub tls: WarehouseTls,
    /// How long a statement of an epoch waits for a lock before the backend that holds it is
    /// ended, if it belongs to the same job. A lock of somebody else fails the epoch after twice
    /// that time.
    pub lock_timeout: Duration,
    /// Upper limit of one statement of an epoch; `None` is none.
    pub statement_timeout: Option<Duration>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
}

/// TLS settings that a configuration file states beside the URL.
#[derive(Debug, Clone, Default)]
pub struct WarehouseTls {
    /// What is asked of TLS; `None`: what the URL says, else [`TlsMode::Prefer`].
    pub mode: Option<TlsMode>,
    /// Certificates (PEM) of the authorities to trust; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
}

/// What is asked of TLS, with the names and meanings of libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// When the server offers it; the certificate is not checked.
    Prefer,
    /// Always; the certificate is not checked unless a CA file is named.
    Require,
    /// Always, with a certificate of a trusted authority.
    VerifyCa,
    /// Always, with a certificate of a trusted authority for this host.
    VerifyFull,
}

impl std::str::FromStr for TlsMode {
    type Err = UnknownTlsMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return Err(UnknownTlsMode(text.to_owned())),
        })
    }
}

/// A TLS mode that is none.
#[derive(Debug, thiserror::Error)]
#[error("unknown TLS mode `{0}`; known are disable, prefer, require, verify-ca, verify-full")]
pub struct UnknownTlsMode(String);

impl WarehouseConfig {
    /// A warehouse at `url`: `postgres://user@host:5432/database?sslmode=verify-full`, or libpq's
    /// `key=value` form.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: WarehouseTls::default(),
            lock_timeout: Duration::from_secs(10),
            statement_timeout: None,
            connect_timeout: Duration::from_secs(10),
        }
    }

    /// The settings taken apart.
    pub(super) fn resolve(&self) -> Result<Endpoint, WarehouseError> {
        let parts = split_tls(&self.url)?;
        let mut client = parts
            .url
            .parse::<tokio_postgres::Config>()
            .map_err(WarehouseError::Url)?;
        let mode = self.tls.mode.or(parts.mode).unwrap_or(TlsMode::Prefer);
        let ca_file = self.tls.ca_file.clone().or(parts.ca_file);
        client.ssl_mode(match mode {
            TlsMode::Disable => tokio_postgres::config::SslMode::Disable,
            TlsMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        if client.get_connect_timeout().is_none() {
            client.connect_timeout(self.connect_timeout);
        }
        // A peer that vanished without a word must not hold an epoch for two hours, the default of
        // TCP keep-alive.
        client.keepalives_idle(Duration::from_secs(15));
        client.keepalives_interval(Duration::from_secs(5));
        client.keepalives_retries(3);
        client.tcp_user_timeout(Duration::from_secs(30));
        Ok(Endpoint {
            client,
            mode,
            ca_file,
        })
    }
}

impl fmt::Debug for WarehouseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.resolve().map(|endpoint| endpoint.to_string());
        f.debug_struct("WarehouseConfig")
            .field("server", &server.as_deref().unwrap_or("<unreadable URL>"))
            .field("tls", &self.tls)
            .field("lock_timeout", &self.lock_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

/// A server, its database, and how to speak to it. `Display` names it without secrets.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) client: tokio_postgres::Config,
    pub(super) mode: TlsMode,
    pub(super) ca_file: Option<PathBuf>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use tokio_postgres::config::Host;
        let ports = self.client.get_ports();
        for (index, host) in self.client.get_hosts().iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match host {
                Host::Tcp(name) => f.write_str(name)?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            write!(f, ":{port}")?;
        }
        write!(
            f,
            "/{}",
            self.client
                .get_dbname()
                .or(self.client.get_user())
                .unwrap_or_default()
        )
    }
}

struct UrlParts {
    url: String,
    mode: Option<TlsMode>,
    ca_file: Option<PathBuf>,
}

/// Takes `sslmode` and `sslrootcert` out of the URL: the client library knows neither the
/// verifying modes nor the certificate file.
fn split_tls(url: &str) -> Result<UrlParts, WarehouseError> {
    let mut parts = UrlParts {
        url: String::with_capacity(url.len()),
        mode: None,
        ca_file: None,
    };
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let (head, settings): (&str, Vec<&str>) = match (is_url, url.split_once('?')) {
        (true, Some((head, query))) => (head, query.split('&').collect()),
        (true, None) => (url, Vec::new()),
        (false, _) => ("", words(url)),
    };
    let mut kept = Vec::new();
    for setting in settings {
        match setting.split_once('=') {
            Some(("sslmode", mode)) => {
                parts.mode = Some(
                    mode.trim_matches('\'')
                        .parse()
                        .map_err(WarehouseError::TlsMode)?,
                );
            }
            Some(("sslrootcert", file)) => {
                parts.ca_file = Some(PathBuf::from(file.trim_matches('\'')))
            }
            _ => kept.push(setting),
        }
    }
    parts.url.push_str(head);
    if is_url && !kept.is_empty() {
        parts.url.push('?');
    }
    parts
        .url
        .push_str(&kept.join(if is_url { "&" } else { " " }));
    Ok(parts)
}

/// The settings of libpq's `key=value` form; a quoted value may hold spaces.
fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, symbol) in text.char_indices() {
        match symbol {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => quoted = !quoted,
            ' ' | '\t' | '\n' if !quoted => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found.retain(|word| !word.is_empty());
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn verifying_modes_come_out_of_the_url() {
        let parts = split_tls(
            "postgres://u:p@h/db?sslmode=verify-full&application_name=x&sslrootcert=/ca.pem",
        )
        .unwrap();
        assert_eq!(parts.url, "postgres://u:p@h/db?application_name=x");
        assert_eq!(parts.mode, Some(TlsMode::VerifyFull));
        assert_eq!(parts.ca_file, Some(PathBuf::from("/ca.pem")));
        let parts = split_tls("host=h password='a sslmode=disable' sslmode=require").unwrap();
        assert_eq!(parts.url, "host=h password='a sslmode=disable'");
        assert_eq!(parts.mode, Some(TlsMode::Require));
        assert!(split_tls("postgres://h/db?sslmode=verify").is_err());
    }

    #[test]
    fn no_password_is_shown() {
        let config = WarehouseConfig::new("postgres://user:hunter2@db.example:6543/shop");
        let shown = format!("{config:?}");
        assert!(shown.contains("db.example:6543/shop"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let broken = WarehouseConfig::new("postgres://user:hunter2@db.example:none/shop");
        assert!(!format!("{broken:?}").contains("hunter2"));
        let error = broken.resolve().err().unwrap();
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
    }

    #[test]
    fn the_configuration_wins_over_the_url() {
        let mut config = WarehouseConfig::new("postgres://u@h/db?sslmode=disable");
        config.tls.mode = Some(TlsMode::VerifyCa);
        assert_eq!(config.resolve().unwrap().mode, TlsMode::VerifyCa);
    }
}
