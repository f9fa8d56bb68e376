//! The MongoDB server that is written to.

use std::time::Duration;

use mongodb::Client;
use mongodb::options::ClientOptions;

/// How long the first contact may take, where the URL says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the answer to a write may take. A server that went away without a word never gives one, and
/// the driver would wait for it for ever.
const ANSWER: Duration = Duration::from_secs(120);

/// The answer to a write, `None` where it does not come.
pub(super) async fn answered<T>(write: impl Future<Output = T>) -> Option<T> {
    answered_within(ANSWER, write).await
}

async fn answered_within<T>(limit: Duration, write: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, write).await.ok()
}

/// Why a write counts as not acknowledged whose answer does not come.
pub(super) fn silence() -> String {
    format!("no answer came within {} s", ANSWER.as_secs())
}

/// A server that a URL names, not met yet.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) client: Client,
    /// The URL's hosts, which messages may show.
    pub(super) hosts: String,
}

impl Server {
    /// TLS, user and time-outs are options of the URL. `None` where it has another form; why is not
    /// told, as both may hold the password.
    pub(super) async fn named(url: &str) -> Option<Self> {
        let mut options = ClientOptions::parse(url).await.ok()?;
        options.app_name.get_or_insert_with(|| "factmill".into());
        options.server_selection_timeout.get_or_insert(PATIENCE);
        let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
        Some(Self {
            hosts: hosts.join(","),
            client: Client::with_options(options).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_not_waited_for_for_ever() {
        assert_eq!(answered(async { 1 }).await, Some(1));
        let silent = std::future::pending::<()>();
        assert_eq!(
            answered_within(Duration::from_millis(1), silent).await,
            None
        );
    }
}
