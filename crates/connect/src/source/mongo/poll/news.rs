//! Waiting for new documents: told of them where the server has change streams, else for a while.
//!
//! What is read never depends on it: the collection itself says what is new, in its own order.

use std::time::{Duration, Instant};

use mongodb::bson::doc;

use super::super::connection::Connection;
use super::super::documents::{Answers, Documents};
use super::super::error::MongoSourceError;

/// How long the server holds a request that it has nothing for.
const HELD: Duration = Duration::from_secs(1);

/// A server that answers sooner that it has nothing is not asked again before this long.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells when it is worth to look at a collection again.
pub(in super::super) struct News {
    connection: Connection,
    /// How long to wait where nobody tells.
    every: Duration,
    /// Whether the server has change streams.
    is_told: bool,
    /// A change stream, while nothing else is there to be read.
    changes: Option<Answers>,
}

impl News {
    pub(in super::super) fn new(connection: Connection, every: Duration, is_told: bool) -> Self {
        Self {
            connection,
            every,
            is_told,
            changes: None,
        }
    }

    /// Documents were there: what is told of them later would be old.
    pub(super) fn read(&mut self) {
        self.changes = None;
    }

    /// Waits until something may be new.
    pub(super) async fn wait(&mut self) {
        if !self.is_told {
            return tokio::time::sleep(self.every).await;
        }
        let Err(error) = self.told().await else {
            return;
        };
        // the collection is asked all the same, and tells whether the server is away
        tracing::debug!(%error, "no change stream tells of new documents");
        self.changes = None;
        tokio::time::sleep(self.every).await;
    }

    async fn told(&mut self) -> Result<(), MongoSourceError> {
        let connection = &self.connection;
        let Some(changes) = &mut self.changes else {
            // which document it is does not matter, so nothing of it is sent
            let stages = [
                doc! { "$changeStream": {} },
                doc! { "$project": { "operationType": 1 } },
            ];
            let aggregate = connection.collection().aggregate(stages);
            let aggregate = aggregate.max_await_time(HELD);
            let cursor = connection.answered(aggregate.batch()).await?;
            self.changes = Some(Answers::new(cursor));
            // what came before it was opened is not told
            return Ok(());
        };
        let asked = Instant::now();
        let Some(answer) = connection.answered(changes.next()).await? else {
            return Err(MongoSourceError::Ended {
                namespace: connection.namespace.clone(),
            });
        };
        let nothing = matches!(Documents::new(answer).next(), Ok(None));
        if nothing {
            tokio::time::sleep(PAUSE.saturating_sub(asked.elapsed())).await;
        }
        Ok(())
    }
}
