//! What a server is and lets us do, for whoever checks an installation. Nothing is changed.

use async_recursion::async_recursion as boxed;

use super::Warehouse;
use super::error::WarehouseError;

/// A server and our rights on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The server's version as a number: 150014 is 15.14.
    pub version: i32,
    /// The user that we are.
    pub user: String,
    /// The database that we are in.
    pub database: String,
    /// Whether new schemas may be created in the database.
    pub may_create_schemas: bool,
    /// Whether the server takes writes; a standby does not.
    pub is_writable: bool,
    /// `fsync`: whether a commit survives a crash of the machine.
    pub fsync: bool,
    /// `full_page_writes`: whether a page that is half written can be mended.
    pub full_page_writes: bool,
    /// `synchronous_commit` of our sessions.
    pub synchronous_commit: String,
    /// The database's encoding.
    pub encoding: String,
    /// `max_connections`, less those that are kept for superusers.
    pub connections: i32,
    /// How many of them are in use.
    pub connections_used: i64,
}

impl Examined {
    /// The major version.
    pub fn major(&self) -> i32 {
        self.version / 10_000
    }
}

impl Warehouse {
    /// Looks at the server.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn examine(&self) -> Result<Examined, WarehouseError> {
        let session = self.control().await?;
        let row = session
            .client
            .query_one(
                "select current_setting('server_version_num')::integer, current_user::text, \
                        current_database()::text, \
                        has_database_privilege(current_database(), 'create'), \
                        not pg_is_in_recovery() and not current_setting('default_transaction_read_only')::boolean, \
                        current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean, \
                        current_setting('synchronous_commit'), current_setting('server_encoding'), \
                        current_setting('max_connections')::integer \
                            - current_setting('superuser_reserved_connections')::integer, \
                        (select count(*) from pg_stat_activity where backend_type = 'client backend')",
                &[],
            )
            .await
            .map_err(|source| WarehouseError::query("examining the server", source))?;
        Ok(Examined {
            version: row.get(0),
            user: row.get(1),
            database: row.get(2),
            may_create_schemas: row.get(3),
            is_writable: row.get(4),
            fsync: row.get(5),
            full_page_writes: row.get(6),
            synchronous_commit: row.get(7),
            encoding: row.get(8),
            connections: row.get(9),
            connections_used: row.get(10),
        })
    }
}
