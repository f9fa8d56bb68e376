//! The MongoDB server that is written to.

use std::time::Duration;

use mongodb::Client;
use mongodb::options::ClientOptions;

/// How long the first contact may take, where the URL says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

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
