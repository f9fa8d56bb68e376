//! Rebuild: models that are recomputed as a whole, on a schedule and at the end of a bounded run.
//!
//! One process of a job rebuilds at a time; a rebuild reads what is committed, so it is no part of
//! any epoch and holds none up.

use std::sync::Arc;
use std::time::Duration;

use factmill_connect::sink::postgres::{Alone, Generations};
use factmill_core::epoch::{Epoch, Reader};
use factmill_core::error::{Action, backoff, policy};
use factmill_core::position::SourceName;
use factmill_core::source::{BoxedError, boxed};
use factmill_core::table::{Table, TableName};
use factmill_engine::lake::Lake;
use factmill_engine::{Inputs, StreamPlan, reference};
use futures::{StreamExt, future};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::StageLost;
use super::background::Background;
use super::observe::Observer;
use super::one_scan;
use super::references::References;
use crate::databases::Databases;

/// What a process of the job does alone, see [`Builder::try_alone`].
const WORK: &str = "rebuilds";

/// A model's rebuilds take at most one part in this many of the time, however long its history is.
const ONE_PART_IN: u32 = 10;

/// The pause after a model's first rebuild by a live stream; each is twice the one before, up to the
/// model's own. So the tables of a stream that was just started follow its first rows closely.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// So often the warehouse is asked for epochs of the job's other processes: one may have committed its
/// last and ended before it rebuilt.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The job's models that are rebuilt.
pub(crate) struct Rebuilds {
    builder: Builder,
    /// One for each of the plan's rebuilds.
    models: Vec<Scheduled>,
    /// For each of the plan's rebuilds the references that it reads, also through other rebuilds.
    reads: Vec<Vec<SourceName>>,
    references: References,
    /// The newest epoch that this process has committed.
    committed: watch::Receiver<Option<Epoch>>,
    /// The newest one that was seen in the warehouse, of whichever process.
    seen: Option<Epoch>,
    next_look: Instant,
    /// Passing failures since the last rebuild.
    failures: u32,
}

/// When a model is rebuilt next.
#[derive(Clone, Copy)]
struct Scheduled {
    state: State,
    due: Instant,
    /// How long the next one has to wait, when that is less than the model's own pause.
    pause: Duration,
}

impl Scheduled {
    /// After a rebuild that began then and took so long, of a model that is rebuilt this often.
    fn put_off(&mut self, began: Instant, took: Duration, every: Duration) {
        let pause = self.pause.min(every);
        self.due = began + pause.max(took * ONE_PART_IN);
        self.pause = pause * 2;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not rebuilt by this process: whoever ran before may have ended in between.
    Unknown,
    /// Rebuilt when its inputs were these.
    BuiltAt(Stamp),
}

/// What a rebuilt table reads, as far as changes are told.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    /// The newest epoch.
    epoch: Option<Epoch>,
    /// Changes that were seen of its references.
    references: u64,
}

impl Rebuilds {
    /// All of the plan's rebuilds, each due at once. A bounded read ends with rebuilds of its own, so
    /// that it keeps to the models' pauses from the beginning.
    pub(super) fn new(
        builder: Builder,
        committed: watch::Receiver<Option<Epoch>>,
        bounded: bool,
    ) -> Self {
        let plan = &builder.plan;
        let scheduled = Scheduled {
            state: State::Unknown,
            due: Instant::now(),
            pause: if bounded { Duration::MAX } else { FIRST_PAUSE },
        };
        Self {
            models: vec![scheduled; plan.rebuilds().len()],
            reads: references_read(plan),
            references: References::new(plan, builder.databases.clone()),
            builder,
            committed,
            seen: None,
            next_look: Instant::now(),
            failures: 0,
        }
    }

    /// Rebuilds what is due and not current, until the stream has ended. `stop` drops a rebuild that
    /// is under way; nothing of it stays.
    pub(super) async fn keep_current(
        &mut self,
        streamed: &CancellationToken,
        stop: &CancellationToken,
        observer: &dyn Observer,
    ) -> Result<(), BoxedError> {
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            done = self.until(streamed, observer) => done,
        }
    }

    async fn until(
        &mut self,
        streamed: &CancellationToken,
        observer: &dyn Observer,
    ) -> Result<(), BoxedError> {
        loop {
            let rebuilt = tokio::select! {
                biased;
                () = streamed.cancelled() => return Ok(()),
                due = self.due() => match due {
                    Ok(()) => self.rebuild_due(observer).await,
                    Err(failure) => Err(failure),
                },
            };
            let Err(failure) = rebuilt else {
                self.failures = 0;
                continue;
            };
            if policy(failure.kind()) != Action::Retry {
                return Err(failure);
            }
            self.failures += 1;
            let pause = backoff(self.failures);
            observer.retrying(&*failure, pause);
            let until = Instant::now() + pause;
            for model in &mut self.models {
                model.due = model.due.max(until);
            }
            self.references.put_off(until);
            self.next_look = self.next_look.max(until);
        }
    }

    /// The newest epoch of the job that is known here.
    fn newest(&self) -> Option<Epoch> {
        self.seen.max(*self.committed.borrow())
    }

    /// Looks for epochs of other processes.
    async fn look(&mut self) -> Result<(), BoxedError> {
        let Builder {
            databases, reader, ..
        } = &self.builder;
        let newest = databases.warehouse.newest_epoch(reader).await;
        self.seen = newest.map_err(boxed)?;
        self.next_look = Instant::now() + LOOK_EVERY;
        Ok(())
    }

    /// Waits until a model is due that is not current.
    async fn due(&mut self) -> Result<(), BoxedError> {
        loop {
            self.committed.mark_unchanged();
            let newest = self.newest();
            let stale = (0..self.models.len()).filter(|index| self.is_stale(*index, newest));
            let due = stale.map(|index| self.models[index].due).min();
            let next_look = (!self.models.is_empty()).then_some(self.next_look);
            tokio::select! {
                () = sleep_until(due) => return Ok(()),
                () = sleep_until(next_look) => self.look().await?,
                () = sleep_until(self.references.next_look()) => {
                    self.references.look().await?;
                }
                changed = self.committed.changed() => {
                    if changed.is_err() {
                        // nobody commits any more
                        sleep_until(due).await;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// What a model would be rebuilt from now.
    fn stamp(&self, index: usize, newest: Option<Epoch>) -> Stamp {
        Stamp {
            epoch: newest,
            references: self.references.changes_of(&self.reads[index]),
        }
    }

    fn is_stale(&self, index: usize, newest: Option<Epoch>) -> bool {
        self.models[index].state != State::BuiltAt(self.stamp(index, newest))
    }

    /// Rebuilds what is due and not current, unless another process is at it.
    async fn rebuild_due(&mut self, observer: &dyn Observer) -> Result<(), BoxedError> {
        let alone = self.builder.try_alone().await?;
        let (now, newest) = (Instant::now(), self.newest());
        let due: Vec<usize> = (0..self.models.len())
            .filter(|index| self.models[*index].due <= now && self.is_stale(*index, newest))
            .collect();
        for group in self.builder.groups(&due) {
            let (began, newest) = (Instant::now(), self.newest());
            if let Some(alone) = &alone {
                self.builder.build(&group, alone, observer).await?;
            }
            for index in group {
                if alone.is_some() {
                    self.models[index].state = self.built_from(index, newest);
                }
                let every = self.builder.plan.rebuilds()[index].every;
                self.models[index].put_off(began, began.elapsed(), every);
            }
        }
        Ok(())
    }

    /// What a model is that was built just now: current, unless a rebuilt table that it reads is not.
    fn built_from(&self, index: usize, newest: Option<Epoch>) -> State {
        let mut reads = self.builder.plan.rebuilds()[index].reads.iter();
        match reads.any(|read| self.is_stale(*read, newest)) {
            true => State::Unknown,
            false => State::BuiltAt(self.stamp(index, newest)),
        }
    }

    /// Rebuilds what is not current, at the end of a bounded read.
    pub(super) async fn finish(
        &mut self,
        shutdown: &CancellationToken,
        observer: &dyn Observer,
    ) -> Result<(), BoxedError> {
        loop {
            let failure = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                done = self.rebuild_stale(observer) => match done {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                },
            };
            if policy(failure.kind()) != Action::Retry {
                return Err(failure);
            }
            self.failures += 1;
            observer.retrying(&*failure, backoff(self.failures));
            tokio::time::sleep(backoff(self.failures)).await;
        }
    }

    async fn rebuild_stale(&mut self, observer: &dyn Observer) -> Result<(), BoxedError> {
        if self.models.is_empty() {
            return Ok(());
        }
        self.look().await?;
        let newest = self.newest();
        self.references.look_now().await?;
        if !(0..self.models.len()).any(|index| self.is_stale(index, newest)) {
            return Ok(());
        }
        let alone = self.builder.alone().await?;
        let mut left: Vec<usize> = (0..self.models.len())
            .filter(|index| self.is_stale(*index, newest))
            .collect();
        while !left.is_empty() {
            let (now, later) = self.builder.split_ready(&left);
            let groups = self.builder.groups(&now);
            let builds = groups
                .iter()
                .map(|group| self.builder.build(group, &alone, observer));
            future::try_join_all(builds).await?;
            for index in now {
                self.models[index].state = self.built_from(index, newest);
            }
            left = later;
        }
        Ok(())
    }
}

/// The references that each rebuild reads, also through the rebuilds before it.
fn references_read(plan: &StreamPlan) -> Vec<Vec<SourceName>> {
    let mut all: Vec<Vec<SourceName>> = Vec::with_capacity(plan.rebuilds().len());
    for rebuild in plan.rebuilds() {
        let through = rebuild.reads.iter().flat_map(|read| all[*read].clone());
        let mut read: Vec<_> = rebuild.references.iter().cloned().chain(through).collect();
        read.sort();
        read.dedup();
        all.push(read);
    }
    all
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// What a rebuild works with.
#[derive(Clone)]
pub(super) struct Builder {
    pub(super) plan: Arc<StreamPlan>,
    /// Those that the plan's tables had when the job was opened.
    pub(super) generations: Generations,
    pub(super) databases: Databases,
    pub(super) lake: Lake,
    /// Where the job keeps its sources in the lake, when not in schemas of their groups.
    pub(super) lake_schema: Option<String>,
    pub(super) reader: Reader,
    pub(super) background: Arc<Background>,
}

impl Builder {
    /// Those that read none of the others, and the rest.
    fn split_ready(&self, rebuilds: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let waits = |index: &usize| {
            let reads = &self.plan.rebuilds()[*index].reads;
            reads.iter().any(|read| rebuilds.contains(read))
        };
        rebuilds.iter().partition(|index| !waits(index))
    }

    /// Those that read one table and nothing else, together; in the order of the first of each group,
    /// which stays behind whatever its members read.
    fn groups(&self, rebuilds: &[usize]) -> Vec<Vec<usize>> {
        let mut groups: Vec<(Option<&TableName>, Vec<usize>)> = Vec::new();
        for &index in rebuilds {
            let scans = self.plan.rebuilds()[index].only_scan.as_ref();
            let group = groups
                .iter_mut()
                .find(|(of, _)| of.is_some() && *of == scans);
            match group {
                Some((_, group)) => group.push(index),
                None => groups.push((scans, vec![index])),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// Computes a group of the plan's rebuilds from what is committed now and puts the rows in the
    /// place of the old ones. Two processes must not do it at the same time: the one that read
    /// earlier could end later.
    async fn build(
        &self,
        group: &[usize],
        alone: &Alone,
        observer: &dyn Observer,
    ) -> Result<(), BoxedError> {
        let _turn = self.background.turn().await;
        let databases = self.databases.relations();
        let shared = match group {
            [first, _, ..] => self.plan.rebuilds()[*first].only_scan.as_ref(),
            _ => None,
        };
        let inputs = match shared {
            Some(table) => one_scan::share(&databases.warehouse, table, group.len())
                .into_iter()
                .map(|warehouse| reference::Databases {
                    warehouse,
                    ..databases.clone()
                })
                .collect(),
            None => vec![databases],
        };
        let builds = group
            .iter()
            .zip(inputs)
            .map(|(index, databases)| self.build_one(*index, databases, alone, observer));
        future::try_join_all(builds).await?;
        Ok(())
    }

    /// In the background: reading the lake and aggregating hold a thread for long, and the epochs go on
    /// meanwhile.
    async fn build_one(
        &self,
        index: usize,
        databases: reference::Databases,
        alone: &Alone,
        observer: &dyn Observer,
    ) -> Result<(), BoxedError> {
        let began = Instant::now();
        let (builder, alone) = (self.clone(), alone.clone());
        let work = async move { builder.compute_and_swap(index, databases, &alone).await };
        let work = self.background.spawn(work);
        let rows = AbortOnDropHandle::new(work).await.map_err(|source| {
            boxed(StageLost {
                stage: "rebuild",
                source,
            })
        })??;
        let table = &self.plan.tables()[self.plan.rebuilds()[index].table];
        observer.rebuilt(&table.name, rows, began.elapsed());
        Ok(())
    }

    async fn compute_and_swap(
        &self,
        index: usize,
        databases: reference::Databases,
        alone: &Alone,
    ) -> Result<u64, BoxedError> {
        let rebuild = &self.plan.rebuilds()[index];
        let table: &Table = &self.plan.tables()[rebuild.table];
        let lake = match rebuild.reads_lake {
            true => {
                let newest = self.lake.newest().await.map_err(boxed)?;
                Some(newest.in_schema(self.lake_schema.clone()))
            }
            false => None,
        };
        let inputs = Inputs { lake, databases };
        let rows = self.plan.rebuild(rebuild, &inputs).await.map_err(boxed)?;
        let rows = rows.batches.map(|batch| batch.map_err(boxed)).boxed();
        let compiled = self.generations.of(rebuild.table);
        let loaded = alone.refresh(table, rows, compiled).await;
        Ok(loaded.map_err(boxed)?.rows)
    }

    async fn try_alone(&self) -> Result<Option<Alone>, BoxedError> {
        let alone = self.databases.warehouse.try_alone(&self.reader, WORK).await;
        alone.map_err(boxed)
    }

    async fn alone(&self) -> Result<Alone, BoxedError> {
        let alone = self.databases.warehouse.alone(&self.reader, WORK).await;
        alone.map_err(boxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses, in seconds, after rebuilds that take so long.
    fn pauses(first: Duration, took: Duration, every: u64) -> [u64; 5] {
        let began = Instant::now();
        let mut model = Scheduled {
            state: State::Unknown,
            due: began,
            pause: first,
        };
        std::array::from_fn(|_| {
            model.put_off(began, took, Duration::from_secs(every));
            (model.due - began).as_secs()
        })
    }

    #[test]
    fn pauses_grow_up_to_the_models_own() {
        let quick = Duration::from_millis(20);
        assert_eq!(pauses(FIRST_PAUSE, quick, 5), [1, 2, 4, 5, 5]);
        assert_eq!(pauses(FIRST_PAUSE, quick, 1), [1; 5]);
        assert_eq!(pauses(Duration::MAX, quick, 30), [30; 5]);
    }

    #[test]
    fn a_long_rebuild_is_put_off_for_longer() {
        let long = Duration::from_secs(3);
        assert_eq!(pauses(FIRST_PAUSE, long, 5), [30; 5]);
    }
}
