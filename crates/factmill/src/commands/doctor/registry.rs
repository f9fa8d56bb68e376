//! The schema registry, for values in Avro and Protobuf.

use std::time::Duration;

use factmill_connect::registry::{Registry, RegistryError};
use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;

use super::report::Report;
use crate::config::SchemaRegistry;
use crate::failure::chain;

/// How long the registry may take to answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Checks that a schema registry answers and lets this user in.
pub(super) async fn examine(settings: &SchemaRegistry) -> Report {
    let mut report = Report::of("registry");
    let mut config = settings.config();
    config.times.whole = PATIENCE;
    config.retry.attempts = 1;
    let asked = async {
        let registry = Registry::new(&config)?;
        let kinds = registry.kinds().await?;
        Ok::<_, RegistryError>((registry.place().to_owned(), kinds))
    };
    match asked.await {
        Ok((place, kinds)) => report.ok("server", format!("{place} keeps {}", kinds.join(", "))),
        Err(error) if error.kind() == ErrorKind::Transient => report.unreachable(
            "server",
            chain(&error),
            "start it, or correct `schema_registry.url` of the profile",
        ),
        Err(error) => report.failed(
            "server",
            chain(&error),
            "correct `schema_registry` of the profile: url, login, tls",
        ),
    }
    report
}
