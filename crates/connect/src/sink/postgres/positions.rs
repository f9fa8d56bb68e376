//! Stored positions: moved by compare-and-swap, read by sources, shown to people.

use std::collections::HashMap;
use std::time::Duration;

use async_recursion::async_recursion as boxed;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use factmill_core::epoch::Reader;
use factmill_core::position::{Cursor, Incarnation, Interval, PartitionId, Position, SourceName};
use factmill_core::source::{BoxedError, Lease, PositionStore};
use tokio_postgres::{GenericClient, Statement, Transaction};

use super::Warehouse;
use super::connection::Statements;
use super::error::WarehouseError;
use super::identifier::source_text;

/// Moves every position of an epoch from where it must stand to where it ends; answers those that
/// moved.
///
/// Missing rows are inserted first: those of partitions that were never read, or whose stored
/// position belongs to an incarnation that has ended. Rows are locked in the order of source and
/// partition, the same in all processes. A row that another epoch holds is waited for and then
/// compared as that epoch left it.
const MOVE: &str = "\
    with wanted as (\
        select * from unnest($3::text[], $4::text[], $5::integer[], $6::text[], $7::text[], $8::text[], \
                $9::bigint[]) \
            as w(source, partition, incarnation, identity, expected, next, lag)\
    ), inserted as (\
        insert into factmill.positions as p (target, job, source, partition, incarnation, identity, position, lag) \
        select $1, $2, source, partition, incarnation, identity, next, lag from wanted where expected is null \
        order by source collate \"C\", partition collate \"C\" \
        on conflict (target, job, source, partition) do update \
            set incarnation = excluded.incarnation, identity = excluded.identity, \
                position = excluded.position, lag = excluded.lag, updated_at = now() \
            where p.incarnation < excluded.incarnation and exists (\
                select from factmill.incarnations i \
                where i.target = p.target and i.job = p.job and i.source = p.source \
                  and i.ordinal = p.incarnation and i.ended_at is not null) \
        returning source, partition\
    ), held as materialized (\
        select p.source, p.partition, w.next, w.lag \
        from factmill.positions p join wanted w on w.source = p.source and w.partition = p.partition \
        where p.target = $1 and p.job = $2 and (select count(*) from inserted) >= 0 \
          and w.expected = p.position and w.incarnation = p.incarnation and w.identity = p.identity \
        order by p.source collate \"C\", p.partition collate \"C\" \
        for update of p\
    ), moved as (\
        update factmill.positions p set position = h.next, lag = h.lag, updated_at = now() \
        from held h \
        where p.target = $1 and p.job = $2 and p.source = h.source and p.partition = h.partition \
        returning p.source, p.partition\
    ) \
    select source, partition from inserted union all select source, partition from moved";

/// The rows of [`READ`] as the client takes them.
const READ: &str = "\
    select p.source, p.partition, p.incarnation, p.identity, p.position, i.ended_at is not null \
    from factmill.positions p \
    join unnest($3::text[], $4::text[]) as w(source, partition) using (source, partition) \
    left join factmill.incarnations i on i.target = p.target and i.job = p.job \
        and i.source = p.source and i.ordinal = p.incarnation \
    where p.target = $1 and p.job = $2";

/// Held while incarnations of a job are recorded.
pub(super) const LOCK_INCARNATIONS: &str = "select pg_advisory_xact_lock(hashtextextended('factmill incarnations ' || $1 || '/' || $2, 0))";

/// The open incarnation of source $3 that the server calls $4, recorded where it is new.
pub(super) const RECORD_INCARNATION: &str = "\
    with known as (\
        select ordinal from factmill.incarnations \
        where target = $1 and job = $2 and source = $3 and identity = $4 and ended_at is null\
    ), recorded as (\
        insert into factmill.incarnations (target, job, source, ordinal, identity) \
        select $1, $2, $3, coalesce(max(ordinal), 0) + 1, $4 from factmill.incarnations \
        where target = $1 and job = $2 and source = $3 \
        having not exists (select from known) \
        returning ordinal\
    ) select ordinal from known union all select ordinal from recorded";

/// Closes the open incarnations of source $3 but the one that the server calls $4.
pub(super) const END_INCARNATIONS: &str = "\
    update factmill.incarnations i \
    set ended_at = now(), final_positions = (\
        select coalesce(jsonb_object_agg(p.partition, p.position), '{}') \
        from factmill.positions p \
        where p.target = i.target and p.job = i.job and p.source = i.source \
          and p.incarnation = i.ordinal) \
    where target = $1 and job = $2 and source = $3 and ended_at is null \
      and identity is distinct from $4";

/// A prepared [`MOVE`].
pub(super) async fn move_statement(
    tx: &Transaction<'_>,
    statements: &mut Statements,
) -> Result<Statement, WarehouseError> {
    statements
        .get(tx, MOVE)
        .await
        .map_err(|source| WarehouseError::query("preparing to move positions", source))
}

/// Moves the positions of all `intervals`, or none.
///
/// # Errors
/// [`WarehouseError::Fenced`] naming the first partition that is not where it must be.
pub(super) async fn move_positions(
    tx: &Transaction<'_>,
    statement: &Statement,
    reader: &Reader,
    intervals: &[Interval],
    lag: &HashMap<PartitionId, i64>,
) -> Result<(), WarehouseError> {
    let wrong = |source| WarehouseError::query("moving positions", source);
    let keys = Keys::of(intervals.iter().map(Interval::partition));
    let incarnations: Vec<i32> = intervals
        .iter()
        .map(|interval| interval.incarnation().ordinal)
        .collect();
    let identities: Vec<&str> = intervals
        .iter()
        .map(|interval| interval.incarnation().identity.as_str())
        .collect();
    let expected: Vec<Option<String>> = intervals
        .iter()
        .map(|interval| interval.from().map(Cursor::to_text))
        .collect();
    let next: Vec<String> = intervals
        .iter()
        .map(|interval| interval.to().to_text())
        .collect();
    let lag: Vec<Option<i64>> = intervals
        .iter()
        .map(|interval| lag.get(interval.partition()).copied())
        .collect();
    let moved = tx
        .query(
            statement,
            &[
                &reader.target,
                &reader.job,
                &keys.sources,
                &keys.partitions,
                &incarnations,
                &identities,
                &expected,
                &next,
                &lag,
            ],
        )
        .await
        .map_err(wrong)?;
    if moved.len() == intervals.len() {
        return Ok(());
    }
    let moved: Vec<(&str, &str)> = moved.iter().map(|row| (row.get(0), row.get(1))).collect();
    let fenced = intervals.iter().find(|interval| {
        let source = source_text(&interval.partition().source);
        !moved.contains(&(source.as_str(), interval.partition().partition.as_str()))
    });
    match fenced {
        Some(interval) => Err(fenced_at(tx, reader, interval).await?),
        None => Err(WarehouseError::Broken(
            "an epoch names one partition twice".into(),
        )),
    }
}

/// Says where the position of a fenced partition stands.
async fn fenced_at(
    client: &impl GenericClient,
    reader: &Reader,
    interval: &Interval,
) -> Result<WarehouseError, WarehouseError> {
    let partition = interval.partition();
    let stored = read(client, reader, std::slice::from_ref(partition)).await?;
    Ok(WarehouseError::Fenced {
        partition: partition.clone(),
        expected: shown(interval.from(), interval.incarnation()),
        found: match stored.get(partition) {
            Some(stored) => shown(Some(&stored.position.cursor), &stored.position.incarnation),
            None => "none".to_owned(),
        },
    })
}

fn shown(cursor: Option<&Cursor>, incarnation: &Incarnation) -> String {
    match cursor {
        Some(cursor) => format!(
            "{} of incarnation {} ({})",
            cursor.to_text(),
            incarnation.ordinal,
            incarnation.identity
        ),
        None => format!(
            "the start of incarnation {} ({})",
            incarnation.ordinal, incarnation.identity
        ),
    }
}

/// Partitions as two arrays of parameters.
struct Keys<'a> {
    sources: Vec<String>,
    partitions: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    fn of(partitions: impl Iterator<Item = &'a PartitionId>) -> Self {
        let (sources, partitions) = partitions
            .map(|partition| (source_text(&partition.source), partition.partition.as_str()))
            .unzip();
        Self {
            sources,
            partitions,
        }
    }
}

/// A position as the warehouse keeps it.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) position: Position,
    /// Its incarnation was closed: it counts no more.
    pub(super) ended: bool,
}

/// The stored positions of those `partitions` that have one.
pub(super) async fn read(
    client: &impl GenericClient,
    reader: &Reader,
    partitions: &[PartitionId],
) -> Result<HashMap<PartitionId, Stored>, WarehouseError> {
    let keys = Keys::of(partitions.iter());
    let rows = client
        .query(
            READ,
            &[&reader.target, &reader.job, &keys.sources, &keys.partitions],
        )
        .await
        .map_err(|source| WarehouseError::query("reading positions", source))?;
    let mut stored = HashMap::with_capacity(rows.len());
    for row in rows {
        let (source, partition): (&str, &str) = (row.get(0), row.get(1));
        let asked = partitions
            .iter()
            .zip(&keys.sources)
            .find(|(asked, asked_source)| {
                asked_source.as_str() == source && asked.partition == partition
            });
        let Some((asked, _)) = asked else {
            continue;
        };
        let cursor = Cursor::from_text(row.get(4)).map_err(|source| WarehouseError::Position {
            partition: asked.clone(),
            source,
        })?;
        let position = Position {
            incarnation: Incarnation {
                ordinal: row.get(2),
                identity: row.get(3),
            },
            cursor,
        };
        stored.insert(
            asked.clone(),
            Stored {
                position,
                ended: row.get(5),
            },
        );
    }
    Ok(stored)
}

/// The positions of one reader, as sources ask for them.
#[derive(Debug, Clone)]
pub struct ReaderPositions {
    warehouse: Warehouse,
    reader: Reader,
}

#[async_trait]
impl PositionStore for ReaderPositions {
    /// Positions of an incarnation that was ended are left out: the partition begins anew.
    async fn positions(
        &self,
        partitions: &[PartitionId],
    ) -> Result<HashMap<PartitionId, Position>, BoxedError> {
        let session = self.warehouse.control().await.map_err(boxed)?;
        let stored = read(&session.client, &self.reader, partitions)
            .await
            .map_err(boxed)?;
        let valid = stored.into_iter().filter(|(_, stored)| !stored.ended);
        Ok(valid
            .map(|(partition, stored)| (partition, stored.position))
            .collect())
    }

    async fn has_read(&self, source: &SourceName) -> Result<bool, BoxedError> {
        let has_read = self.warehouse.has_read(&self.reader, source);
        has_read.await.map_err(boxed)
    }

    async fn incarnation(
        &self,
        source: &SourceName,
        identity: &str,
    ) -> Result<Incarnation, BoxedError> {
        self.warehouse
            .incarnation(&self.reader, source, identity)
            .await
            .map_err(boxed)
    }

    async fn lease(
        &self,
        source: &SourceName,
        holder: &str,
        duration: Duration,
    ) -> Result<Lease, BoxedError> {
        let lease = self
            .warehouse
            .take_lease(&self.reader, source, holder, duration);
        lease.await.map_err(boxed)
    }

    async fn release(&self, source: &SourceName, holder: &str) -> Result<(), BoxedError> {
        let released = self.warehouse.release_lease(&self.reader, source, holder);
        released.await.map_err(boxed)
    }
}

fn boxed(error: WarehouseError) -> BoxedError {
    Box::new(error)
}

/// A stored position, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPosition {
    /// The source, `group.table`.
    pub source: String,
    /// The partition.
    pub partition: String,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Whether that incarnation has ended.
    pub ended: bool,
    /// The next offset, or `token:…`.
    pub position: String,
    /// When it moved last.
    pub updated_at: DateTime<Utc>,
}

impl Warehouse {
    /// The positions of `reader` for its sources.
    pub fn positions_of(&self, reader: Reader) -> ReaderPositions {
        ReaderPositions {
            warehouse: self.clone(),
            reader,
        }
    }

    /// All stored positions of a reader, by source and partition; numbers in their order.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn list_positions(
        &self,
        reader: &Reader,
    ) -> Result<Vec<StoredPosition>, WarehouseError> {
        let session = self.control().await?;
        let rows = session
            .client
            .query(
                "select p.source, p.partition, p.incarnation, p.identity, i.ended_at is not null, p.position, \
                        p.updated_at \
                 from factmill.positions p \
                 left join factmill.incarnations i on i.target = p.target and i.job = p.job \
                     and i.source = p.source and i.ordinal = p.incarnation \
                 where p.target = $1 and p.job = $2 \
                 order by p.source, length(p.partition), p.partition",
                &[&reader.target, &reader.job],
            )
            .await
            .map_err(|source| WarehouseError::query("listing positions", source))?;
        let positions = rows.iter().map(|row| StoredPosition {
            source: row.get(0),
            partition: row.get(1),
            incarnation: Incarnation {
                ordinal: row.get(2),
                identity: row.get(3),
            },
            ended: row.get(4),
            position: row.get(5),
            updated_at: row.get(6),
        });
        Ok(positions.collect())
    }

    /// Whether `reader` has a position of `source`, of an incarnation that was not ended.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn has_read(
        &self,
        reader: &Reader,
        source: &SourceName,
    ) -> Result<bool, WarehouseError> {
        let name = source_text(source);
        let session = self.control().await?;
        let row = session
            .client
            .query_one(
                "select exists (\
                     select from factmill.positions p \
                     left join factmill.incarnations i on i.target = p.target and i.job = p.job \
                         and i.source = p.source and i.ordinal = p.incarnation \
                     where p.target = $1 and p.job = $2 and p.source = $3 and i.ended_at is null)",
                &[&reader.target, &reader.job, &name],
            )
            .await
            .map_err(|source| {
                WarehouseError::query(format!("looking for positions of {name}"), source)
            })?;
        Ok(row.get(0))
    }

    /// The incarnation of `source` that the server calls `identity`, recorded with the next number
    /// when it is new to `reader`, or was ended before.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn incarnation(
        &self,
        reader: &Reader,
        source: &SourceName,
        identity: &str,
    ) -> Result<Incarnation, WarehouseError> {
        let name = source_text(source);
        let wrong =
            |source| WarehouseError::query(format!("recording an incarnation of {name}"), source);
        let mut session = self.control().await?;
        let tx = session.client.transaction().await.map_err(wrong)?;
        tx.execute(LOCK_INCARNATIONS, &[&reader.target, &reader.job])
            .await
            .map_err(wrong)?;
        let row = tx
            .query_one(
                RECORD_INCARNATION,
                &[&reader.target, &reader.job, &name, &identity],
            )
            .await
            .map_err(wrong)?;
        tx.commit().await.map_err(wrong)?;
        Ok(Incarnation {
            ordinal: row.get(0),
            identity: identity.to_owned(),
        })
    }

    /// Closes all open incarnations of `source` but the one called `survivor`: their positions
    /// count no more, and the next incarnation begins anew. Returns how many were closed.
    ///
    /// For servers whose end loses nothing that was not read, such as a broker that lives in the
    /// process; where records may be lost it is for a person to decide.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn end_incarnations(
        &self,
        reader: &Reader,
        source: &SourceName,
        survivor: Option<&str>,
    ) -> Result<u64, WarehouseError> {
        let name = source_text(source);
        let session = self.control().await?;
        session
            .client
            .execute(
                END_INCARNATIONS,
                &[&reader.target, &reader.job, &name, &survivor],
            )
            .await
            .map_err(|source| {
                WarehouseError::query(format!("ending incarnations of {name}"), source)
            })
    }

    /// How many offsets of each partition of `source` are behind the stored positions, over all of
    /// its incarnations together. Partitions without offsets are left out.
    ///
    /// Where every incarnation began at 0 this is how many records were committed.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn records_read(
        &self,
        reader: &Reader,
        source: &SourceName,
    ) -> Result<HashMap<String, i64>, WarehouseError> {
        let name = source_text(source);
        let session = self.control().await?;
        let rows = session
            .client
            .query(
                "select partition, sum(position::bigint)::bigint from (\
                     select f.key as partition, f.value as position \
                     from factmill.incarnations i, jsonb_each_text(i.final_positions) f \
                     where i.target = $1 and i.job = $2 and i.source = $3 \
                     union all \
                     select p.partition, p.position \
                     from factmill.positions p \
                     join factmill.incarnations i on i.target = p.target and i.job = p.job \
                         and i.source = p.source and i.ordinal = p.incarnation \
                     where p.target = $1 and p.job = $2 and p.source = $3 and i.ended_at is null\
                 ) read where position ~ '^[0-9]+$' group by partition",
                &[&reader.target, &reader.job, &name],
            )
            .await
            .map_err(|source| {
                WarehouseError::query(format!("counting what was read of {name}"), source)
            })?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}
