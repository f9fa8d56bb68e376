//! References: tables of Postgres that rebuilt tables read and somebody else keeps, looked at for
//! changes.

use factmill_core::position::SourceName;
use factmill_core::source::BoxedError;
use factmill_engine::StreamPlan;
use factmill_project::Reference;
use tokio::time::Instant;

use crate::databases::Databases;

/// The references of a job.
pub(super) struct References {
    databases: Databases,
    watched: Vec<Watched>,
}

struct Watched {
    source: SourceName,
    reference: Reference,
    next_look: Instant,
    /// What the last look found; `None` before the first one, and without a watermark.
    found: Option<String>,
    /// How many looks found a change, the first one among them.
    changes: u64,
}

impl References {
    /// All that the plan's rebuilds read, each to be looked at at once.
    pub(super) fn new(plan: &StreamPlan, databases: Databases) -> Self {
        let watched = plan.references().filter_map(|source| {
            Some(Watched {
                source: source.name.clone(),
                reference: source.reference.clone()?,
                next_look: Instant::now(),
                found: None,
                changes: 0,
            })
        });
        Self {
            watched: watched.collect(),
            databases,
        }
    }

    /// How many changes of these were seen.
    pub(super) fn changes_of(&self, sources: &[SourceName]) -> u64 {
        let watched = self.watched.iter();
        let read = watched.filter(|watched| sources.contains(&watched.source));
        read.map(|watched| watched.changes).sum()
    }

    /// When the next look is due; `None` where there is nothing to look at.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.watched.iter().map(|watched| watched.next_look).min()
    }

    /// Looks at those that are due.
    pub(super) async fn look(&mut self) -> Result<(), BoxedError> {
        let now = Instant::now();
        for watched in &mut self.watched {
            if watched.next_look <= now {
                watched.look(&self.databases).await?;
            }
        }
        Ok(())
    }

    /// Looks at all of them, so that what is rebuilt next is as new as they are now.
    pub(super) async fn look_now(&mut self) -> Result<(), BoxedError> {
        for watched in &mut self.watched {
            watched.look(&self.databases).await?;
        }
        Ok(())
    }

    /// Puts looks that are due off until then.
    pub(super) fn put_off(&mut self, until: Instant) {
        for watched in &mut self.watched {
            watched.next_look = watched.next_look.max(until);
        }
    }
}

impl Watched {
    async fn look(&mut self, databases: &Databases) -> Result<(), BoxedError> {
        let found = databases.watermark(&self.reference).await?;
        if found.is_none() || found != self.found {
            self.changes += 1;
        }
        self.found = found;
        self.next_look = Instant::now() + self.reference.refresh;
        Ok(())
    }
}
