//! One connection to Postgres and what is known of its session.

use std::collections::HashMap;
use std::time::Duration;

use factmill_core::epoch::Reader;
use tokio::task::AbortHandle;
use tokio_postgres::{Client, GenericClient, SimpleQueryMessage, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::Endpoint;
use super::error::WarehouseError;
use super::identifier::{MAX_NAME_BYTES, literal};
use super::staging::Staging;

/// How long statements of a session may wait and run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The server's `lock_timeout`.
    pub(super) lock: Option<Duration>,
    /// The server's `statement_timeout`.
    pub(super) statement: Option<Duration>,
}

impl Patience {
    /// For statements that nobody waits for: no limits.
    pub(super) const UNLIMITED: Self = Self {
        lock: None,
        statement: None,
    };
}

/// How long the server waits for a process that says nothing inside of a transaction, or while it
/// holds the lock of an [`Alone`](super::Alone): longer is paused, and the server ends the session
/// with its locks, for which others wait.
pub(super) const SILENCE: Duration = Duration::from_secs(15);

/// A server process, told apart from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backend {
    pub(super) pid: i32,
    /// `pg_stat_activity.backend_start` as text.
    pub(super) started: String,
}

/// One connection.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) backend: Backend,
    pub(super) statements: Statements,
    pub(super) staging: Staging,
    application_name: String,
    driver: AbortHandle,
}

/// Prepared statements of a session, by their text.
#[derive(Default)]
pub(super) struct Statements(HashMap<String, Statement>);

impl Statements {
    /// The statement, prepared on first use.
    pub(super) async fn get(
        &mut self,
        client: &impl GenericClient,
        sql: &str,
    ) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.0.get(sql) {
            return Ok(statement.clone());
        }
        let statement = client.prepare(sql).await?;
        self.0.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Drops the statements that name a relation that was made anew.
    pub(super) fn forget(&mut self, relation: &str) {
        self.0.retain(|sql, _| !sql.contains(relation));
    }
}

impl Session {
    /// Connects. The connection is driven by a task that ends with it.
    pub(super) async fn open(
        endpoint: &Endpoint,
        tls: &MakeRustlsConnect,
        patience: Patience,
        application_name: &str,
    ) -> Result<Self, WarehouseError> {
        let mut config = endpoint.client.clone();
        config.application_name(application_name);
        let refused = |source| WarehouseError::Connect {
            server: endpoint.to_string(),
            again: false,
            source,
        };
        let (client, connection) = config.connect(tls.clone()).await.map_err(refused)?;
        let driver = tokio::spawn(async move {
            // Whoever uses the client sees the same end as an error of its own statement.
            if let Err(error) = connection.await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "connection to the warehouse ended"
                );
            }
        });
        let millis = |limit: Option<Duration>| limit.map_or(0, |limit| limit.as_millis().max(1));
        let messages = client
            .simple_query(&format!(
                "set standard_conforming_strings = on; set timezone = 'UTC'; set datestyle = 'ISO, YMD'; \
                 set intervalstyle = 'iso_8601'; \
                 set work_mem = '64MB'; set temp_buffers = '64MB'; set lock_timeout = {}; set statement_timeout = {}; \
                 set idle_in_transaction_session_timeout = {}; \
                 set tcp_keepalives_idle = 15; set tcp_keepalives_interval = 5; \
                 select pid, backend_start::text from pg_stat_activity where pid = pg_backend_pid()",
                millis(patience.lock),
                millis(patience.statement),
                SILENCE.as_millis(),
            ))
            .await
            .map_err(|source| WarehouseError::query("setting up a session", source))?;
        Ok(Self {
            backend: backend(&messages)?,
            client,
            statements: Statements::default(),
            staging: Staging::default(),
            driver: driver.abort_handle(),
            application_name: application_name.to_owned(),
        })
    }

    /// Closes the connection at once, whatever the server is sending.
    pub(super) fn abort(&self) {
        self.driver.abort();
    }

    /// Whether the connection is still there, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    /// Names the session, as `pg_stat_activity` shows it.
    pub(super) async fn rename(&mut self, application_name: &str) -> Result<(), WarehouseError> {
        if self.application_name == application_name {
            return Ok(());
        }
        self.client
            .batch_execute(&format!(
                "set application_name = {}",
                literal(application_name)
            ))
            .await
            .map_err(|source| WarehouseError::query("naming the session", source))?;
        application_name.clone_into(&mut self.application_name);
        Ok(())
    }
}

fn backend(messages: &[SimpleQueryMessage]) -> Result<Backend, WarehouseError> {
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row.and_then(|row| {
        Some(Backend {
            pid: row.get(0)?.parse().ok()?,
            started: row.get(1)?.to_owned(),
        })
    })
    .ok_or_else(|| {
        WarehouseError::Broken(
            "the warehouse does not show its own session in pg_stat_activity".into(),
        )
    })
}

/// The application name of sessions that commit epochs of `reader`, the same in all its processes.
///
/// Postgres keeps 63 bytes of ASCII; a longer or other name is told apart by a hash.
pub(super) fn epoch_session_name(reader: &Reader) -> String {
    let name = format!("factmill {}/{}", reader.target, reader.job);
    if name.len() <= MAX_NAME_BYTES && name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return name;
    }
    let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes());
    format!("factmill {}", hash.simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(target: &str, job: &str) -> String {
        epoch_session_name(&Reader {
            target: target.into(),
            job: job.into(),
        })
    }

    #[test]
    fn long_and_foreign_names_stay_apart() {
        assert_eq!(name("local", "banking"), "factmill local/banking");
        let (one, other) = (
            name("local", &"b".repeat(100)),
            name("local", &format!("{}c", "b".repeat(99))),
        );
        assert!(one.len() <= MAX_NAME_BYTES);
        assert_ne!(one, other);
        assert_ne!(name("local", "é"), name("local", "è"));
        assert!(name("local", "é").is_ascii());
    }
}
