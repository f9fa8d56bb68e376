//! Leases of sources that have one reader.

use std::time::Duration;

use factmill_core::epoch::Reader;
use factmill_core::position::SourceName;
use factmill_core::source::Lease;

use super::Warehouse;
use super::error::WarehouseError;
use super::identifier::source_text;

/// Takes a lease that is free, over, one's own, or held over a connection that is gone.
const TAKE: &str = "\
    insert into factmill.reader_leases as held \
        (target, job, source, holder, address, backend, expires_at) \
    values ($1, $2, $3, $4, coalesce(host(inet_client_addr()), 'this machine'), pg_backend_pid(), \
        clock_timestamp() + $5 * interval '1 ms') \
    on conflict (target, job, source) do update set holder = excluded.holder, \
        address = excluded.address, backend = excluded.backend, expires_at = excluded.expires_at \
    where held.holder = excluded.holder or held.expires_at <= clock_timestamp() \
        or not exists (select from pg_catalog.pg_stat_activity where pid = held.backend)";

const HOLDER: &str = "\
    select holder, address, \
        greatest(0, extract(epoch from expires_at - clock_timestamp()) * 1000)::bigint \
    from factmill.reader_leases where target = $1 and job = $2 and source = $3";

const RELEASE: &str = "\
    delete from factmill.reader_leases \
    where target = $1 and job = $2 and source = $3 and holder = $4";

impl Warehouse {
    /// Takes the lease of a source for so long, or renews it.
    ///
    /// # Errors
    /// [`WarehouseError::Connect`], [`WarehouseError::Query`].
    pub(super) async fn take_lease(
        &self,
        reader: &Reader,
        source: &SourceName,
        holder: &str,
        duration: Duration,
    ) -> Result<Lease, WarehouseError> {
        let wrong =
            |error| WarehouseError::query(format!("taking the lease of source {source}"), error);
        let session = self.control().await?;
        let source_name = source_text(source);
        let millis = duration.as_millis() as f64;
        let taken = session
            .client
            .execute(
                TAKE,
                &[&reader.target, &reader.job, &source_name, &holder, &millis],
            )
            .await;
        if taken.map_err(wrong)? > 0 {
            return Ok(Lease::Held);
        }
        let found = session
            .client
            .query_opt(HOLDER, &[&reader.target, &reader.job, &source_name])
            .await;
        Ok(match found.map_err(wrong)? {
            Some(row) => Lease::HeldBy {
                holder: format!("{} at {}", row.get::<_, &str>(0), row.get::<_, &str>(1)),
                expires_in: Duration::from_millis(row.get::<_, i64>(2).unsigned_abs()),
            },
            // given back between the two statements
            None => Lease::HeldBy {
                holder: "nobody".into(),
                expires_in: Duration::ZERO,
            },
        })
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// [`WarehouseError::Connect`], [`WarehouseError::Query`].
    pub(super) async fn release_lease(
        &self,
        reader: &Reader,
        source: &SourceName,
        holder: &str,
    ) -> Result<(), WarehouseError> {
        let session = self.control().await?;
        let source_name = source_text(source);
        let released = session
            .client
            .execute(
                RELEASE,
                &[&reader.target, &reader.job, &source_name, &holder],
            )
            .await;
        released.map(|_| ()).map_err(|error| {
            WarehouseError::query(format!("giving the lease of source {source} back"), error)
        })
    }
}
